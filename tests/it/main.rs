//! The server's behaviour, over real sockets on loopback, and the rules of its source and its tests.
#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod chat;
mod close;
mod cycles;
mod deflate;
mod echo;
mod embed;
mod examples;
mod frames;
mod handshake;
mod heartbeat;
mod http;
mod layering;
mod memory;
mod plain_words;
mod protocol;
mod relay;
mod slow;
mod soak;
mod sources;
mod stress;
mod subscription;
mod tools;
mod tungstenite;
mod writes;
