//! The load generator behind `framecast load`. It prints nothing; [`run()`] does what a [`Plan`]
//! says and returns a [`Report`].
//!
//! ```text
//! plan ─► run ─┬─ few connections ────────────────► run_loop ─► scenario ◄─ clients ◄─ client ◄─ socket
//!              └─ many ─► workers ═ processes ════► run_loop    (echo,      (epoll)    (frames)
//!                                                               fanout, …)
//! ```
//!
//! It shares no code with the server, not even `framecast-wire`: frames, handshakes and the account of every
//! message are written a second time, from the RFCs. If both sides had a fault in common, such as a length that
//! is read as it was wrongly written, each run would find everything right. The parsers of JSON and of the heads
//! of HTTP are others' code; of the latter the server reads requests by it, the generator answers.
//!
//! One thread drives all connections of a process: `client::clients` waits for sockets and reads them into one
//! buffer, a `scenario` handles every event, and `run::run_loop` goes from phase to phase. It is plain epoll, without
//! an async runtime, so that the generator costs less than the server that it measures. Pure parts, such as
//! `account::sequence`, `scenario::schedule` and `client::messages`, are files of their own.
//!
//! Latency is counted from when a message was *scheduled* to be sent: the time for which a slow server holds up
//! the sender counts, too.
//!
//! `plan` is what a run is to do, `run` does it, and a `scenario` has the connections and what they send. `client`
//! is one connection, and all of them; `account` is what was found, and what the server and the generator used.
//! `clock` is the same for all processes, and `error` is why a run was not made.

#![expect(clippy::exhaustive_enums, reason = "the program handles every variant")]

mod account;
mod client;
mod clock;
mod error;
pub mod plan;
mod run;
mod scenario;

pub use self::{
    account::{
        latencies::Latencies,
        meter::ServerUse,
        report::{Connections, Report, STEPS},
        sequence::Tally,
        usage::Cpu,
    },
    client::{http::Rejection, messages::ProtocolError},
    clock::Moment,
    error::Error,
    plan::Plan,
    run::{
        interruption::Interruption,
        progress::{Phase, Progress},
        run,
        workers::serve as serve_worker,
    },
    scenario::payload::Stamp,
};
