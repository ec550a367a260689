//! Tests of `docs/`: compares the ranges of settings, the fields of `/health`, the figures on
//! memory, the limits of bodies, the commands for publishing and the options of `load` with the program, and the design
//! page with the source.
//! [`crate::readme`] tests the README and the other tables.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use framecast_test_support::{Client, TestServer, handshake, tools::Tool};

use crate::process::{Process, run};

/// The folder of the repository.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
/// The folder of the documents.
const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs");
const DESIGN: &str = include_str!("../../../../docs/design.md");
const PUBLISHING: &str = include_str!("../../../../docs/publishing.md");
const HEALTH: &str = include_str!("../../../../docs/health.md");
const LOAD: &str = include_str!("../../../../docs/load.md");
const HTTP: &str = include_str!("../../../../docs/http.md");
const MEMORY: &str = include_str!("../../../../docs/memory.md");
const SETTINGS: &str = include_str!("../../../../docs/settings.md");

/// Fields of `/health` that a response has only in some builds or states of the server.
const RARE_FIELDS: [&str; 2] = ["longest_hold_us", "standing_shards"];

/// Returns the cells of all table rows whose first cell begins with a backquote.
fn rows(text: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| row.split('|').map(str::trim).collect())
}

/// Starts a server with `options`, one of which must have a wrong value. Asserts that the start
/// fails with exit status 2. Returns the server's standard error.
#[track_caller]
fn refusal(options: &[&str]) -> String {
    let (code, _, stderr) = run(&[&["serve", "--listen", "127.0.0.1:0"], options].concat());
    assert_eq!(code, Some(2), "{options:?}: {stderr}");
    stderr
}

#[test]
fn the_documented_fields_of_health_are_those_of_a_response() {
    let server = Process::serve(&[]);
    let mut client = Client::dial(server.address);
    client.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let health: serde_json::Value = serde_json::from_str(&client.read_answer().body).unwrap();
    let answered = health.as_object().unwrap().keys().map(String::as_str);
    let answered: BTreeSet<_> = answered.chain(RARE_FIELDS).collect();
    let explained = rows(HEALTH).map(|row| row[0].trim_end_matches('`'));
    assert_eq!(explained.collect::<BTreeSet<_>>(), answered);
}

/// Parses a documented range, such as `1 to 1024` or `from 1ms`. Returns its ends, and the values
/// just outside of it.
fn range(text: &str) -> (Vec<&str>, Vec<&str>) {
    let (least, most) = match text.split_once(" to ") {
        Some((least, most)) => (least, Some(most)),
        None => (text.strip_prefix("from ").expect("a range"), None),
    };
    let below = match least {
        "0" => None,
        "1" => Some("0"),
        "1ms" => Some("999us"),
        other => panic!("what is below {other}?"),
    };
    let above = most.map(|most| match most {
        "1024" => "1025",
        "1048576" => "1048577",
        "4294967295" => "4294967296",
        "64MiB" => "67108865",
        "1d" => "86401s",
        other => panic!("what is above {other}?"),
    });
    let within = [Some(least), most].into_iter().flatten().collect();
    (within, [below, above].into_iter().flatten().collect())
}

#[test]
fn the_documented_ranges_of_settings_are_those_that_the_program_accepts() {
    // The program checks this setting last. A start that fails for it alone has accepted all
    // others.
    const LAST: &str = "drain-timeout";
    let mut tried = 0;
    for row in rows(SETTINGS) {
        let name = row[0].split([' ', '`']).next().unwrap();
        let (option, text) = (name.trim_start_matches('-'), row[2]);
        if text.is_empty() || text.contains("](") || option == LAST {
            continue;
        }
        let (within, outside) = range(text);
        let start = |value| {
            let others = [
                "--memory-budget",
                "64GiB",
                "--deflate",
                "--drain-timeout",
                "0s",
            ];
            refusal(&[&others[..], &[name, value]].concat())
        };
        for value in within {
            let stderr = start(value);
            assert!(
                stderr.starts_with(&format!("framecast: {LAST}: ")),
                "{stderr}"
            );
        }
        for value in outside {
            assert!(start(value).contains(option), "{value} for {name}");
        }
        tried += 1;
    }
    assert!(tried >= 13, "{tried}");
}

#[test]
fn the_smallest_budget_is_the_one_that_the_page_on_memory_calculates() {
    const KIB: u64 = 1024;
    const SHARDS: u64 = 2;
    for message_kib in [1, 64, 256, 1024, 16 * 1024] {
        // The formula of the page: 256 KiB for each shard, and 4/3 of `one`, which is the memory
        // that one connection may need.
        let message = message_kib * KIB;
        let one = 80 * KIB + 10 * message + (KIB * KIB).max(4 * message);
        let least = (SHARDS * 256 * KIB + one * 4 / 3).div_ceil(KIB);
        let stderr = refusal(&[
            "--shards",
            &SHARDS.to_string(),
            "--memory-budget=1",
            &format!("--max-message-bytes={message_kib}KiB"),
        ]);
        let size = format!("{least}KiB");
        assert!(stderr.contains(&format!(" ({size}) ")), "{size}: {stderr}");
        // The page gives these two as examples.
        if [64, 1024].contains(&message_kib) {
            assert!(MEMORY.contains(&size), "{size}");
        }
    }
}

/// Returns how many idle WebSockets fit into a budget of `budget` bytes if they connect one after
/// the other: each needs 32 KiB while it speaks HTTP, and 2 KiB from then on. All of them together
/// may hold three quarters of the budget.
fn idle_clients(budget: u64) -> u64 {
    let (connecting, idle) = (32 * 1024, 2 * 1024);
    (budget / 4 * 3 - connecting) / idle
}

#[test]
fn a_budget_holds_as_many_idle_clients_as_the_page_on_memory_says() {
    const MIB: u64 = 1024 * 1024;
    assert!(MEMORY.contains("of 200 MiB, 76,784 idle WebSockets"));
    assert_eq!(idle_clients(200 * MIB), 76_784);
    // A message of 1 KiB with 256 bytes of overhead, and 96 bytes in each of 10,000 outboxes.
    let delivered_to_10_000 = 1024 + 256 + 10_000 * 96;
    // Three quarters of 200 MiB, without 2 KiB for each of the 10,000 WebSockets.
    let left = 150 * MIB - 10_000 * 2048;
    assert!(MEMORY.contains("10,000 and 142 messages of 1 KiB"));
    assert_eq!(left / delivered_to_10_000, 142);

    let settings = [
        "--shards=1",
        "--memory-budget=1800KiB",
        "--max-message-bytes=1KiB",
    ];
    let server = Process::serve(&settings);
    let mut clients = Vec::new();
    loop {
        let mut client = Client::dial(server.address);
        client.send(handshake("/echo").as_bytes());
        if client.read_answer().status != 101 {
            break;
        }
        clients.push(client);
    }
    let expected = idle_clients(1800 * 1024);
    // Up to 8 more: a shard reports to the budget only each 16 KiB that it has charged.
    let more = (clients.len() as u64).checked_sub(expected);
    assert!(
        more.is_some_and(|more| more <= 8),
        "{} of {expected}",
        clients.len()
    );
}

#[test]
fn the_documented_limits_of_bodies_are_those_of_the_server() {
    const KIB: usize = 1024;
    // For the default of `--max-message-bytes`, 64 KiB.
    const OBJECT_BYTES: usize = 16 * KIB + 6 * 64 * KIB;
    let server = TestServer::start();
    for (row, path, body, most) in [
        (
            "| body of `POST /publish` with one message | 16 KiB + 6 × `--max-message-bytes`, ",
            "/publish",
            r#"{"topic": "a", "message": "x"}"#,
            OBJECT_BYTES,
        ),
        (
            "| body of `POST /publish` with a [list](publishing.md#lists) | 1 MiB, ",
            "/publish",
            "[]",
            KIB * KIB,
        ),
        (
            "| body of `POST /register` | 16 KiB + 6 × `--max-message-bytes` |",
            "/register",
            r#"{"user_id": 1}"#,
            OBJECT_BYTES,
        ),
    ] {
        assert!(HTTP.contains(row), "{row}");
        for (bytes, status) in [(most, 200), (most + 1, 413)] {
            let padded = format!("{}{body}", " ".repeat(bytes - body.len()));
            let answer = server.http("POST", path, "", &padded);
            assert_eq!(answer.status, status, "{bytes} bytes: {}", answer.body);
        }
    }
}

/// Returns the names of the options in the help of `load` with sub-command `kind`.
fn load_options(kind: &str) -> BTreeSet<String> {
    let (_, help, _) = run(&["load", kind, "--help"]);
    let words = help.lines().filter_map(|line| {
        let words = line.trim_start().trim_start_matches("-h, ");
        words
            .starts_with("--")
            .then(|| words.split([' ', ',']).next())?
    });
    words.map(str::to_owned).collect()
}

#[test]
fn the_page_on_load_has_all_options_that_the_sub_commands_share() {
    let (_, table) = LOAD.split_once("Options of all sub-commands:\n").unwrap();
    let (table, _) = table.split_once("\nA run also fails").unwrap();
    let cells = table.lines().filter_map(|line| line.strip_prefix("| `"));
    let cells = cells.filter_map(|row| row.split('|').next());
    let names = cells.flat_map(|cell| cell.split(['`', ' ']).filter(|word| word.starts_with("--")));
    let documented: BTreeSet<_> = names.map(str::to_owned).collect();
    let kinds = ["churn", "echo", "fanout", "handshake", "idle"].map(load_options);
    let shared = kinds.into_iter().reduce(|one, other| &one & &other);
    let mut shared = shared.unwrap();
    assert!(shared.remove("--help"), "{shared:?}");
    assert!(shared.contains("--workers"), "{shared:?}");
    assert_eq!(documented, shared);
}

/// Returns the commands of a document, each with the output that it shows below it.
fn commands(document: &str) -> Vec<(String, String)> {
    let blocks = document.split("```sh\n").skip(1);
    let blocks = blocks.map(|rest| rest.split("```").next().unwrap_or_default());
    let mut commands: Vec<(String, String)> = Vec::new();
    for line in blocks.flat_map(str::lines) {
        match (line.strip_prefix("# "), commands.last_mut()) {
            (Some(printed), last) => {
                let (_, output) = last.expect("a command before its output");
                output.push_str(printed);
                output.push('\n');
            }
            // The command has several lines.
            (None, Some((command, output))) if output.is_empty() => {
                command.push('\n');
                command.push_str(line);
            }
            (None, _) => commands.push((line.to_owned(), String::new())),
        }
    }
    commands
}

#[test]
fn the_commands_for_publishing_print_what_is_shown_below_them() {
    if !Tool::Curl.is_here() {
        return;
    }
    let server = Process::serve(&[]);
    let commands = commands(PUBLISHING);
    assert_eq!(commands.len(), 3);
    for (command, output) in commands {
        let command = command
            .replace("127.0.0.1:8080", &server.address.to_string())
            .replace(
                "curl ",
                "curl --silent --show-error --max-time 10 --noproxy '*' ",
            );
        let printed = Command::new("sh").args(["-c", &command]).output().unwrap();
        assert_eq!(
            String::from_utf8_lossy(&printed.stdout),
            output,
            "{command}"
        );
    }
}

/// Returns the anchors of all headings of a document, as GitHub makes them.
fn anchors(document: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(document).unwrap().to_lowercase();
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| -> String {
        let heading = heading.trim_start_matches('#').trim();
        let kept = heading
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn the_files_and_headings_that_documents_link_to_exist() {
    let documents = fs::read_dir(DOCS)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let others = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md"];
    let documents = documents.chain(others.map(|name| Path::new(ROOT).join(name)));
    let is_text = |document: &PathBuf| document.extension().is_some_and(|kind| kind == "md");
    for document in documents.filter(is_text) {
        let text = fs::read_to_string(&document).unwrap();
        let targets = text.split("](").skip(1);
        let targets = targets.filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.starts_with("https://")) {
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let linked = match file {
                "" => document.clone(),
                file => document.with_file_name(file),
            };
            assert!(linked.exists(), "{target} in {}", document.display());
            let is_there = heading.is_empty() || anchors(&linked).contains(heading);
            assert!(is_there, "{target} in {}", document.display());
        }
    }
}

#[test]
fn the_files_that_the_design_page_names_exist() {
    let places = ["", "src", "crates/wire/src"].map(|place| Path::new(ROOT).join(place));
    let words = DESIGN.split('`').skip(1).step_by(2);
    let paths = words.filter(|word| [".rs", ".md", "/"].iter().any(|end| word.ends_with(end)));
    let mut checked = 0;
    for path in paths {
        let exists = places.iter().any(|place| place.join(path).exists());
        assert!(exists, "{path}");
        checked += 1;
    }
    assert!(checked > 20, "{checked}");
}

/// Returns the names of the modules in a folder, without those that the diagram leaves out: `lib`,
/// `mod`, and modules for tests and measurements.
fn modules(folder: &str) -> impl Iterator<Item = String> {
    const OTHERS: [&str; 6] = ["internals", "lib", "measured", "mod", "model", "unmeasured"];
    let entries = fs::read_dir(Path::new(ROOT).join(folder)).unwrap();
    let names = entries.map(|entry| entry.unwrap().path());
    let names = names.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned());
    names.filter(|name| !OTHERS.contains(&name.as_str()))
}

#[test]
fn every_module_is_in_the_diagram_of_the_design_page() {
    let (_, arrows) = DESIGN.split_once("## Modules").unwrap();
    let arrows = arrows.split("```").nth(1).unwrap();
    let words = arrows.split(|c: char| !c.is_alphanumeric() && c != '_');
    let drawn: BTreeSet<_> = words.collect();
    for module in modules("src").chain(modules("src/hub")) {
        assert!(drawn.contains(module.as_str()), "{module}");
    }
}
