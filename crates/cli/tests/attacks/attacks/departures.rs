//! Attacks by connections that end at the same time, or stop reading.

use std::{
    io::Write,
    net::Shutdown,
    time::{Duration, Instant},
};

use anyhow::Result;
use socket2::SockRef;

use super::Attack;
use crate::{
    attack_run::AttackRun,
    crowd::{Answers, Crowd},
    wire::{self, BINARY, Random, TEXT},
};

pub(super) const ATTACKS: &[Attack] = &[
    Attack::new(
        "all-go-at-once",
        "hundreds of connections with 128 topics each that end at the same time",
        1,
        all_go_at_once,
    ),
    Attack::new(
        "all-close-at-once",
        "answering hundreds of Closes at the same time",
        1,
        all_close_at_once,
    ),
    Attack::new(
        "slow-consumers-at-once",
        "closing 200 slow consumers at the same time",
        1,
        slow_consumers_at_once,
    )
    .with(&["--slow-after", "200ms"]),
    Attack::new(
        "silent-all-at-once",
        "hundreds of Pings at the same time, and closing all those connections without a Pong",
        1,
        silent_all_at_once,
    )
    .with(&["--ping-after", "200ms", "--pong-within", "1s"]),
    Attack::new(
        "half-closed",
        "publications followed at once by a FIN",
        16,
        half_closed,
    ),
    Attack::new(
        "small-messages-read-late",
        "outboxes that fill with 20,000 small messages each and are then read",
        2,
        small_messages_read_late,
    ),
];

/// Connects clients with 128 topics each, and drops all connections together.
fn all_go_at_once(run: &mut AttackRun<'_>) -> Result<()> {
    let count = if run.form.is_long { 1500 } else { 300 };
    let crowd = run.connect(&vec![wire::chat("t", 0..128); count])?;
    let until = run.begin();
    drop(crowd);
    wait_until(run, until)
}

/// Connects clients with 128 topics each, which all send a Close together. Expects that the server
/// answers every Close.
fn all_close_at_once(run: &mut AttackRun<'_>) -> Result<()> {
    let count = if run.form.is_long { 1500 } else { 300 };
    let mut crowd = run.connect(&vec![wire::chat("t", (0..128).rev()); count])?;
    crowd.set_pattern(&wire::close(1000), 1);
    let until = run.begin();
    crowd.flood(until + OUTCOME_WITHIN, Answers::Read)?;
    run.sent += crowd.sent;
    let (ended, codes) = (crowd.ended(), crowd.codes());
    let is_answered = ended == count && codes == [1000];
    run.expect(
        is_answered,
        format!("{ended} of {count} closed, with {codes:?}"),
    );
    wait_until(run, until)
}

/// Waits until `until`, the end of the attack. Holds a connection open meanwhile, on which nothing
/// is sent.
fn wait_until(run: &AttackRun<'_>, until: Instant) -> Result<()> {
    let mut idle = run.connect_plain(1)?;
    idle.flood(until, Answers::Read)
}

/// Publishes to 200 subscribers that do not read. Stops when the server counts all of them as slow
/// consumers, and expects that all are closed.
fn slow_consumers_at_once(run: &mut AttackRun<'_>) -> Result<()> {
    let paths = vec!["/ws?topic=own".to_owned(); 200];
    let sockets = run.server.upgrade_all(&paths, "")?;
    for socket in &sockets {
        // A small buffer, so that messages wait in the server and not in the kernel.
        SockRef::from(socket).set_recv_buffer_size(16 * 1024)?;
    }
    let mut consumers = Crowd::new(sockets)?;
    let mut publisher = run.connect(&["/ws?topic=own".to_owned()])?;
    // 10 MB, more than the 8 MiB that may wait for one subscriber.
    publisher.set_pattern(&wire::frame(BINARY, &Random(7).bytes(60_000)), 170);
    let until = run.begin();
    while Instant::now() < until + OUTCOME_WITHIN && run.server.health("slow_consumers") < Some(200)
    {
        publisher.flood(Instant::now() + Duration::from_millis(100), Answers::Read)?;
    }
    run.sent += publisher.sent;
    // The subscribers, which send nothing, now read on to their ends.
    consumers.flood(until + OUTCOME_WITHIN, Answers::Read)?;
    let ended = consumers.ended();
    run.expect(ended == 200, format!("{ended} of 200 slow consumers ended"));
    Ok(())
}

/// Time after the attack within which all connections must have ended.
const OUTCOME_WITHIN: Duration = Duration::from_secs(20);

/// Connects clients that answer no Ping, and expects that all are closed with 4012.
fn silent_all_at_once(run: &mut AttackRun<'_>) -> Result<()> {
    let count = if run.form.is_long { 1500 } else { 300 };
    let mut crowd = run.connect(&vec!["/ws?topic=own".to_owned(); count])?;
    let until = run.begin();
    crowd.flood(until + OUTCOME_WITHIN, Answers::Read)?;
    let (ended, codes) = (crowd.ended(), crowd.codes());
    let is_ended = ended == count && codes.iter().all(|&code| code == 4012);
    run.expect(
        is_ended,
        format!("{ended} of {count} ended, with {codes:?}"),
    );
    wait_until(run, until)
}

/// Connects batches of 32 clients that each publish 100 messages and shut their sending side down.
fn half_closed(run: &mut AttackRun<'_>) -> Result<()> {
    let mut burst = wire::upgrade("/ws?topic=own", "");
    burst.extend(wire::frame(TEXT, b"x").repeat(100));
    let until = run.begin();
    while Instant::now() < until {
        let mut sockets = Vec::new();
        for _ in 0..32 {
            let mut socket = run.server.dial()?;
            socket.write_all(&burst)?;
            socket.shutdown(Shutdown::Write)?;
            run.sent += burst.len() as u64;
            sockets.push(socket);
        }
        let mut crowd = Crowd::new(sockets)?;
        crowd.flood(Instant::now() + Duration::from_millis(500), Answers::Read)?;
    }
    Ok(())
}

/// Publishes 20,000 messages of one byte in the first half of the attack, while 40 subscribers do
/// not read, so that their outboxes fill. In the second half the subscribers read all of them.
fn small_messages_read_late(run: &mut AttackRun<'_>) -> Result<()> {
    let mut subscribers = run.connect(&vec!["/ws?topic=own".to_owned(); 40])?;
    let mut publisher = run.connect(&["/ws?topic=other&topic=own".to_owned()])?;
    publisher.set_pattern(&wire::frame(TEXT, b"x").repeat(1000), 20);
    let until = run.begin();
    let half = Instant::now() + run.form.attack / 2;
    publisher.flood(half, Answers::Read)?;
    subscribers.flood(until, Answers::Read)?;
    run.sent += publisher.sent;
    Ok(())
}
