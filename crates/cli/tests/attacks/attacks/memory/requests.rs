//! Attacks by HTTP requests: heads, bodies, responses that nobody reads, idle connections, and
//! publications that wait for a permit.

use std::time::Instant;

use anyhow::Result;

use crate::{
    attack_run::AttackRun,
    attacks::Attack,
    crowd::Answers,
    wire::{self, TEXT, request},
};

pub(super) const ATTACKS: &[Attack] = &[
    Attack::on_memory(
        "memory-heads-unfinished",
        "request heads of a few bytes that never end",
        |run| run.open_and_hold(9000, b"GET /ws HTTP/1.1\r\nHost: 127.0.0"),
    ),
    Attack::on_memory(
        "memory-large-heads-unfinished",
        "request heads of 15 KiB that never end",
        |run| {
            let head = format!("GET /ws HTTP/1.1\r\nHost: a\r\nX: {}", "y".repeat(15_000));
            run.open_and_hold(6000, head.as_bytes())
        },
    ),
    Attack::on_memory(
        "memory-bodies-in-chunks",
        "request bodies in chunks of one byte that never end",
        |run| {
            let head = "POST /publish HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
            let chunks = "1\r\nx\r\n".repeat(10_000);
            run.open_and_hold(3000, [head, &chunks].concat().as_bytes())
        },
    ),
    Attack::on_memory(
        "memory-bodies-one-byte-short",
        "request bodies of 400 KB without their last byte",
        |run| {
            let body = "x".repeat(400_000);
            let request = request("POST", "/publish", &body);
            run.open_and_hold(1000, &request[..request.len() - 1])
        },
    ),
    Attack::on_memory(
        "memory-bodies-promised",
        "buffers for request bodies that are announced and never sent",
        |run| {
            let body = "Expect: 100-continue\r\nContent-Length: 400000";
            let head = format!("POST /register HTTP/1.1\r\nHost: a\r\n{body}\r\n\r\n");
            run.open_and_hold(5000, head.as_bytes())
        },
    ),
    Attack::on_memory(
        "memory-answers-unread",
        "pipelined requests for a page whose responses nobody reads",
        |run| run.open_and_hold(3000, &request("GET", "/", "").repeat(500)),
    ),
    Attack::on_memory(
        "memory-idle-between-requests",
        "connections that stay open after their first response",
        |run| run.open_and_hold(9000, &request("GET", "/health", "")),
    ),
    Attack::on_memory(
        "memory-publications-that-wait",
        "bodies of 60 KB that wait for a permit, while 200 others flood the inboxes",
        |run| {
            let message = "x".repeat(60_000);
            let body = format!("{{\"topic\":\"crowded\",\"message\":\"{message}\"}}");
            publications_that_wait(run, &body)
        },
    ),
    Attack::on_memory(
        "memory-lists-of-tiny-names",
        "lists of 95,000 names of one byte, parsed before they are rejected",
        |run| {
            let names = vec!["\"a\""; 95_000].join(",");
            lists(run, &format!("{{\"user_id\":1,\"topics\":[{names}]}}"))
        },
    ),
    Attack::on_memory(
        "memory-lists-in-lists",
        "190,000 nested JSON lists",
        |run| {
            let (open, close) = ("[".repeat(190_000), "]".repeat(190_000));
            lists(run, &format!("{{\"user_id\":1,\"topics\":{open}{close}}}"))
        },
    ),
    Attack::on_memory(
        "memory-lists-of-publications",
        "answers, which nobody reads, to lists of 1,000 wrong items",
        |run| {
            let list = format!("[{}]", vec!["\"\u{1}\""; 1000].join(","));
            run.open_and_hold(3000, &request("POST", "/publish", &list).repeat(20))
        },
    ),
    Attack::on_memory(
        "memory-lists-one-byte-short",
        "lists of 1 MiB without their last byte",
        |run| {
            let list = format!("[\"{}\"]", "x".repeat(1_048_000));
            let request = request("POST", "/publish", &list);
            run.open_and_hold(1000, &request[..request.len() - 1])
        },
    ),
    Attack::on_memory(
        "memory-lists-that-wait",
        "lists of 1,000 messages that wait for a permit, while 200 others flood the inboxes",
        |run| {
            let item = format!(
                "{{\"topic\":\"crowded\",\"message\":\"{}\"}}",
                "x".repeat(1000)
            );
            publications_that_wait(run, &format!("[{}]", vec![item; 1000].join(",")))
        },
    ),
];

/// Posts a body that takes much memory once it is parsed, on many connections at the same time.
fn lists(run: &mut AttackRun<'_>, body: &str) -> Result<()> {
    let request = request("POST", "/register", body);
    let until = run.begin();
    let mut crowd = run.connect_many_alike(200, &request)?;
    crowd.flood(until.max(Instant::now()), Answers::Read)?;
    run.hold(crowd);
    Ok(())
}

/// Floods the inboxes with 200 subscribers of a topic that publish to it. Meanwhile 1,000 other
/// connections post publications, which have to wait. In the short form of the tests, both numbers
/// are smaller.
fn publications_that_wait(run: &mut AttackRun<'_>, body: &str) -> Result<()> {
    let publication = request("POST", "/publish", body).repeat(8);
    let burst = wire::frame(TEXT, b"x").repeat(4096);
    let floods = [wire::upgrade("/ws?topic=crowded", ""), burst.repeat(16)].concat();
    let until = run.begin();
    let mut flooding = run.connect_many_alike(200, &floods)?;
    let posting = run.connect_many_alike(1000, &publication)?;
    flooding.flood(until.max(Instant::now()), Answers::Read)?;
    run.hold(flooding);
    run.hold_unread(posting, until)
}
