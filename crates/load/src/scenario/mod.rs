//! Scenarios: which connections a run has, what they send and when, and what is found.
//!
//! Each is a file: [`churn`], [`echo`], [`fanout`] (with [`publication`] and [`streams`]), [`handshake`] and
//! [`idle`]. [`subscribing`] connects subscribers and publishers, [`schedule`] is when something is due,
//! and [`payload`] what a numbered message is made of.

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

/// A scenario in progress: [`Handler`] takes what happens on its connections.
pub(crate) trait Scenario: Handler {
    /// Returns how many connections are opened before the start.
    fn connections(&self) -> usize;

    /// Begins connection `index` of them.
    fn dial(&mut self, index: usize, clients: &mut Clients, due: Moment) -> Result<(), Error>;

    /// Returns true if, with all connections open, the run may start.
    fn is_ready(&self, _now: Moment) -> bool {
        true
    }

    /// Sets the start: from then on [`pump`](Self::pump) may send.
    fn start(&mut self, _start: Moment) {}

    /// Sends what is due, and returns when to call again at the latest.
    fn pump(&mut self, clients: &mut Clients, now: Moment) -> Result<Moment, Error>;

    /// Ends sending. Counts what was due up to `end` and could not be sent.
    fn stop(&mut self, end: Moment);

    /// Returns true if all that was sent has come.
    fn is_settled(&self) -> bool;

    fn recorder(&mut self) -> &mut Recorder;

    /// Returns what was found, but for the connections.
    fn into_report(self: Box<Self>) -> Report;
}

/// Returns when to look again if there is nothing to do but to wait for sockets.
pub(crate) fn next_look(now: Moment) -> Moment {
    now + Duration::from_millis(100)
}

/// Bytes that may wait for one connection. Beyond them the schedule waits, and what is due keeps its
/// moment. As much as framecast lets a publisher be ahead.
pub(crate) const MAX_BACKLOG_BYTES: usize = 8 << 20;
