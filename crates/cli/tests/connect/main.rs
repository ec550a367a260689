//! Tests of the binary `framecast connect` against small servers that run in the tests.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod client;
mod conversation;
mod deflate;
mod echo;
mod literal;
mod opening;
mod reconnect;
