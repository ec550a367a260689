//! The load generator behind `framecast load`. [`run()`] executes a [`Plan`] and returns a
//! [`Report`]; it prints nothing.
//!
//! ```text
//! plan ─► run ─┬─ few connections ────────────────► run_loop ─► scenario ◄─ clients ◄─ client ◄─ socket
//!              └─ many ─► workers ═ processes ════► run_loop    (echo,      (epoll)    (frames)
//!                                                               fanout, …)
//! ```
//!
//! It shares no code with the server, not even `framecast-wire`, so that no fault hides on both
//! sides: if the server encoded a length wrongly and the generator decoded it with the same wrong
//! code, every run would pass. Frames, handshakes and the checks of every message are therefore
//! written a second time, from the RFCs. Only JSON, HTTP heads, SHA-1 and base64 are left to
//! third-party crates that the server uses, too. The server uses the parser of heads for requests,
//! the generator uses it for responses.
//!
//! One thread drives all connections of a process: `client::clients` waits for sockets and reads
//! them into one buffer, a `scenario` handles every event, and `run::run_loop` goes from phase to
//! phase. It is plain epoll, without an async runtime, so that the generator costs less than the
//! server that it measures. Pure parts, such as `account::sequence`, `scenario::schedule` and
//! `client::messages`, are files of their own.
//!
//! Latency is counted from the time at which a message was *scheduled* to be sent. So it includes
//! the time for which a slow server delays the sender. The time for which the generator itself is
//! late is counted separately, so that a result says whose delay it shows.
//!
//! `plan` describes a run and `run` executes it. A `scenario` decides which connections there are
//! and what they send; `client` implements the connections. `account` counts messages, faults and
//! times, and the resources that the server and the generator used. `clock` is one clock for all
//! processes; `error` has the reasons why a run fails, and `display` makes a server's text fit for
//! them.

#![expect(clippy::exhaustive_enums, reason = "the program handles every variant")]

mod account;
mod client;
mod clock;
pub mod display;
mod error;
pub mod plan;
mod run;
mod scenario;

pub use self::{
    account::{
        connections::Connections,
        latencies::Latencies,
        meter::{MemorySample, ServerUse},
        report::{Report, STEPS},
        sequence::Tally,
        timeline::{LatencySteps, StepLatencies},
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
