//! Lists the figures that framecast must reach, and those that it aims for.

use crate::{
    cells::{self, Cell},
    peers::Peer::{self, *},
    results::{Figure, Results, Sample, cpu, memory, p99},
};

/// A figure of framecast, the bound that it must meet, and the better value that is aimed for.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Number of the row in the report. Targets about the same subject have the same number.
    pub row: u8,
    pub condition: &'static str,
    measure: Measure,
    pub must: Bound,
    pub aim: f64,
}

/// A bound that a figure must meet.
#[derive(Clone, Copy, Debug)]
pub enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

use Bound::{AtLeast, AtMost};

/// The way in which a figure is taken from the results.
#[derive(Clone, Copy, Debug)]
enum Measure {
    /// framecast's CPU time per message, divided by the peer's.
    Cost(&'static Cell, Peer),
    /// framecast's messages per second of CPU time, divided by the peer's.
    Speed(&'static Cell, Peer),
    /// framecast's system calls per message in this cell.
    Calls(&'static Cell),
    /// framecast's system calls per message in this cell, counting only calls that write to
    /// sockets.
    Writes(&'static Cell),
    /// A figure of one peer, which is not compared with another peer.
    Of(&'static Cell, Peer, Figure),
    /// A figure of framecast in the first cell, divided by the same figure of framecast in the
    /// second cell.
    Between(&'static Cell, &'static Cell, Figure),
    /// A figure of the peer, which is framecast run in another way, divided by the same figure of
    /// framecast.
    Variant(&'static Cell, Peer, Figure),
    /// Memory that the kernel holds for the socket of each subscriber that never reads, in MiB.
    StalledMemory,
}

impl Target {
    /// Returns the measured value of the figure. `None` if it was not measured.
    pub fn value(&self, results: &Results) -> Option<f64> {
        match self.measure {
            Measure::Cost(cell, other) => results.ratio((cell, Framecast), (cell, other), cpu),
            // Messages per CPU time are the inverse of CPU time per message, so the two are
            // exchanged.
            Measure::Speed(cell, other) => results.ratio((cell, other), (cell, Framecast), cpu),
            Measure::Calls(cell) => results.calls(cell, Framecast).map(|calls| calls.all),
            Measure::Writes(cell) => results.calls(cell, Framecast).map(|calls| calls.writes),
            Measure::Of(cell, peer, figure) => results.median(cell, peer, figure),
            Measure::Between(cell, base, figure) => {
                results.ratio((cell, Framecast), (base, Framecast), figure)
            }
            Measure::Variant(cell, peer, figure) => {
                results.ratio((cell, peer), (cell, Framecast), figure)
            }
            Measure::StalledMemory => stalled_memory(results),
        }
    }

    /// Returns true if `value` meets the bound, after it is rounded to the digits of the report.
    pub fn is_met(&self, value: f64) -> bool {
        match self.must {
            AtLeast(least) => self.rounded(value) >= least,
            AtMost(most) => self.rounded(value) <= most,
        }
    }

    /// Returns true if `value` reaches the aim, after it is rounded to the digits of the report.
    pub fn is_aim_reached(&self, value: f64) -> bool {
        match self.must {
            AtLeast(_) => self.rounded(value) >= self.aim,
            AtMost(_) => self.rounded(value) <= self.aim,
        }
    }

    /// Returns the bound that the measured value must meet as text, such as `≤ 1.2`.
    pub fn must(&self) -> String {
        match self.must {
            AtLeast(least) => format!("≥ {}", self.show(least)),
            AtMost(most) => format!("≤ {}", self.show(most)),
        }
    }

    /// Returns `value` as text. The number of decimals depends on the size of the bound.
    pub fn show(&self, value: f64) -> String {
        format!("{value:.*}", self.digits())
    }

    fn rounded(&self, value: f64) -> f64 {
        self.show(value).parse().unwrap_or(value)
    }

    fn digits(&self) -> usize {
        let (AtLeast(bound) | AtMost(bound)) = self.must;
        match bound.max(self.aim) {
            ..=0.0 => 0,
            ..0.2 => 3,
            ..5.0 => 2,
            ..100.0 => 1,
            _ => 0,
        }
    }
}

/// Returns the memory that the kernel holds for sockets because of the stalled subscribers, in MiB
/// for each of them: the difference between the runs with and without them.
fn stalled_memory(results: &Results) -> Option<f64> {
    let bytes: Figure = |sample| Some(sample.socket_bytes);
    let with = results.median(&cells::STALL, BesideStalled, bytes)?;
    let without = results.median(&cells::STALL, Framecast, bytes)?;
    Some((with - without).max(0.0) / BesideStalled.stalled() as f64 / f64::from(1 << 20))
}

/// Returns the share of the deliveries that arrived, from 0 to 1.
fn ratio_delivered(sample: &Sample) -> Option<f64> {
    Some(sample.outcome.delivery_ratio)
}

/// Returns the share of the stalled subscribers that the server has disconnected, from 0 to 1.
fn stalled_disconnected(sample: &Sample) -> Option<f64> {
    Some(sample.stalled.disconnected as f64 / sample.stalled.total.max(1) as f64)
}

/// Returns the number of the load generator's connections that the server has disconnected.
fn others_disconnected(sample: &Sample) -> Option<f64> {
    Some(sample.outcome.connections.disconnected as f64)
}

const fn target(
    row: u8,
    condition: &'static str,
    measure: Measure,
    must: Bound,
    aim: f64,
) -> Target {
    Target {
        row,
        condition,
        measure,
        must,
        aim,
    }
}

/// All targets, in the order of their rows.
#[rustfmt::skip] // a table
pub const ALL: &[Target] = &[
    target(1, "1,000 × 64 B, one at a time: CPU against one send", Measure::Cost(&cells::FANOUT_BY_1, OneSend), AtMost(1.10), 1.00),
    target(2, "1,000 × 64 B, 16 in flight: CPU against one send a batch", Measure::Cost(&cells::FANOUT_BY_16, Batch), AtMost(1.0), 0.7),
    target(2, "… against Bun", Measure::Cost(&cells::FANOUT_BY_16, Bun), AtMost(0.80), 0.6),
    target(2, "… against axum + broadcast", Measure::Cost(&cells::FANOUT_BY_16, Tutorial), AtMost(0.067), 0.033),
    target(3, "9,000 × 1 KiB, 16 in flight: CPU against one send a batch", Measure::Cost(&cells::FANOUT_9000, Batch), AtMost(1.0), 0.84),
    target(3, "… against Bun", Measure::Cost(&cells::FANOUT_9000, Bun), AtMost(0.80), 0.65),
    target(3, "… against axum + broadcast", Measure::Cost(&cells::FANOUT_9000, Tutorial), AtMost(0.10), 0.065),
    target(4, "1,000 × 16 KiB, 4 in flight: CPU against one send a batch", Measure::Cost(&cells::FANOUT_16K, Batch), AtMost(1.1), 0.9),
    target(4, "… against Bun", Measure::Cost(&cells::FANOUT_16K, Bun), AtMost(0.6), 0.5),
    target(4, "… against axum + broadcast", Measure::Cost(&cells::FANOUT_16K, Tutorial), AtMost(0.5), 0.35),
    target(5, "600,000 deliveries/s offered to 100: share delivered", Measure::Of(&cells::OFFERED, Framecast, ratio_delivered), AtLeast(1.0), 1.0),
    target(5, "… p99, ms", Measure::Of(&cells::OFFERED, Framecast, p99), AtMost(10.0), 4.0),
    target(6, "1,000 × 64 B, 16 in flight: writes per delivery", Measure::Writes(&cells::FANOUT_BY_16), AtMost(0.10), 0.04),
    target(6, "… one at a time", Measure::Writes(&cells::FANOUT_BY_1), AtMost(1.00), 1.00),
    target(7, "1,000 × 64 B, 16 in flight: CPU of two shards on one core against one", Measure::Variant(&cells::FANOUT_BY_16, TwoShards, cpu), AtMost(1.10), 1.01),
    target(8, "10 of 1,000 subscribers never read: CPU against the same load without the 10", Measure::Variant(&cells::STALL, BesideStalled, cpu), AtMost(1.15), 1.05),
    target(8, "… p99 against the same load without the 10", Measure::Variant(&cells::STALL, BesideStalled, p99), AtMost(1.5), 1.0),
    target(8, "… MiB in the kernel for each of the 10", Measure::StalledMemory, AtMost(0.5), 0.5),
    target(8, "… share of the 10 that is disconnected in time", Measure::Of(&cells::STALL, BesideStalled, stalled_disconnected), AtLeast(1.0), 1.0),
    target(8, "… others that are disconnected", Measure::Of(&cells::STALL, BesideStalled, others_disconnected), AtMost(0.0), 0.0),
    target(9, "echo, 20 B: messages per CPU second against bare TCP", Measure::Speed(&cells::ECHO_20, BareTcp), AtLeast(0.90), 0.97),
    target(9, "… against tokio-tungstenite", Measure::Speed(&cells::ECHO_20, Tungstenite), AtLeast(1.35), 1.5),
    target(9, "… against axum", Measure::Speed(&cells::ECHO_20, Axum), AtLeast(1.35), 1.5),
    target(9, "echo, 1 KiB: messages per CPU second against bare TCP", Measure::Speed(&cells::ECHO_1K, BareTcp), AtLeast(0.90), 0.97),
    target(9, "… against tokio-tungstenite", Measure::Speed(&cells::ECHO_1K, Tungstenite), AtLeast(1.35), 1.5),
    target(9, "… against axum", Measure::Speed(&cells::ECHO_1K, Axum), AtLeast(1.35), 1.5),
    target(10, "echo, 16 KiB: messages per CPU second against bare TCP", Measure::Speed(&cells::ECHO_16K, BareTcp), AtLeast(0.80), 0.95),
    target(10, "… 64 KiB", Measure::Speed(&cells::ECHO_64K, BareTcp), AtLeast(0.70), 0.9),
    target(11, "echo, 20 B, 16 in flight: messages per CPU second against bare TCP", Measure::Speed(&cells::ECHO_20_BY_16, BareTcp), AtLeast(0.65), 0.95),
    target(11, "… against fastwebsockets", Measure::Speed(&cells::ECHO_20_BY_16, Fastwebsockets), AtLeast(9.0), 13.0),
    target(11, "echo, 20 B, 64 in flight: messages per CPU second against bare TCP", Measure::Speed(&cells::ECHO_20_BY_64, BareTcp), AtLeast(0.37), 0.85),
    target(11, "… against fastwebsockets", Measure::Speed(&cells::ECHO_20_BY_64, Fastwebsockets), AtLeast(15.0), 35.0),
    target(12, "echo, 1 KiB, 16 in flight: messages per CPU second against bare TCP", Measure::Speed(&cells::ECHO_1K_BY_16, BareTcp), AtLeast(0.55), 0.85),
    target(12, "… 16 KiB", Measure::Speed(&cells::ECHO_16K_BY_16, BareTcp), AtLeast(0.55), 0.65),
    target(13, "echo, 20 B: system calls per message", Measure::Calls(&cells::ECHO_20), AtMost(2.10), 2.03),
    target(13, "… 16 in flight", Measure::Calls(&cells::ECHO_20_BY_16), AtMost(0.14), 0.127),
    target(13, "… 1 KiB, 16 in flight", Measure::Calls(&cells::ECHO_1K_BY_16), AtMost(0.15), 0.127),
    target(13, "… 16 KiB, 16 in flight", Measure::Calls(&cells::ECHO_16K_BY_16), AtMost(0.35), 0.2),
    target(14, "9,000 idle: resident bytes per connection", Measure::Of(&cells::IDLE, Framecast, memory), AtMost(1280.0), 900.0),
    target(14, "… after each has echoed 100 B, against idle", Measure::Between(&cells::ECHOED, &cells::IDLE, memory), AtMost(1.05), 1.00),
    target(15, "open and close: CPU per connection against bare TCP", Measure::Cost(&cells::HANDSHAKE, BareTcp), AtMost(1.15), 1.05),
];
