//! `framecast load` as a user meets it: the real binary against a real server, and against
//! scripted ones that lose, repeat and reorder what they should deliver.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod ends;
mod errors;
mod faults;
mod healthy;
mod interrupted;
mod scripted;
mod support;
