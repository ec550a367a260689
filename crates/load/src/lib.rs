//! The load generator behind `framecast load`. It prints nothing; [`run()`] does what a [`Plan`]
//! says and returns a [`Report`].
//!
//! ```text
//! plan ─► run ─┬─ (few connections) ───────────► drive ─► scenario ◄─ clients ◄─ client ◄─ socket
//!              └─ (many) ─► workers ═ processes ═► drive    (echo,     (epoll)   (frames)
//!                                                  fanout, …)
//! ```
//!
//! One thread drives all connections of a process: `clients` waits for sockets and reads them
//! into one buffer; a `scenario` hears every message and answers; `drive` takes it through
//! its phases. What is pure, such as `sequence`, `schedule` and `messages`, is in files of
//! its own.
//!
//! Latency is counted from when a message was *scheduled* to be sent: what a slow server holds up
//! counts, and not only what it holds.
//!
//! `plan` is what a run is to do, `run` does it, and each kind of it is a `scenario`. `client` is a connection,
//! and all of them; `account` is what was found, and what the server and the generator used. `clock` is the same
//! for all processes, and `error` is why a run was not made.

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
    client::{messages::Violation, opening::Refusal},
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
