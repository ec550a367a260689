//! Attacks on memory: unfinished messages, unread messages, requests, names of topics, connections
//! that end, and all of these at the same time.

mod departing;
mod names;
mod requests;
mod together;
mod unfinished;
mod unread;

use anyhow::Result;

use super::Attack;
use crate::{attack_run::AttackRun, wire};

pub(super) fn all() -> impl Iterator<Item = &'static Attack> {
    each().chain(together::ATTACKS)
}

/// All attacks on memory but the combined one.
fn each() -> impl Iterator<Item = &'static Attack> {
    let kinds = [
        unfinished::ATTACKS,
        unread::ATTACKS,
        requests::ATTACKS,
        names::ATTACKS,
        departing::ATTACKS,
    ];
    kinds.into_iter().flatten()
}

/// Encodes the handshake of a client with a topic of its own.
fn own_topic(index: usize) -> Vec<u8> {
    wire::upgrade(&format!("/ws?topic=own-{index}"), "")
}

/// Registers `count` relays, divided by the form's divisor, or fewer if the server refuses one.
/// Returns the paths of their WebSockets.
fn relays(run: &AttackRun<'_>, count: usize) -> Result<Vec<String>> {
    let mut paths = Vec::new();
    for user in 0..run.scaled(count) {
        match run.server.register(user, &["own".to_owned()]) {
            Ok(path) => paths.push(path),
            // The budget is exhausted.
            Err(_) if !paths.is_empty() => break,
            Err(error) => return Err(error),
        }
    }
    Ok(paths)
}

const DEFLATE: &[&str] = &["--deflate"];

const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
