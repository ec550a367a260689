//! Attacks by frames and messages that are never finished.

use std::time::Duration;

use anyhow::Result;

use super::{DEFLATE, OFFER};
use crate::{
    attack_run::AttackRun,
    attacks::{Attack, deflate::deflated},
    wire::{self, BINARY, COMPRESSED, FINAL, Random, TEXT},
};

pub(super) const ATTACKS: &[Attack] = &[
    Attack::on_memory(
        "memory-promises",
        "buffers for the length that a frame header announces: 64 KiB for 14 bytes",
        |run| promises(run, 4000, 65_536),
    ),
    Attack::on_memory(
        "memory-promises-of-1-mib",
        "the same, where messages may have 1 MiB",
        |run| promises(run, 2000, 1 << 20),
    )
    .with(LARGE),
    Attack::on_memory(
        "memory-messages-one-byte-short",
        "messages without their last byte",
        |run| {
            let most = &Random(8).bytes(65_535);
            let bytes = wire::frame(BINARY, &[most, &b"x"[..]].concat());
            run.open_and_hold(
                3000,
                &[&upgrade("")[..], &bytes[..bytes.len() - 1]].concat(),
            )
        },
    ),
    Attack::on_memory(
        "memory-messages-that-trickle",
        "half of a message of 64 KiB, and the other half byte by byte",
        messages_that_trickle,
    ),
    Attack::on_memory(
        "memory-fragments-of-one-byte",
        "1,023 fragments of one byte, without the last one of the message",
        |run| {
            let rest = wire::frame(0, b"x").repeat(1022);
            let first = wire::frame(TEXT & !FINAL, b"x");
            run.open_and_hold(5000, &[&upgrade("")[..], &first, &rest].concat())
        },
    ),
    Attack::on_memory(
        "memory-fragments-of-a-kib",
        "63 KiB in fragments, without the last one of the message",
        |run| {
            let rest = wire::frame(0, &[b'x'; 1024]).repeat(62);
            let first = wire::frame(BINARY & !FINAL, &[b'x'; 1024]);
            run.open_and_hold(5000, &[&upgrade("")[..], &first, &rest].concat())
        },
    ),
    Attack::on_memory(
        "memory-compressed-and-unfinished",
        "first fragments of compressed messages: 80 bytes that inflate to 64 KiB",
        |run| {
            let bomb = deflated(&[0; 65_536])?;
            let first = wire::frame((BINARY | COMPRESSED) & !FINAL, &bomb);
            run.open_and_hold(4000, &[&upgrade(OFFER)[..], &first].concat())
        },
    )
    .with(DEFLATE),
    Attack::on_memory(
        "memory-contexts",
        "a compression context of 160 KiB for every connection, for one handshake",
        |run| {
            let message = wire::frame(BINARY, &[b'x'; 100]);
            let own = |index: usize| wire::upgrade(&format!("/ws?topic=own-{index}"), OFFER);
            run.open_each_and_hold(1000, own, &message)
        },
    )
    .with(&["--deflate", "--deflate-contexts", "1000"]),
];

const LARGE: &[&str] = &["--max-message-bytes", "1048576"];

fn upgrade(headers: &str) -> Vec<u8> {
    wire::upgrade("/echo", headers)
}

/// Opens connections that announce a frame of `len` bytes and send nothing of it.
fn promises(run: &mut AttackRun<'_>, count: usize, len: u64) -> Result<()> {
    run.open_and_hold(count, &[upgrade(""), wire::head(BINARY, len)].concat())
}

fn messages_that_trickle(run: &mut AttackRun<'_>) -> Result<()> {
    let opening = [upgrade(""), wire::head(BINARY, 65_536), vec![b'x'; 32_768]].concat();
    let until = run.begin();
    let mut crowd = run.connect_many_alike(5000, &opening)?;
    crowd.set_pattern(&[b'x'; 8192], 1);
    crowd.trickle(until, 1, Duration::from_millis(100))?;
    run.hold_unread(crowd, until)
}
