//! What is begun and never finished: frames, messages, and compressed ones.

use std::time::Duration;

use anyhow::Result;

use super::{DEFLATE, OFFER};
use crate::{
    attacks::{Attack, deflate::deflated},
    field::Field,
    wire::{self, BINARY, COMPRESSED, FINAL, Random, TEXT},
};

pub(super) const ATTACKS: &[Attack] = &[
    Attack::on_memory(
        "memory-promises",
        "room for what the heads of frames promise: 64 KiB for 14 bytes",
        |field| promises(field, 4000, 65_536),
    ),
    Attack::on_memory(
        "memory-promises-of-1-mib",
        "the same, where messages may have 1 MiB",
        |field| promises(field, 2000, 1 << 20),
    )
    .with(LARGE),
    Attack::on_memory(
        "memory-messages-one-byte-short",
        "messages that come but for their last byte",
        |field| {
            let most = &Random(8).bytes(65_535);
            let bytes = wire::frame(BINARY, &[most, &b"x"[..]].concat());
            field.left_alone(
                3000,
                &[&upgrade("")[..], &bytes[..bytes.len() - 1]].concat(),
            )
        },
    ),
    Attack::on_memory(
        "memory-messages-that-trickle",
        "messages of which a byte comes now and again",
        messages_that_trickle,
    ),
    Attack::on_memory(
        "memory-fragments-of-one-byte",
        "1,023 fragments of one byte, and never the last",
        |field| {
            let rest = wire::frame(0, b"x").repeat(1022);
            let first = wire::frame(TEXT & !FINAL, b"x");
            field.left_alone(5000, &[&upgrade("")[..], &first, &rest].concat())
        },
    ),
    Attack::on_memory(
        "memory-fragments-of-a-kib",
        "63 KiB in fragments, and never the last",
        |field| {
            let rest = wire::frame(0, &[b'x'; 1024]).repeat(62);
            let first = wire::frame(BINARY & !FINAL, &[b'x'; 1024]);
            field.left_alone(5000, &[&upgrade("")[..], &first, &rest].concat())
        },
    ),
    Attack::on_memory(
        "memory-compressed-and-unfinished",
        "fragments of a compressed message, of 80 bytes that become 64 KiB, and never the last",
        |field| {
            let bomb = deflated(&[0; 65_536])?;
            let first = wire::frame((BINARY | COMPRESSED) & !FINAL, &bomb);
            field.left_alone(4000, &[&upgrade(OFFER)[..], &first].concat())
        },
    )
    .with(DEFLATE),
    Attack::on_memory(
        "memory-contexts",
        "a compressor of its own for every connection, 160 KiB, for a handshake",
        |field| {
            let message = wire::frame(BINARY, &[b'x'; 100]);
            let own = |index: usize| wire::upgrade(&format!("/ws?topic=own-{index}"), OFFER);
            field.left_alone_each(1000, own, &message)
        },
    )
    .with(&["--deflate", "--deflate-contexts", "1000"]),
];

const LARGE: &[&str] = &["--max-message-bytes", "1048576"];

fn upgrade(headers: &str) -> Vec<u8> {
    wire::upgrade("/echo", headers)
}

fn promises(field: &mut Field<'_>, count: usize, len: u64) -> Result<()> {
    field.left_alone(count, &[upgrade(""), wire::head(BINARY, len)].concat())
}

fn messages_that_trickle(field: &mut Field<'_>) -> Result<()> {
    let opening = [upgrade(""), wire::head(BINARY, 65_536), vec![b'x'; 32_768]].concat();
    let until = field.begin();
    let mut crowd = field.masses_of(5000, &opening)?;
    crowd.arm(&[b'x'; 8192], 1);
    crowd.trickle(until, 1, Duration::from_millis(100))?;
    field.stay(crowd, until)
}
