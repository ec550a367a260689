//! Lists the cells of the comparison. A cell is a load, with the peers that it is put on; in the
//! report it is a column of figures.

use std::time::Duration;

use crate::peers::{self, Peer};

/// One load, and the peers that it is put on.
#[derive(Debug)]
pub struct Cell {
    pub name: &'static str,
    pub kind: Kind,
    /// Number of connections. In a fan-out it is the number of subscribers, and there is one
    /// publisher besides.
    pub connections: usize,
    /// Size of a message, in bytes.
    pub size: usize,
    pub peers: &'static [Peer],
    /// The measured time, after a warm-up of a fifth of it.
    pub duration: Duration,
    /// True if system calls are counted, too.
    pub counts_calls: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Each connection keeps `depth` messages in flight.
    Echo { depth: usize },
    /// One echo per connection and second, to see how much memory echoes leave allocated.
    EchoOnce,
    /// The publisher keeps a constant number of publications in flight.
    Fanout { in_flight: usize },
    /// The publisher sends a constant number of publications per second.
    FanoutAt { rate: usize },
    /// Connections that are opened and closed again, over and over.
    Handshake,
    /// Connections that stay open and send nothing.
    Idle,
}

impl Cell {
    pub fn has_messages(&self) -> bool {
        !matches!(self.kind, Kind::Handshake | Kind::Idle)
    }

    /// Returns true if each sample needs a new server, because its memory is measured.
    pub fn wants_new_server(&self) -> bool {
        matches!(self.kind, Kind::EchoOnce | Kind::Idle)
    }

    const fn echo(name: &'static str, connections: usize, size: usize, depth: usize) -> Self {
        Self {
            name,
            kind: Kind::Echo { depth },
            connections,
            size,
            peers: peers::ECHO,
            duration: Duration::from_millis(500),
            counts_calls: false,
        }
    }

    const fn fanout(name: &'static str, connections: usize, size: usize, in_flight: usize) -> Self {
        Self {
            name,
            kind: Kind::Fanout { in_flight },
            connections,
            size,
            peers: peers::FANOUT,
            duration: Duration::from_millis(1200),
            counts_calls: false,
        }
    }

    const fn for_duration(mut self, duration: Duration) -> Self {
        self.duration = duration;
        self
    }

    const fn of(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    const fn among(mut self, peers: &'static [Peer]) -> Self {
        self.peers = peers;
        self
    }

    const fn counting_calls(mut self) -> Self {
        self.counts_calls = true;
        self
    }
}

const SECOND: Duration = Duration::from_secs(1);

pub const ECHO_20: Cell = Cell::echo("echo, 20 B", 100, 20, 1).counting_calls();
pub const ECHO_1K: Cell = Cell::echo("echo, 1 KiB", 200, 1024, 1);
pub const ECHO_16K: Cell = Cell::echo("echo, 16 KiB", 200, 16 << 10, 1);
pub const ECHO_64K: Cell = Cell::echo("echo, 64 KiB", 100, 64 << 10, 1);
pub const ECHO_20_BY_16: Cell =
    Cell::echo("echo, 20 B, 16 in flight", 100, 20, 16).counting_calls();
pub const ECHO_20_BY_64: Cell = Cell::echo("echo, 20 B, 64 in flight", 100, 20, 64);
pub const ECHO_1K_BY_16: Cell =
    Cell::echo("echo, 1 KiB, 16 in flight", 100, 1024, 16).counting_calls();
pub const ECHO_16K_BY_16: Cell =
    Cell::echo("echo, 16 KiB, 16 in flight", 100, 16 << 10, 16).counting_calls();

pub const FANOUT_BY_1: Cell =
    Cell::fanout("1,000 × 64 B, one at a time", 1000, 64, 1).counting_calls();
pub const FANOUT_BY_16: Cell = Cell::fanout("1,000 × 64 B, 16 in flight", 1000, 64, 16)
    .among(peers::FANOUT_AND_TWO_SHARDS)
    .counting_calls();
pub const FANOUT_9000: Cell = Cell::fanout("9,000 × 1 KiB, 16 in flight", 9000, 1024, 16)
    .for_duration(SECOND.saturating_mul(2));
pub const FANOUT_16K: Cell = Cell::fanout("1,000 × 16 KiB, 4 in flight", 1000, 16 << 10, 4);

/// A fan-out of 600,000 deliveries per second, whether or not the server keeps up.
pub const OFFERED: Cell = Cell::fanout("100 × 64 B, 6,000 a second", 100, 64, 0)
    .of(Kind::FanoutAt { rate: 6000 })
    .among(&[Peer::Batch, Peer::Framecast, Peer::Bun])
    .for_duration(SECOND.saturating_mul(2));

/// A fan-out with and without subscribers that never read. It takes long enough for these to exceed
/// the limits of a slow consumer, in bytes and in time.
pub const STALL: Cell = Cell::fanout("990 × 1 KiB, 200 a second", 990, 1024, 0)
    .of(Kind::FanoutAt { rate: 200 })
    .among(&[Peer::Framecast, Peer::BesideStalled])
    .for_duration(SECOND.saturating_mul(8));

pub const HANDSHAKE: Cell = Cell::echo("open and close", 64, 0, 1).of(Kind::Handshake);
pub const IDLE: Cell = Cell::echo("9,000 idle", 9000, 0, 0)
    .of(Kind::Idle)
    .among(peers::IDLE)
    .for_duration(Duration::from_millis(200));
pub const ECHOED: Cell = Cell::echo("9,000 after echoes of 100 B", 9000, 100, 0)
    .of(Kind::EchoOnce)
    .among(&[Peer::Framecast])
    .for_duration(SECOND);

/// All cells, in the order in which they are measured. Cells that are compared with each other are
/// close together.
pub const ALL: &[&Cell] = &[
    &ECHO_20,
    &ECHO_1K,
    &ECHO_16K,
    &ECHO_64K,
    &ECHO_20_BY_16,
    &ECHO_20_BY_64,
    &ECHO_1K_BY_16,
    &ECHO_16K_BY_16,
    &FANOUT_BY_1,
    &FANOUT_BY_16,
    &FANOUT_9000,
    &FANOUT_16K,
    &OFFERED,
    &STALL,
    &HANDSHAKE,
    &IDLE,
    &ECHOED,
];
