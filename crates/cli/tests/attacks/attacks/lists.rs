//! Attacks by lists of publications: many messages, topics or errors in one request.

use anyhow::Result;

use super::{Attack, http::publish_to_subscribers};
use crate::{attack_run::AttackRun, wire::request};

pub(super) const ATTACKS: &[Attack] = &[
    Attack::new(
        "lists-in-a-row",
        "lists of 1,000 publications by HTTP to a topic with 200 subscribers",
        8,
        |run| publish(run, &list(1000, r#"{"topic":"own","message":"x"}"#)),
    )
    .filling_inboxes(),
    Attack::new(
        "lists-for-many-topics",
        "lists of 1,000 publications, each to 128 topics, to 200 subscribers of the last one",
        8,
        |run| {
            let names: Vec<_> = (1..128).map(|number| format!("\"t{number}\"")).collect();
            let topics = names.join(",");
            let item = format!("{{\"topics\":[{topics},\"own\"],\"message\":\"x\"}}");
            publish(run, &list(1000, &item))
        },
    )
    .filling_inboxes(),
    Attack::new(
        "lists-of-wrong-items",
        "lists of 1,000 items, each of which is answered with an error",
        2,
        |run| flood(run, &list(1000, "0")),
    ),
    Attack::new(
        "lists-of-one-large-item",
        "searching 1 MiB of escapes for the end of the only item of a list",
        2,
        |run| {
            let item = format!("\"{}\"", "\\\"".repeat(520_000));
            flood(run, &list(1, &item))
        },
    ),
    Attack::new(
        "lists-of-large-items",
        "parsing lists of 13 items of 80 KB, each of which repeats one topic",
        2,
        |run| {
            let topics = vec!["\"a\""; 20_000].join(",");
            let item = format!("{{\"topics\":[{topics}],\"message\":\"x\"}}");
            flood(run, &list(13, &item))
        },
    ),
];

/// Returns a JSON array of `count` times the same item.
fn list(count: usize, item: &str) -> String {
    format!("[{}]", vec![item; count].join(","))
}

/// Posts a list again and again on four connections, and checks that an answer comes.
fn flood(run: &mut AttackRun<'_>, list: &str) -> Result<()> {
    let mut crowd = run.flood_with_requests(4, &request("POST", "/publish", list))?;
    run.expect_answer(&mut crowd)
}

/// Posts a list again and again on connections whose topic `own` has 200 subscribers.
fn publish(run: &mut AttackRun<'_>, list: &str) -> Result<()> {
    publish_to_subscribers(run, &request("POST", "/publish", list))
}
