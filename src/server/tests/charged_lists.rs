//! Tests of what a list of publications is charged with while it waits.

use std::{io::Write, sync::Arc};

use crate::server::tests::{
    Scene, dial, handshake, read_head,
    served::{eventually, expect},
};

/// Bytes that are charged for the outcomes of a [`long_list`], and for the list itself. The budget
/// knows them to 16 KiB, because a shard reports no smaller change.
const OUTCOME_BYTES: u64 = 1_000 * 512 - 2 * 16 * 1024;
const LIST_BYTES: u64 = 1024 * 1024;

/// Returns a list of 1,000 messages and 1 MiB. The first message is for `t`, the last one for `end`.
fn long_list() -> String {
    let item = |topic| format!(r#"{{"topic": "{topic}", "message": "x"}}"#);
    let items = [item("t"), vec![item("u"); 998].join(","), item("end")].join(",");
    let padding = " ".repeat(1024 * 1024 - items.len() - 2);
    format!("[{items}{padding}]")
}

#[test]
fn a_list_that_waits_for_a_permit_is_charged_with_its_bytes_and_its_outcomes() {
    let mut scene = Scene::new();
    let budget = Arc::clone(scene.hub.budget());
    let release = scene.hold_up();
    let _filled = scene.fill();
    let before = budget.held();
    scene.send_post(&long_list());
    eventually("both are charged", || {
        budget.held() >= before + LIST_BYTES + OUTCOME_BYTES
    });
    drop(release);
    assert!(scene.read_answer().starts_with("200 "));
}

#[test]
fn a_list_that_is_published_and_not_counted_yet_is_charged_with_its_outcomes_alone() {
    let mut scene = Scene::new();
    let budget = Arc::clone(scene.hub.budget());
    // Connections go to the shards in turn. The second one is on the shard that is not held up.
    let (_first, mut second) = (dial(scene.address), dial(scene.address));
    second
        .write_all(handshake("/ws?topic=end").as_bytes())
        .unwrap();
    assert!(read_head(&mut second).starts_with("HTTP/1.1 101 "));
    let release = scene.hold_up();
    let before = budget.held();
    scene.send_post(&long_list());
    expect(&mut second, b"\x81\x01x");
    eventually("the list is not charged any more", || {
        budget.held() < before + LIST_BYTES
    });
    assert!(budget.held() >= before + OUTCOME_BYTES);
    drop(release);
    assert!(scene.read_answer().starts_with("200 "));
}
