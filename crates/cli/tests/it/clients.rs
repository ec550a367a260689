//! Runs clients of other projects against the server: Node's `ws`, Python's `websockets`, and
//! Chromium with the server's own page. The programs that use them are in `../clients`.
//!
//! Their packages are installed by name into `target/clients`. Where that is not possible, these
//! tests are skipped, with a message; where `CI` is set, they fail.

use std::{
    env,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::Duration,
};

use framecast_test_support::{TestServer, program::Program};

/// Exit codes of the client programs for "a registry cannot be reached" and "a command is not on
/// this machine".
const ABSENT: [i32; 2] = [3, 4];

/// Longest time for installing all packages.
const SETUP_WITHIN: Duration = Duration::from_secs(300);
/// Longest time for one run of a client program.
const RUN_WITHIN: Duration = Duration::from_secs(120);

/// Returns the path of a file in `../clients`.
fn source(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/clients")
        .join(file)
}

/// Returns the path of a folder in `target/clients`, or of `target/clients` itself if `name` is
/// empty.
fn installed(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
        .with_file_name("clients")
        .join(name)
}

/// Runs a program to its end. Returns the text that it printed, or an error if something that it
/// needs is absent. Panics if it fails.
#[track_caller]
fn run(command: &mut Command, within: Duration) -> Result<String, String> {
    let mut program = Program::start(command);
    program.end_input();
    let Some(status) = program.wait(within) else {
        panic!("no end after {within:?}: {}", program.transcript());
    };
    match status.code() {
        Some(0) => Ok(program.output()),
        Some(code) if ABSENT.contains(&code) => Err(program.transcript()),
        _ => panic!("{status}: {}", program.transcript()),
    }
}

/// Installs the clients, once for all tests.
fn set_up() -> Result<(), String> {
    static DONE: OnceLock<Result<(), String>> = OnceLock::new();
    let set_up = || {
        run(
            Command::new(source("setup")).arg(installed("")),
            SETUP_WITHIN,
        )
    };
    DONE.get_or_init(|| set_up().map(drop)).clone()
}

/// Runs a client against a new server. `client` returns its command for the URL of the server.
#[track_caller]
fn test(client: impl FnOnce(&str) -> Command) {
    test_against(TestServer::start, client);
}

/// Runs a client with the argument `deflate` against a server with permessage-deflate.
#[track_caller]
fn test_with_deflate(client: impl FnOnce(&str) -> Command) {
    let server = || TestServer::with(|config| config.hub.deflate.enabled = true);
    test_against(server, |base| {
        let mut command = client(base);
        command.arg("deflate");
        command
    });
}

/// Starts a server with `server`, and runs the command that `client` returns for the URL of the
/// server.
#[track_caller]
fn test_against(server: impl FnOnce() -> TestServer, client: impl FnOnce(&str) -> Command) {
    run_if_possible(|| {
        let server = server();
        let base = format!("http://{}", server.address);
        run(&mut client(&base), RUN_WITHIN)
    });
}

/// Installs the clients, then runs `test`. If something that either needs is absent, the test is
/// skipped with a message, and fails where `CI` is set.
#[track_caller]
fn run_if_possible(test: impl FnOnce() -> Result<String, String>) {
    if let Err(absent) = set_up().and_then(|()| test()) {
        assert!(env::var_os("CI").is_none(), "not skipped in CI: {absent}");
        // Not `eprintln!`: the test harness captures that.
        let _ = writeln!(io::stderr(), "SKIPPED, something is absent: {absent}");
    }
}

/// Returns the command that runs Node's `ws` against the server at the URL `base`.
fn node(base: &str) -> Command {
    let mut node = Command::new("node");
    node.arg(source("node.mjs"))
        .arg(base)
        .arg(installed("node"));
    node
}

/// Returns the command that runs Python's `websockets` against the server at the URL `base`.
fn python(base: &str) -> Command {
    let mut python = Command::new(installed("venv/bin/python"));
    python.arg(source("python_client.py")).arg(base);
    python
}

/// Returns the command that uses the server's page in Chromium, and stores pictures of it.
fn page(base: &str) -> Command {
    let mut node = Command::new("node");
    node.arg(source("page.mjs")).arg(base);
    node.args([installed("node"), installed("pictures")]);
    node
}

#[test]
fn node_agrees_with_the_server() {
    test(node);
}

#[test]
fn node_agrees_with_a_server_that_compresses() {
    test_with_deflate(node);
}

#[test]
fn the_connect_command_agrees_with_the_server_of_node() {
    let mut node = Command::new("node");
    node.arg(source("connect.mjs"))
        .args([env!("CARGO_BIN_EXE_framecast").into(), installed("node")]);
    run_if_possible(|| run(&mut node, RUN_WITHIN));
}

#[test]
fn python_agrees_with_the_server() {
    test(python);
}

#[test]
fn python_agrees_with_a_server_that_compresses() {
    test_with_deflate(python);
}

#[test]
fn the_page_works_in_a_browser() {
    test(page);
}

#[test]
fn a_browser_talks_to_a_server_that_compresses() {
    test_with_deflate(page);
}
