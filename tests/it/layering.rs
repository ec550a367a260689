//! The dependency rule: arrows point one way, floor by floor. Executable.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Each module of the library, and the modules of it that it may name. What the other crates may name
/// is in their `Cargo.toml`.
const FLOORS: &[(&str, &[&str])] = &[
    ("authority", &[]),
    ("config", &["authority", "wire"]),
    ("metrics", &[]),
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
            "metrics",
            "topic",
            "user",
            "wire",
        ],
    ),
    ("protocol", &["disconnect", "hub", "topic", "user", "wire"]),
    (
        "connection",
        &[
            "config",
            "disconnect",
            "hub",
            "protocol",
            "topic",
            "user",
            "wire",
        ],
    ),
    ("error", &["config"]),
    (
        "server",
        &[
            "authority",
            "config",
            "connection",
            "disconnect",
            "error",
            "hub",
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

/// Files that compute and never wait: tested, fuzzed and read without a runtime.
const PURE: &[&str] = &[
    "crates/wire/src/close.rs",
    "crates/wire/src/deflate.rs",
    "crates/wire/src/extension/list.rs",
    "crates/wire/src/extension/mod.rs",
    "crates/wire/src/fast_lane.rs",
    "crates/wire/src/frame.rs",
    "crates/wire/src/header.rs",
    "crates/wire/src/inflate/mod.rs",
    "crates/wire/src/utf8.rs",
    "crates/wire/src/violation.rs",
    "crates/wire/src/walk/mod.rs",
    "src/hub/bounds/allowance.rs",
    "src/hub/shard/attendance.rs",
    "src/hub/shard/fan_out.rs",
    "src/hub/publication/home.rs",
    "src/hub/publication/message.rs",
    "src/hub/peer/outbox/mod.rs",
    "src/hub/peer/pulse.rs",
    "src/hub/peer/replies.rs",
    "src/hub/shard/ring_pass.rs",
    "src/hub/room/mod.rs",
    "src/hub/room/table.rs",
    "src/hub/shard/rounds.rs",
    "src/hub/publication/segment.rs",
    "src/hub/shard/topic.rs",
    "src/hub/shard/topic/names.rs",
    "crates/load/src/frame.rs",
    "crates/load/src/latencies.rs",
    "crates/load/src/messages.rs",
    "crates/load/src/opening.rs",
    "crates/load/src/payload.rs",
    "crates/load/src/plan.rs",
    "crates/load/src/progress.rs",
    "crates/load/src/publication.rs",
    "crates/load/src/report.rs",
    "crates/load/src/schedule.rs",
    "crates/load/src/sequence.rs",
    "crates/load/src/spread.rs",
    "crates/load/src/streams.rs",
    "src/protocol/chat.rs",
    "src/protocol/context.rs",
    "src/protocol/echo.rs",
    "src/protocol/json.rs",
    "src/protocol/mod.rs",
    "src/protocol/relay/mod.rs",
    "src/protocol/relay/registry.rs",
    "src/server/host.rs",
    "src/server/standing.rs",
    "src/authority.rs",
    "src/config/access.rs",
    "src/config/mod.rs",
    "src/config/public_url.rs",
    "src/disconnect.rs",
    "src/metrics.rs",
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
    "src/server/socket.rs",
    "src/server/upgrade.rs",
    "crates/cli/src/connect/",
];

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The folders that have the code of the product: of the library, and of each crate beside it.
fn sources() -> Vec<PathBuf> {
    let crates = ["cli", "load", "wire"].map(|name| format!("{ROOT}/crates/{name}/src"));
    let all = [format!("{ROOT}/src")].into_iter().chain(crates);
    all.map(PathBuf::from).collect()
}

/// All files of the product.
fn product() -> Vec<PathBuf> {
    sources().iter().flat_map(|folder| files(folder)).collect()
}

/// The code of a file: without comments, and without its tests.
fn code(file: &Path) -> String {
    let source = fs::read_to_string(file).unwrap();
    let product = source
        .split("#[cfg(test)]")
        .next()
        .unwrap_or_default()
        .to_owned();
    let lines = product
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| {
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

fn relative(file: &Path) -> String {
    file.strip_prefix(ROOT)
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned()
}

/// The modules that a file names after `crate::`, in a path or in a list.
fn named(code: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (start, marker) in code.match_indices("crate::") {
        let rest = &code[start + marker.len()..];
        match rest.strip_prefix('{') {
            None => names.push(rest),
            Some(list) => {
                let mut depth = 0;
                let mut at_name = true;
                for (index, character) in list.char_indices() {
                    match character {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => at_name = true,
                        _ if at_name && character.is_alphabetic() => {
                            names.push(&list[index..]);
                            at_name = false;
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    let end_of_name = |name: &str| name.find(|c: char| !c.is_alphanumeric() && c != '_');
    names
        .iter()
        .map(|name| name[..end_of_name(name).unwrap_or(name.len())].to_owned())
        .collect()
}

#[test]
fn modules_name_only_the_floors_below_them() {
    for file in files(&Path::new(ROOT).join("src")) {
        let path = relative(&file);
        let module = path.split(['/', '.']).nth(1).unwrap();
        let Some((_, below)) = FLOORS.iter().find(|(floor, _)| *floor == module) else {
            assert_eq!(module, "lib", "{path} has no floor");
            continue;
        };
        for name in named(&code(&file)) {
            let is_below = name == module || below.contains(&name.as_str());
            assert!(
                is_below,
                "{path} names crate::{name}: that is not below {module}"
            );
        }
    }
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
