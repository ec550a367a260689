//! **framecast takes a WebSocket message in and puts it on every subscriber's socket**, as fast
//! as the kernel allows, and never loses one silently.
//!
//! This crate is the server as a library: run all of it as a [`Server`], or start a [`Hub`] and
//! hand it connections from a server of your own with [`upgrade`]. What their clients say means what
//! their [`Protocol`] makes of it: [`Chat`], [`Echo`], or one of your own.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use framecast::{Frame, Hub, HubConfig, TopicName};
//!
//! let hub = Hub::start(&HubConfig::default())?;
//! let queued = hub.publish(&TopicName::new("cats")?, Frame::text("are awesome")).await;
//! assert_eq!(queued, 0, "nobody has subscribed yet");
//! # Ok(())
//! # }
//! ```
//!
//! # The way of a message
//!
//! ```text
//!  accept ─► http ─► upgrade ─► connection ─┬─ gate ─► fastwebsockets ─► protocol ─► hub (router)
//!  (handed to  (hyper, on   (101,           │  RFC 6455   frames or        what it     orders a topic's
//!   the shards  that shard)  socket back)   │  MUSTs      messages         means       publications
//!   in turn)                                │                                            │
//!                                           │                        frame encoded ONCE  │ one inbox push
//!                                           │                                            ▼ per shard
//!                                           └─ outbox ◄─ segment appended ◄─ shard tick: drain the inbox,
//!                                                │         (a reference)      join, write, yield, repeat
//!                                                ▼
//!                                              socket (one vectored write for all that is pending)
//! ```
//!
//! A shard alternates between *steps* of its tick, in which it drains its inbox, fans out, and writes
//! to some sockets, and *turns* of its connections. A turn is one poll of a connection's task: it
//! reads, calls the connection's protocol, publishes, and writes what was replied. Each is bounded in
//! time; who is not done goes on in a later *round*, after the sockets were looked at. A whole plain
//! message takes the *fast lane*, from the receive buffer as it stands there; any other one has an
//! *episode*, a reader that is built for it and dropped after it. A *sweep* is a look at every
//! connection, for the heartbeat.
//!
//! `server` is the outside, `connection` the task of one WebSocket, `protocol` what its messages mean,
//! and `hub` the core. What is called `wire` here, with the gate, is a crate beside this one,
//! `framecast-wire`. `config` is what an operator may choose, `error` why a server did not start or
//! run on, `disconnect` why a connection ended, `metrics` what is counted, `subscription` a topic for the process itself, `topic` and `user` names that
//! were checked, and `authority` a host with its port. `internals` opens what `fuzz/` and `benches/`
//! need.
//!
//! # Eight rules that the code keeps
//!
//! 1. **Encode once.** Server frames are unmasked, so one encoding serves every subscriber, and one
//!    compressed form all those with the same window.
//! 2. **A shard is one thread** that owns its connections, sockets and outboxes. What reaches it
//!    comes through its inbox; nobody waits for a lock on the way of a message but for the step
//!    that its topics' records and each inbox take, or while another shard compresses that message.
//! 3. **A topic has one record**, the router's. Every publication passes it, one at a time, into the
//!    inboxes of the shards that have subscribers, so what comes by a topic comes in one order, the
//!    same for every subscriber. One to several topics passes their records together, and is one item
//!    of an inbox.
//! 4. **Publishing never waits for a subscriber's socket.** Outboxes are bounded in bytes and in
//!    age; publishers are held back instead, one after the other, when a shard has too much to
//!    deliver. Nobody else is.
//! 5. **One writer.** Pongs, closes, replies and publications all go through the outbox, which
//!    only a turn's replies may pass by, while it is empty; a Close is the last frame written.
//! 6. **A read is never cancelled.** `read_frame` is polled until it completes, in no `select!`.
//! 7. **Nothing is unbounded and nothing is silent.** Every queue and wait has a limit, and every
//!    connection that ends has a reason that maps to a close code. A shard that panics ends with all
//!    that it has, and says so; one that stands still is noticed by the watchdog.
//! 8. **Work is charged where it is caused.** What a client's bytes cost grows with them and with the
//!    subscriptions that they touch, and what a protocol does with them is charged by the clock. Turns and steps end after half a millisecond, and what a turn
//!    makes others deliver counts, too. Memory is charged for as long as it is held, to one budget;
//!    when that gets short, whoever is furthest behind goes first.

mod authority;
mod config;
mod connection;
mod disconnect;
mod error;
mod hub;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals;
mod metrics;
mod protocol;
mod server;
mod subscription;
mod topic;
mod user;

use framecast_wire as wire;

pub use self::wire::{
    close::{CloseCode, InvalidCloseCode},
    frame::{Frame, Kind},
    violation::Violation,
};
pub use crate::{
    config::{Access, Config, Deflate, HubConfig, InvalidSetting, Limits, Registrations, Timeouts},
    disconnect::Disconnect,
    error::Error,
    hub::Hub,
    metrics::{Ends, MemoryMetrics, Metrics},
    protocol::{
        Context, Fragment, Incoming, Protocol,
        chat::Chat,
        context::SubscribeError,
        echo::{Echo, EchoFrames},
    },
    server::{Reply, Server, upgrade, upgrade_as},
    subscription::Subscription,
    topic::{
        InvalidTopicName, TopicName,
        list::{InvalidTopics, Topics},
    },
    user::{Identity, InvalidUserId, UserId},
};

/// The README's Rust code, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
