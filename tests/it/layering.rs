//! The dependency rule: arrows point one way, floor by floor. Executable.

use std::{fs, path::Path};

use crate::sources::{ROOT, code, files, named, product, relative};

/// Each module of the library, and the modules of it that it may name. What the other crates may name
/// is in their `Cargo.toml`.
const FLOORS: &[(&str, &[&str])] = &[
    ("authority", &[]),
    ("config", &["authority", "wire"]),
    ("message", &["wire"]),
    ("metrics", &["disconnect"]),
    ("topic", &[]),
    ("user", &[]),
    ("disconnect", &["wire"]),
    ("wire", &[]),
    (
        "hub",
        &[
            "config",
            "disconnect",
            "error",
            "message",
            "metrics",
            "topic",
            "user",
            "wire",
        ],
    ),
    (
        "protocol",
        &["disconnect", "hub", "message", "topic", "user", "wire"],
    ),
    (
        "connection",
        &[
            "config",
            "disconnect",
            "hub",
            "message",
            "protocol",
            "topic",
            "user",
            "wire",
        ],
    ),
    ("error", &["config"]),
    (
        "subscription",
        &[
            "connection",
            "disconnect",
            "hub",
            "message",
            "protocol",
            "topic",
            "user",
            "wire",
        ],
    ),
    (
        "server",
        &[
            "authority",
            "config",
            "connection",
            "disconnect",
            "error",
            "hub",
            "message",
            "metrics",
            "protocol",
            "topic",
            "user",
            "wire",
        ],
    ),
    (
        "internals",
        &[
            "connection",
            "disconnect",
            "hub",
            "protocol",
            "server",
            "topic",
            "user",
            "wire",
        ],
    ),
];

/// The same for the modules of the hub; `mod` is what is in `mod.rs` itself, which may name all of them.
const HUB_FLOORS: &[(&str, &[&str])] = &[
    ("ids", &[]),
    ("capacity", &[]),
    ("measured", &[]),
    ("unmeasured", &[]),
    ("bounds", &[]),
    ("publication", &["bounds", "ids", "capacity"]),
    ("peer", &["bounds", "ids", "measured", "publication"]),
    (
        "shard",
        &[
            "bounds",
            "ids",
            "measured",
            "peer",
            "publication",
            "capacity",
        ],
    ),
    (
        "handle",
        &["bounds", "ids", "measured", "peer", "publication", "shard"],
    ),
    ("drain", &["bounds", "mod"]),
    ("watching", &["mod"]),
    ("internals", &["peer", "publication", "handle", "shard"]),
    ("model", &["mod", "peer", "handle"]),
];

/// Files that compute and never wait: tested, fuzzed and read without a runtime.
const PURE: &[&str] = &[
    "crates/wire/src/close.rs",
    "crates/wire/src/deflate.rs",
    "crates/wire/src/extension/list.rs",
    "crates/wire/src/extension/mod.rs",
    "crates/wire/src/fast_path.rs",
    "crates/wire/src/frame.rs",
    "crates/wire/src/header.rs",
    "crates/wire/src/inflate/mod.rs",
    "crates/wire/src/utf8.rs",
    "crates/wire/src/protocol_error.rs",
    "crates/wire/src/validator/close_code.rs",
    "crates/wire/src/validator/mod.rs",
    "src/hub/bounds/allowance.rs",
    "src/hub/shard/attendance.rs",
    "src/hub/shard/fan_out.rs",
    "src/hub/publication/delivery.rs",
    "src/hub/publication/router.rs",
    "src/hub/publication/encoded_message.rs",
    "src/hub/peer/outbox/mod.rs",
    "src/hub/peer/heartbeat.rs",
    "src/hub/peer/recipients.rs",
    "src/hub/peer/replies.rs",
    "src/hub/peer/writing.rs",
    "src/hub/shard/receivers.rs",
    "src/hub/shard/relief/behind.rs",
    "src/hub/shard/ring_lap.rs",
    "src/hub/capacity/mod.rs",
    "src/hub/capacity/table.rs",
    "src/hub/shard/rounds.rs",
    "src/hub/publication/segment.rs",
    "src/hub/shard/topic.rs",
    "src/hub/shard/topic/names.rs",
    "crates/load/src/client/frame.rs",
    "crates/load/src/account/latencies.rs",
    "crates/load/src/client/messages.rs",
    "crates/load/src/client/handshake.rs",
    "crates/load/src/client/http.rs",
    "crates/load/src/scenario/payload.rs",
    "crates/load/src/plan.rs",
    "crates/load/src/run/progress.rs",
    "crates/load/src/scenario/publication.rs",
    "crates/load/src/account/report.rs",
    "crates/load/src/scenario/schedule.rs",
    "crates/load/src/account/sequence.rs",
    "crates/load/src/account/spread.rs",
    "crates/load/src/scenario/streams.rs",
    "src/protocol/chat.rs",
    "src/protocol/context.rs",
    "src/protocol/echo.rs",
    "src/protocol/json.rs",
    "src/protocol/mod.rs",
    "src/protocol/relay/mod.rs",
    "src/protocol/relay/registry.rs",
    "src/server/host.rs",
    "src/server/query.rs",
    "src/server/standing.rs",
    "src/authority.rs",
    "src/config/access.rs",
    "src/config/invalid.rs",
    "src/config/mod.rs",
    "src/config/page_origin.rs",
    "src/config/public_url.rs",
    "src/message.rs",
    "src/metrics/counter.rs",
    "src/metrics/ends.rs",
    "src/metrics/shard.rs",
    "src/metrics/snapshot.rs",
    "src/disconnect.rs",
    "src/topic/list.rs",
    "src/topic/mod.rs",
    "src/user.rs",
];

/// Names that would make a pure file impure.
const OUTSIDE: [&str; 4] = ["tokio::", "hyper::", "async fn", "std::net::Tcp"];

/// Where fastwebsockets may be named.
const ENGINE: [&str; 5] = [
    "crates/wire/src/",
    "src/connection/reader/",
    "src/server/upgraded.rs",
    "src/server/upgrade.rs",
    "crates/cli/src/connect/",
];

/// The modules of the library, each with another one that one of its files names, and that file.
fn arrows() -> Vec<[String; 3]> {
    let mut arrows = Vec::new();
    for file in files(&Path::new(ROOT).join("src")) {
        let path = relative(&file);
        let module = path.split(['/', '.']).nth(1).unwrap().to_owned();
        for name in named(&code(&file)) {
            arrows.push([module.clone(), name[0].to_owned(), path.clone()]);
        }
    }
    arrows
}

/// The same for the modules of the hub.
fn hub_arrows() -> Vec<[String; 3]> {
    let mut arrows = Vec::new();
    for file in files(&Path::new(ROOT).join("src/hub")) {
        let path = relative(&file);
        let module = path.split(['/', '.']).nth(2).unwrap().to_owned();
        for name in named(&code(&file)) {
            // Alone it says who may see something.
            let ["hub", inner, ..] = name[..] else {
                continue;
            };
            let is_module = inner.starts_with(char::is_lowercase);
            let inner = if is_module { inner } else { "mod" };
            arrows.push([module.clone(), inner.to_owned(), path.clone()]);
        }
    }
    arrows
}

/// No module names one that is not below it, and none may name one that it does not.
fn check(floors: &[(&str, &[&str])], arrows: &[[String; 3]]) {
    for [from, to, path] in arrows.iter().filter(|[from, to, _]| from != to) {
        let floor = floors.iter().find(|(floor, _)| floor == from);
        let (_, below) = floor.unwrap_or_else(|| panic!("{path} has no floor"));
        assert!(
            below.contains(&to.as_str()),
            "{path} names `{to}`: that is not below `{from}`"
        );
    }
    for (floor, below) in floors {
        for each in *below {
            let is_named = arrows
                .iter()
                .any(|[from, to, _]| from == floor && to == each);
            assert!(is_named, "`{floor}` may name `{each}`, and does not");
        }
    }
}

#[test]
fn modules_name_only_the_floors_below_them() {
    let mut arrows = arrows();
    arrows.retain(|[from, ..]| from != "lib");
    check(FLOORS, &arrows);
}

#[test]
fn modules_of_the_hub_name_only_the_floors_below_them() {
    let mut arrows = hub_arrows();
    arrows.retain(|[from, ..]| from != "mod");
    check(HUB_FLOORS, &arrows);
}

#[test]
fn every_module_is_named_at_the_head_of_its_folder() {
    for file in product() {
        let source = fs::read_to_string(&file).unwrap();
        let (head, _): (Vec<_>, Vec<_>) = source.lines().partition(|line| line.starts_with("//!"));
        let head = head.join("\n");
        let before_tests = source.split("#[cfg(test)]").next().unwrap_or_default();
        let declared = before_tests.lines().filter_map(|line| {
            let visible = line
                .find("mod ")
                .filter(|&at| at == 0 || line.starts_with("pub"))?;
            line[visible..].strip_prefix("mod ")?.strip_suffix(';')
        });
        for name in declared {
            let is_named = head.contains(&format!("`{name}`"));
            assert!(is_named, "{}: `{name}` is not named", relative(&file));
        }
    }
}

#[test]
fn pure_files_name_nothing_that_waits() {
    for file in PURE {
        let code = code(&Path::new(ROOT).join(file));
        for name in OUTSIDE {
            assert!(
                !code.contains(name),
                "{file} names `{name}`: move that code outwards"
            );
        }
    }
}

#[test]
fn the_reading_engine_stays_behind_its_boundary() {
    for file in product() {
        let path = relative(&file);
        let may = ENGINE.iter().any(|place| path.starts_with(place));
        assert!(
            may || !code(&file).contains("fastwebsockets"),
            "{path} names fastwebsockets"
        );
    }
}

#[test]
fn a_feature_opens_private_parts_and_measures_and_changes_nothing_else() {
    const OPENED: [&str; 4] = [
        "#[cfg(feature = \"internals\")]\n#[doc(hidden)]\npub mod internals;",
        "#[cfg(feature = \"internals\")]\npub(crate) mod internals;",
        "#[cfg(feature = \"internals\")]\nmod measured;",
        "#[cfg(not(feature = \"internals\"))]\n#[path = \"unmeasured.rs\"]\nmod measured;",
    ];
    let mut opened = 0;
    for file in product() {
        let source = fs::read_to_string(&file).unwrap();
        let openings: usize = OPENED.map(|door| source.matches(door).count()).iter().sum();
        let features = source.matches("feature = ").count();
        assert_eq!(features, openings, "{}", relative(&file));
        opened += openings;
    }
    assert_eq!(opened, 5);
}
