//! A crowd of attackers: connections that each repeat a pattern, as fast as the server takes it or
//! byte by byte, all driven by one epoll loop.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use rustix::{
    event::{
        Timespec,
        epoll::{self, CreateFlags, Event, EventData, EventFlags},
    },
    fd::OwnedFd,
};

use crate::wire;

/// Connections of attackers.
#[derive(Debug)]
pub(crate) struct Crowd {
    epoll: OwnedFd,
    members: Vec<Member>,
    /// Number of bytes that the sockets have taken.
    pub(crate) sent: u64,
    pub(crate) received: u64,
}

#[derive(Debug)]
struct Member {
    socket: TcpStream,
    /// Bytes that the member sends, `rounds` times.
    pattern: Arc<[u8]>,
    /// Number of bytes of `pattern` that the member has sent in this round.
    offset: usize,
    /// Number of rounds that are left, the present one included.
    rounds: u64,
    has_ended: bool,
    /// The last bytes that the member has received, at most [`TAIL`].
    tail: Vec<u8>,
}

/// The attackers' way with the bytes that the server sends to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answers {
    /// The attackers read everything.
    Read,
    /// The attackers read nothing.
    Ignore,
}

impl Crowd {
    pub(crate) fn new(sockets: Vec<TcpStream>) -> Result<Self> {
        let mut crowd = Self {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            members: Vec::new(),
            sent: 0,
            received: 0,
        };
        for socket in sockets {
            crowd.add(socket)?;
        }
        Ok(crowd)
    }

    /// Adds a connection that has nothing to send yet.
    fn add(&mut self, socket: TcpStream) -> Result<()> {
        socket.set_nonblocking(true)?;
        let data = EventData::new_u64(self.members.len() as u64);
        epoll::add(&self.epoll, &socket, data, EventFlags::empty())?;
        self.members.push(Member {
            socket,
            pattern: Arc::default(),
            offset: 0,
            rounds: 0,
            has_ended: false,
            tail: Vec::new(),
        });
        Ok(())
    }

    /// Adds a connection and sends as much of `opening` as the socket takes in one write. The rest
    /// stays to be sent.
    pub(crate) fn add_and_send(&mut self, socket: TcpStream, opening: Arc<[u8]>) -> Result<()> {
        self.add(socket)?;
        let last = self.members.len() - 1;
        self.set_pattern_of(last, opening, 1);
        self.send(last, usize::MAX);
        Ok(())
    }

    /// Has every connection send `pattern`, `rounds` times, instead of its earlier pattern.
    pub(crate) fn set_pattern(&mut self, pattern: &[u8], rounds: u64) {
        let pattern: Arc<[u8]> = pattern.into();
        for index in 0..self.members.len() {
            self.set_pattern_of(index, Arc::clone(&pattern), rounds);
        }
    }

    /// Has the last `count` connections repeat `pattern` for ever; the others only read.
    pub(crate) fn set_pattern_of_last(&mut self, count: usize, pattern: &[u8]) {
        let pattern: Arc<[u8]> = pattern.into();
        for index in self.members.len() - count..self.members.len() {
            self.set_pattern_of(index, Arc::clone(&pattern), u64::MAX);
        }
    }

    /// Has one connection send `pattern`, `rounds` times.
    pub(crate) fn set_pattern_of(
        &mut self,
        index: usize,
        pattern: impl Into<Arc<[u8]>>,
        rounds: u64,
    ) {
        let member = &mut self.members[index];
        (member.pattern, member.offset) = (pattern.into(), 0);
        member.rounds = rounds;
    }

    /// Stops sending, and reads until any connection has received something. Returns false if none
    /// has within this time.
    pub(crate) fn wait_for_answer(&mut self, within: Duration) -> Result<bool> {
        for member in &mut self.members {
            member.rounds = 0;
        }
        let until = Instant::now() + within;
        while self.received == 0 && Instant::now() < until && self.ended() < self.members.len() {
            let soon = Instant::now() + Duration::from_millis(10);
            self.flood(soon, Answers::Read)?;
        }
        Ok(self.received > 0)
    }

    /// Sends the patterns as fast as the server takes them, until `until`.
    pub(crate) fn flood(&mut self, until: Instant, answers: Answers) -> Result<()> {
        for index in 0..self.members.len() {
            self.update_interest(index, answers)?;
        }
        let mut events = Vec::with_capacity(256);
        let mut scratch = vec![0; 64 * 1024];
        while Instant::now() < until && self.wait(&mut events, until)? {
            for event in events.drain(..) {
                let index = usize::try_from(event.data.u64()).unwrap_or(0);
                let readable = EventFlags::IN | EventFlags::HUP | EventFlags::ERR;
                let flags = event.flags;
                if flags.intersects(readable) {
                    self.receive(index, &mut scratch);
                }
                if self.send(index, usize::MAX) || self.members[index].has_ended {
                    self.update_interest(index, answers)?;
                }
            }
        }
        Ok(())
    }

    /// Sends the remaining bytes of the patterns, without reading, at most until `until`.
    pub(crate) fn send_remaining(&mut self, until: Instant) -> Result<()> {
        while Instant::now() < until && self.is_sending() {
            let soon = Instant::now() + Duration::from_millis(50);
            self.flood(soon.min(until), Answers::Ignore)?;
        }
        Ok(())
    }

    /// Sends the patterns as fast as the server takes them until `until`. Once in each interval of
    /// length `every`, reads up to `step` bytes on each connection.
    pub(crate) fn flood_and_read_slowly(
        &mut self,
        until: Instant,
        step: usize,
        every: Duration,
    ) -> Result<()> {
        let mut scratch = vec![0; step];
        while Instant::now() < until {
            let next = Instant::now() + every;
            self.flood(next.min(until), Answers::Ignore)?;
            for index in 0..self.members.len() {
                self.receive(index, &mut scratch);
            }
        }
        Ok(())
    }

    /// Shuts down the sending side of every connection, which can still read.
    pub(crate) fn half_close(&self) {
        for member in &self.members {
            // Fails if the connection has ended already, which is fine.
            let _ = member.socket.shutdown(Shutdown::Write);
        }
    }

    /// Sends `step` bytes on each connection once in each interval of length `every`, until
    /// `until`. Reads all answers.
    pub(crate) fn trickle(&mut self, until: Instant, step: usize, every: Duration) -> Result<()> {
        for index in 0..self.members.len() {
            epoll_set(&self.epoll, &self.members[index], index, EventFlags::IN)?;
        }
        let mut events = Vec::with_capacity(256);
        let mut scratch = vec![0; 64 * 1024];
        let mut due = Instant::now();
        while Instant::now() < until {
            if Instant::now() >= due {
                due += every;
                for index in 0..self.members.len() {
                    self.send(index, step);
                }
            }
            self.wait(&mut events, due.min(until))?;
            for event in events.drain(..) {
                self.receive(usize::try_from(event.data.u64()).unwrap_or(0), &mut scratch);
            }
        }
        Ok(())
    }

    /// Returns true if a connection still has something to send.
    pub(crate) fn is_sending(&self) -> bool {
        let mut members = self.members.iter();
        members.any(|member| member.rounds > 0 && !member.has_ended)
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// Returns how many connections the server has ended.
    pub(crate) fn ended(&self) -> usize {
        self.members
            .iter()
            .filter(|member| member.has_ended)
            .count()
    }

    /// Returns the close codes that the connections have received, each once, in ascending order.
    pub(crate) fn codes(&self) -> Vec<u16> {
        let mut codes: Vec<_> = self.members.iter().filter_map(Member::code).collect();
        codes.sort_unstable();
        codes.dedup();
        codes
    }

    /// Waits for events of the sockets, for at most 50 ms. Returns false if all connections have
    /// ended.
    fn wait(&self, events: &mut Vec<Event>, until: Instant) -> Result<bool> {
        if self.ended() == self.members.len() && !self.members.is_empty() {
            return Ok(false);
        }
        let left = until.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left.min(Duration::from_millis(50)))?;
        let spare = rustix::buffer::spare_capacity(events);
        match epoll::wait(&self.epoll, spare, Some(&left)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// Sets the events that epoll reports for a connection. Removes a connection that has ended
    /// from epoll.
    fn update_interest(&self, index: usize, answers: Answers) -> Result<()> {
        let member = &self.members[index];
        let mut flags = EventFlags::empty();
        flags.set(EventFlags::IN, answers == Answers::Read);
        flags.set(EventFlags::OUT, member.rounds > 0);
        if member.has_ended {
            let _ = epoll::delete(&self.epoll, &member.socket);
            return Ok(());
        }
        epoll_set(&self.epoll, member, index, flags)
    }

    /// Writes to the socket once, at most `most` bytes. Returns true if these were the last bytes
    /// that the connection had to send.
    fn send(&mut self, index: usize, most: usize) -> bool {
        let member = &mut self.members[index];
        if member.rounds == 0 || member.has_ended {
            return false;
        }
        let rest = &member.pattern[member.offset..];
        match member.socket.write(&rest[..rest.len().min(most)]) {
            Ok(len) => {
                self.sent += len as u64;
                member.offset += len;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Err(_) => member.has_ended = true,
        }
        if member.offset == member.pattern.len() {
            member.offset = 0;
            member.rounds -= 1;
        }
        member.rounds == 0
    }

    /// Reads once from the socket, and keeps the last bytes for [`Member::code`].
    fn receive(&mut self, index: usize, scratch: &mut [u8]) {
        let member = &mut self.members[index];
        match member.socket.read(scratch) {
            Ok(0) => member.has_ended = true,
            Ok(len) => {
                self.received += len as u64;
                member.tail.extend(&scratch[len.saturating_sub(TAIL)..len]);
                let surplus = member.tail.len().saturating_sub(TAIL);
                member.tail.drain(..surplus);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => member.has_ended = true,
        }
    }
}

impl Member {
    /// Returns the code of the Close with which the received bytes end.
    fn code(&self) -> Option<u16> {
        // The start of the Close is not known, so this tries every byte of the tail.
        (0..self.tail.len()).find_map(|start| {
            let close = &self.tail[start..];
            let is_close = close[0] == wire::CLOSE
                && close.len() >= 4
                && usize::from(close[1]) + 2 == close.len();
            is_close.then(|| u16::from_be_bytes([close[2], close[3]]))
        })
    }
}

/// Sets the events that epoll reports for a connection, unless the connection has ended.
fn epoll_set(epoll: &OwnedFd, member: &Member, index: usize, flags: EventFlags) -> Result<()> {
    if !member.has_ended {
        let data = EventData::new_u64(index as u64);
        epoll::modify(epoll, &member.socket, data, flags)?;
    }
    Ok(())
}

/// Length of the longest Close frame: a header of 2 bytes and a payload of 125.
const TAIL: usize = 127;
