//! What is asked for and never read, or too slowly.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;

use super::{DEFLATE, OFFER, own, relays};
use crate::{
    attacks::{Attack, deflate::deflated},
    crowd::{Answers, Crowd},
    field::Field,
    wire::{self, BINARY, COMPRESSED, PING, Random, TEXT},
};

pub(super) const ATTACKS: &[Attack] = &[
    Attack::on_memory(
        "memory-tiny-messages-unread",
        "messages of one byte, one by one, for 2,000 who never read",
        |field| unread_by_many(field, &wire::frame(TEXT, b"x")),
    ),
    Attack::on_memory(
        "memory-large-messages-unread",
        "messages of 60 KB of a few publishers, for 2,000 who never read",
        |field| unread_by_many(field, &wire::frame(BINARY, &Random(9).bytes(60_000))),
    ),
    Attack::on_memory(
        "memory-own-words-unread",
        "what each says to itself, in a topic of its own, and never reads",
        |field| {
            let words = wire::frame(BINARY, &Random(10).bytes(60_000)).repeat(16);
            field.left_alone_each(1000, own, &words)
        },
    ),
    Attack::on_memory(
        "memory-read-slowly",
        "messages for those who read so much that they are not blocked, and no more",
        read_slowly,
    ),
    Attack::on_memory(
        "memory-reading-stops",
        "messages of one byte for 2,000 who stop to read, some after others",
        stop_one_after_the_other,
    ),
    Attack::on_memory(
        "memory-compressed-in-and-plain-out",
        "64 KiB for each 80 compressed bytes, for subscribers who want them plain",
        compressed_in_and_plain_out,
    )
    .with(DEFLATE),
    Attack::on_memory(
        "memory-every-window",
        "the plain form of a message and one for each of 7 windows, none of them read",
        every_window,
    )
    .with(DEFLATE),
    Attack::on_memory(
        "memory-echoes-unread",
        "echoes of 60 KB that nobody reads",
        |field| {
            let echoes = wire::frame(BINARY, &Random(11).bytes(60_000)).repeat(16);
            field.left_alone(1000, &[wire::upgrade("/echo", ""), echoes].concat())
        },
    ),
    Attack::on_memory(
        "memory-tiny-echoes-unread",
        "echoes of no byte that nobody reads: 2 bytes each, and what is known of them",
        |field| {
            let echoes = wire::frame(TEXT, b"").repeat(20_000);
            field.left_alone(1000, &[wire::upgrade("/echo", ""), echoes].concat())
        },
    ),
    Attack::on_memory(
        "memory-inflated-echoes-unread",
        "echoes of compressed messages, 80 bytes each, which nobody reads",
        |field| {
            let bomb = deflated(&[0; 65_536])?;
            let echoes = wire::frame(BINARY | COMPRESSED, &bomb).repeat(2000);
            field.left_alone(1000, &[wire::upgrade("/echo", OFFER), echoes].concat())
        },
    )
    .with(DEFLATE),
    Attack::on_memory(
        "memory-pongs-unread",
        "Pongs of 125 bytes that nobody reads",
        |field| {
            let pings = wire::frame(PING, &[b'p'; 125]).repeat(2000);
            field.left_alone_each(1000, own, &pings)
        },
    ),
    Attack::on_memory(
        "memory-complaints-unread",
        "an error for every message of one byte to a relay that never reads",
        complaints_unread,
    ),
];

/// Four publishers, beginning with what fills the kernel's buffers: what comes then is the server's
/// to hold. One by one, because what comes together is kept together.
fn publish(publishers: &mut Crowd, message: &[u8], until: Instant) -> Result<()> {
    publishers.arm(&wire::frame(BINARY, &[b'x'; 60_000]), 1);
    publishers.flood(Instant::now() + A_BIT, Answers::Read)?;
    publishers.arm(message, u64::MAX);
    publishers.trickle(until, message.len(), Duration::from_millis(1))
}

/// Publishers who read, to those who don't.
fn unread_by_many(field: &mut Field<'_>, message: &[u8]) -> Result<()> {
    let path = "/ws?topic=heap";
    let mut publishers = field.crowd(&vec![path.to_owned(); 4])?;
    let until = field.begin();
    let followers = field.masses_of(2000, &wire::upgrade(path, ""))?;
    publish(
        &mut publishers,
        message,
        until.max(Instant::now() + 2 * A_BIT),
    )?;
    field.hold(publishers);
    field.stay(followers, until)
}

/// Something is published however long it took all to connect.
const A_BIT: Duration = Duration::from_millis(100);

/// 60 KB a second each.
fn read_slowly(field: &mut Field<'_>) -> Result<()> {
    let words = wire::frame(BINARY, &Random(12).bytes(60_000)).repeat(200);
    let until = field.begin();
    let mut crowd = field.masses(200, (0..).map(|index| own(index).into()))?;
    crowd.arm(&words, 1);
    crowd.sip(until + A_BIT, 6000, Duration::from_millis(100))?;
    field.stay(crowd, until)
}

/// Some connect after others, and each of them pins the messages from then on.
fn stop_one_after_the_other(field: &mut Field<'_>) -> Result<()> {
    let path = "/ws?topic=heap";
    let mut publishers = field.crowd(&vec![path.to_owned(); 4])?;
    let message = wire::frame(TEXT, b"x");
    let until = field.begin();
    for _ in 0..10 {
        let followers = field.masses_of(200, &wire::upgrade(path, ""))?;
        let soon = Instant::now() + field.form.attack / 10;
        publish(&mut publishers, &message, soon)?;
        field.hold(followers);
    }
    field.stay(publishers, until)
}

/// In pairs: who reads nothing, and who publishes for it.
fn compressed_in_and_plain_out(field: &mut Field<'_>) -> Result<()> {
    let bombs = wire::frame(BINARY | COMPRESSED, &deflated(&[0; 65_536])?).repeat(120);
    let until = field.begin();
    let readers = field.masses(200, (0..).map(|index| own(index).into()))?;
    let publishers = (0..).map(|index: usize| {
        let path = format!("/ws?topic=own-{index}");
        [wire::upgrade(&path, OFFER), bombs.clone()].concat().into()
    });
    let publishers = field.masses(200, publishers)?;
    field.hold(readers);
    field.stay(publishers, until)
}

fn every_window(field: &mut Field<'_>) -> Result<()> {
    let until = field.begin();
    let mut random = Random(13);
    let words: String = (0..9000)
        .map(|_| format!("{:x} ", random.next() % 997))
        .collect();
    let words = wire::frame(TEXT, words.as_bytes()).repeat(field.many(16));
    let openings = (0..).map(|index: usize| {
        let path = format!("/ws?topic=own-{}", index / 8);
        let offer = match 8 + index % 8 {
            8 => String::new(),
            bits => OFFER.replace("\r\n", &format!("; server_max_window_bits={bits}\r\n")),
        };
        wire::upgrade(&path, &offer).into()
    });
    let mut crowd = field.masses(800, openings)?;
    let words: Arc<[u8]> = words.into();
    for plain in (0..crowd.len()).step_by(8) {
        crowd.arm_one(plain, Arc::clone(&words), 1);
    }
    field.stay(crowd, until)
}

fn complaints_unread(field: &mut Field<'_>) -> Result<()> {
    let paths = relays(field, 500)?;
    let wrong = wire::frame(TEXT, b"{").repeat(10_000);
    let until = field.begin();
    let openings = paths.iter().map(|path| wire::upgrade(path, "").into());
    let mut crowd = field.masses(500, openings)?;
    crowd.arm(&wrong, 1);
    field.stay(crowd, until)
}
