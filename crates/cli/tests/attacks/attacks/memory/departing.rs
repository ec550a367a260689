//! Attacks by connections that end: unfinished close handshakes, and what remains of crowds.

use std::{thread, time::Instant};

use anyhow::Result;

use super::own_topic;
use crate::{
    attack_run::{AttackRun, Departure},
    attacks::Attack,
    wire::{self, BINARY, FINAL, Random, TEXT},
};

pub(super) const ATTACKS: &[Attack] = &[
    Attack::on_memory(
        "memory-half-closed",
        "messages still to be written to clients that have sent a FIN and read nothing",
        half_closed,
    ),
    Attack::on_memory(
        "memory-closes-unanswered",
        "connections closed for a protocol error that do not answer the Close",
        |run| {
            let messages = wire::frame(BINARY, &Random(15).bytes(60_000)).repeat(8);
            // FIN and the reserved opcode 3.
            let wrong = wire::frame(0x83, b"");
            let all = [messages, wrong].concat();
            run.open_each_and_hold(1500, own_topic, &all)
        },
    ),
    Attack::on_memory(
        "memory-words-behind-a-close",
        "messages sent after a Close",
        |run| {
            let messages = wire::frame(TEXT, &[b'x'; 1000]).repeat(2000);
            let all = [wire::close(1000), messages].concat();
            run.open_each_and_hold(1500, own_topic, &all)
        },
    ),
    Attack::on_memory(
        "memory-upgrades-and-resets",
        "what remains of thousands of connections that were reset at once",
        |run| {
            let until = run.begin();
            let bytes = wire::upgrade(&wire::chat("own", 0..32), "");
            let last = run.churn(until, &bytes, Departure::AtOnce, 64)?;
            run.hold(last);
            Ok(())
        },
    ),
    Attack::on_memory(
        "memory-log-unread",
        "log lines for every connection, written to a pipe that is full",
        |run| {
            let until = run.begin();
            let bytes = [wire::upgrade("/ws?topic=own", ""), wire::close(1000)].concat();
            let last = run.churn(until, &bytes, Departure::AtOnce, 64)?;
            run.hold(last);
            Ok(())
        },
    )
    .with(&["--log", "debug"]),
    Attack::on_memory(
        "memory-a-crowd-three-times",
        "what remains of 6,000 connections, and whether it grows with each such crowd",
        a_crowd_three_times,
    ),
];

fn half_closed(run: &mut AttackRun<'_>) -> Result<()> {
    let messages = wire::frame(BINARY, &Random(14).bytes(60_000)).repeat(8);
    let until = run.begin();
    let mut crowd = run.connect_many(1500, (0..).map(|index| own_topic(index).into()))?;
    crowd.set_pattern(&messages, 1);
    crowd.send_remaining(until)?;
    crowd.half_close();
    run.hold_unread(crowd, until)
}

/// Connects 6,000 clients three times, each with a topic of its own and 16 KB of an unfinished
/// message.
fn a_crowd_three_times(run: &mut AttackRun<'_>) -> Result<()> {
    run.begin();
    let resident = |run: &AttackRun<'_>| run.server.resident_kib();
    let before = resident(run)?;
    // Resident memory in KiB: the largest with a crowd, and that after each crowd.
    let (mut most, mut left) = (0, Vec::new());
    let part = wire::frame(BINARY & !FINAL, &Random(16).bytes(16_000));
    for _ in 0..3 {
        let mut crowd = run.connect_many(6000, (0..).map(|index| own_topic(index).into()))?;
        crowd.set_pattern(&part, 1);
        crowd.send_remaining(Instant::now() + run.form.attack)?;
        run.hold_unread(crowd, Instant::now())?;
        most = resident(run)?.max(most);
        run.held.clear();
        if let Some(settle_time) = run.form.settle_time {
            // The memory is measured after this time. No event is waited for.
            thread::sleep(settle_time);
            left.push(resident(run)?);
        }
    }
    if let [first, second, third] = left[..] {
        let added = most.saturating_sub(before);
        let [first_kib, third_kib] = [first, third].map(|left| left.saturating_sub(before));
        run.expect(
            first_kib <= added / 10,
            format!("{first_kib} KiB of the {added} that a crowd added remain"),
        );
        let most = second + RESIDENT_SLACK_KIB;
        run.expect(
            third <= most,
            format!("the third crowd leaves {third_kib} KiB, the second {second}"),
        );
    }
    Ok(())
}

/// Resident memory in KiB by which two measurements may differ without a cause.
const RESIDENT_SLACK_KIB: u64 = 1024;
