//! Attacks by frames: large ones that come slowly, empty ones, and wrong ones.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::Attack;
use crate::{
    attack_run::{AttackRun, Departure},
    crowd::Answers,
    wire::{self, BINARY, FINAL, PING, PONG, TEXT},
};

pub(super) const ATTACKS: &[Attack] = &[
    Attack::new(
        "trickle-of-64-mib",
        "frames that announce 64 MiB and arrive byte by byte",
        1,
        |run| trickle(run, 8, MAX_MESSAGE as u64, Duration::from_millis(1)),
    )
    .with(LARGE),
    Attack::new(
        "trickle-of-64-kib",
        "frames that announce 64 KiB and arrive byte by byte",
        1,
        |run| trickle(run, 40, 65_536, Duration::from_millis(2)),
    ),
    Attack::new(
        "message-of-64-mib",
        "receiving a whole message of 64 MiB",
        1,
        message_of_64_mib,
    )
    .with(LARGE),
    Attack::new(
        "fragments-of-one-byte",
        "1,023 fragments of one byte for each message",
        2,
        |run| {
            let fragments = vec![&b"x"[..]; 1023];
            echo(run, "/echo", 4, &wire::fragments(TEXT, &fragments))
        },
    ),
    Attack::new(
        "fragments-of-no-byte",
        "1,023 empty fragments for each message",
        2,
        |run| {
            let fragments = vec![&b""[..]; 1023];
            echo(run, "/echo", 4, &wire::fragments(BINARY, &fragments))
        },
    ),
    Attack::new(
        "fragments-as-they-are",
        "an echo of each fragment of one byte",
        2,
        |run| {
            let fragments = vec![&b"x"[..]; 1023];
            echo(run, "/echo/raw", 4, &wire::fragments(TEXT, &fragments))
        },
    ),
    Attack::new(
        "code-points-cut-in-two",
        "checking text whose fragments end inside its characters",
        2,
        |run| {
            let halves = [&b"\xE2\x82"[..], b"\xAC\xE2", b"\x82\xAC"].repeat(300);
            echo(run, "/echo", 4, &wire::fragments(TEXT, &halves))
        },
    ),
    Attack::new(
        "empty-messages",
        "an echo of every empty message, 6 bytes on the wire",
        2,
        |run| echo(run, "/echo", 4, &wire::frame(TEXT, b"").repeat(8192)),
    ),
    Attack::new(
        "pings-between-messages",
        "a Pong for every Ping",
        2,
        |run| echo(run, "/echo", 4, &wire::frame(PING, b"").repeat(8192)),
    ),
    Attack::new(
        "pings-inside-a-message",
        "a Pong for every Ping after the first fragment of a message",
        2,
        |run| {
            let opening = wire::frame(TEXT & !FINAL, b"x");
            let crowd = run.connect_and_send("/echo", 4, &opening)?;
            let pattern = wire::frame(PING, b"").repeat(8192);
            let crowd = run.flood_with(crowd, &pattern, Answers::Read)?;
            run.expect(crowd.ended() == 0, "a client that sends Pings was closed");
            Ok(())
        },
    ),
    Attack::new(
        "pongs-unasked",
        "unsolicited Pongs, which need no answer",
        2,
        |run| {
            let crowd = run.connect_and_send("/echo", 4, b"")?;
            let pattern = wire::frame(PONG, b"").repeat(8192);
            let crowd = run.flood_with(crowd, &pattern, Answers::Read)?;
            run.expect(crowd.ended() == 0, "a client that sends Pongs was closed");
            Ok(())
        },
    ),
    Attack::new(
        "pings-nobody-reads",
        "Pongs that wait for a client that reads nothing",
        2,
        |run| {
            let pattern = wire::frame(PING, &[b'p'; 125]).repeat(512);
            run.flood("/echo", 4, &pattern, Answers::Ignore)?;
            Ok(())
        },
    ),
    Attack::new(
        "echoes-read-late",
        "50,000 echoes of one byte that wait and are then read",
        2,
        echoes_read_late,
    ),
    Attack::new(
        "wrong-utf8-and-again",
        "a handshake, an error and a Close for every message",
        16,
        |run| wrong_and_again(run, "/echo", &wire::frame(TEXT, b"\xFF"), 1007),
    ),
    Attack::new(
        "wrong-frame-and-again",
        "a handshake, an error and a Close for every frame",
        16,
        // FIN and the reserved opcode 3.
        |run| wrong_and_again(run, "/ws?topic=own", &wire::frame(0x83, b""), 1002),
    ),
    Attack::new(
        "too-large-and-again",
        "a handshake and a Close for every frame that announces too many bytes",
        16,
        |run| wrong_and_again(run, "/echo", &wire::head(BINARY, 1 << 40), 1009),
    ),
];

const LARGE: &[&str] = &["--max-message-bytes", "67108864"];

/// Largest message that `LARGE` allows, in bytes.
const MAX_MESSAGE: usize = 64 << 20;

/// Has connections announce frames of `len` bytes and send one byte of them in each interval of
/// length `every`.
fn trickle(run: &mut AttackRun<'_>, connections: usize, len: u64, every: Duration) -> Result<()> {
    let opening = wire::head(BINARY, len);
    let mut crowd = run.connect_and_send("/echo", connections, &opening)?;
    crowd.set_pattern(&[b'x'; 4096], u64::MAX);
    let until = run.begin();
    crowd.trickle(until, 1, every)?;
    run.sent += crowd.sent;
    run.expect(crowd.ended() == 0, "a client that sends slowly was closed");
    Ok(())
}

/// Sends binary messages of 64 MiB as a relay. The server replies with a short error, so that the
/// cost of sending 64 MiB back does not count. Checks the CPU time for each message in the long
/// form.
fn message_of_64_mib(run: &mut AttackRun<'_>) -> Result<()> {
    let mut paths = Vec::new();
    for user in 0..2 {
        paths.push(run.server.register(user, &["own".to_owned()])?);
    }
    let mut crowd = run.connect(&paths)?;
    let message = wire::frame_of(BINARY, 7, MAX_MESSAGE);
    let until = run.begin();
    let cpu = run.server.cpu()?;
    let mut messages = 0;
    while messages == 0 || run.form.is_long && Instant::now() < until {
        crowd.set_pattern_of(messages % 2, &message[..], 1);
        let answered = crowd.received;
        while crowd.received == answered && Instant::now() < until + ANSWERED_WITHIN {
            crowd.flood(Instant::now() + Duration::from_millis(5), Answers::Read)?;
        }
        messages += 1;
    }
    let each = (run.server.cpu()? - cpu) / u32::try_from(messages)?;
    run.sent += crowd.sent;
    let is_answered = crowd.received > 0 && crowd.ended() == 0;
    run.expect(is_answered, "the message of 64 MiB has no answer");
    let is_cheap = !run.form.is_long || each < Duration::from_millis(150);
    run.expect(is_cheap, format!("{each:?} CPU for each message of 64 MiB"));
    Ok(())
}

/// Time within which a message of 64 MiB must be answered.
const ANSWERED_WITHIN: Duration = Duration::from_secs(20);

/// Has connections repeat messages and read the echoes.
fn echo(run: &mut AttackRun<'_>, path: &str, connections: usize, messages: &[u8]) -> Result<()> {
    let mut crowd = run.flood(path, connections, messages, Answers::Read)?;
    run.expect(crowd.ended() == 0, "an attacker was closed");
    run.expect_answer(&mut crowd)
}

/// Sends up to 50,000 messages on each of four connections: without reading for half of the time
/// that is left, then for 100 ms while reading the echoes, and so on until the attack is over.
fn echoes_read_late(run: &mut AttackRun<'_>) -> Result<()> {
    let mut crowd = run.connect(&vec!["/echo".to_owned(); 4])?;
    crowd.set_pattern(&wire::frame(BINARY, b"x").repeat(5000), 10);
    let until = run.begin();
    while Instant::now() < until {
        let half = Instant::now() + (until - Instant::now()) / 2;
        crowd.flood(half, Answers::Ignore)?;
        crowd.flood(half + Duration::from_millis(100), Answers::Read)?;
        if until - half < Duration::from_millis(100) {
            break;
        }
    }
    run.sent += crowd.sent;
    run.expect(crowd.ended() == 0, "a client that reads late was closed");
    Ok(())
}

/// Opens connections again and again, and sends the bytes `wrong` on each after the handshake.
/// Expects that the server closes them with `code`.
fn wrong_and_again(run: &mut AttackRun<'_>, path: &str, wrong: &[u8], code: u16) -> Result<()> {
    let bytes = [&wire::upgrade(path, "")[..], wrong, &wire::close(code)].concat();
    let until = run.begin();
    let last = run.churn(until, &bytes, Departure::Answered, 64)?;
    let codes = last.codes();
    run.expect(
        codes == [code],
        format!("closed with {codes:?}, not {code}"),
    );
    Ok(())
}
