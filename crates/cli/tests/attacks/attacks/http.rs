//! What HTTP costs beside WebSockets: requests in a row, heads, bodies, refusals, and coming and
//! going.

use std::time::Duration;

use anyhow::Result;

use super::Attack;
use crate::{
    crowd::{Answers, Crowd},
    field::{Departure, Field},
    wire::{self, request},
};

pub(super) const ATTACKS: &[Attack] = &[
    Attack::new(
        "requests-in-a-row",
        "answers to requests that nobody waits for",
        2,
        |field| requests(field, 4, &request("GET", "/health", "").repeat(512)),
    ),
    Attack::new(
        "publish-in-a-row",
        "publications by HTTP to a topic of 200",
        4,
        publish_in_a_row,
    )
    .filling(),
    Attack::new(
        "publish-to-a-user",
        "a search through 500 subscribers for one user, who is not there",
        4,
        publish_to_a_user,
    )
    .filling(),
    Attack::new(
        "registrations",
        "registrations of 128 topics each, and refusals of those",
        2,
        |field| {
            let names: Vec<_> = (0..128)
                .map(|number| format!("\"topic-{number}\""))
                .collect();
            let topics = names.join(",");
            let body = format!("{{\"user_id\":1,\"topics\":[{topics}]}}");
            requests(field, 4, &request("POST", "/register", &body).repeat(32))
        },
    )
    .with(&["--max-registrations", "5000"]),
    Attack::new(
        "registrations-forgotten",
        "thousands of registrations whose time is over at once",
        2,
        |field| {
            let body = r#"{"user_id":1}"#;
            requests(field, 4, &request("POST", "/register", body).repeat(128))
        },
    )
    .with(&["--registration-lifetime", "200ms"]),
    Attack::new(
        "registrations-that-name-one-topic",
        "14,000 names in one registration, that are one topic",
        2,
        |field| {
            let topics = vec!["\"a\""; 14_000].join(",");
            let body = format!("{{\"user_id\":1,\"topics\":[{topics}]}}");
            requests(field, 4, &request("POST", "/register", &body))
        },
    )
    .with(&["--max-registrations", "5000"]),
    Attack::new(
        "refusals",
        "answers to requests that are wrong: 404, 405, 400, 426",
        2,
        |field| {
            let id = "0".repeat(32);
            let wrong = [
                request("GET", "/nowhere", ""),
                request("DELETE", "/health", ""),
                request("POST", "/publish", "{"),
                request("GET", "/ws", ""),
                request("DELETE", &format!("/register/{id}"), ""),
                wire::upgrade(&format!("/ws/{id}"), ""),
            ];
            requests(field, 4, &wrong.concat().repeat(64))
        },
    ),
    Attack::new(
        "heads-of-16-kib",
        "the lines of heads: 90 to a request",
        2,
        |field| {
            let lines: String = (0..90)
                .map(|number| format!("X-{number}: {}\r\n", "y".repeat(160)))
                .collect();
            let head = format!("GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n{lines}\r\n");
            requests(field, 4, head.repeat(8).as_bytes())
        },
    ),
    Attack::new(
        "topics-in-the-path",
        "128 topics of a handshake that is refused at its end",
        2,
        |field| {
            let path = wire::chat("t", 0..129);
            requests(field, 4, &wire::upgrade(&path, "").repeat(32))
        },
    ),
    Attack::new("slow-heads", "a byte at a time of 100 heads", 1, |field| {
        let mut crowd = field.plain(100)?;
        let head = format!(
            "GET /health HTTP/1.1\r\nHost: a\r\nX: {}",
            "y".repeat(15_000)
        );
        crowd.arm(head.as_bytes(), 1);
        let until = field.begin();
        crowd.trickle(until, 1, Duration::from_millis(5))?;
        field.sent += crowd.sent;
        Ok(())
    }),
    Attack::new(
        "chunks-of-one-byte",
        "bodies in chunks of a byte each",
        2,
        |field| {
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
            requests(field, 4, request.as_bytes())
        },
    ),
    Attack::new(
        "json-of-4-mib",
        "reading JSON of 4 MiB that is all escapes",
        2,
        |field| json(field, &"\\u00e9".repeat(700_000)),
    )
    .with(&["--max-message-bytes", "8388608"]),
    Attack::new(
        "bodies-never-read",
        "answers that wait for clients who read none",
        2,
        |field| {
            let crowd = field.plain(4)?;
            let pattern = request("GET", "/", "").repeat(512);
            field.flood_with(crowd, &pattern, Answers::Leave)?;
            Ok(())
        },
    ),
    Attack::new(
        "connections-that-say-nothing",
        "a connection accepted and gone",
        16,
        |field| churn(field, b"", Departure::AtOnce),
    ),
    Attack::new(
        "upgrades-and-resets",
        "a handshake, and a connection that is gone when it is done",
        16,
        |field| {
            churn(
                field,
                &wire::upgrade("/ws?topic=own", ""),
                Departure::AtOnce,
            )
        },
    ),
    Attack::new(
        "heads-cut-by-resets",
        "half a head, and a connection that is gone",
        16,
        |field| {
            churn(
                field,
                b"GET /ws HTTP/1.1\r\nHost: 127.0.0",
                Departure::AtOnce,
            )
        },
    ),
];

/// Plain connections repeat requests, and are answered.
fn requests(field: &mut Field<'_>, connections: usize, requests: &[u8]) -> Result<()> {
    let mut crowd = field.requests(connections, requests)?;
    field.expect_answer(&mut crowd)
}

fn churn(field: &mut Field<'_>, bytes: &[u8], departure: Departure) -> Result<()> {
    let until = field.begin();
    field.churn(until, bytes, departure, 64)?;
    Ok(())
}

fn publish_in_a_row(field: &mut Field<'_>) -> Result<()> {
    let followers = vec!["/ws?topic=own".to_owned(); 200];
    let mut sockets = field.server.upgrade_all(&followers, "")?;
    sockets.extend(field.server.dial_all(8)?);
    let mut crowd = Crowd::new(sockets)?;
    let body = r#"{"topic":"own","message":"x"}"#;
    crowd.arm_last(8, &request("POST", "/publish", body).repeat(256));
    field.flood_armed(crowd, Answers::Read)?;
    Ok(())
}

fn publish_to_a_user(field: &mut Field<'_>) -> Result<()> {
    let followers = field.crowd(&vec!["/ws?topic=own".to_owned(); 500])?;
    let body = r#"{"topic":"own","message":"x","user_id":7}"#;
    requests(field, 8, &request("POST", "/publish", body).repeat(256))?;
    drop(followers);
    Ok(())
}

/// Publishes one message after the other, whose JSON is large.
fn json(field: &mut Field<'_>, message: &str) -> Result<()> {
    let body = format!("{{\"topic\":\"own\",\"message\":\"{message}\"}}");
    requests(field, 4, &request("POST", "/publish", &body))
}
