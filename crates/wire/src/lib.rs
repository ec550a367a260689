//! RFC 6455 and 7692 around fastwebsockets: what leaves is encoded here, what arrives is judged here.
//!
//! [`frame`] encodes outgoing frames once; [`fast_path`] takes whole plain messages in place;
//! [`read_side`] is fastwebsockets as it is used here, [`gate`]
//! the stream that it reads from, `parts` how large frames are shown in that, and [`validator`] the pure
//! state machine in it which enforces the RFC's MUSTs and our limits; [`protocol_error`] says
//! what the peer did wrong, [`close`] which codes a Close may have. [`extension`] agrees on compression, [`deflate`] compresses a
//! message and [`inflate`] undoes that; `header` is the head of a frame, `utf8` what text must be. Nothing
//! here knows how topics or HTTP work.

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
