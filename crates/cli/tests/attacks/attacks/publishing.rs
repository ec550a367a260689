//! Attacks by publications: with many topics, many subscribers, or more than can be delivered.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use anyhow::Result;

use super::Attack;
use crate::{
    attack_run::AttackRun,
    crowd::{Answers, Crowd},
    wire::{self, Random, TEXT},
};

pub(super) const ATTACKS: &[Attack] = &[
    Attack::new(
        "topics-in-reverse-order",
        "publications to 128 topics whose 400 subscribers have subscribed in the reverse order",
        1,
        topics_in_reverse_order,
    ),
    Attack::new(
        "topics-of-its-own",
        "publications to 128 topics, whose subscribers are the 4 publishers and 4 others",
        2,
        topics_of_its_own,
    ),
    Attack::new(
        "large-publication",
        "one publication at a time to 128 topics with 300 subscribers",
        1,
        large_publication,
    ),
    Attack::new(
        "churn-in-many-topics",
        "connections that subscribe to 128 topics and end, while messages are published to these",
        8,
        churn_in_many_topics,
    ),
    Attack::new(
        "flood-and-read",
        "one-byte messages of 400 publishers to one topic; all 400 read it",
        200,
        |run| flood(run, Answers::Read),
    )
    .filling_inboxes(),
    Attack::new(
        "flood-and-never-read",
        "one-byte messages of 400 publishers to one topic; none of them reads",
        200,
        |run| flood(run, Answers::Ignore),
    )
    .filling_inboxes(),
    Attack::new(
        "flood-beside-heartbeats",
        "one-byte messages of 400 publishers, while the bystanders' Pongs must be read in time",
        200,
        flood_to_nobody,
    )
    .with(&["--ping-after", "500ms", "--pong-within", "2s"])
    .filling_inboxes(),
    Attack::new(
        "flood-to-nobody",
        "one-byte messages of 400 publishers, each to a topic of its own",
        200,
        flood_to_nobody,
    )
    .filling_inboxes(),
    Attack::new(
        "flood-after-the-close",
        "messages of publishers that go on sending after they were closed as slow consumers",
        4,
        flood_after_the_close,
    )
    .filling_inboxes(),
];

/// Encodes messages of one byte in two fragments, of 6 and 7 bytes on the wire. The server
/// publishes fragmented messages one by one, and others that arrive together as a group.
fn burst(messages: usize) -> Vec<u8> {
    wire::fragments(TEXT, &[b"", b"x"]).repeat(messages)
}

fn topics_in_reverse_order(run: &mut AttackRun<'_>) -> Result<()> {
    let subscribers = run.connect(&vec![wire::chat("t", 0..128); 400])?;
    let publisher = run.server.upgrade(&wire::chat("t", (0..128).rev()))?;
    let mut publisher = Crowd::new(vec![publisher])?;
    publisher.set_pattern(&burst(528), 1);
    let until = run.begin();
    publisher.flood(until, Answers::Read)?;
    run.sent += publisher.sent;
    drop(subscribers);
    Ok(())
}

fn topics_of_its_own(run: &mut AttackRun<'_>) -> Result<()> {
    let subscribers = run.connect(&vec![wire::chat("t", (0..128).rev()); 4])?;
    run.flood(&wire::chat("t", 0..128), 4, &burst(528), Answers::Read)?;
    drop(subscribers);
    Ok(())
}

fn large_publication(run: &mut AttackRun<'_>) -> Result<()> {
    // 100 subscribers of all 128 topics, and 200 of up to 64 each.
    let mut random = Random(3);
    let mut paths = vec![wire::chat("t", 0..128); 100];
    for number in 0..200 {
        let first = usize::try_from(random.next() % 64)?;
        paths.push(wire::chat("t", (first..first + 64).rev().skip(number % 8)));
    }
    let mut subscribers = run.connect(&paths)?;
    let publisher = run.server.upgrade(&wire::chat("t", 0..128))?;
    let mut publisher = Crowd::new(vec![publisher])?;
    publisher.set_pattern(&wire::frame(TEXT, b"x"), u64::MAX);
    let until = run.begin();
    let every = Duration::from_millis(20);
    // 7 bytes are one message: 2 of header, 4 of masking key, 1 of payload.
    publisher.trickle(until, 7, every)?;
    subscribers.flood(until, Answers::Read)?;
    run.sent += publisher.sent;
    Ok(())
}

fn churn_in_many_topics(run: &mut AttackRun<'_>) -> Result<()> {
    let topics = wire::chat("t", 0..128);
    let subscribers = run.connect(&vec![topics.clone(); 200])?;
    let mut publisher = run.connect(&[wire::chat("t", (0..128).rev())])?;
    publisher.set_pattern(&burst(8), u64::MAX);
    let until = run.begin();
    let request = wire::upgrade(&topics, "");
    let mut sent = 0;
    while Instant::now() < until {
        let mut batch = Vec::new();
        for _ in 0..16 {
            let mut socket = run.server.dial()?;
            socket.write_all(&request)?;
            sent += request.len() as u64;
            batch.push(socket);
        }
        // Slow enough for the listen backlog of a server that stands still.
        let pause = Instant::now() + Duration::from_millis(40);
        publisher.flood(pause, Answers::Read)?;
    }
    run.sent += sent + publisher.sent;
    drop(subscribers);
    Ok(())
}

/// Floods one topic with 400 publishers, which subscribe to it, too.
fn flood(run: &mut AttackRun<'_>, answers: Answers) -> Result<()> {
    let pattern = wire::frame(TEXT, b"x").repeat(512);
    run.flood("/ws?topic=lobby", 400, &pattern, answers)?;
    Ok(())
}

/// Floods with publishers that each publish to a topic of their own, so that only their own
/// messages fill the inboxes.
fn flood_to_nobody(run: &mut AttackRun<'_>) -> Result<()> {
    let paths: Vec<_> = (0..400).map(|number| wire::chat("own", [number])).collect();
    let crowd = run.connect(&paths)?;
    let pattern = wire::frame(TEXT, b"x").repeat(4096);
    run.flood_with(crowd, &pattern, Answers::Read)?;
    Ok(())
}

fn flood_after_the_close(run: &mut AttackRun<'_>) -> Result<()> {
    let mut crowd = run.connect(&vec!["/ws?topic=large".to_owned(); 48])?;
    crowd.set_pattern_of_last(8, &wire::frame(wire::BINARY, &Random(4).bytes(60_000)));
    run.flood_prepared(crowd, Answers::Read)?;
    Ok(())
}
