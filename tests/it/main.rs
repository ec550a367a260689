//! The server's behaviour, over real sockets on loopback.
#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod support;

mod embed;
mod layering;
mod process;
mod soak;
mod tungstenite;
