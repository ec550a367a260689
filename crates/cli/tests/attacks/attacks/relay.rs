//! What a message to a relay costs: topics that change, and complaints about what it can't read.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::Attack;
use crate::{
    crowd::{Answers, Crowd},
    field::Field,
    wire::{self, BINARY, TEXT},
};

pub(super) const ATTACKS: &[Attack] = &[
    Attack::new(
        "other-topics-each-time",
        "128 topics left and 128 entered for every message of a relay",
        1,
        other_topics_each_time,
    ),
    Attack::new(
        "new-topics-each-time",
        "128 topics made and forgotten for every message of a relay",
        1,
        new_topics_each_time,
    ),
    Attack::new(
        "same-topics-each-time",
        "128 topics compared with the same 128 for every message of a relay",
        1,
        |field| {
            flood(
                field,
                &wire::frame(TEXT, wire::topics_message(&names("t")).as_bytes()),
            )
        },
    ),
    Attack::new(
        "one-topic-named-10500-times",
        "names in one message, that are one topic",
        1,
        |field| {
            let message = wire::topics_message(&vec!["a".to_owned(); 10_500]);
            flood(field, &wire::frame(TEXT, message.as_bytes()))
        },
    ),
    Attack::new(
        "topics-that-others-follow",
        "topics of 400 others that a relay enters and leaves, while these are published to",
        2,
        topics_that_others_follow,
    ),
    Attack::new(
        "complaints",
        "an error told for every message of one byte",
        1,
        |field| flood(field, &wire::frame(TEXT, b"{").repeat(4096)),
    ),
    Attack::new(
        "complaints-about-long-messages",
        "an error at the end of 64 KB of JSON",
        1,
        |field| {
            let message = format!("{{\"topics\":[\"{}\"", "\\\"".repeat(30_000));
            flood(field, &wire::frame(TEXT, message.as_bytes()))
        },
    ),
    Attack::new(
        "complaints-about-binary",
        "an answer to every binary message of no byte",
        1,
        |field| flood(field, &wire::frame(BINARY, b"").repeat(4096)),
    ),
    Attack::new(
        "pings-in-text",
        "a pong for every text message \"ping\"",
        1,
        |field| flood(field, &wire::frame(TEXT, b"ping").repeat(4096)),
    ),
    Attack::new(
        "answers-nobody-reads",
        "complaints that wait for a relay that reads none",
        1,
        |field| {
            let crowd = relays(field, 2)?;
            let pattern = wire::frame(TEXT, b"{").repeat(4096);
            field.flood_with(crowd, &pattern, Answers::Leave)?;
            Ok(())
        },
    ),
];

fn names(prefix: &str) -> Vec<String> {
    (0..128).map(|number| format!("{prefix}{number}")).collect()
}

/// Relays, on each shard in turn.
fn relays(field: &Field<'_>, count: usize) -> Result<Crowd> {
    let mut paths = Vec::new();
    for user in 0..count {
        paths.push(field.server.register(user, &["own".to_owned()])?);
    }
    field.crowd(&paths)
}

/// A relay on each shard repeats messages, and reads what it is answered.
fn flood(field: &mut Field<'_>, messages: &[u8]) -> Result<()> {
    let crowd = relays(field, 2)?;
    let mut crowd = field.flood_with(crowd, messages, Answers::Read)?;
    field.expect(crowd.ended() == 0, "a relay was closed");
    field.expect_answer(&mut crowd)
}

/// So many sets of 128 topics, a message each.
fn sets(count: usize) -> Vec<u8> {
    let each = (0..count).map(|set| {
        let message = wire::topics_message(&names(&format!("s{set}-")));
        wire::frame(TEXT, message.as_bytes())
    });
    each.collect::<Vec<_>>().concat()
}

fn other_topics_each_time(field: &mut Field<'_>) -> Result<()> {
    flood(field, &sets(2))
}

fn new_topics_each_time(field: &mut Field<'_>) -> Result<()> {
    flood(field, &sets(2000))
}

fn topics_that_others_follow(field: &mut Field<'_>) -> Result<()> {
    let followers = field.crowd(&vec![wire::chat("s0-", 0..128); 400])?;
    let mut publisher = field.crowd(&[wire::chat("s0-", 0..128)])?;
    publisher.arm(&wire::frame(TEXT, b"x"), 4);
    let mut crowd = relays(field, 2)?;
    crowd.arm(&sets(2), u64::MAX);
    let until = field.begin();
    publisher.trickle(until.min(Instant::now() + ONE_BURST), 28, ONE_BURST)?;
    crowd.flood(until, Answers::Read)?;
    field.sent += crowd.sent + publisher.sent;
    drop(followers);
    Ok(())
}

/// Long enough for four messages to be sent.
const ONE_BURST: Duration = Duration::from_millis(20);
