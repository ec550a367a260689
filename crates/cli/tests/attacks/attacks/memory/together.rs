//! All that is aimed at memory, at once.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;

use crate::{
    attacks::{Aim, Attack},
    field::Field,
};

pub(super) const ATTACKS: &[Attack] = &[Attack {
    aim: Aim::MemoryInCgroup,
    ..Attack::on_memory(
        "memory-all-at-once",
        "all of these attacks at once, again and again for a minute",
        all_at_once,
    )
    .with(&[
        "--deflate",
        "--deflate-contexts",
        "100",
        "--max-message-bytes",
        "1048576",
        "--registration-lifetime",
        "10s",
        "--log",
        "debug",
    ])
}];

fn all_at_once(field: &mut Field<'_>) -> Result<()> {
    field.begin();
    let until = Instant::now() + field.form.together;
    let parts = thread::scope(|scope| {
        let running = super::each().map(|attack| {
            let part = field.for_one_of_many();
            scope.spawn(move || again_and_again(attack, part, until))
        });
        let running: Vec<_> = running.collect();
        let parts = running.into_iter().filter_map(|part| part.join().ok());
        parts.collect::<Vec<_>>()
    });
    let begun = parts.iter().filter(|part| part.sent > 0).count();
    // The others were turned away each time, for want of memory.
    field.expect(
        begun >= parts.len() / 2,
        format!("{begun} of {} attacks have begun", parts.len()),
    );
    for part in parts {
        field.sent += part.sent;
        field.held.extend(part.held);
    }
    Ok(())
}

/// An attack that is turned away comes back, and so does one that is over.
fn again_and_again<'a>(attack: &Attack, mut part: Field<'a>, until: Instant) -> Field<'a> {
    while Instant::now() < until {
        part.held.clear();
        if (attack.drive)(&mut part).is_err() {
            // Not to wait for anything: it is turned away at most so often.
            thread::sleep(Duration::from_millis(100));
        }
    }
    part
}
