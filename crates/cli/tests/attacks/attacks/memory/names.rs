//! Attacks by names of topics: in topics, subscriptions and registrations.

use anyhow::Result;

use super::relays;
use crate::{
    attack_run::AttackRun,
    attacks::Attack,
    crowd::Crowd,
    wire::{self, TEXT, request},
};

pub(super) const ATTACKS: &[Attack] = &[
    Attack::on_memory(
        "memory-registrations",
        "registrations of 128 names of 255 bytes that nobody connects to",
        |run| registrations(run, &long_names("r")),
    )
    .with(SHORT_LIVED),
    Attack::on_memory(
        "memory-registrations-of-tiny-names",
        "registrations of 128 names of three bytes: the bookkeeping for a name",
        |run| {
            let names: Vec<_> = (100..228).map(|number| number.to_string()).collect();
            registrations(run, &names)
        },
    )
    .with(SHORT_LIVED),
    Attack::on_memory(
        "memory-registrations-without-topics",
        "registrations of 30 bytes: the bookkeeping for a registration",
        |run| register(run, r#"{"user_id":1,"topics":[]}"#),
    )
    .with(SHORT_LIVED),
    Attack::on_memory(
        "memory-topics-made-and-left",
        "a million topics that relays subscribe to and unsubscribe from, 128 at a time",
        |run| {
            topics_each_time(run, 1000, |relay, set| {
                names(&format!("{relay}-{set}-"), 128, 0)
            })
        },
    ),
    Attack::on_memory(
        "memory-long-topics-each-time",
        "relays that change to 128 other topics of 255 bytes with every message",
        |run| {
            topics_each_time(run, 200, |relay, set| {
                names(&format!("{relay}-{set}-"), 128, 240)
            })
        },
    ),
    Attack::on_memory(
        "memory-topics-of-their-own",
        "a million topics: 128 for each of 8,000 connections, without other subscribers",
        |run| {
            let path = |index: usize| wire::chat(&format!("{index}-"), 0..128);
            run.open_each_and_hold(8000, |index| wire::upgrade(&path(index), ""), b"")
        },
    ),
    Attack::on_memory(
        "memory-topics-of-long-names",
        "56 topics of 255 bytes for each of 2,000 connections, without other subscribers",
        |run| {
            let opening = |index: usize| {
                let names = names(&format!("{index}-"), 56, 240);
                let path = format!("/ws?topic={}", names.join("&topic="));
                wire::upgrade(&path, "")
            };
            run.open_each_and_hold(2000, opening, b"")
        },
    ),
    Attack::on_memory(
        "memory-subscriptions",
        "subscriptions to the same 128 topics for each of 2,000 connections",
        |run| run.open_and_hold(2000, &wire::upgrade(&wire::chat("t", 0..128), "")),
    ),
    Attack::on_memory(
        "memory-relays-that-stay",
        "registrations of long names, with a connection to each",
        relays_that_stay,
    )
    .with(SHORT_LIVED),
];

/// Option with which registrations expire before memory is measured again, 30 s after the attack.
const SHORT_LIVED: &[&str] = &["--registration-lifetime", "10s"];

/// Returns `count` names. Each consists of `prefix`, a number, and `longer` more bytes.
fn names(prefix: &str, count: usize, longer: usize) -> Vec<String> {
    let filler = "n".repeat(longer);
    let all = (0..count).map(|number| format!("{prefix}{number}{filler}"));
    all.collect()
}

/// Returns 128 names of 255 bytes.
fn long_names(prefix: &str) -> Vec<String> {
    let all = names(prefix, 128, 255).into_iter();
    all.map(|name| name[..255].to_owned()).collect()
}

fn registrations(run: &mut AttackRun<'_>, names: &[String]) -> Result<()> {
    let topics = names.join("\",\"");
    register(run, &format!("{{\"user_id\":1,\"topics\":[\"{topics}\"]}}"))
}

/// Posts the same registration on eight connections, 100,000 times in all, divided by the form's
/// divisor.
fn register(run: &mut AttackRun<'_>, body: &str) -> Result<()> {
    let mut crowd = run.connect_plain(8)?;
    let count = u64::try_from(run.scaled(100_000 / 8))?;
    crowd.set_pattern(&request("POST", "/register", body), count);
    let until = run.begin();
    run.hold_when_sent(crowd, until)
}

/// Has each of eight relays send `messages` messages, divided by the form's divisor. `topics`
/// returns the topics to which a relay changes with its n-th message.
fn topics_each_time(
    run: &mut AttackRun<'_>,
    messages: usize,
    topics: impl Fn(usize, usize) -> Vec<String>,
) -> Result<()> {
    let mut paths = Vec::new();
    for user in 0..8 {
        paths.push(run.server.register(user, &["own".to_owned()])?);
    }
    let mut crowd = Crowd::new(run.server.upgrade_all(&paths, "")?)?;
    for relay in 0..paths.len() {
        let sets = (0..run.scaled(messages)).map(|set| {
            let message = wire::topics_message(&topics(relay, set));
            wire::frame(TEXT, message.as_bytes())
        });
        let sets = sets.collect::<Vec<_>>().concat();
        crowd.set_pattern_of(relay, sets, 1);
    }
    let until = run.begin();
    run.hold_when_sent(crowd, until)
}

fn relays_that_stay(run: &mut AttackRun<'_>) -> Result<()> {
    let paths = relays(run, 1000)?;
    let until = run.begin();
    let topics = wire::topics_message(&long_names("stay"));
    let topics = wire::frame(TEXT, topics.as_bytes());
    let openings = paths.iter().map(|path| wire::upgrade(path, "").into());
    let mut crowd = run.connect_many(1000, openings)?;
    crowd.set_pattern(&topics, 1);
    run.hold_unread(crowd, until)
}
