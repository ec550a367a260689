//! What `fuzz/` and `benches/` need of what is private. It exists with the feature `internals` only,
//! which nothing else depends on, and is no part of the API.
//!
//! Everything here calls what the server itself calls, and decides nothing.

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
    server::internals::{chat, publish_request, register_request},
};

/// Serves a connection on the first of `shards`, from after an opening handshake with this
/// `offer` of extensions to its end; `leftover` is what came behind the request.
pub fn connection(
    shards: &Shards,
    protocol: impl Protocol + 'static,
    offer: Option<&str>,
    socket: impl AsyncRead + AsyncWrite + Unpin + 'static,
    leftover: Vec<u8>,
) -> impl Future<Output = ()> + Unpin {
    let (identity, protocol) = (Identity::anonymous(), Box::new(protocol));
    Connection::open(shards.first(), identity, protocol, shards.agree(offer))
        .expect("it is not registered, and the shard does not drain")
        .start(Socket::Other(Box::new(socket)), leftover)
}

/// What a message to the relay leads to: these topics, or this answer.
pub fn relay(kind: Kind, payload: &[u8]) -> Result<Vec<TopicName>, Frame> {
    match relay::react(kind, payload) {
        Reaction::SetTopics(topics) => Ok(topics.to_vec()),
        Reaction::Reply(frame) => Err(frame),
    }
}

/// The relay's answer to a change of topics.
pub fn topics_in_force(topics: &[TopicName]) -> Frame {
    relay::topics_in_force(topics)
}

/// A frame of a message; a continuation if it has no kind.
pub fn fragment(kind: Option<Kind>, is_final: bool, payload: &[u8]) -> Frame {
    let opcode = kind.map_or(Opcode::Continuation, Opcode::from);
    Frame::fragment(opcode, is_final, payload)
}

/// The Close frame that says why a connection ended, if there is one to send.
pub fn close_frame(reason: Disconnect) -> Option<Frame> {
    reason.close_frame()
}

/// A Close frame.
pub fn close(code: u16, reason: &str) -> Frame {
    Frame::close(code, reason)
}
