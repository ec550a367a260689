//! The server's behaviour, over real sockets on loopback.
#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod program;
mod support;

mod chat;
mod clients;
mod close;
mod deflate;
mod descriptors;
mod echo;
mod embed;
mod examples;
mod frames;
mod handshake;
mod heartbeat;
mod http;
mod layering;
mod logs;
mod memory;
mod process;
mod readme;
mod relay;
mod signals;
mod slow;
mod soak;
mod stress;
mod system_calls;
mod tungstenite;
mod writes;
