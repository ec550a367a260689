//! The epoll loop of both floors, the programs that only make system calls. It is level-triggered,
//! has no async runtime and allocates nothing per message. The connections are in a table whose
//! indices are their descriptors.

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

/// An epoll loop over connections, each with a state `T`.
pub struct Bare<T> {
    epoll: OwnedFd,
    listener: TcpListener,
    /// The connections by their descriptors.
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

    /// Accepts connections, and calls `on_ready` with the index of each that is ready, for ever.
    /// Closes a connection for which `on_ready` fails.
    pub fn run(
        mut self,
        mut on_ready: impl FnMut(&mut Self, usize) -> io::Result<()>,
    ) -> io::Result<()> {
        let listener = key(&self.listener).u64();
        let mut events: Vec<Event> = Vec::with_capacity(1024);
        loop {
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), None) {
                // strace interrupts the call when it attaches and detaches.
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in &events {
                let data = event.data;
                if data.u64() == listener {
                    self.accept()?;
                    continue;
                }
                let index = usize::try_from(data.u64()).expect("a descriptor fits in usize");
                if self.connections[index].is_some() && on_ready(&mut self, index).is_err() {
                    self.connections[index] = None;
                }
            }
        }
    }

    /// Accepts all connections that wait.
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

    /// Sets the events that connection `index` waits for.
    pub fn wait_for(&self, index: usize, flags: EventFlags) -> io::Result<()> {
        let Some(Connection { socket, .. }) = &self.connections[index] else {
            return Ok(());
        };
        Ok(epoll::modify(&self.epoll, socket, key(socket), flags)?)
    }
}

/// Returns the data with which epoll reports a socket: its descriptor.
fn key(socket: &impl AsRawFd) -> EventData {
    EventData::new_u64(u64::try_from(socket.as_raw_fd()).expect("a descriptor is not negative"))
}
