//! Private parts of the crate, opened for `fuzz/` and `benches/`. This module exists only with the
//! feature `internals`, which nothing else depends on, and is no part of the API.
//!
//! Every function here calls the code that the server itself calls, and decides nothing.

use std::future::Future;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    connection::Connection,
    disconnect::Disconnect,
    hub::Socket,
    protocol::{Protocol, relay, relay::Reaction},
    topic::TopicName,
    user::Identity,
    wire::frame::{Frame, Kind, Opcode},
};
pub use crate::{
    hub::internals::{Handle, Received, Shards, WorkCounts},
    server::internals::{array_items, chat, line_items, publish_request, register_request},
};

/// Serves a connection on the first of `shards`, from the end of the opening handshake until the
/// connection ends. `offer` has the extensions that the client offered, and `leftover` the bytes
/// that the client sent right behind its request.
pub fn connection(
    shards: &Shards,
    protocol: impl Protocol + 'static,
    offer: Option<&str>,
    socket: impl AsyncRead + AsyncWrite + Unpin + 'static,
    leftover: Vec<u8>,
) -> impl Future<Output = ()> + Unpin {
    let (identity, protocol) = (Identity::anonymous(), Box::new(protocol));
    Connection::open(shards.first(), identity, protocol, shards.agree(offer))
        .expect("the connection has no registration, and the shard does not drain")
        .start(Socket::Other(Box::new(socket)), leftover)
}

/// Interprets a message as the protocol `relay` does. Returns the topics that the message
/// subscribes its sender to, or, as the error, the frame of the reply if the message is no list of
/// topics.
pub fn relay(kind: Kind, payload: &[u8]) -> Result<Vec<TopicName>, Frame> {
    match relay::react(kind, payload) {
        Reaction::SetTopics(topics) => Ok(topics.to_vec()),
        Reaction::Reply(frame) => Err(frame),
    }
}

/// Returns the frame with which the relay confirms to a client that it is now subscribed to
/// `topics`.
pub fn topics_in_force(topics: &[TopicName]) -> Frame {
    relay::topics_in_force(topics)
}

/// Encodes a frame of a fragmented message: the first frame if `kind` is given, or else a
/// continuation frame.
pub fn fragment(kind: Option<Kind>, is_final: bool, payload: &[u8]) -> Frame {
    let opcode = kind.map_or(Opcode::Continuation, Opcode::from);
    Frame::fragment(opcode, is_final, payload)
}

/// Returns the Close frame for `reason`, or `None` if no Close is sent for it.
pub fn close_frame(reason: Disconnect) -> Option<Frame> {
    reason.close_frame()
}

/// Encodes a Close frame.
pub fn close(code: u16, reason: &str) -> Frame {
    Frame::close(code, reason)
}
