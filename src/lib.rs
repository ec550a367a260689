//! A WebSocket broadcast server: it takes a message in and puts it on every subscriber's socket, as
//! fast as the kernel allows, and never loses one silently.
//!
//! Run all of it as a [`Server`], or start a [`Hub`] and hand it connections from a server of your own.
//!
//! # A whole server
//!
//! ```no_run
//! use framecast::{Config, Server};
//! use tokio::signal;
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), framecast::Error> {
//!     let server = Server::bind(&Config::default())?;
//!     println!("listening on http://{}", server.local_addr());
//!     server.serve(signal::ctrl_c()).await
//! }
//! ```
//!
//! That is what `framecast serve` runs: chat for WebSocket clients, an HTTP interface to publish by, and
//! at Ctrl-C an end in good order. Before `serve`, [`Server::hub`] gives you the [`Hub`] to publish
//! by yourself.
//!
//! # In a server of your own
//!
//! [`upgrade`] answers a request to any server on hyper, such as axum, with 101, and hands the
//! connection to the hub. From then on its client is heard by a [`Protocol`], which acts by its
//! [`Context`]. Here clients of `GET /news` get what is sent to `POST /news`, and what others among
//! them say:
//!
//! ```no_run
//! use std::{error::Error, time::Duration};
//!
//! use axum::{Router, extract::{Request, State}, response::IntoResponse, routing::get};
//! use framecast::{Context, Hub, HubConfig, Incoming, Message, Protocol, TopicName, Topics, upgrade};
//! use tokio::{net::TcpListener, signal};
//!
//! /// A client that gets the news, and may say something about them.
//! struct Reader {
//!     news: Topics,
//! }
//!
//! impl Protocol for Reader {
//!     fn on_open(&mut self, cx: &mut Context<'_>) {
//!         // If memory is too short for that, the client is refused with 503.
//!         let _ = cx.set_topics(&self.news);
//!     }
//!
//!     fn on_message(&mut self, message: Incoming<'_>, cx: &mut Context<'_>) {
//!         match message.text() {
//!             Some(text) => cx.publish_to_others(&self.news, Message::text(text)),
//!             None => cx.reply_text("only text, please"),
//!         }
//!     }
//! }
//!
//! #[derive(Clone)]
//! struct App {
//!     hub: Hub,
//!     news: TopicName,
//! }
//!
//! async fn join(State(app): State<App>, mut request: Request) -> impl IntoResponse {
//!     let news = app.news.into();
//!     upgrade(&app.hub, &mut request, Reader { news }).await
//! }
//!
//! async fn publish(State(app): State<App>, text: String) -> String {
//!     let queued = app.hub.publish(&app.news, Message::text(&text)).await;
//!     format!("queued to {queued}\n")
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn Error>> {
//!     let hub = Hub::start(&HubConfig::default())?;
//!     let news = TopicName::new("news")?;
//!     let app = App { hub: hub.clone(), news };
//!     let router = Router::new().route("/news", get(join).post(publish)).with_state(app);
//!     let listener = TcpListener::bind("127.0.0.1:8080").await?;
//!     let stopped = async { signal::ctrl_c().await.unwrap_or_default() };
//!     axum::serve(listener, router).with_graceful_shutdown(stopped).await?;
//!     // Delivers what was published, and closes every connection with 1012.
//!     hub.drain(Duration::from_secs(10)).await?;
//!     Ok(())
//! }
//! ```
//!
//! # What there is
//!
//! - [`Server`] and its [`Config`]; [`Hub`] and its [`HubConfig`] with [`Limits`], [`Timeouts`],
//!   [`Access`] and [`Deflate`]. Each default is safe to run with.
//! - A hub [publishes](Hub::publish) to a topic, or only to [one user's
//!   connections](Hub::publish_to_user), [counts](Hub::metrics), and [ends](Hub::drain) in good order.
//! - [`Subscription`] is a topic for the process itself, as a `Stream`: see [`Hub::subscribe`].
//! - [`upgrade`] makes a connection of a request, [`upgrade_as`] one of a [user](UserId).
//! - [`Protocol`], for what your clients say; [`Chat`], [`Echo`] and [`EchoFrames`] are there already.
//! - [`TopicName`] and [`Topics`], checked once; [`Message`], encoded once for everybody.
//! - [`Disconnect`]: the reasons for which connections end, with their close codes.
//!
//! # What is guaranteed
//!
//! - The subscribers of a topic get its messages in one order, each once. There is no order between
//!   topics.
//! - A subscriber gets every message that is published while it is connected, or a close code that
//!   says why not. There is no history: over a reconnect, delivery is at most once.
//! - Slow subscribers hold up nobody: one for whom too much waits, or too old a message, is closed.
//!   Publishers wait while a shard, which is a thread of the hub, has too much to deliver.
//! - What clients make the hub hold is bounded, for each and [for all together](Limits::memory_budget).
//! - What they send is checked to RFC 6455's letter.
//!
//! The README has the rest, with the figures.
//!
//! # Inside
//!
//! [A page of its own](crate::design) has the way of a message from socket to socket, the rules that the
//! code keeps, and which module may name which. `server` is the outside, `connection` the task of one
//! WebSocket, `protocol` what its messages mean, and `hub` the core. `subscription` is a topic for the
//! process itself. What is called `wire` is a crate beside this one, `framecast-wire`. `config` is what
//! an operator may choose, `error` why a server did not start or run on, `disconnect` why a connection
//! ended, `metrics` what is counted, `message` what is published, `topic` and `user` names that were checked, and `authority` a host
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
mod message;
mod metrics;
mod protocol;
mod server;
mod subscription;
mod topic;
mod user;

use framecast_wire as wire;

pub use self::wire::{
    close::{CloseCode, InvalidCloseCode},
    frame::Kind,
    protocol_error::ProtocolError,
};
pub use crate::{
    config::{Access, Config, Deflate, HubConfig, InvalidSetting, Limits, Registrations, Timeouts},
    disconnect::Disconnect,
    error::{DrainTimeout, Error},
    hub::Hub,
    message::Message,
    metrics::{Ends, MemoryMetrics, Metrics},
    protocol::{
        Context, Fragment, Incoming, Protocol,
        chat::Chat,
        context::SubscribeError,
        echo::{Echo, EchoFrames},
    },
    server::{Response, Server, upgrade, upgrade_as},
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
