//! What a publication costs: its topics, its subscribers, its place in the queue.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use anyhow::Result;

use super::Attack;
use crate::{
    crowd::{Answers, Crowd},
    field::Field,
    wire::{self, Random, TEXT},
};

pub(super) const ATTACKS: &[Attack] = &[
    Attack::new(
        "topics-in-reverse-order",
        "a publication to 128 topics, whose 400 subscribers have them in another order",
        1,
        topics_in_reverse_order,
    ),
    Attack::new(
        "topics-of-its-own",
        "a publication to 128 topics with one subscriber, the publisher",
        2,
        topics_of_its_own,
    ),
    Attack::new(
        "large-publication",
        "one publication at a time to 128 topics of 300 subscribers",
        1,
        large_publication,
    ),
    Attack::new(
        "churn-in-many-topics",
        "subscribers of 128 topics that come and go while these are published to",
        8,
        churn_in_many_topics,
    ),
    Attack::new(
        "flood-and-read",
        "one-byte messages of 400 publishers to a topic, all of whom read them",
        200,
        |field| flood(field, Answers::Read),
    )
    .filling(),
    Attack::new(
        "flood-and-never-read",
        "one-byte messages of 400 publishers to a topic, none of whom reads",
        200,
        |field| flood(field, Answers::Leave),
    )
    .filling(),
    Attack::new(
        "flood-beside-heartbeats",
        "the time in which those who answer pings are not read, for 400 who publish",
        200,
        flood_to_nobody,
    )
    .with(&["--ping-after", "500ms", "--pong-within", "2s"])
    .filling(),
    Attack::new(
        "flood-to-nobody",
        "one-byte messages of 400 publishers, each to a topic that only it has",
        200,
        flood_to_nobody,
    )
    .filling(),
    Attack::new(
        "flood-after-the-close",
        "what publishers go on to send who were closed because they could not keep up",
        4,
        flood_after_the_close,
    )
    .filling(),
];

/// Messages of one byte in two fragments, 13 bytes on the wire: these are published one by one.
fn burst(messages: usize) -> Vec<u8> {
    wire::fragments(TEXT, &[b"", b"x"]).repeat(messages)
}

fn topics_in_reverse_order(field: &mut Field<'_>) -> Result<()> {
    let helpers = field.crowd(&vec![wire::chat("t", 0..128); 400])?;
    let publisher = field.server.upgrade(&wire::chat("t", (0..128).rev()))?;
    let mut publisher = Crowd::new(vec![publisher])?;
    publisher.arm(&burst(528), 1);
    let until = field.begin();
    publisher.flood(until, Answers::Read)?;
    field.sent += publisher.sent;
    drop(helpers);
    Ok(())
}

fn topics_of_its_own(field: &mut Field<'_>) -> Result<()> {
    let followers = field.crowd(&vec![wire::chat("t", (0..128).rev()); 4])?;
    field.flood(&wire::chat("t", 0..128), 4, &burst(528), Answers::Read)?;
    drop(followers);
    Ok(())
}

fn large_publication(field: &mut Field<'_>) -> Result<()> {
    // Each of the 128 topics has its own followers beside those that have them all.
    let mut random = Random(3);
    let mut paths = vec![wire::chat("t", 0..128); 100];
    for number in 0..200 {
        let first = usize::try_from(random.next() % 64)?;
        paths.push(wire::chat("t", (first..first + 64).rev().skip(number % 8)));
    }
    let mut followers = field.crowd(&paths)?;
    let publisher = field.server.upgrade(&wire::chat("t", 0..128))?;
    let mut publisher = Crowd::new(vec![publisher])?;
    publisher.arm(&wire::frame(TEXT, b"x"), u64::MAX);
    let until = field.begin();
    let every = Duration::from_millis(20);
    publisher.trickle(until, 7, every)?;
    followers.flood(until, Answers::Read)?;
    field.sent += publisher.sent;
    Ok(())
}

fn churn_in_many_topics(field: &mut Field<'_>) -> Result<()> {
    let topics = wire::chat("t", 0..128);
    let helpers = field.crowd(&vec![topics.clone(); 200])?;
    let mut publisher = field.crowd(&[wire::chat("t", (0..128).rev())])?;
    publisher.arm(&burst(8), u64::MAX);
    let until = field.begin();
    let request = wire::upgrade(&topics, "");
    let mut sent = 0;
    while Instant::now() < until {
        let mut batch = Vec::new();
        for _ in 0..16 {
            let mut socket = field.server.dial()?;
            socket.write_all(&request)?;
            sent += request.len() as u64;
            batch.push(socket);
        }
        // Slow enough for the backlog of a server that stands still.
        let pause = Instant::now() + Duration::from_millis(40);
        publisher.flood(pause, Answers::Read)?;
    }
    field.sent += sent + publisher.sent;
    drop(helpers);
    Ok(())
}

fn flood(field: &mut Field<'_>, answers: Answers) -> Result<()> {
    let pattern = wire::frame(TEXT, b"x").repeat(512);
    field.flood("/ws?topic=lobby", 400, &pattern, answers)?;
    Ok(())
}

/// Publishers, each to a topic of its own: all that fills the inboxes is what they say themselves.
fn flood_to_nobody(field: &mut Field<'_>) -> Result<()> {
    let paths: Vec<_> = (0..400).map(|number| wire::chat("own", [number])).collect();
    let crowd = field.crowd(&paths)?;
    let pattern = wire::frame(TEXT, b"x").repeat(4096);
    field.flood_with(crowd, &pattern, Answers::Read)?;
    Ok(())
}

fn flood_after_the_close(field: &mut Field<'_>) -> Result<()> {
    let mut crowd = field.crowd(&vec!["/ws?topic=large".to_owned(); 48])?;
    crowd.arm_last(8, &wire::frame(wire::BINARY, &Random(4).bytes(60_000)));
    field.flood_armed(crowd, Answers::Read)?;
    Ok(())
}
