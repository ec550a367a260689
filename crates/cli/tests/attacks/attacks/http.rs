//! Attacks by HTTP: pipelined requests, heads, bodies, rejected requests, and short connections.

use std::time::Duration;

use anyhow::Result;

use super::Attack;
use crate::{
    attack_run::{AttackRun, Departure},
    crowd::{Answers, Crowd},
    wire::{self, request},
};

pub(super) const ATTACKS: &[Attack] = &[
    Attack::new(
        "requests-in-a-row",
        "responses to pipelined requests",
        2,
        |run| flood_and_expect_answer(run, 4, &request("GET", "/health", "").repeat(512)),
    ),
    Attack::new(
        "publish-in-a-row",
        "pipelined publications by HTTP to a topic with 200 subscribers",
        4,
        |run| {
            let body = r#"{"topic":"own","message":"x"}"#;
            publish_to_subscribers(run, &request("POST", "/publish", body).repeat(256))
        },
    )
    .filling_inboxes(),
    Attack::new(
        "publish-to-a-user",
        "searching 500 subscribers for a user that is not among them",
        4,
        publish_to_a_user,
    )
    .filling_inboxes(),
    Attack::new(
        "registrations",
        "registrations of 128 topics each, and rejections beyond the limit",
        2,
        |run| {
            let names: Vec<_> = (0..128)
                .map(|number| format!("\"topic-{number}\""))
                .collect();
            let topics = names.join(",");
            let body = format!("{{\"user_id\":1,\"topics\":[{topics}]}}");
            flood_and_expect_answer(run, 4, &request("POST", "/register", &body).repeat(32))
        },
    )
    .with(&["--max-registrations", "5000"]),
    Attack::new(
        "registrations-forgotten",
        "thousands of registrations that expire at once",
        2,
        |run| {
            let body = r#"{"user_id":1}"#;
            flood_and_expect_answer(run, 4, &request("POST", "/register", body).repeat(128))
        },
    )
    .with(&["--registration-lifetime", "200ms"]),
    Attack::new(
        "registrations-that-name-one-topic",
        "a registration that names one topic 14,000 times",
        2,
        |run| {
            let topics = vec!["\"a\""; 14_000].join(",");
            let body = format!("{{\"user_id\":1,\"topics\":[{topics}]}}");
            flood_and_expect_answer(run, 4, &request("POST", "/register", &body))
        },
    )
    .with(&["--max-registrations", "5000"]),
    Attack::new(
        "refusals",
        "rejections of wrong requests: 404, 405, 400, 426",
        2,
        |run| {
            let id = "0".repeat(32);
            let wrong = [
                request("GET", "/nowhere", ""),
                request("DELETE", "/health", ""),
                request("POST", "/publish", "{"),
                request("GET", "/ws", ""),
                request("DELETE", &format!("/register/{id}"), ""),
                wire::upgrade(&format!("/ws/{id}"), ""),
            ];
            flood_and_expect_answer(run, 4, &wrong.concat().repeat(64))
        },
    ),
    Attack::new(
        "heads-of-16-kib",
        "parsing request heads of 90 lines",
        2,
        |run| {
            let lines: String = (0..90)
                .map(|number| format!("X-{number}: {}\r\n", "y".repeat(160)))
                .collect();
            let head = format!("GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n{lines}\r\n");
            flood_and_expect_answer(run, 4, head.repeat(8).as_bytes())
        },
    ),
    Attack::new(
        "topics-in-the-path",
        "parsing 128 topics of a handshake that is rejected for the 129th",
        2,
        |run| {
            let path = wire::chat("t", 0..129);
            flood_and_expect_answer(run, 4, &wire::upgrade(&path, "").repeat(32))
        },
    ),
    Attack::new(
        "slow-heads",
        "100 request heads that arrive byte by byte",
        1,
        |run| {
            let mut crowd = run.connect_plain(100)?;
            let head = format!(
                "GET /health HTTP/1.1\r\nHost: a\r\nX: {}",
                "y".repeat(15_000)
            );
            crowd.set_pattern(head.as_bytes(), 1);
            let until = run.begin();
            crowd.trickle(until, 1, Duration::from_millis(5))?;
            run.sent += crowd.sent;
            Ok(())
        },
    ),
    Attack::new(
        "chunks-of-one-byte",
        "request bodies in chunks of one byte",
        2,
        |run| {
            let body = format!(
                "{{\"topic\":\"own\",\"message\":\"{}\"}}",
                "x".repeat(20_000)
            );
            let chunks: String = body
                .chars()
                .map(|each| format!("1\r\n{each}\r\n"))
                .collect();
            let request = format!(
                "POST /publish HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n\
                 {chunks}0\r\n\r\n"
            );
            flood_and_expect_answer(run, 4, request.as_bytes())
        },
    ),
    Attack::new(
        "json-of-4-mib",
        "parsing 4 MiB of JSON that consists of escapes",
        2,
        |run| json(run, &"\\u00e9".repeat(700_000)),
    )
    .with(&["--max-message-bytes", "8388608"]),
    Attack::new(
        "bodies-never-read",
        "responses that wait for clients that read nothing",
        2,
        |run| {
            let crowd = run.connect_plain(4)?;
            let pattern = request("GET", "/", "").repeat(512);
            run.flood_with(crowd, &pattern, Answers::Ignore)?;
            Ok(())
        },
    ),
    Attack::new(
        "connections-that-say-nothing",
        "accepting connections that are reset at once",
        16,
        |run| churn(run, b"", Departure::AtOnce),
    ),
    Attack::new(
        "upgrades-and-resets",
        "handshakes on connections that are reset at once",
        16,
        |run| churn(run, &wire::upgrade("/ws?topic=own", ""), Departure::AtOnce),
    ),
    Attack::new(
        "heads-cut-by-resets",
        "half a request head on connections that are reset at once",
        16,
        |run| churn(run, b"GET /ws HTTP/1.1\r\nHost: 127.0.0", Departure::AtOnce),
    ),
];

/// Repeats requests on some connections, and checks that a response comes.
fn flood_and_expect_answer(
    run: &mut AttackRun<'_>,
    connections: usize,
    requests: &[u8],
) -> Result<()> {
    let mut crowd = run.flood_with_requests(connections, requests)?;
    run.expect_answer(&mut crowd)
}

/// Opens connections, sends `bytes` on each and resets them, until the attack is over.
fn churn(run: &mut AttackRun<'_>, bytes: &[u8], departure: Departure) -> Result<()> {
    let until = run.begin();
    run.churn(until, bytes, departure, 64)?;
    Ok(())
}

/// Repeats requests on eight connections. They publish to the topic `own`, which has 200
/// subscribers.
pub(super) fn publish_to_subscribers(run: &mut AttackRun<'_>, requests: &[u8]) -> Result<()> {
    let subscribers = vec!["/ws?topic=own".to_owned(); 200];
    let mut sockets = run.server.upgrade_all(&subscribers, "")?;
    sockets.extend(run.server.dial_all(8)?);
    let mut crowd = Crowd::new(sockets)?;
    crowd.set_pattern_of_last(8, requests);
    run.flood_prepared(crowd, Answers::Read)?;
    Ok(())
}

/// Publishes to one user on eight HTTP connections. The topic has 500 subscribers, none of which
/// belongs to that user.
fn publish_to_a_user(run: &mut AttackRun<'_>) -> Result<()> {
    let subscribers = run.connect(&vec!["/ws?topic=own".to_owned(); 500])?;
    let body = r#"{"topic":"own","message":"x","user_id":7}"#;
    flood_and_expect_answer(run, 8, &request("POST", "/publish", body).repeat(256))?;
    drop(subscribers);
    Ok(())
}

/// Publishes `message`, the content of a long JSON string, again and again over four connections.
fn json(run: &mut AttackRun<'_>, message: &str) -> Result<()> {
    let body = format!("{{\"topic\":\"own\",\"message\":\"{message}\"}}");
    flood_and_expect_answer(run, 4, &request("POST", "/publish", &body))
}
