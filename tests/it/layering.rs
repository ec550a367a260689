//! The dependency rule: arrows point one way, floor by floor. Executable.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Each module, and the modules of this crate that it may name.
const FLOORS: &[(&str, &[&str])] = &[
    ("authority", &[]),
    ("config", &["authority", "wire"]),
    ("metrics", &[]),
    ("topic_name", &[]),
    ("wire", &[]),
    ("hub", &["config", "error", "metrics", "topic_name", "wire"]),
    ("protocol", &["topic_name", "wire"]),
    (
        "connection",
        &["config", "hub", "metrics", "protocol", "topic_name", "wire"],
    ),
    ("error", &["config"]),
    (
        "server",
        &[
            "authority",
            "config",
            "connection",
            "error",
            "hub",
            "metrics",
            "protocol",
            "topic_name",
            "wire",
        ],
    ),
    ("cli", &["load"]),
    ("load", &[]),
    (
        "internals",
        &[
            "connection",
            "hub",
            "protocol",
            "server",
            "topic_name",
            "wire",
        ],
    ),
];

/// Files that compute and never wait: tested, fuzzed and read without a runtime.
const PURE: &[&str] = &[
    "wire/close.rs",
    "wire/deflate.rs",
    "wire/extension/list.rs",
    "wire/extension/mod.rs",
    "wire/fast_lane.rs",
    "wire/frame.rs",
    "wire/header.rs",
    "wire/inflate/mod.rs",
    "wire/utf8.rs",
    "wire/violation.rs",
    "wire/walk/mod.rs",
    "hub/allowance.rs",
    "hub/attendance.rs",
    "hub/fan_out.rs",
    "hub/home.rs",
    "hub/message.rs",
    "hub/outbox.rs",
    "hub/pulse.rs",
    "hub/registry.rs",
    "hub/replies.rs",
    "hub/ring_pass.rs",
    "hub/room/mod.rs",
    "hub/room/table.rs",
    "hub/rounds.rs",
    "hub/segment.rs",
    "hub/topic.rs",
    "hub/topic/names.rs",
    "load/frame.rs",
    "load/latencies.rs",
    "load/messages.rs",
    "load/opening.rs",
    "load/payload.rs",
    "load/plan.rs",
    "load/progress.rs",
    "load/publication.rs",
    "load/report.rs",
    "load/schedule.rs",
    "load/sequence.rs",
    "load/spread.rs",
    "load/streams.rs",
    "protocol/mod.rs",
    "protocol/relay.rs",
    "protocol/topic_list.rs",
    "server/host.rs",
    "server/standing.rs",
    "authority.rs",
    "config/access.rs",
    "config/mod.rs",
    "config/public_url.rs",
    "metrics.rs",
    "topic_name.rs",
];

/// Names that would make a pure file impure.
const OUTSIDE: [&str; 4] = ["tokio::", "hyper::", "async fn", "std::net::Tcp"];

/// Where fastwebsockets may be named.
const ENGINE: [&str; 5] = [
    "wire/",
    "connection/reader/",
    "server/socket.rs",
    "server/upgrade.rs",
    "cli/connect/",
];

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
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
    file.strip_prefix(src())
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
    for file in files(&src()) {
        let path = relative(&file);
        let module = path.split(['/', '.']).next().unwrap();
        let Some((_, below)) = FLOORS.iter().find(|(floor, _)| *floor == module) else {
            assert!(matches!(module, "lib" | "main"), "{path} has no floor");
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
fn pure_files_name_nothing_that_waits() {
    for file in PURE {
        let code = code(&src().join(file));
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
    for file in files(&src()) {
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
    for file in files(&src()) {
        let source = fs::read_to_string(&file).unwrap();
        let openings: usize = OPENED.map(|door| source.matches(door).count()).iter().sum();
        let features = source.matches("feature = ").count();
        assert_eq!(features, openings, "{}", relative(&file));
        opened += openings;
    }
    assert_eq!(opened, 5);
}
