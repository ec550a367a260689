//! Tests of the binary `framecast load`, against `framecast serve` and against scripted servers
//! that lose, repeat and reorder messages.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod closing;
mod ends;
mod errors;
mod faults;
mod handshake;
mod healthy;
mod interrupted;
mod messages;
mod relay;
mod scripted;
mod support;
