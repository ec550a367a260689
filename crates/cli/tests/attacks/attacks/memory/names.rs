//! What names hold: topics, subscriptions and registrations.

use anyhow::Result;

use super::relays;
use crate::{
    attacks::Attack,
    crowd::Crowd,
    field::Field,
    wire::{self, TEXT, request},
};

pub(super) const ATTACKS: &[Attack] = &[
    Attack::on_memory(
        "memory-registrations",
        "registrations of 128 names of 255 bytes that nobody connects to",
        |field| registrations(field, &long_names("r")),
    )
    .with(FORGETFUL),
    Attack::on_memory(
        "memory-registrations-of-tiny-names",
        "registrations of 128 names of three bytes: what is known of a name beside its bytes",
        |field| {
            let names: Vec<_> = (100..228).map(|number| number.to_string()).collect();
            registrations(field, &names)
        },
    )
    .with(FORGETFUL),
    Attack::on_memory(
        "memory-registrations-without-topics",
        "registrations of 30 bytes: what is known of one beside its names",
        |field| register(field, r#"{"user_id":1,"topics":[]}"#),
    )
    .with(FORGETFUL),
    Attack::on_memory(
        "memory-topics-made-and-left",
        "a million topics that relays enter and leave, 128 at a time",
        |field| {
            topics_each_time(field, 1000, |relay, set| {
                names(&format!("{relay}-{set}-"), 128, 0)
            })
        },
    ),
    Attack::on_memory(
        "memory-long-topics-each-time",
        "relays that enter 128 other topics of 255 bytes each time",
        |field| {
            topics_each_time(field, 200, |relay, set| {
                names(&format!("{relay}-{set}-"), 128, 240)
            })
        },
    ),
    Attack::on_memory(
        "memory-topics-of-their-own",
        "a million topics: 128 for each of 8,000, which nobody else is in",
        |field| {
            let path = |index: usize| wire::chat(&format!("{index}-"), 0..128);
            field.left_alone_each(8000, |index| wire::upgrade(&path(index), ""), b"")
        },
    ),
    Attack::on_memory(
        "memory-topics-of-long-names",
        "56 topics of 255 bytes for each of 2,000, which nobody else is in",
        |field| {
            let opening = |index: usize| {
                let names = names(&format!("{index}-"), 56, 240);
                let path = format!("/ws?topic={}", names.join("&topic="));
                wire::upgrade(&path, "")
            };
            field.left_alone_each(2000, opening, b"")
        },
    ),
    Attack::on_memory(
        "memory-subscriptions",
        "places in the same 128 topics for each of 2,000",
        |field| field.left_alone(2000, &wire::upgrade(&wire::chat("t", 0..128), "")),
    ),
    Attack::on_memory(
        "memory-relays-that-stay",
        "registrations of long names, with somebody connected to each",
        relays_that_stay,
    )
    .with(FORGETFUL),
];

/// Registrations are forgotten while it is waited for what remains.
const FORGETFUL: &[&str] = &["--registration-lifetime", "10s"];

/// So many names that begin with this, and are longer by some bytes.
fn names(prefix: &str, count: usize, longer: usize) -> Vec<String> {
    let filler = "n".repeat(longer);
    let all = (0..count).map(|number| format!("{prefix}{number}{filler}"));
    all.collect()
}

fn long_names(prefix: &str) -> Vec<String> {
    let all = names(prefix, 128, 255).into_iter();
    all.map(|name| name[..255].to_owned()).collect()
}

fn registrations(field: &mut Field<'_>, names: &[String]) -> Result<()> {
    let topics = names.join("\",\"");
    register(
        field,
        &format!("{{\"user_id\":1,\"topics\":[\"{topics}\"]}}"),
    )
}

/// As many as the server takes.
fn register(field: &mut Field<'_>, body: &str) -> Result<()> {
    let mut crowd = field.plain(8)?;
    let count = u64::try_from(field.many(100_000 / 8))?;
    crowd.arm(&request("POST", "/register", body), count);
    let until = field.begin();
    field.work_off(crowd, until)
}

/// Eight relays are in other topics after each of so many messages.
fn topics_each_time(
    field: &mut Field<'_>,
    messages: usize,
    topics: impl Fn(usize, usize) -> Vec<String>,
) -> Result<()> {
    let mut paths = Vec::new();
    for user in 0..8 {
        paths.push(field.server.register(user, &["own".to_owned()])?);
    }
    let mut crowd = Crowd::new(field.server.upgrade_all(&paths, "")?)?;
    for relay in 0..paths.len() {
        let sets = (0..field.many(messages)).map(|set| {
            let message = wire::topics_message(&topics(relay, set));
            wire::frame(TEXT, message.as_bytes())
        });
        let sets = sets.collect::<Vec<_>>().concat();
        crowd.arm_one(relay, sets, 1);
    }
    let until = field.begin();
    field.work_off(crowd, until)
}

fn relays_that_stay(field: &mut Field<'_>) -> Result<()> {
    let paths = relays(field, 1000)?;
    let until = field.begin();
    let topics = wire::topics_message(&long_names("stay"));
    let topics = wire::frame(TEXT, topics.as_bytes());
    let openings = paths.iter().map(|path| wire::upgrade(path, "").into());
    let mut crowd = field.masses(1000, openings)?;
    crowd.arm(&topics, 1);
    field.stay(crowd, until)
}
