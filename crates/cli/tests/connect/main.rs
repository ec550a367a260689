//! Tests of the binary `framecast connect` against small servers that run in the tests. The client
//! is in a pipe ([`client`]), or at a pseudo-terminal ([`terminal`]) with a [`screen`].

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod client;
mod conversation;
mod deflate;
mod echo;
mod held;
mod literal;
mod opening;
mod options;
mod peer;
mod reconnect;
mod screen;
mod terminal;
mod typing;
