//! RFC 6455 around fastwebsockets: what leaves is encoded here, what arrives is judged here.
//!
//! [`frame`] encodes outgoing frames once; [`gate`] is the stream that fastwebsockets reads from,
//! [`walk`] the pure state machine in it that enforces the RFC's MUSTs and our limits; [`violation`]
//! and [`close`] say why a connection ended. Nothing here knows of topics or of HTTP.

pub mod close;
pub mod frame;
pub mod gate;
mod utf8;
pub mod violation;
pub mod walk;
