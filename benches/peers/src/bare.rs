//! The loop under both floors: epoll, level-triggered, and the connections in a table by their
//! descriptors. No runtime, and nothing is allocated on the way of a message.

use std::{
    io,
    net::{TcpListener, TcpStream},
    os::fd::{AsRawFd, OwnedFd},
};

use rustix::{
    buffer::spare_capacity,
    event::epoll::{self, CreateFlags, Event, EventData, EventFlags},
    io::Errno,
    net::{SocketFlags, accept_with},
};

use crate::address;

/// Connections of which each has a `T`, by their descriptors.
pub struct Bare<T> {
    epoll: OwnedFd,
    listener: TcpListener,
    pub connections: Vec<Option<Connection<T>>>,
}

pub struct Connection<T> {
    pub socket: TcpStream,
    pub state: T,
}

impl<T: Default> Bare<T> {
    pub fn listen() -> io::Result<Self> {
        let listener = TcpListener::bind(address())?;
        listener.set_nonblocking(true)?;
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &listener, key(&listener), EventFlags::IN)?;
        Ok(Self {
            epoll,
            listener,
            connections: Vec::new(),
        })
    }

    /// Calls `turn` for every connection that is ready, for ever; one for which it fails is over.
    pub fn run(
        mut self,
        mut turn: impl FnMut(&mut Self, usize) -> io::Result<()>,
    ) -> io::Result<()> {
        let listener = key(&self.listener).u64();
        let mut events: Vec<Event> = Vec::with_capacity(1024);
        loop {
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), None) {
                // strace comes and goes.
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in &events {
                let data = event.data;
                if data.u64() == listener {
                    self.accept()?;
                    continue;
                }
                let index = usize::try_from(data.u64()).expect("it is a descriptor");
                if self.connections[index].is_some() && turn(&mut self, index).is_err() {
                    self.connections[index] = None;
                }
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            let socket = match accept_with(&self.listener, flags) {
                Ok(socket) => TcpStream::from(socket),
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::CONNABORTED) => continue,
                Err(error) => return Err(error.into()),
            };
            socket.set_nodelay(true)?;
            epoll::add(&self.epoll, &socket, key(&socket), EventFlags::IN)?;
            let index = usize::try_from(socket.as_raw_fd()).expect("a descriptor is not negative");
            if self.connections.len() <= index {
                self.connections.resize_with(index + 1, || None);
            }
            let state = T::default();
            self.connections[index] = Some(Connection { socket, state });
        }
    }

    /// What connection `index` waits for from now on.
    pub fn wait_for(&self, index: usize, flags: EventFlags) -> io::Result<()> {
        let Some(Connection { socket, .. }) = &self.connections[index] else {
            return Ok(());
        };
        Ok(epoll::modify(&self.epoll, socket, key(socket), flags)?)
    }
}

fn key(socket: &impl AsRawFd) -> EventData {
    EventData::new_u64(u64::try_from(socket.as_raw_fd()).expect("a descriptor is not negative"))
}
