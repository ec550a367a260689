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
//! # Inside
//!
//! [A page of its own](crate::design) has the way of a message from socket to socket, the rules that the
//! code keeps, and which module may name which. `server` is the outside, `connection` the task of one
//! WebSocket, `protocol` what its messages mean, and `hub` the core. `subscription` is a topic for the
//! process itself. What is called `wire` is a crate beside this one, `framecast-wire`. `config` is what
//! an operator may choose, `error` why a server did not start or run on, `disconnect` why a connection
//! ended, `metrics` what is counted, `topic` and `user` names that were checked, and `authority` a host
//! with its port. `internals` opens what `fuzz/` and `benches/` need.

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

/// The inside of the server, for whoever wants to know how it works or to change it.
///
#[cfg(doc)]
#[doc = include_str!("../docs/design.md")]
pub mod design {}

/// The README's Rust code, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
