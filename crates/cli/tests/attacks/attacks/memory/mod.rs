//! What a server can be made to hold: by what is not finished, by what is not read, by requests,
//! by names, by those who go, and by all of these at once.

mod departing;
mod names;
mod requests;
mod together;
mod unfinished;
mod unread;

use anyhow::Result;

use super::Attack;
use crate::{field::Field, wire};

pub(super) fn all() -> impl Iterator<Item = &'static Attack> {
    each().chain(together::ATTACKS)
}

/// All but those that are made of others.
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

/// An attacker in the topic of its own, or in that of all.
fn own(index: usize) -> Vec<u8> {
    wire::upgrade(&format!("/ws?topic=own-{index}"), "")
}

/// Registers relays, as far as the server takes them, and says where they connect to.
fn relays(field: &Field<'_>, count: usize) -> Result<Vec<String>> {
    let mut paths = Vec::new();
    for user in 0..field.many(count) {
        match field.server.register(user, &["own".to_owned()]) {
            Ok(path) => paths.push(path),
            // There is no room for more.
            Err(_) if !paths.is_empty() => break,
            Err(error) => return Err(error),
        }
    }
    Ok(paths)
}

const DEFLATE: &[&str] = &["--deflate"];

const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
