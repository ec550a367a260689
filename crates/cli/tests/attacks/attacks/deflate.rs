//! Attacks on permessage-deflate: empty blocks, bombs, windows and contexts.

use std::net::TcpStream;

use anyhow::{Result, anyhow};
use zlib_rs::{Deflate, DeflateFlush};

use super::Attack;
use crate::{
    attack_run::AttackRun,
    crowd::{Answers, Crowd},
    wire::{self, BINARY, COMPRESSED, Random, TEXT},
};

const DEFLATE: &[&str] = &["--deflate"];

pub(super) const ATTACKS: &[Attack] = &[
    Attack::new(
        "empty-stored-blocks",
        "13,000 empty stored blocks in a message",
        2,
        |run| echo(run, &[0x00, 0x00, 0x00, 0xFF, 0xFF].repeat(13_000)),
    )
    .with(DEFLATE),
    Attack::new(
        "empty-huffman-blocks",
        "5,600 empty blocks in a message, each with a Huffman code of its own",
        2,
        |run| echo(run, &huffman_blocks(5600)),
    )
    .with(DEFLATE),
    Attack::new(
        "bombs",
        "messages of 80 bytes that inflate to 64 KiB, and compressing their echoes",
        2,
        |run| {
            let bomb = deflated(&[0; 65_536])?;
            flood(run, "/echo", &bomb, 256)
        },
    )
    .with(DEFLATE),
    Attack::new(
        "streams-that-end",
        "250 deflate streams in a message, each of which begins with a window of 32 KiB",
        2,
        |run| {
            let window = deflated(&[0; 32_768])?;
            // `00 00 FF FF` completes the last block of the window. Then come 250 fixed blocks
            // without content, each the final block of a stream. The last byte begins the block
            // that the tail of RFC 7692 completes.
            let ends = [0x03, 0x00].repeat(250);
            let message = [&window, &[0x00, 0x00, 0xFF, 0xFF][..], &ends, &[0x00]].concat();
            flood(run, "/echo", &message, 32)
        },
    )
    .with(DEFLATE),
    Attack::new(
        "bombs-beyond-the-limit",
        "inflating a message up to the limit that it exceeds",
        2,
        bombs_beyond_the_limit,
    )
    .with(DEFLATE),
    Attack::new(
        "every-window-at-once",
        "compressing a message once for each of 7 window sizes",
        2,
        every_window_at_once,
    )
    .with(DEFLATE)
    .filling_inboxes(),
    Attack::new(
        "contexts-of-strangers",
        "compressing a message once for each of 100 contexts",
        2,
        contexts_of_strangers,
    )
    .with(&["--deflate", "--deflate-contexts", "100"])
    .filling_inboxes(),
    Attack::new(
        "what-does-not-compress",
        "compressing noise, which gains nothing",
        2,
        what_does_not_compress,
    )
    .with(DEFLATE)
    .filling_inboxes(),
];

const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate\r\n";

/// Opens WebSockets on one path, with the header line `offer`.
fn sockets(run: &AttackRun<'_>, path: &str, count: usize, offer: &str) -> Result<Vec<TcpStream>> {
    let paths = vec![path.to_owned(); count];
    run.server.upgrade_all(&paths, offer)
}

/// Floods `/echo` with a compressed message that inflates to nothing: `blocks`, which are empty,
/// and the byte 0x00. This byte begins an empty stored block, which the tail `00 00 FF FF` of RFC
/// 7692 §7.2.2 completes.
fn echo(run: &mut AttackRun<'_>, blocks: &[u8]) -> Result<()> {
    let message = [blocks, &[0x00]].concat();
    flood(run, "/echo", &message, 1)
}

/// Repeats a compressed message on four connections, `repeat` copies at a time. Expects replies,
/// and no Close.
fn flood(run: &mut AttackRun<'_>, path: &str, message: &[u8], repeat: usize) -> Result<()> {
    let crowd = Crowd::new(sockets(run, path, 4, OFFER)?)?;
    let pattern = wire::frame(BINARY | COMPRESSED, message).repeat(repeat);
    let mut crowd = run.flood_with(crowd, &pattern, Answers::Read)?;
    let codes = crowd.codes();
    run.expect(
        crowd.ended() == 0,
        format!("attackers were closed: {codes:?}"),
    );
    run.expect_answer(&mut crowd)
}

/// Compresses a payload, and removes the tail `00 00 FF FF` as RFC 7692 §7.2.1 requires.
pub(super) fn deflated(payload: &[u8]) -> Result<Vec<u8>> {
    let mut wire = vec![0; payload.len() + 64];
    let mut deflate = Deflate::new(9, false, 15);
    deflate
        .compress(payload, &mut wire, DeflateFlush::SyncFlush)
        .map_err(|error| anyhow!("{error:?}"))?;
    wire.truncate(usize::try_from(deflate.total_out())? - 4);
    Ok(wire)
}

/// Encodes `count` blocks. Each has a Huffman code of its own (RFC 1951 §3.2.7), whose only symbol
/// is the end of the block.
fn huffman_blocks(count: usize) -> Vec<u8> {
    let mut bits = Bits::default();
    for _ in 0..count {
        bits.push(0, 1); // not the last block
        bits.push(2, 2); // dynamic
        bits.push(0, 5); // 257 literals and lengths
        bits.push(0, 5); // 1 distance
        bits.push(14, 4); // 18 lengths of the code for lengths
        // The 18 lengths, of these symbols in the RFC's order: 16, 17, 18, 0, 8, 7, 9, 6, 10, 5,
        // 11, 4, 12, 3, 13, 2, 14, 1.
        for length in [0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2] {
            bits.push(length, 3);
        }
        // 256 symbols that do not occur, in runs of 138 and 118.
        for zeros in [138, 118] {
            bits.push(0, 1);
            bits.push(zeros - 11, 7);
        }
        bits.push(0b11, 2); // the end of the block, of length 1
        bits.push(0b01, 2); // no distance: `10`, first bit first
        bits.push(0, 1); // the end of the block
    }
    // The header of an empty stored block, which continues at the next whole byte.
    bits.push(0, 3);
    let mut bytes = bits.bytes;
    bytes.extend([0x00, 0x00, 0xFF, 0xFF]);
    bytes
}

/// Bit string, the lowest bit of each byte first.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    /// Number of bits used in the last byte; 0 if that is full.
    used: usize,
}

impl Bits {
    /// Appends the lowest `count` bits of `value`, the lowest bit first.
    fn push(&mut self, value: u8, count: usize) {
        for bit in 0..count {
            if self.used == 0 {
                self.bytes.push(0);
            }
            if let Some(last) = self.bytes.last_mut() {
                *last |= (value >> bit & 1) << self.used;
            }
            self.used = (self.used + 1) % 8;
        }
    }
}

/// Opens connections again and again, each with a message that inflates to 16 MiB, and expects that
/// the server closes them with 1009.
fn bombs_beyond_the_limit(run: &mut AttackRun<'_>) -> Result<()> {
    let bomb = deflated(&vec![0; 16 << 20])?;
    let bytes = [
        wire::upgrade("/echo", OFFER),
        wire::frame(BINARY | COMPRESSED, &bomb),
        wire::close(1009),
    ];
    let until = run.begin();
    let last = run.churn(
        until,
        &bytes.concat(),
        crate::attack_run::Departure::Answered,
        64,
    )?;
    let codes = last.codes();
    run.expect(codes == [1009], format!("closed with {codes:?}, not 1009"));
    Ok(())
}

/// Publishes to subscribers that ask for window sizes of 9 to 15 bits: two for each size.
fn every_window_at_once(run: &mut AttackRun<'_>) -> Result<()> {
    let mut subscribers = Vec::new();
    for bits in 9..=15 {
        let offer = format!(
            "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits={bits}\r\n"
        );
        subscribers.extend(sockets(run, "/ws?topic=own", 2, &offer)?);
    }
    publish(run, subscribers, &text())
}

/// Publishes to 100 subscribers, each of which has a compression context.
fn contexts_of_strangers(run: &mut AttackRun<'_>) -> Result<()> {
    let subscribers = sockets(run, "/ws?topic=own", 100, OFFER)?;
    publish(run, subscribers, &text())
}

/// Publishes noise to 20 subscribers that have agreed on compression.
fn what_does_not_compress(run: &mut AttackRun<'_>) -> Result<()> {
    let subscribers = sockets(run, "/ws?topic=own", 20, OFFER)?;
    let noise = wire::frame(BINARY, &Random(5).bytes(60_000));
    publish(run, subscribers, &noise)
}

/// Publishes on four connections without compression to subscribers that have agreed on
/// compression. All connections read.
fn publish(
    run: &mut AttackRun<'_>,
    mut subscribers: Vec<TcpStream>,
    messages: &[u8],
) -> Result<()> {
    subscribers.extend(sockets(run, "/ws?topic=own", 4, "")?);
    let mut crowd = Crowd::new(subscribers)?;
    crowd.set_pattern_of_last(4, messages);
    run.flood_prepared(crowd, Answers::Read)?;
    Ok(())
}

/// Encodes 16 messages of compressible text.
fn text() -> Vec<u8> {
    let mut random = Random(6);
    let words: Vec<_> = (0..250)
        .map(|_| format!("{:x} ", random.next() % 997))
        .collect();
    wire::frame(TEXT, words.concat().as_bytes()).repeat(16)
}
