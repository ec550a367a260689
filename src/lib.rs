//! A WebSocket broadcast server: it takes a message in and puts it on every subscriber's socket, as
//! fast as the kernel allows, and never loses one silently.
//!
//! Run all of it as a [`Server`], or start a [`Hub`] and hand it connections from a server of your
//! own.
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
//! `framecast serve` runs this server: chat for WebSocket clients, an HTTP interface to publish
//! with, and a graceful shutdown at Ctrl-C. Before you call `serve`, [`Server::hub`] returns the
//! [`Hub`], through which your own code can publish.
//!
//! # In a server of your own
//!
//! [`upgrade`] answers a request to any server on hyper, such as axum, with 101, and hands the
//! connection to the hub. From then on the client's messages go to a [`Protocol`], which replies,
//! publishes and subscribes through a [`Context`]. In this example the clients of `GET /news` get
//! every text that is sent to `POST /news`, and every text that another client sends:
//!
//! ```no_run
//! use std::{error::Error, time::Duration};
//!
//! use axum::{Router, extract::{Request, State}, response::IntoResponse, routing::get};
//! use framecast::{Context, Hub, HubConfig, Incoming, Message, Protocol, TopicName, Topics, upgrade};
//! use tokio::{net::TcpListener, signal};
//!
//! /// A client that gets the news, and may comment on them.
//! struct Reader {
//!     news: Topics,
//! }
//!
//! impl Protocol for Reader {
//!     fn on_open(&mut self, cx: &mut Context<'_>) {
//!         // If memory is too short, the client gets 503 and no connection.
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
//!   [`Access`] and [`Deflate`]. Every default is safe to run with.
//! - A hub [publishes](Hub::publish) to a topic, or only to [one user's
//!   connections](Hub::publish_to_user). It has [metrics](Hub::metrics), and is
//!   [drained](Hub::drain) before it ends.
//! - [`Subscription`] is a `Stream` of the messages of a topic, for a subscriber inside your own
//!   process: see [`Hub::subscribe`].
//! - [`upgrade`] turns an HTTP request into a connection, [`upgrade_as`] into one of a
//!   [user](UserId).
//! - [`Protocol`] is the trait that handles your clients' messages. [`Chat`], [`Echo`] and
//!   [`EchoFrames`] implement it.
//! - [`TopicName`] and [`Topics`] are checked once, when they are made. A [`Message`] is encoded
//!   once for all subscribers.
//! - [`Disconnect`] has the reasons why connections end, with their close codes.
//!
//! # What is guaranteed
//!
//! - All subscribers of a topic get its messages in the same order, each message once. There is no
//!   order between topics.
//! - A subscriber gets every message that is published while it is connected, or a close code that
//!   says why not. There is no history: over a reconnect, delivery is at most once.
//! - A slow subscriber holds up nobody: it is closed if too many bytes wait for it, or too old a
//!   message. Publishers wait while a shard, which is a thread of the hub, has too much to deliver.
//! - The memory that clients make the hub hold is bounded, for each client and [for all of them
//!   together](Limits::memory_budget).
//! - Every frame from a client is checked to RFC 6455's letter.
//!
//! The README has the rest, and `docs/guarantees.md` the figures.
//!
//! # Inside
//!
//! ```text
//!  in a turn of the sender's connection:
//!
//!  socket ─► receive buffer ─┬─ whole, plain ─► fast path ──────────┬─► protocol ─► router
//!                            └─ all else ─► gate, fastwebsockets ───┘                  │
//!                                                                                      │
//!  in steps of each shard with subscribers:                               one push for │
//!                                                                         each shard   │
//!  sockets ◄─ one write each ◄─ outboxes ◄─ fan-out ◄─ inbox ◄─────────────────────────┘
//! ```
//!
//! Most messages take the fast path: a message that has arrived whole, in one frame that is not
//! compressed, is unmasked in the receive buffer, and the protocol is called with it there. Control
//! frames and all other messages take the slow path, through the gate, which checks the frames, and
//! fastwebsockets. A message that the protocol publishes is encoded once. All outboxes refer to the
//! same bytes.
//!
//! [A page of its own](crate::design) follows a message step by step. It has the rules that the
//! code keeps, and which module may name which.
//!
//! `server` has the listeners and HTTP, `connection` the task of one WebSocket, `protocol` the
//! meaning of its messages, `hub` the core, and `subscription` the subscribers inside the process.
//! `config` has the settings, `error` the reasons why a server does not start or does not run on,
//! `disconnect` the reasons why connections end, `metrics` the counters, `message` the messages to
//! publish, `topic` and `user` checked names, and `authority` a host with its port. `internals`
//! opens private parts for `fuzz/` and `benches/`. `wire` is a crate beside this one,
//! `framecast-wire`: RFC 6455 and 7692.

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

/// The inside of the server, for readers who want to know how it works or to change it.
///
#[cfg(doc)]
#[doc = include_str!("../docs/design.md")]
pub mod design {}

/// The README's Rust code, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
