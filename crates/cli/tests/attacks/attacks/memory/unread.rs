//! Attacks by clients that do not read, or read too slowly.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;

use super::{DEFLATE, OFFER, own_topic, relays};
use crate::{
    attack_run::AttackRun,
    attacks::{Attack, deflate::deflated},
    crowd::{Answers, Crowd},
    wire::{self, BINARY, COMPRESSED, PING, Random, TEXT},
};

pub(super) const ATTACKS: &[Attack] = &[
    Attack::on_memory(
        "memory-tiny-messages-unread",
        "messages of one byte, one by one, to 2,000 subscribers that never read",
        |run| unread_by_many(run, &wire::frame(TEXT, b"x")),
    ),
    Attack::on_memory(
        "memory-large-messages-unread",
        "messages of 60 KB of 4 publishers to 2,000 subscribers that never read",
        |run| unread_by_many(run, &wire::frame(BINARY, &Random(9).bytes(60_000))),
    ),
    Attack::on_memory(
        "memory-own-words-unread",
        "messages that each client publishes to a topic of its own and never reads",
        |run| {
            let messages = wire::frame(BINARY, &Random(10).bytes(60_000)).repeat(16);
            run.open_each_and_hold(1000, own_topic, &messages)
        },
    ),
    Attack::on_memory(
        "memory-read-slowly",
        "messages for subscribers that read just enough not to count as blocked",
        read_slowly,
    ),
    Attack::on_memory(
        "memory-reading-stops",
        "messages of one byte for 2,000 subscribers that stop reading, 200 at a time",
        stop_one_after_the_other,
    ),
    Attack::on_memory(
        "memory-compressed-in-and-plain-out",
        "64 KiB for every 80 compressed bytes, for subscribers without compression",
        compressed_in_and_plain_out,
    )
    .with(DEFLATE),
    Attack::on_memory(
        "memory-every-window",
        "a message uncompressed and compressed for each of 7 window sizes, all unread",
        every_window,
    )
    .with(DEFLATE),
    Attack::on_memory(
        "memory-echoes-unread",
        "echoes of 60 KB that nobody reads",
        |run| {
            let echoes = wire::frame(BINARY, &Random(11).bytes(60_000)).repeat(16);
            run.open_and_hold(1000, &[wire::upgrade("/echo", ""), echoes].concat())
        },
    ),
    Attack::on_memory(
        "memory-tiny-echoes-unread",
        "empty echoes that nobody reads: 2 bytes each, and the bookkeeping for them",
        |run| {
            let echoes = wire::frame(TEXT, b"").repeat(20_000);
            run.open_and_hold(1000, &[wire::upgrade("/echo", ""), echoes].concat())
        },
    ),
    Attack::on_memory(
        "memory-inflated-echoes-unread",
        "echoes of compressed messages, 80 bytes each, which nobody reads",
        |run| {
            let bomb = deflated(&[0; 65_536])?;
            let echoes = wire::frame(BINARY | COMPRESSED, &bomb).repeat(2000);
            run.open_and_hold(1000, &[wire::upgrade("/echo", OFFER), echoes].concat())
        },
    )
    .with(DEFLATE),
    Attack::on_memory(
        "memory-pongs-unread",
        "Pongs of 125 bytes that nobody reads",
        |run| {
            let pings = wire::frame(PING, &[b'p'; 125]).repeat(2000);
            run.open_each_and_hold(1000, own_topic, &pings)
        },
    ),
    Attack::on_memory(
        "memory-complaints-unread",
        "an error reply to every message of one byte of a relay that never reads",
        complaints_unread,
    ),
];

/// Publishes `message` again and again until `until`. Sends one copy at a time, because messages
/// that arrive together share memory. Publishes large messages before, which fill the kernel's
/// buffers, so that the server has to hold the others.
fn publish(publishers: &mut Crowd, message: &[u8], until: Instant) -> Result<()> {
    publishers.set_pattern(&wire::frame(BINARY, &[b'x'; 60_000]), 1);
    publishers.flood(Instant::now() + PUBLISH_TIME, Answers::Read)?;
    publishers.set_pattern(message, u64::MAX);
    publishers.trickle(until, message.len(), Duration::from_millis(1))
}

/// Publishes to many subscribers that never read.
fn unread_by_many(run: &mut AttackRun<'_>, message: &[u8]) -> Result<()> {
    let path = "/ws?topic=heap";
    let mut publishers = run.connect(&vec![path.to_owned(); 4])?;
    let until = run.begin();
    let subscribers = run.connect_many_alike(2000, &wire::upgrade(path, ""))?;
    publish(
        &mut publishers,
        message,
        until.max(Instant::now() + 2 * PUBLISH_TIME),
    )?;
    run.hold(publishers);
    run.hold_unread(subscribers, until)
}

/// Least time for publishing, however long the connections have taken.
const PUBLISH_TIME: Duration = Duration::from_millis(100);

/// Reads 60 KB per second on each connection.
fn read_slowly(run: &mut AttackRun<'_>) -> Result<()> {
    let messages = wire::frame(BINARY, &Random(12).bytes(60_000)).repeat(200);
    let until = run.begin();
    let mut crowd = run.connect_many(200, (0..).map(|index| own_topic(index).into()))?;
    crowd.set_pattern(&messages, 1);
    crowd.flood_and_read_slowly(until + PUBLISH_TIME, 6000, Duration::from_millis(100))?;
    run.hold_unread(crowd, until)
}

/// Connects subscribers in groups of 200, between publications. Each group makes the server keep
/// the messages that are published after it has connected.
fn stop_one_after_the_other(run: &mut AttackRun<'_>) -> Result<()> {
    let path = "/ws?topic=heap";
    let mut publishers = run.connect(&vec![path.to_owned(); 4])?;
    let message = wire::frame(TEXT, b"x");
    let until = run.begin();
    for _ in 0..10 {
        let subscribers = run.connect_many_alike(200, &wire::upgrade(path, ""))?;
        let soon = Instant::now() + run.form.attack / 10;
        publish(&mut publishers, &message, soon)?;
        run.hold(subscribers);
    }
    run.hold_unread(publishers, until)
}

/// Connects pairs, each with a subscriber that reads nothing and a publisher for it.
fn compressed_in_and_plain_out(run: &mut AttackRun<'_>) -> Result<()> {
    let bombs = wire::frame(BINARY | COMPRESSED, &deflated(&[0; 65_536])?).repeat(120);
    let until = run.begin();
    let readers = run.connect_many(200, (0..).map(|index| own_topic(index).into()))?;
    let publishers = (0..).map(|index: usize| {
        let path = format!("/ws?topic=own-{index}");
        [wire::upgrade(&path, OFFER), bombs.clone()].concat().into()
    });
    let publishers = run.connect_many(200, publishers)?;
    run.hold(readers);
    run.hold_unread(publishers, until)
}

/// Connects groups of eight clients with a topic of their own: one without compression, which
/// publishes, and one for each window size from 9 to 15 bits.
fn every_window(run: &mut AttackRun<'_>) -> Result<()> {
    let until = run.begin();
    let mut random = Random(13);
    let text: String = (0..9000)
        .map(|_| format!("{:x} ", random.next() % 997))
        .collect();
    let messages = wire::frame(TEXT, text.as_bytes()).repeat(run.scaled(16));
    let openings = (0..).map(|index: usize| {
        let path = format!("/ws?topic=own-{}", index / 8);
        let offer = match 8 + index % 8 {
            8 => String::new(),
            bits => OFFER.replace("\r\n", &format!("; server_max_window_bits={bits}\r\n")),
        };
        wire::upgrade(&path, &offer).into()
    });
    let mut crowd = run.connect_many(800, openings)?;
    let messages: Arc<[u8]> = messages.into();
    for plain in (0..crowd.len()).step_by(8) {
        crowd.set_pattern_of(plain, Arc::clone(&messages), 1);
    }
    run.hold_unread(crowd, until)
}

fn complaints_unread(run: &mut AttackRun<'_>) -> Result<()> {
    let paths = relays(run, 500)?;
    let wrong = wire::frame(TEXT, b"{").repeat(10_000);
    let until = run.begin();
    let openings = paths.iter().map(|path| wire::upgrade(path, "").into());
    let mut crowd = run.connect_many(500, openings)?;
    crowd.set_pattern(&wrong, 1);
    run.hold_unread(crowd, until)
}
