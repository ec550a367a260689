//! All attacks on memory at the same time.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;

use crate::{
    attack_run::AttackRun,
    attacks::{Aim, Attack},
};

pub(super) const ATTACKS: &[Attack] = &[Attack {
    aim: Aim::MemoryInCgroup,
    ..Attack::on_memory(
        "memory-all-at-once",
        "all of these attacks at the same time, repeated for a minute",
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

/// Runs every other attack on memory in a thread, again and again, and expects that at least half
/// of them could begin.
fn all_at_once(run: &mut AttackRun<'_>) -> Result<()> {
    run.begin();
    let until = Instant::now() + run.form.together;
    let parts = thread::scope(|scope| {
        let running = super::each().map(|attack| {
            let part = run.for_parallel_attack();
            scope.spawn(move || repeat_until(attack, part, until))
        });
        let running: Vec<_> = running.collect();
        let parts = running.into_iter().filter_map(|part| part.join().ok());
        parts.collect::<Vec<_>>()
    });
    let begun = parts.iter().filter(|part| part.sent > 0).count();
    // The other attacks could not begin: the server refused them each time, for lack of memory.
    run.expect(
        begun >= parts.len() / 2,
        format!("{begun} of {} attacks have begun", parts.len()),
    );
    for part in parts {
        run.sent += part.sent;
        run.held.extend(part.held);
    }
    Ok(())
}

/// Repeats an attack until `until`, also if the server refuses its connections.
fn repeat_until<'a>(attack: &Attack, mut part: AttackRun<'a>, until: Instant) -> AttackRun<'a> {
    while Instant::now() < until {
        part.held.clear();
        if (attack.drive)(&mut part).is_err() {
            // A pause, so that a refused attack does not busy-loop; nothing is waited for.
            thread::sleep(Duration::from_millis(100));
        }
    }
    part
}
