//! What every kind of run has in common.
//!
//! Each is a file: [`churn`], [`echo`], [`fanout`] (with [`publication`] and [`streams`]), [`handshake`] and
//! [`idle`]. [`joining`] tells how subscribers and publishers join in, [`schedule`] when something is due, and
//! [`payload`] is what a numbered message is made of.

pub(crate) mod churn;
pub(crate) mod echo;
pub(crate) mod fanout;
pub(crate) mod handshake;
pub(crate) mod idle;
pub(crate) mod joining;
pub(crate) mod payload;
pub(crate) mod publication;
pub(crate) mod schedule;
pub(crate) mod streams;

use std::time::Duration;

use crate::{
    account::report::{Recorder, Report},
    client::{Hear, clients::Clients},
    clock::Moment,
    error::Error,
};

/// One kind of run: which connections it has, what they send and when, and what is found.
pub(crate) trait Scenario: Hear {
    /// Connections that are open before the start.
    fn connections(&self) -> usize;

    /// Begins connection `index` of them.
    fn dial(&mut self, index: usize, clients: &mut Clients, due: Moment) -> Result<(), Error>;

    /// Whether, with all connections open, the run may start.
    fn is_ready(&self, _now: Moment) -> bool {
        true
    }

    /// From `start` on, [`pump`](Self::pump) may send.
    fn start(&mut self, _start: Moment) {}

    /// Sends what is due; when to look again at the latest.
    fn pump(&mut self, clients: &mut Clients, now: Moment) -> Result<Moment, Error>;

    /// From now on nothing new is sent. What was to be sent up to `end` should have been.
    fn stop(&mut self, end: Moment);

    /// Whether all that was sent has come.
    fn is_settled(&self) -> bool;

    fn recorder(&mut self) -> &mut Recorder;

    /// What was found, but for the connections.
    fn into_report(self: Box<Self>) -> Report;
}

/// When there is nothing to do but to wait for sockets.
pub(crate) fn idle_from(now: Moment) -> Moment {
    now + Duration::from_millis(100)
}

/// Of one connection that does not take what is due: the schedule waits, and what waits with it
/// keeps its moment. As much as framecast lets a publisher be ahead.
pub(crate) const MAX_BACKLOG_BYTES: usize = 8 << 20;
