//! Bystanders, the clients that do nothing wrong: a hundred subscribers of a numbered stream, half
//! of them on each shard, and a connection to `/echo` on each shard, all driven by one thread.
//!
//! Latency counts from the time at which a message was due, not from when it was sent, so that a
//! server that stands still delays all messages that were due meanwhile.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::TcpStream,
    sync::{Arc, atomic::Ordering::Relaxed, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result};
use rustix::{
    event::{
        Timespec,
        epoll::{self, CreateFlags, Event, EventData, EventFlags},
    },
    fd::OwnedFd,
};

use crate::{
    figures::{Measured, Probe},
    server::{SHARDS, Server},
    timeline::Timeline,
    wire::{self, Frames, array},
};

/// Number of subscribers besides the publisher.
pub(crate) const SUBSCRIBERS: usize = 100;

/// Interval between two messages of the stream, in microseconds.
const STREAM_EVERY: u64 = 20_000;

/// Interval between two messages of an echo connection, in microseconds.
const ECHO_EVERY: u64 = 10_000;

/// Time in microseconds that the last messages may take to arrive if the publisher was closed.
const WITHOUT_PUBLISHER: u64 = 5_000_000;

/// Outcome of a run for the bystanders.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) measured: Measured,
    /// Number of messages that never came.
    pub(crate) lost: u64,
    /// Number of messages that came twice, or after a later one.
    pub(crate) misplaced: u64,
    /// Number of bystanders that the server closed.
    pub(crate) closed: u64,
    /// Close codes that the closed bystanders have received, each once. 1006 stands for a
    /// connection that ended without a Close.
    pub(crate) codes: Vec<u16>,
    /// Number of echoes that differ from what was sent, or never came.
    pub(crate) wrong_echoes: u64,
}

/// End of the bystanders' connections after SIGTERM.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Shutdown {
    /// Number of bystanders that were closed with 1012.
    pub(crate) closed: usize,
    pub(crate) all: usize,
}

/// The thread of the bystanders.
#[derive(Debug)]
pub(crate) struct Bystanders {
    outcome: mpsc::Receiver<Outcome>,
    thread: JoinHandle<Shutdown>,
}

impl Bystanders {
    /// Connects the echo connections, then the subscribers, and last the publisher, which
    /// subscribes, too.
    pub(crate) fn connect(server: &Server) -> Result<Vec<TcpStream>> {
        let echoes = vec!["/echo".to_owned(); SHARDS];
        let subscribers = vec!["/ws?topic=steady".to_owned(); SUBSCRIBERS + 1];
        server.upgrade_all(&[echoes, subscribers].concat(), "")
    }

    /// Starts the thread, which waits for the last messages for up to `patience`.
    pub(crate) fn start(
        sockets: Vec<TcpStream>,
        timeline: &Arc<Timeline>,
        patience: Duration,
    ) -> Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let mut connections = Vec::new();
        for (index, socket) in sockets.into_iter().enumerate() {
            socket.set_nonblocking(true)?;
            let data = EventData::new_u64(index as u64);
            epoll::add(&epoll, &socket, data, EventFlags::IN)?;
            connections.push(Connection::new(socket, index));
        }
        let (outcomes, outcome) = mpsc::sync_channel(1);
        let now = timeline.now();
        for echo in &mut connections[..SHARDS] {
            echo.next = now;
        }
        let event_loop = EventLoop {
            epoll,
            connections,
            timeline: Arc::clone(timeline),
            patience: crate::timeline::micros(patience),
            number: 0,
            stream_due: now,
            echo_due: [now; SHARDS],
            outcome: Outcome::default(),
        };
        let thread = thread::spawn(move || event_loop.run(&outcomes));
        Ok(Self { outcome, thread })
    }

    /// Waits until everything that was sent has arrived or counts as lost.
    pub(crate) fn outcome(&self, within: Duration) -> Result<Outcome> {
        self.outcome
            .recv_timeout(within)
            .context("the bystanders have no outcome")
    }

    /// Waits until the server has ended the connections of all bystanders, or the run is over.
    pub(crate) fn wait_for_shutdown(self) -> Shutdown {
        self.thread.join().unwrap_or_default()
    }
}

/// The epoll loop that drives all bystanders.
struct EventLoop {
    epoll: OwnedFd,
    /// Echo connections, then subscribers, of which the last one publishes.
    connections: Vec<Connection>,
    timeline: Arc<Timeline>,
    /// Time in microseconds that the last messages may take to arrive.
    patience: u64,
    /// Number of the next message of the stream.
    number: u64,
    /// Time at which the next message of the stream is due.
    stream_due: u64,
    /// Time at which the next message of each echo connection is due.
    echo_due: [u64; SHARDS],
    outcome: Outcome,
}

/// The connection of one bystander.
struct Connection {
    socket: TcpStream,
    /// The shard that the server has handed the connection to.
    shard: usize,
    frames: Frames,
    /// Bytes that the socket has not taken yet.
    out: Vec<u8>,
    /// Next message to arrive: for a subscriber its number, for an echo connection the time at
    /// which it was due.
    next: u64,
    end: Option<End>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// The server has sent a Close with this code.
    Close(u16),
    /// The connection has ended without a Close.
    Lost,
}

impl Connection {
    fn new(socket: TcpStream, index: usize) -> Self {
        Self {
            socket,
            shard: index % SHARDS,
            frames: Frames::default(),
            out: Vec::new(),
            next: 0,
            end: None,
        }
    }

    fn send(&mut self, first: u8, payload: &[u8]) {
        self.out.extend(wire::frame(first, payload));
        self.flush();
    }

    fn flush(&mut self) {
        while !self.out.is_empty() && self.end.is_none() {
            match self.socket.write(&self.out) {
                Ok(len) => drop(self.out.drain(..len)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => self.end = Some(End::Lost),
            }
        }
    }
}

impl EventLoop {
    /// Drives the bystanders until all their connections have ended or the run is over. Sends the
    /// outcome as soon as it is complete.
    fn run(mut self, outcomes: &mpsc::SyncSender<Outcome>) -> Shutdown {
        let mut events = Vec::with_capacity(128);
        let mut scratch = vec![0; 64 * 1024];
        let mut has_reported = false;
        let is_open = |connection: &Connection| connection.end.is_none();
        while !self.timeline.is_over.load(Relaxed) && self.connections.iter().any(is_open) {
            if !has_reported {
                self.send_due();
                has_reported = self.is_complete();
                if has_reported {
                    let _ = outcomes.try_send(self.take_outcome());
                }
            }
            if self.receive(&mut events, &mut scratch).is_err() {
                break;
            }
        }
        if !has_reported {
            let _ = outcomes.try_send(self.take_outcome());
        }
        let is_restart = |connection: &&Connection| connection.end == Some(End::Close(1012));
        Shutdown {
            closed: self.connections.iter().filter(is_restart).count(),
            all: self.connections.len(),
        }
    }

    /// Sends the messages of the stream and of the echo connections that are due.
    fn send_due(&mut self) {
        let (now, end) = (self.timeline.now(), self.timeline.end());
        let publisher = self.connections.len() - 1;
        while self.stream_due <= now && self.stream_due < end {
            let message = [self.number, self.stream_due]
                .map(u64::to_be_bytes)
                .concat();
            self.connections[publisher].send(wire::BINARY, &message);
            self.number += 1;
            self.stream_due += STREAM_EVERY;
        }
        for (connection, due) in self.connections.iter_mut().zip(&mut self.echo_due) {
            while *due <= now && *due < end {
                connection.send(wire::BINARY, &due.to_be_bytes());
                *due += ECHO_EVERY;
            }
            connection.flush();
        }
        self.connections[publisher].flush();
    }

    /// Returns true if everything has arrived, or the time for it is over.
    fn is_complete(&self) -> bool {
        let (now, end) = (self.timeline.now(), self.timeline.end());
        if now < end {
            return false;
        }
        let (echoes, subscribers) = self.connections.split_at(SHARDS);
        let has_echoes = echoes
            .iter()
            .zip(self.echo_due)
            .all(|(echo, due)| echo.end.is_some() || echo.next == due && due >= end);
        let has_messages = subscribers
            .iter()
            .all(|each| each.end.is_some() || each.next >= self.number);
        let patience = if self.has_publisher() {
            self.patience
        } else {
            WITHOUT_PUBLISHER
        };
        has_echoes && has_messages || now - end > patience
    }

    /// Returns true if the publisher is still connected. If it was closed, nobody knows how many of
    /// its messages reached the server.
    fn has_publisher(&self) -> bool {
        self.connections
            .last()
            .is_some_and(|connection| connection.end.is_none())
    }

    /// Counts the messages that never arrived and the connections that have ended.
    fn take_outcome(&mut self) -> Outcome {
        let mut outcome = std::mem::take(&mut self.outcome);
        for (index, connection) in self.connections.iter().enumerate() {
            match connection.end {
                None if index < SHARDS => {
                    outcome.wrong_echoes += (self.echo_due[index] - connection.next) / ECHO_EVERY;
                }
                // The messages that this subscriber misses may never have reached the server.
                None if !self.has_publisher() => {}
                None => outcome.lost += self.number.saturating_sub(connection.next),
                Some(end) => {
                    outcome.closed += 1;
                    outcome.codes.push(match end {
                        End::Close(code) => code,
                        End::Lost => 1006,
                    });
                }
            }
        }
        outcome.codes.sort_unstable();
        outcome.codes.dedup();
        outcome
    }

    /// Waits for events of the sockets until the next message is due, and reads.
    fn receive(&mut self, events: &mut Vec<Event>, scratch: &mut [u8]) -> io::Result<()> {
        let now = self.timeline.now();
        let next = self.echo_due.into_iter().fold(self.stream_due, u64::min);
        // After the end nothing is due any more. Times are in microseconds.
        let next = if now < self.timeline.end() {
            next
        } else {
            now + 2_000
        };
        let wait = next.saturating_sub(now).clamp(200, 10_000);
        let time = Timespec {
            tv_sec: 0,
            tv_nsec: i64::try_from(wait * 1000).unwrap_or(0),
        };
        let spare = rustix::buffer::spare_capacity(events);
        match epoll::wait(&self.epoll, spare, Some(&time)) {
            // No socket was ready, so the thread should have been woken after `wait`.
            Ok(0) => {
                let late = self.timeline.now().saturating_sub(now + wait);
                let phase = self.timeline.phase(now);
                self.outcome.measured.add_machine(phase, late);
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in events.drain(..) {
            let index = usize::try_from(event.data.u64()).unwrap_or(0);
            self.read(index, scratch);
        }
        Ok(())
    }

    /// Reads once from a bystander's socket, records the messages that have arrived, and answers
    /// Pings and a Close.
    fn read(&mut self, index: usize, scratch: &mut [u8]) {
        let connection = &mut self.connections[index];
        match connection.socket.read(scratch) {
            Ok(0) => connection.end = connection.end.or(Some(End::Lost)),
            Ok(len) => connection.frames.extend(&scratch[..len]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(_) => connection.end = connection.end.or(Some(End::Lost)),
        }
        let now = self.timeline.now();
        let mut answers = Vec::new();
        while let Some((first, payload)) = connection.frames.next() {
            match first {
                wire::BINARY if index < SHARDS => {
                    let sent = array(payload, 0).map(u64::from_be_bytes);
                    let due = connection.next;
                    self.outcome.wrong_echoes += u64::from(sent != Some(due));
                    connection.next = due + ECHO_EVERY;
                    let late = now.saturating_sub(due);
                    let phase = self.timeline.phase(due);
                    let measured = &mut self.outcome.measured;
                    measured.add(phase, Probe::Echo, connection.shard, late);
                }
                wire::BINARY => {
                    let number = array(payload, 0).map_or(u64::MAX, u64::from_be_bytes);
                    let due = array(payload, 8).map_or(0, u64::from_be_bytes);
                    if number < connection.next || number >= self.number {
                        self.outcome.misplaced += 1;
                        continue;
                    }
                    self.outcome.lost += number - connection.next;
                    connection.next = number + 1;
                    let late = now.saturating_sub(due);
                    let phase = self.timeline.phase(due);
                    let measured = &mut self.outcome.measured;
                    measured.add(phase, Probe::Stream, connection.shard, late);
                }
                wire::PING => answers.push(wire::frame(wire::PONG, payload)),
                wire::CLOSE => {
                    // 1005 stands for a Close without a code (RFC 6455 §7.4.1).
                    let code = array(payload, 0).map_or(1005, u16::from_be_bytes);
                    connection.end = connection.end.or(Some(End::Close(code)));
                    // Answers the Close, so that the server need not wait.
                    let _ = connection.socket.write(&wire::close(code));
                }
                _ => self.outcome.misplaced += 1,
            }
        }
        for answer in answers {
            connection.out.extend(answer);
        }
        connection.flush();
        if connection.end.is_some() {
            let _ = epoll::delete(&self.epoll, &connection.socket);
        }
    }
}
