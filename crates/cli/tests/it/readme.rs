//! Tests of the README: runs its commands one after the other, and compares its tables with the
//! program.
//!
//! A line of an `sh` block is a command; the comment lines below it are its expected output. A
//! command that this test does not know fails it, so that none gets into the README untested.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use framecast::{Disconnect, ProtocolError};
use framecast_test_support::{PATIENCE, TestServer, program::Program, tools::Tool};
use tempfile::TempDir;

/// The folder of the repository.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
const README: &str = include_str!("../../../../README.md");
const SETTINGS: &str = include_str!("../../../../docs/settings.md");
const CLOSE_CODES: &str = include_str!("../../../../docs/close-codes.md");
const FRAMECAST: &str = env!("CARGO_BIN_EXE_framecast");

/// Address of the server in the README.
const ADDRESS: &str = "127.0.0.1:8080";

/// Commands of the README that a test cannot run: those that set up a machine or run the tests.
const NOT_RUN: [&str; 6] = [
    "apt-get update",
    "apt-get install --yes build-essential curl git",
    "apt-get install --yes --no-install-recommends chromium nodejs npm python3-venv strace",
    "cargo install --locked --path crates/cli",
    "cargo test",
    ".ci/run",
];

/// The way in which the test runs a command of the README.
#[derive(Debug, PartialEq, Eq)]
enum RunMode {
    /// The command is one of [`NOT_RUN`].
    NotRun,
    /// The command is a server, which keeps running. All clients connect to the first server.
    Serve,
    /// The command is a client, which keeps running.
    Connect,
    /// The command must end with success and the expected output.
    Once,
    /// The command must end with success and any output: measurements differ each time.
    Measure,
}

impl RunMode {
    /// Returns the way in which the test runs `command`. Panics if no way is known for this
    /// command.
    fn of(command: &str) -> Self {
        const MODES: [(&str, RunMode); 6] = [
            ("cargo run --release -- serve", RunMode::Serve),
            ("target/release/framecast connect ", RunMode::Connect),
            ("target/release/framecast publish ", RunMode::Once),
            ("target/release/framecast load ", RunMode::Measure),
            ("curl ", RunMode::Once),
            ("echo ", RunMode::Once),
        ];
        if NOT_RUN.contains(&command) {
            return Self::NotRun;
        }
        let known = MODES
            .into_iter()
            .find(|(start, _)| command.starts_with(start));
        known.map_or_else(
            || panic!("the README has a command that no test knows how to run: {command}"),
            |(_, mode)| mode,
        )
    }
}

/// A fenced code block of the README.
struct Block {
    language: String,
    lines: Vec<&'static str>,
}

/// Returns all fenced code blocks of the README, in their order.
fn blocks() -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for line in README.lines() {
        match (line.strip_prefix("```"), open.take()) {
            (Some(language), None) => {
                let (language, lines) = (language.to_owned(), Vec::new());
                open = Some(Block { language, lines });
            }
            (Some(_), Some(block)) => blocks.push(block),
            (None, Some(mut block)) => {
                block.lines.push(line);
                open = Some(block);
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "the last block has an end");
    blocks
}

/// Returns the commands of a block, each with its expected output.
fn commands(block: &Block) -> Vec<(&str, Vec<&str>)> {
    let mut commands: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in &block.lines {
        match line.strip_prefix("# ") {
            Some(printed) => commands.last_mut().expect("a command").1.push(printed),
            None => commands.push((line, Vec::new())),
        }
    }
    commands
}

/// A user who follows the README, in a temporary folder.
struct Walkthrough {
    folder: TempDir,
    /// Running servers. The first one stands for the README's server at [`ADDRESS`].
    servers: Vec<Program>,
    clients: Vec<Program>,
    /// The address at which the first server really listens.
    address: String,
    /// The id of the last registration in this run. In the README, `ID` stands for it.
    id: String,
}

impl Walkthrough {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // With this, curl fails for a status of 400 or more.
        let curl = "fail-with-body\nsilent\nshow-error\nmax-time = 10\nnoproxy = \"*\"\n";
        fs::write(folder.path().join(".curlrc"), curl).unwrap();
        Self {
            folder,
            servers: Vec::new(),
            clients: Vec::new(),
            address: ADDRESS.into(),
            id: "ID".into(),
        }
    }

    /// Starts a command in a shell, with the program of this build instead of cargo's, and the real
    /// address and id instead of those of the README.
    fn start(&self, command: &str) -> Program {
        let program = format!("'{FRAMECAST}'");
        let command = command
            .replace("cargo run --release --", &program)
            .replace("target/release/framecast", &program)
            .replace(ADDRESS, &self.address)
            .replace("/ID", &format!("/{}", self.id));
        Program::start(
            Command::new("sh")
                .args(["-c", &command])
                .current_dir(self.folder.path())
                .env("HOME", self.folder.path())
                .env_remove("RUST_LOG"),
        )
    }

    /// Runs a command in its [`RunMode`], and compares its output where that is the same each time.
    fn run(&mut self, command: &str, expected: &[&str]) {
        match RunMode::of(command) {
            RunMode::NotRun => {}
            RunMode::Serve => self.serve(command),
            RunMode::Connect => self.connect(command),
            RunMode::Once => assert_eq!(self.run_once(command), expected, "{command}"),
            RunMode::Measure => assert!(!self.run_once(command).is_empty()),
        }
    }

    /// Starts a server on a free port. A configuration file of the README sets the port itself.
    fn serve(&mut self, command: &str) {
        let option = if command.contains("--config") {
            ""
        } else {
            " --listen 127.0.0.1:0"
        };
        let server = self.start(&format!("exec {command}{option}"));
        let address = server.printed("its address", |line| {
            Some(
                line.strip_prefix("framecast listens on http://")?
                    .to_owned(),
            )
        });
        if self.servers.is_empty() {
            self.address = address;
        }
        self.servers.push(server);
    }

    fn connect(&mut self, command: &str) {
        let client = self.start(&format!("exec {command}"));
        client.reported("that it is connected", |line| {
            line.contains("connected").then_some(())
        });
        self.clients.push(client);
    }

    /// Runs a command to its end, and returns the lines that it has printed.
    fn run_once(&mut self, command: &str) -> Vec<String> {
        let mut program = self.start(command);
        program.end_input();
        let status = program.wait(PATIENCE).expect("it ends in time");
        assert!(status.success(), "{status}: {}", program.transcript());
        let printed = program.output().replace(&self.address, ADDRESS);
        self.remember_id(&printed);
        let printed = printed.replace(&self.id, "ID");
        printed.lines().map(str::to_owned).collect()
    }

    /// Looks in `printed` for the id of a registration, which has 32 hexadecimal digits. If there
    /// is one, stores it in `id`.
    fn remember_id(&mut self, printed: &str) {
        let is_id = |word: &&str| word.len() == 32 && word.chars().all(|c| c.is_ascii_hexdigit());
        if let Some(id) = printed.split(['/', '"']).find(is_id) {
            self.id = id.to_owned();
        }
    }
}

#[test]
fn every_command_does_what_the_readme_says() {
    if !Tool::Curl.is_here() {
        return;
    }
    let mut walkthrough = Walkthrough::new();
    for block in blocks() {
        match &*block.language {
            "sh" => {
                for (command, expected) in commands(&block) {
                    walkthrough.run(command, &expected);
                }
            }
            "toml" => {
                let settings = block
                    .lines
                    .join("\n")
                    .replace("0.0.0.0:8080", "127.0.0.1:0");
                fs::write(walkthrough.folder.path().join("framecast.toml"), settings).unwrap();
            }
            // Rust blocks are compiled and run as doc tests.
            "rust" | "text" => {}
            other => panic!("the README has a block of {other:?}"),
        }
    }
    let Walkthrough {
        servers,
        mut clients,
        ..
    } = walkthrough;
    let [one, other, relay] = &mut clients[..] else {
        panic!("expected two clients in the lobby, and a relay");
    };
    for (speaker, line) in [
        (&mut *one, "typed in one"),
        (&mut *other, "typed in the other"),
    ] {
        speaker.say(line);
    }
    for client in [&*one, other] {
        for message in [
            "from curl",
            "from a shell",
            "typed in one",
            "typed in the other",
        ] {
            client.printed(message, |line| (line == message).then_some(()));
        }
    }
    for message in ["are awesome", "are yours"] {
        relay.printed(message, |line| (line == message).then_some(()));
    }
    // The README deletes the registration, which closes the relay's connection with 4503.
    relay.reported("its end", |line| line.contains("4503").then_some(()));
    assert!(relay.wait(PATIENCE).is_some_and(|status| !status.success()));
    // Clients first, because a server that drains waits for them.
    drop(clients);
    drop(servers);
}

/// Returns the text in backquotes in the first column of the README's tables.
fn first_column() -> Vec<&'static str> {
    let rows = README.lines().filter_map(|line| line.strip_prefix("| "));
    rows.filter_map(|row| row.strip_prefix('`')?.split('`').next())
        .collect()
}

#[test]
fn every_endpoint_accepts_its_method() {
    let server = TestServer::start();
    let endpoints = first_column().into_iter().filter_map(|cell| {
        let (method, target) = cell.split_once(" /")?;
        Some((method, format!("/{target}")))
    });
    let endpoints: Vec<_> = endpoints.collect();
    assert_eq!(endpoints.len(), 9);
    for (method, target) in endpoints {
        let answer = server.http("OPTIONS", &target.replace(['{', '}'], ""), "", "");
        let allowed = answer.header("allow").unwrap_or_default();
        assert!(allowed.split(", ").any(|each| each == method), "{target}");
    }
}

/// Returns name and default of each option in the text of `--help`. The default is empty if the
/// option has none.
fn settings(text: &str) -> BTreeSet<(String, String)> {
    let mut settings = BTreeSet::new();
    for option in text.split("\n      --").skip(1) {
        // Without the options after this one that have a short name, such as `-h`.
        let option = option.split("\n  -").next().unwrap_or_default();
        let name = option.split([' ', '[', '\n']).next().unwrap_or_default();
        let default = option.split_once("[default: ").map(|(_, rest)| rest);
        let default = default.and_then(|rest| rest.split(']').next());
        settings.insert((name.to_owned(), default.unwrap_or_default().to_owned()));
    }
    settings
}

#[test]
fn the_documented_settings_are_those_of_the_help() {
    let help = Command::new(FRAMECAST).args(["serve", "--help"]).output();
    let mut expected = settings(&String::from_utf8(help.unwrap().stdout).unwrap());
    // `--config` is explained in a sentence, not in the table.
    assert!(expected.remove(&("config".into(), String::new())));
    let rows = SETTINGS
        .lines()
        .filter_map(|line| line.strip_prefix("| `--"));
    let listed = rows.map(|row| {
        let mut cells = row.split('|').map(str::trim);
        let name = cells.next().unwrap_or_default();
        let name = name.split([' ', '`']).next().unwrap_or_default();
        (name.to_owned(), cells.next().unwrap_or_default().to_owned())
    });
    assert_eq!(listed.collect::<BTreeSet<_>>(), expected);
}

#[test]
fn the_documented_close_codes_are_those_that_the_server_sends() {
    let reasons = [
        Disconnect::ShardPanicked,
        Disconnect::NoPong,
        Disconnect::Restarting,
        Disconnect::Overloaded,
        Disconnect::SlowConsumer,
        Disconnect::TooFarBehind,
        Disconnect::TakenOver,
        Disconnect::Unregistered,
        ProtocolError::InvalidUtf8.into(),
        ProtocolError::MessageTooBig.into(),
        ProtocolError::TooManyFragments.into(),
        ProtocolError::Unmasked.into(),
    ];
    for reason in reasons {
        let code = reason.close_code().unwrap();
        let row = CLOSE_CODES
            .lines()
            .find(|line| line.starts_with(&format!("| {code} | ")));
        let row = row.unwrap_or_else(|| panic!("{code} is not listed"));
        assert!(row.contains(&format!("`{reason}`")), "{row}");
    }
}

#[test]
fn the_readme_is_short() {
    let lines = README.lines().count();
    assert!(lines < 300, "{lines}");
}

#[test]
fn the_tools_that_tests_need_are_among_the_packages_and_can_be_skipped() {
    let install = "apt-get install ";
    let lines = README.lines().filter(|line| line.starts_with(install));
    let packages: BTreeSet<&str> = lines.flat_map(|line| line.split(' ')).collect();
    for tool in Tool::ALL.into_iter().filter(|tool| !tool.is_optional()) {
        for package in tool.packages().split(' ') {
            assert!(packages.contains(package), "{package}");
        }
        let name = tool.name();
        let is_named = [format!("`{name}`"), format!("FRAMECAST_SKIP={name} ")];
        assert!(is_named.iter().any(|text| README.contains(text)), "{name}");
    }
}

#[test]
fn the_test_command_is_what_ci_runs() {
    let ci = fs::read_to_string(Path::new(ROOT).join(".ci/run")).unwrap();
    assert!(ci.lines().any(|line| line.ends_with(" cargo test")));
}
