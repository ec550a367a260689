//! What HTTP holds beside WebSockets: heads, bodies, answers, and connections that wait.

use std::time::Instant;

use anyhow::Result;

use crate::{
    attacks::Attack,
    crowd::Answers,
    field::Field,
    wire::{self, TEXT, request},
};

pub(super) const ATTACKS: &[Attack] = &[
    Attack::on_memory(
        "memory-heads-unfinished",
        "heads of a few bytes that never end",
        |field| field.left_alone(9000, b"GET /ws HTTP/1.1\r\nHost: 127.0.0"),
    ),
    Attack::on_memory(
        "memory-large-heads-unfinished",
        "heads of 15 KiB that never end",
        |field| {
            let head = format!("GET /ws HTTP/1.1\r\nHost: a\r\nX: {}", "y".repeat(15_000));
            field.left_alone(6000, head.as_bytes())
        },
    ),
    Attack::on_memory(
        "memory-bodies-in-chunks",
        "bodies in chunks of one byte that never end",
        |field| {
            let head = "POST /publish HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
            let chunks = "1\r\nx\r\n".repeat(10_000);
            field.left_alone(3000, [head, &chunks].concat().as_bytes())
        },
    ),
    Attack::on_memory(
        "memory-bodies-one-byte-short",
        "bodies of 400 KB that come but for their last byte",
        |field| {
            let body = "x".repeat(400_000);
            let request = request("POST", "/publish", &body);
            field.left_alone(1000, &request[..request.len() - 1])
        },
    ),
    Attack::on_memory(
        "memory-bodies-promised",
        "room for bodies of which nothing comes",
        |field| {
            let body = "Expect: 100-continue\r\nContent-Length: 400000";
            let head = format!("POST /register HTTP/1.1\r\nHost: a\r\n{body}\r\n\r\n");
            field.left_alone(5000, head.as_bytes())
        },
    ),
    Attack::on_memory(
        "memory-answers-unread",
        "pipelined requests for a page whose answers nobody reads",
        |field| field.left_alone(3000, &request("GET", "/", "").repeat(500)),
    ),
    Attack::on_memory(
        "memory-idle-between-requests",
        "connections that were answered, and ask for nothing more",
        |field| field.left_alone(9000, &request("GET", "/health", "")),
    ),
    Attack::on_memory(
        "memory-publications-that-wait",
        "bodies of 60 KB that wait for their turn, while 200 others flood the inboxes",
        publications_that_wait,
    ),
    Attack::on_memory(
        "memory-lists-of-tiny-names",
        "lists of 100,000 names of one byte, to be read before they are refused",
        |field| {
            let names = vec!["\"a\""; 95_000].join(",");
            lists(field, &format!("{{\"user_id\":1,\"topics\":[{names}]}}"))
        },
    ),
    Attack::on_memory(
        "memory-lists-in-lists",
        "190,000 lists, each in another",
        |field| {
            let (open, close) = ("[".repeat(190_000), "]".repeat(190_000));
            lists(
                field,
                &format!("{{\"user_id\":1,\"topics\":{open}{close}}}"),
            )
        },
    ),
];

/// Bodies that are large in memory, many at one time.
fn lists(field: &mut Field<'_>, body: &str) -> Result<()> {
    let request = request("POST", "/register", body);
    let until = field.begin();
    let mut crowd = field.masses_of(200, &request)?;
    crowd.flood(until.max(Instant::now()), Answers::Read)?;
    field.hold(crowd);
    Ok(())
}

fn publications_that_wait(field: &mut Field<'_>) -> Result<()> {
    let message = "x".repeat(60_000);
    let body = format!("{{\"topic\":\"crowded\",\"message\":\"{message}\"}}");
    let publication = request("POST", "/publish", &body).repeat(8);
    let burst = wire::frame(TEXT, b"x").repeat(4096);
    let floods = [wire::upgrade("/ws?topic=crowded", ""), burst.repeat(16)].concat();
    let until = field.begin();
    let mut flooding = field.masses_of(200, &floods)?;
    let posting = field.masses_of(1000, &publication)?;
    flooding.flood(until.max(Instant::now()), Answers::Read)?;
    field.hold(flooding);
    field.stay(posting, until)
}
