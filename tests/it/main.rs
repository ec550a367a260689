//! The server's behaviour, over real sockets on loopback.
#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod program;
mod support;

mod clients;
mod embed;
mod examples;
mod handshake;
mod http;
mod layering;
mod process;
mod readme;
mod relay;
mod soak;
mod tungstenite;
