//! RFC 6455 and 7692 around fastwebsockets: encodes outgoing frames and checks incoming ones.
//!
//! - [`frame`] encodes outgoing frames, each only once for all receivers.
//! - [`fast_path`] takes whole plain messages straight from the receive buffer.
//! - [`read_side`] sets up fastwebsockets, which reads everything else through the [`gate`]. In the
//!   gate, [`validator`], a pure state machine, enforces the RFC's MUSTs and our limits, and
//!   `parts` splits large frames.
//! - [`protocol_error`] lists what a peer can do wrong, [`close`] the codes that a Close may carry.
//! - [`extension`] negotiates compression, [`deflate`] compresses messages, [`inflate`]
//!   decompresses them.
//! - `header` parses the header of a frame, `utf8` validates text.
//!
//! This crate knows nothing of topics or HTTP.

#![expect(clippy::exhaustive_enums, reason = "users are to handle every variant")]

pub mod close;
pub mod deflate;
pub mod extension;
pub mod fast_path;
pub mod frame;
pub mod gate;
mod header;
pub mod inflate;
mod parts;
pub mod protocol_error;
pub mod read_side;
mod utf8;
pub mod validator;
