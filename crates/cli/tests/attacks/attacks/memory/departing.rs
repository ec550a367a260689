//! What is held of those who go: closings that take their time, and what remains of crowds.

use std::{thread, time::Instant};

use anyhow::Result;

use super::own;
use crate::{
    attacks::Attack,
    field::{Departure, Field},
    wire::{self, BINARY, FINAL, Random, TEXT},
};

pub(super) const ATTACKS: &[Attack] = &[
    Attack::on_memory(
        "memory-half-closed",
        "what is still to be written to those who send no more, and read nothing",
        half_closed,
    ),
    Attack::on_memory(
        "memory-closes-unanswered",
        "those who were closed for what they sent, and do not answer",
        |field| {
            let words = wire::frame(BINARY, &Random(15).bytes(60_000)).repeat(8);
            let wrong = wire::frame(0x83, b"");
            let all = [words, wrong].concat();
            field.left_alone_each(1500, own, &all)
        },
    ),
    Attack::on_memory(
        "memory-words-behind-a-close",
        "what is sent behind a Close",
        |field| {
            let words = wire::frame(TEXT, &[b'x'; 1000]).repeat(2000);
            let all = [wire::close(1000), words].concat();
            field.left_alone_each(1500, own, &all)
        },
    ),
    Attack::on_memory(
        "memory-upgrades-and-resets",
        "what remains of thousands who connected, and were gone at once",
        |field| {
            let until = field.begin();
            let bytes = wire::upgrade(&wire::chat("own", 0..32), "");
            let last = field.churn(until, &bytes, Departure::AtOnce, 64)?;
            field.hold(last);
            Ok(())
        },
    ),
    Attack::on_memory(
        "memory-log-unread",
        "lines of the log for every connection, to a pipe that is full",
        |field| {
            let until = field.begin();
            let bytes = [wire::upgrade("/ws?topic=own", ""), wire::close(1000)].concat();
            let last = field.churn(until, &bytes, Departure::AtOnce, 64)?;
            field.hold(last);
            Ok(())
        },
    )
    .with(&["--log", "debug"]),
    Attack::on_memory(
        "memory-a-crowd-three-times",
        "what remains of a crowd, and whether it grows with each",
        a_crowd_three_times,
    ),
];

fn half_closed(field: &mut Field<'_>) -> Result<()> {
    let words = wire::frame(BINARY, &Random(14).bytes(60_000)).repeat(8);
    let until = field.begin();
    let mut crowd = field.masses(1500, (0..).map(|index| own(index).into()))?;
    crowd.arm(&words, 1);
    crowd.pour(until)?;
    crowd.half_close();
    field.stay(crowd, until)
}

/// 6,000 who are in a topic of their own, with 16 KiB of a message that is not finished.
fn a_crowd_three_times(field: &mut Field<'_>) -> Result<()> {
    field.begin();
    let resident = |field: &Field<'_>| field.server.resident_kib();
    let before = resident(field)?;
    let (mut most, mut left) = (0, Vec::new());
    let part = wire::frame(BINARY & !FINAL, &Random(16).bytes(16_000));
    for _ in 0..3 {
        let mut crowd = field.masses(6000, (0..).map(|index| own(index).into()))?;
        crowd.arm(&part, 1);
        crowd.pour(Instant::now() + field.form.attack)?;
        field.stay(crowd, Instant::now())?;
        most = resident(field)?.max(most);
        field.held.clear();
        if let Some(rest) = field.form.rest {
            // Not to wait for anything: this is when it is measured.
            thread::sleep(rest);
            left.push(resident(field)?);
        }
    }
    if let [first, second, third] = left[..] {
        let added = most.saturating_sub(before);
        let [first_kib, third_kib] = [first, third].map(|left| left.saturating_sub(before));
        field.expect(
            first_kib <= added / 10,
            format!("{first_kib} KiB of the {added} that a crowd added remain"),
        );
        let most = second + SOME_KIB;
        field.expect(
            third <= most,
            format!("the third crowd leaves {third_kib} KiB, the second {second}"),
        );
    }
    Ok(())
}

/// Pages that come and go without a reason.
const SOME_KIB: u64 = 1024;
