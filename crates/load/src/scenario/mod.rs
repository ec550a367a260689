//! Scenarios: each decides which connections a run has, what they send and when, and checks what
//! they receive.
//!
//! Each is a file: [`churn`], [`echo`], [`fanout`] (with [`publication`] and [`streams`]),
//! [`handshake`] and [`idle`]. [`subscribing`] connects subscribers and publishers, [`schedule`]
//! has the times at which messages are due, and [`payload`] is the format of a numbered message.

pub(crate) mod churn;
pub(crate) mod echo;
pub(crate) mod fanout;
pub(crate) mod handshake;
pub(crate) mod idle;
pub(crate) mod payload;
pub(crate) mod publication;
pub(crate) mod schedule;
pub(crate) mod streams;
pub(crate) mod subscribing;

use std::time::Duration;

use crate::{
    account::report::{Recorder, Report},
    client::{clients::Clients, event::Handler},
    clock::Moment,
    error::Error,
};

/// A scenario in progress. As a [`Handler`] it takes the events of its connections.
pub(crate) trait Scenario: Handler {
    /// Returns how many connections are opened before the start.
    fn connections(&self) -> usize;

    /// Begins to open connection `index` of those [`connections`](Self::connections), which was
    /// scheduled for `due`.
    fn dial(&mut self, index: usize, clients: &mut Clients, due: Moment) -> Result<(), Error>;

    /// Returns true if the run may start. Call it once all connections are open.
    fn is_ready(&self, _now: Moment) -> bool {
        true
    }

    /// Sets the time from which [`pump`](Self::pump) may send.
    fn start(&mut self, _start: Moment) {}

    /// Sends the messages whose scheduled time has come. Returns the time by which `pump` must be
    /// called again.
    fn pump(&mut self, clients: &mut Clients, now: Moment) -> Result<Moment, Error>;

    /// Stops sending, and counts the messages that were scheduled up to `end` and are not sent.
    fn stop(&mut self, end: Moment);

    /// Returns true if no message is in flight.
    fn is_settled(&self) -> bool;

    fn recorder(&mut self) -> &mut Recorder;

    /// Returns the report, in which the figures about connections are still missing.
    fn into_report(self: Box<Self>) -> Report;
}

/// Returns the time of the next [`pump`](Scenario::pump) if no message is scheduled before it.
pub(crate) fn next_pump(now: Moment) -> Moment {
    now + Duration::from_millis(100)
}

/// Most bytes that may wait for the socket of one connection. Beyond that, messages are sent later
/// than scheduled, and their latency still counts from the schedule. The limit equals the number of
/// bytes that framecast queues for a shard before it holds publishers back.
pub(crate) const MAX_BACKLOG_BYTES: usize = 8 << 20;
