//! What frames cost: those that promise much, those that carry nothing, and those that are wrong.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::Attack;
use crate::{
    crowd::Answers,
    field::{Departure, Field},
    wire::{self, BINARY, FINAL, PING, PONG, TEXT},
};

pub(super) const ATTACKS: &[Attack] = &[
    Attack::new(
        "trickle-of-64-mib",
        "a byte at a time of frames that promise 64 MiB",
        1,
        |field| trickle(field, 8, MAX_MESSAGE as u64, Duration::from_millis(1)),
    )
    .with(LARGE),
    Attack::new(
        "trickle-of-64-kib",
        "a byte at a time of frames that promise 64 KiB",
        1,
        |field| trickle(field, 40, 65_536, Duration::from_millis(2)),
    ),
    Attack::new(
        "message-of-64-mib",
        "the bytes of an honest message of 64 MiB",
        1,
        message_of_64_mib,
    )
    .with(LARGE),
    Attack::new(
        "fragments-of-one-byte",
        "1,023 fragments for each message",
        2,
        |field| {
            let fragments = vec![&b"x"[..]; 1023];
            echo(field, "/echo", 4, &wire::fragments(TEXT, &fragments))
        },
    ),
    Attack::new(
        "fragments-of-no-byte",
        "1,023 fragments that carry nothing",
        2,
        |field| {
            let fragments = vec![&b""[..]; 1023];
            echo(field, "/echo", 4, &wire::fragments(BINARY, &fragments))
        },
    ),
    Attack::new(
        "fragments-as-they-are",
        "an answer to each fragment of one byte",
        2,
        |field| {
            let fragments = vec![&b"x"[..]; 1023];
            echo(field, "/echo/raw", 4, &wire::fragments(TEXT, &fragments))
        },
    ),
    Attack::new(
        "code-points-cut-in-two",
        "text whose fragments end inside its characters",
        2,
        |field| {
            let halves = [&b"\xE2\x82"[..], b"\xAC\xE2", b"\x82\xAC"].repeat(300);
            echo(field, "/echo", 4, &wire::fragments(TEXT, &halves))
        },
    ),
    Attack::new(
        "empty-messages",
        "an answer to every message of no byte, 6 on the wire",
        2,
        |field| echo(field, "/echo", 4, &wire::frame(TEXT, b"").repeat(8192)),
    ),
    Attack::new(
        "pings-between-messages",
        "a Pong for every Ping",
        2,
        |field| echo(field, "/echo", 4, &wire::frame(PING, b"").repeat(8192)),
    ),
    Attack::new(
        "pings-inside-a-message",
        "a Pong for every Ping behind the first fragment of a message",
        2,
        |field| {
            let opening = wire::frame(TEXT & !FINAL, b"x");
            let crowd = field.crowd_after("/echo", 4, &opening)?;
            let pattern = wire::frame(PING, b"").repeat(8192);
            let crowd = field.flood_with(crowd, &pattern, Answers::Read)?;
            field.expect(crowd.ended() == 0, "who sends Pings was closed");
            Ok(())
        },
    ),
    Attack::new(
        "pongs-unasked",
        "Pongs, which nothing answers",
        2,
        |field| {
            let crowd = field.crowd_after("/echo", 4, b"")?;
            let pattern = wire::frame(PONG, b"").repeat(8192);
            let crowd = field.flood_with(crowd, &pattern, Answers::Read)?;
            field.expect(crowd.ended() == 0, "who sends Pongs was closed");
            Ok(())
        },
    ),
    Attack::new(
        "pings-nobody-reads",
        "Pongs that wait for a client that reads none",
        2,
        |field| {
            let pattern = wire::frame(PING, &[b'p'; 125]).repeat(512);
            field.flood("/echo", 4, &pattern, Answers::Leave)?;
            Ok(())
        },
    ),
    Attack::new(
        "echoes-read-late",
        "50,000 answers of one byte that wait, and are then read",
        2,
        echoes_read_late,
    ),
    Attack::new(
        "wrong-utf8-and-again",
        "an upgrade, an error and a Close for every message",
        16,
        |field| wrong_and_again(field, "/echo", &wire::frame(TEXT, b"\xFF"), 1007),
    ),
    Attack::new(
        "wrong-frame-and-again",
        "an upgrade, an error and a Close for every frame",
        16,
        |field| wrong_and_again(field, "/ws?topic=own", &wire::frame(0x83, b""), 1002),
    ),
    Attack::new(
        "too-large-and-again",
        "an upgrade and a Close for every frame that promises too much",
        16,
        |field| wrong_and_again(field, "/echo", &wire::head(BINARY, 1 << 40), 1009),
    ),
];

const LARGE: &[&str] = &["--max-message-bytes", "67108864"];

/// What `LARGE` allows.
const MAX_MESSAGE: usize = 64 << 20;

/// Connections that promise `len` bytes and send one at a time.
fn trickle(field: &mut Field<'_>, connections: usize, len: u64, every: Duration) -> Result<()> {
    let opening = wire::head(BINARY, len);
    let mut crowd = field.crowd_after("/echo", connections, &opening)?;
    crowd.arm(&[b'x'; 4096], u64::MAX);
    let until = field.begin();
    crowd.trickle(until, 1, every)?;
    field.sent += crowd.sent;
    field.expect(crowd.ended() == 0, "who trickles was closed");
    Ok(())
}

/// To a relay, which answers with an error: what it costs to send that much back is no part of it.
fn message_of_64_mib(field: &mut Field<'_>) -> Result<()> {
    let mut paths = Vec::new();
    for user in 0..2 {
        paths.push(field.server.register(user, &["own".to_owned()])?);
    }
    let mut crowd = field.crowd(&paths)?;
    let message = wire::frame_of(BINARY, 7, MAX_MESSAGE);
    let until = field.begin();
    let cpu = field.server.cpu()?;
    let mut messages = 0;
    while messages == 0 || field.form.is_long && Instant::now() < until {
        crowd.arm_one(messages % 2, &message[..], 1);
        let answered = crowd.received;
        while crowd.received == answered && Instant::now() < until + ANSWERED_WITHIN {
            crowd.flood(Instant::now() + Duration::from_millis(5), Answers::Read)?;
        }
        messages += 1;
    }
    let each = (field.server.cpu()? - cpu) / u32::try_from(messages)?;
    field.sent += crowd.sent;
    let is_answered = crowd.received > 0 && crowd.ended() == 0;
    field.expect(is_answered, "the message of 64 MiB has no answer");
    let is_cheap = !field.form.is_long || each < Duration::from_millis(150);
    field.expect(is_cheap, format!("{each:?} CPU for each message of 64 MiB"));
    Ok(())
}

/// How long one of 64 MiB may take.
const ANSWERED_WITHIN: Duration = Duration::from_secs(20);

/// Connections that repeat messages and read the answers.
fn echo(field: &mut Field<'_>, path: &str, connections: usize, messages: &[u8]) -> Result<()> {
    let mut crowd = field.flood(path, connections, messages, Answers::Read)?;
    field.expect(crowd.ended() == 0, "an attacker was closed");
    field.expect_answer(&mut crowd)
}

fn echoes_read_late(field: &mut Field<'_>) -> Result<()> {
    let mut crowd = field.crowd(&vec!["/echo".to_owned(); 4])?;
    crowd.arm(&wire::frame(BINARY, b"x").repeat(5000), 10);
    let until = field.begin();
    while Instant::now() < until {
        let half = Instant::now() + (until - Instant::now()) / 2;
        crowd.flood(half, Answers::Leave)?;
        crowd.flood(half + Duration::from_millis(100), Answers::Read)?;
        if until - half < Duration::from_millis(100) {
            break;
        }
    }
    field.sent += crowd.sent;
    field.expect(crowd.ended() == 0, "who reads late was closed");
    Ok(())
}

/// Connections that are wrong at once, are told so, and come again.
fn wrong_and_again(field: &mut Field<'_>, path: &str, wrong: &[u8], code: u16) -> Result<()> {
    let bytes = [&wire::upgrade(path, "")[..], wrong, &wire::close(code)].concat();
    let until = field.begin();
    let last = field.churn(until, &bytes, Departure::Answered, 64)?;
    let codes = last.codes();
    field.expect(
        codes == [code],
        format!("closed with {codes:?}, not {code}"),
    );
    Ok(())
}
