//! Attacks by messages of relays: changes of topics, and error replies.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::Attack;
use crate::{
    attack_run::AttackRun,
    crowd::{Answers, Crowd},
    wire::{self, BINARY, TEXT},
};

pub(super) const ATTACKS: &[Attack] = &[
    Attack::new(
        "other-topics-each-time",
        "128 unsubscriptions and 128 subscriptions for every message of a relay",
        1,
        other_topics_each_time,
    ),
    Attack::new(
        "new-topics-each-time",
        "128 topics created and removed for every message of a relay",
        1,
        new_topics_each_time,
    ),
    Attack::new(
        "same-topics-each-time",
        "comparing 128 topics with the same 128 for every message of a relay",
        1,
        |run| {
            flood(
                run,
                &wire::frame(TEXT, wire::topics_message(&names("t")).as_bytes()),
            )
        },
    ),
    Attack::new(
        "one-topic-named-10500-times",
        "a message of a relay that names one topic 10,500 times",
        1,
        |run| {
            let message = wire::topics_message(&vec!["a".to_owned(); 10_500]);
            flood(run, &wire::frame(TEXT, message.as_bytes()))
        },
    ),
    Attack::new(
        "topics-that-others-follow",
        "relays that change to and from topics with 400 subscribers, while messages are published",
        2,
        topics_that_others_follow,
    ),
    Attack::new(
        "complaints",
        "an error reply to every message of one byte",
        1,
        |run| flood(run, &wire::frame(TEXT, b"{").repeat(4096)),
    ),
    Attack::new(
        "complaints-about-long-messages",
        "an error reply after parsing 64 KB of JSON",
        1,
        |run| {
            let message = format!("{{\"topics\":[\"{}\"", "\\\"".repeat(30_000));
            flood(run, &wire::frame(TEXT, message.as_bytes()))
        },
    ),
    Attack::new(
        "complaints-about-binary",
        "an error reply to every empty binary message",
        1,
        |run| flood(run, &wire::frame(BINARY, b"").repeat(4096)),
    ),
    Attack::new(
        "pings-in-text",
        "a \"pong\" for every text message \"ping\"",
        1,
        |run| flood(run, &wire::frame(TEXT, b"ping").repeat(4096)),
    ),
    Attack::new(
        "answers-nobody-reads",
        "error replies that wait for a relay that reads nothing",
        1,
        |run| {
            let crowd = relays(run, 2)?;
            let pattern = wire::frame(TEXT, b"{").repeat(4096);
            run.flood_with(crowd, &pattern, Answers::Ignore)?;
            Ok(())
        },
    ),
];

/// Returns 128 names of topics.
fn names(prefix: &str) -> Vec<String> {
    (0..128).map(|number| format!("{prefix}{number}")).collect()
}

/// Registers and opens connections of the relay protocol, on each shard in turn.
fn relays(run: &AttackRun<'_>, count: usize) -> Result<Crowd> {
    let mut paths = Vec::new();
    for user in 0..count {
        paths.push(run.server.register(user, &["own".to_owned()])?);
    }
    run.connect(&paths)
}

/// Opens a connection of the relay protocol on each of the two shards. Both connections repeat
/// `messages` and read the replies.
fn flood(run: &mut AttackRun<'_>, messages: &[u8]) -> Result<()> {
    let crowd = relays(run, 2)?;
    let mut crowd = run.flood_with(crowd, messages, Answers::Read)?;
    run.expect(crowd.ended() == 0, "a relay was closed");
    run.expect_answer(&mut crowd)
}

/// Encodes `count` messages, each with another set of 128 topics.
fn sets(count: usize) -> Vec<u8> {
    let each = (0..count).map(|set| {
        let message = wire::topics_message(&names(&format!("s{set}-")));
        wire::frame(TEXT, message.as_bytes())
    });
    each.collect::<Vec<_>>().concat()
}

/// Has connections of the relay protocol change between two sets of topics.
fn other_topics_each_time(run: &mut AttackRun<'_>) -> Result<()> {
    flood(run, &sets(2))
}

/// Has connections of the relay protocol change through 2,000 sets of topics, so that the server
/// has forgotten each set when it comes again.
fn new_topics_each_time(run: &mut AttackRun<'_>) -> Result<()> {
    flood(run, &sets(2000))
}

/// Makes connections of the relay protocol switch back and forth between two sets of topics. Each
/// topic of the first set has 400 other subscribers.
fn topics_that_others_follow(run: &mut AttackRun<'_>) -> Result<()> {
    let subscribers = run.connect(&vec![wire::chat("s0-", 0..128); 400])?;
    let mut publisher = run.connect(&[wire::chat("s0-", 0..128)])?;
    publisher.set_pattern(&wire::frame(TEXT, b"x"), 4);
    let mut crowd = relays(run, 2)?;
    crowd.set_pattern(&sets(2), u64::MAX);
    let until = run.begin();
    // 28 bytes are the four messages: each has 2 of header, 4 of masking key, 1 of payload.
    publisher.trickle(until.min(Instant::now() + ONE_BURST), 28, ONE_BURST)?;
    crowd.flood(until, Answers::Read)?;
    run.sent += crowd.sent + publisher.sent;
    drop(subscribers);
    Ok(())
}

/// Time that the publisher of [`topics_that_others_follow`] gets to send its four messages.
const ONE_BURST: Duration = Duration::from_millis(20);
