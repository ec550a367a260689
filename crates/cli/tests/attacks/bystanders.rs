//! A hundred who do nothing wrong: subscribers of a numbered stream, half of them on each shard,
//! and an echo on each shard, all driven by one thread.
//!
//! What is late counts from when it was due, not from when it left: what the server holds up is
//! seen by everything that was to be sent meanwhile.

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
    marks::Marks,
    server::{SHARDS, Server},
    wire::{self, Frames, array},
};

pub(crate) const SUBSCRIBERS: usize = 100;

/// Between two messages of the stream.
const STREAM_EVERY: u64 = 20_000;

/// Between two messages of an echo.
const ECHO_EVERY: u64 = 10_000;

/// How long what a publisher sent who is gone may take to arrive.
const WITHOUT_PUBLISHER: u64 = 5_000_000;

/// What became of what was sent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) measured: Measured,
    /// Messages that never came.
    pub(crate) lost: u64,
    /// Messages that came twice, or behind a later one.
    pub(crate) misplaced: u64,
    /// Bystanders that the server closed.
    pub(crate) closed: u64,
    /// What it closed them with.
    pub(crate) codes: Vec<u16>,
    /// Echoes that are not what was sent, or never came.
    pub(crate) wrong_echoes: u64,
}

/// How their connections ended after the server was told to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Farewell {
    /// Told that the server restarts.
    pub(crate) told: usize,
    pub(crate) all: usize,
}

#[derive(Debug)]
pub(crate) struct Bystanders {
    outcome: mpsc::Receiver<Outcome>,
    thread: JoinHandle<Farewell>,
}

impl Bystanders {
    /// Connects them: the echoes, the subscribers, and last the publisher, who is a subscriber too.
    pub(crate) fn connect(server: &Server) -> Result<Vec<TcpStream>> {
        let echoes = vec!["/echo".to_owned(); SHARDS];
        let subscribers = vec!["/ws?topic=steady".to_owned(); SUBSCRIBERS + 1];
        server.upgrade_all(&[echoes, subscribers].concat(), "")
    }

    /// Starts the thread of those who are connected; `patience` is how long they wait for the last
    /// message.
    pub(crate) fn start(
        sockets: Vec<TcpStream>,
        marks: &Arc<Marks>,
        patience: Duration,
    ) -> Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let mut lines = Vec::new();
        for (index, socket) in sockets.into_iter().enumerate() {
            socket.set_nonblocking(true)?;
            let data = EventData::new_u64(index as u64);
            epoll::add(&epoll, &socket, data, EventFlags::IN)?;
            lines.push(Line::new(socket, index));
        }
        let (told, outcome) = mpsc::sync_channel(1);
        let now = marks.now();
        for echo in &mut lines[..SHARDS] {
            echo.next = now;
        }
        let crowd = Crowd {
            epoll,
            lines,
            marks: Arc::clone(marks),
            patience: crate::marks::micros(patience),
            number: 0,
            stream_due: now,
            echo_due: [now; SHARDS],
            outcome: Outcome::default(),
        };
        let thread = thread::spawn(move || crowd.run(&told));
        Ok(Self { outcome, thread })
    }

    /// Waits until everything that was sent has arrived, or is given up.
    pub(crate) fn outcome(&self, within: Duration) -> Result<Outcome> {
        self.outcome
            .recv_timeout(within)
            .context("the bystanders have no outcome")
    }

    /// Waits until the server has ended their connections, or the run is over.
    pub(crate) fn farewell(self) -> Farewell {
        self.thread.join().unwrap_or_default()
    }
}

struct Crowd {
    epoll: OwnedFd,
    /// Echoes, then subscribers, of which the last one publishes.
    lines: Vec<Line>,
    marks: Arc<Marks>,
    patience: u64,
    /// Of the next message of the stream.
    number: u64,
    stream_due: u64,
    echo_due: [u64; SHARDS],
    outcome: Outcome,
}

struct Line {
    socket: TcpStream,
    shard: usize,
    frames: Frames,
    /// What the socket has not taken yet.
    out: Vec<u8>,
    /// What is waited for: by a subscriber the message of this number, by an echo the one that was
    /// due then.
    next: u64,
    end: Option<End>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Close(u16),
    Lost,
}

impl Line {
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

impl Crowd {
    fn run(mut self, told: &mpsc::SyncSender<Outcome>) -> Farewell {
        let mut events = Vec::with_capacity(128);
        let mut scratch = vec![0; 64 * 1024];
        let mut has_told = false;
        while !self.marks.is_over.load(Relaxed) && self.lines.iter().any(|line| line.end.is_none())
        {
            if !has_told {
                self.send_what_is_due();
                has_told = self.is_settled();
                if has_told {
                    let _ = told.try_send(self.settle());
                }
            }
            if self.receive(&mut events, &mut scratch).is_err() {
                break;
            }
        }
        if !has_told {
            let _ = told.try_send(self.settle());
        }
        let is_told = |line: &&Line| line.end == Some(End::Close(1012));
        Farewell {
            told: self.lines.iter().filter(is_told).count(),
            all: self.lines.len(),
        }
    }

    fn send_what_is_due(&mut self) {
        let (now, end) = (self.marks.now(), self.marks.end());
        let publisher = self.lines.len() - 1;
        while self.stream_due <= now && self.stream_due < end {
            let message = [self.number, self.stream_due]
                .map(u64::to_be_bytes)
                .concat();
            self.lines[publisher].send(wire::BINARY, &message);
            self.number += 1;
            self.stream_due += STREAM_EVERY;
        }
        for (line, due) in self.lines.iter_mut().zip(&mut self.echo_due) {
            while *due <= now && *due < end {
                line.send(wire::BINARY, &due.to_be_bytes());
                *due += ECHO_EVERY;
            }
            line.flush();
        }
        self.lines[publisher].flush();
    }

    /// All has arrived, or is given up.
    fn is_settled(&self) -> bool {
        let (now, end) = (self.marks.now(), self.marks.end());
        if now < end {
            return false;
        }
        let (echoes, subscribers) = self.lines.split_at(SHARDS);
        let mut all_echoes = echoes.iter().zip(self.echo_due);
        let is_there = all_echoes
            .all(|(line, due)| line.end.is_some() || line.next == due && due >= end)
            && subscribers
                .iter()
                .all(|line| line.end.is_some() || line.next >= self.number);
        let patience = if self.has_publisher() {
            self.patience
        } else {
            WITHOUT_PUBLISHER
        };
        is_there || now - end > patience
    }

    /// What a publisher has sent that was closed then is known to nobody.
    fn has_publisher(&self) -> bool {
        self.lines.last().is_some_and(|line| line.end.is_none())
    }

    fn settle(&mut self) -> Outcome {
        let mut outcome = std::mem::take(&mut self.outcome);
        for (index, line) in self.lines.iter().enumerate() {
            match line.end {
                None if index < SHARDS => {
                    outcome.wrong_echoes += (self.echo_due[index] - line.next) / ECHO_EVERY;
                }
                None if !self.has_publisher() => {}
                None => outcome.lost += self.number.saturating_sub(line.next),
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

    /// Waits for what is to happen next, and receives.
    fn receive(&mut self, events: &mut Vec<Event>, scratch: &mut [u8]) -> io::Result<()> {
        let now = self.marks.now();
        let next = self.echo_due.into_iter().fold(self.stream_due, u64::min);
        // Behind the end nothing is due any more.
        let next = if now < self.marks.end() {
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
            Ok(0) => {
                let late = self.marks.now().saturating_sub(now + wait);
                let phase = self.marks.phase(now);
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

    fn read(&mut self, index: usize, scratch: &mut [u8]) {
        let line = &mut self.lines[index];
        match line.socket.read(scratch) {
            Ok(0) => line.end = line.end.or(Some(End::Lost)),
            Ok(len) => line.frames.extend(&scratch[..len]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(_) => line.end = line.end.or(Some(End::Lost)),
        }
        let now = self.marks.now();
        let mut answers = Vec::new();
        while let Some((first, payload)) = line.frames.next() {
            match first {
                wire::BINARY if index < SHARDS => {
                    let sent = array(payload, 0).map(u64::from_be_bytes);
                    let due = line.next;
                    self.outcome.wrong_echoes += u64::from(sent != Some(due));
                    line.next = due + ECHO_EVERY;
                    let late = now.saturating_sub(due);
                    let phase = self.marks.phase(due);
                    let measured = &mut self.outcome.measured;
                    measured.add(phase, Probe::Echo, line.shard, late);
                }
                wire::BINARY => {
                    let number = array(payload, 0).map_or(u64::MAX, u64::from_be_bytes);
                    let due = array(payload, 8).map_or(0, u64::from_be_bytes);
                    if number < line.next || number >= self.number {
                        self.outcome.misplaced += 1;
                        continue;
                    }
                    self.outcome.lost += number - line.next;
                    line.next = number + 1;
                    let late = now.saturating_sub(due);
                    let phase = self.marks.phase(due);
                    let measured = &mut self.outcome.measured;
                    measured.add(phase, Probe::Stream, line.shard, late);
                }
                wire::PING => answers.push(wire::frame(wire::PONG, payload)),
                wire::CLOSE => {
                    let code = array(payload, 0).map_or(1005, u16::from_be_bytes);
                    line.end = line.end.or(Some(End::Close(code)));
                    // Its answer: the server need not wait.
                    let _ = line.socket.write(&wire::close(code));
                }
                _ => self.outcome.misplaced += 1,
            }
        }
        for answer in answers {
            line.out.extend(answer);
        }
        line.flush();
        if line.end.is_some() {
            let _ = epoll::delete(&self.epoll, &line.socket);
        }
    }
}
