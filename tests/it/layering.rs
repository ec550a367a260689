//! The dependency rules between modules, checked against the paths that the sources name.

use std::{fs, path::Path};

use crate::sources::{ROOT, code, files, named, product, relative};

/// Modules of the library, each with the modules of the library that it may name. The dependencies
/// of the other crates are in their `Cargo.toml`.
const ALLOWED: &[(&str, &[&str])] = &[
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

/// Modules of the hub, each with the modules of the hub that it may name. `mod` stands for `mod.rs`
/// itself, which may name all of them.
const ALLOWED_IN_HUB: &[(&str, &[&str])] = &[
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
    ("publishing", &["bounds", "mod", "publication", "shard"]),
    ("watching", &["mod"]),
    ("internals", &["peer", "publication", "handle", "shard"]),
    ("model", &["mod", "peer", "handle"]),
];

/// Files whose code only computes, and never waits. They are tested and fuzzed without a runtime.
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
    "src/hub/shard/round_robin.rs",
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
    "src/server/publish/items.rs",
    "src/server/publish/request.rs",
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

/// Names that a pure file must not contain: those of code that waits.
const OUTSIDE: [&str; 4] = ["tokio::", "hyper::", "async fn", "std::net::Tcp"];

/// Files and folders that may name fastwebsockets.
const FASTWEBSOCKETS: [&str; 5] = [
    "crates/wire/src/",
    "src/connection/reader/",
    "src/server/upgraded.rs",
    "src/server/upgrade.rs",
    "crates/cli/src/connect/",
];

/// Returns three names for each path that a file of the library names: the module of that file, the
/// module in the path, and the path of the file.
fn dependencies() -> Vec<[String; 3]> {
    let mut dependencies = Vec::new();
    for file in files(&Path::new(ROOT).join("src")) {
        let path = relative(&file);
        let module = path.split(['/', '.']).nth(1).unwrap().to_owned();
        for name in named(&code(&file)) {
            dependencies.push([module.clone(), name[0].to_owned(), path.clone()]);
        }
    }
    dependencies
}

/// Returns the dependencies between modules of the hub, as [`dependencies`] does for the library.
fn hub_dependencies() -> Vec<[String; 3]> {
    let mut dependencies = Vec::new();
    for file in files(&Path::new(ROOT).join("src/hub")) {
        let path = relative(&file);
        let module = path.split(['/', '.']).nth(2).unwrap().to_owned();
        for name in named(&code(&file)) {
            // `hub` without a module is the scope of a `pub(in crate::hub)`.
            let ["hub", inner, ..] = name[..] else {
                continue;
            };
            let is_module = inner.starts_with(char::is_lowercase);
            let inner = if is_module { inner } else { "mod" };
            dependencies.push([module.clone(), inner.to_owned(), path.clone()]);
        }
    }
    dependencies
}

/// Asserts that each module names all modules that `allowed` has for it, and no others but itself.
fn check(allowed: &[(&str, &[&str])], dependencies: &[[String; 3]]) {
    let to_others = dependencies.iter().filter(|[from, to, _]| from != to);
    for [from, to, path] in to_others {
        let row = allowed.iter().find(|(module, _)| module == from);
        let (_, may_name) = row.unwrap_or_else(|| panic!("{path}: `{from}` is not in the list"));
        assert!(
            may_name.contains(&to.as_str()),
            "{path} names `{to}`, and `{from}` may not"
        );
    }
    for (module, may_name) in allowed {
        for each in *may_name {
            let is_named = dependencies
                .iter()
                .any(|[from, to, _]| from == module && to == each);
            assert!(is_named, "`{module}` may name `{each}`, and does not");
        }
    }
}

#[test]
fn modules_name_only_the_modules_that_they_may_name() {
    let mut dependencies = dependencies();
    dependencies.retain(|[from, ..]| from != "lib");
    check(ALLOWED, &dependencies);
}

#[test]
fn modules_of_the_hub_name_only_the_modules_that_they_may_name() {
    let mut dependencies = hub_dependencies();
    dependencies.retain(|[from, ..]| from != "mod");
    check(ALLOWED_IN_HUB, &dependencies);
}

#[test]
fn the_docs_of_each_folder_name_all_its_modules() {
    for file in product() {
        let source = fs::read_to_string(&file).unwrap();
        let docs = source.lines().filter(|line| line.starts_with("//!"));
        let docs: String = docs.collect();
        let before_tests = source.split("#[cfg(test)]").next().unwrap_or_default();
        // Lines such as `mod name;` or `pub(crate) mod name;`, which are not indented.
        let declared = before_tests.lines().filter_map(|line| {
            let visible = line
                .find("mod ")
                .filter(|&at| at == 0 || line.starts_with("pub"))?;
            line[visible..].strip_prefix("mod ")?.strip_suffix(';')
        });
        for name in declared {
            let is_named = docs.contains(&format!("`{name}`"));
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
fn only_the_reader_and_the_upgrade_name_fastwebsockets() {
    for file in product() {
        let path = relative(&file);
        let is_allowed = FASTWEBSOCKETS.iter().any(|start| path.starts_with(start));
        assert!(
            is_allowed || !code(&file).contains("fastwebsockets"),
            "{path} names fastwebsockets"
        );
    }
}

#[test]
fn the_feature_internals_opens_private_modules_and_counts_and_changes_nothing_else() {
    const OPENED: [&str; 4] = [
        "#[cfg(feature = \"internals\")]\n#[doc(hidden)]\npub mod internals;",
        "#[cfg(feature = \"internals\")]\npub(crate) mod internals;",
        "#[cfg(feature = \"internals\")]\nmod measured;",
        "#[cfg(not(feature = \"internals\"))]\n#[path = \"unmeasured.rs\"]\nmod measured;",
    ];
    let mut total = 0;
    for file in product() {
        let source = fs::read_to_string(&file).unwrap();
        let openings = OPENED.map(|opened| source.matches(opened).count());
        let openings: usize = openings.iter().sum();
        let features = source.matches("feature = ").count();
        assert_eq!(features, openings, "{}", relative(&file));
        total += openings;
    }
    assert_eq!(total, 5);
}
