//! Runs clients of other projects against the server: Node's `ws`, Python's `websockets`, and
//! Chromium with the server's own page. The programs that use them are in `../clients`.
//!
//! Their packages are installed by name into `target/clients`, and so is Node if the machine's own
//! one is too old. Where that is not possible, these tests fail, unless `FRAMECAST_SKIP` names the
//! tool that they need.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::Duration,
};

use framecast_test_support::{
    TestServer,
    program::Program,
    tools::Tool::{self, Chromium, Node, Python},
};

/// Longest time for installing the packages of a tool.
const SETUP_WITHIN: Duration = Duration::from_secs(300);
/// Longest time for one run of a client program. On two cores the browser takes 110 s under a load
/// average of 10, and 220 s under one of 23.
const RUN_WITHIN: Duration = Duration::from_secs(420);

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

/// Runs a program to its end. Returns an error with all that it printed if it fails, or does not
/// end in time.
fn run(command: &mut Command, within: Duration) -> Result<(), String> {
    let mut program = Program::start(command);
    program.end_input();
    match program.wait(within) {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(format!("{status}: {}", program.transcript())),
        None => Err(format!("no end after {within:?}: {}", program.transcript())),
    }
}

/// Returns true if all `tools` are here, with the packages of the clients installed. Returns false
/// if the test is to be skipped. Panics if a tool is missing or a package can't be installed.
#[must_use]
#[track_caller]
fn are_set_up(tools: &[Tool]) -> bool {
    for &tool in tools {
        if !tool.is_here() {
            return false;
        }
        if let Err(reason) = set_up(tool) {
            tool.fail(&reason);
        }
    }
    true
}

/// Installs the packages of the clients that run on `tool`, once for all tests.
fn set_up(tool: Tool) -> Result<(), String> {
    static NODE: OnceLock<Result<(), String>> = OnceLock::new();
    static PYTHON: OnceLock<Result<(), String>> = OnceLock::new();
    let done = match tool {
        Node => &NODE,
        Python => &PYTHON,
        _ => return Ok(()),
    };
    let mut setup = Command::new(source("setup"));
    setup.arg(tool.name()).arg(installed(""));
    done.get_or_init(|| run(&mut setup, SETUP_WITHIN)).clone()
}

/// Runs a client against a new server. `client` returns its command for the URL of the server.
#[track_caller]
fn test(tools: &[Tool], client: impl FnOnce(&str) -> Command) {
    test_against(TestServer::start, tools, client);
}

/// Runs a client with the argument `deflate` against a server with permessage-deflate.
#[track_caller]
fn test_with_deflate(tools: &[Tool], client: impl FnOnce(&str) -> Command) {
    let server = || TestServer::with(|config| config.hub.deflate.enabled = true);
    test_against(server, tools, |base| {
        let mut command = client(base);
        command.arg("deflate");
        command
    });
}

/// Starts a server by calling `server`. Then runs the command that `client` returns for the URL of
/// this server. Skips the test if one of the `tools` is to be skipped.
#[track_caller]
fn test_against(
    server: impl FnOnce() -> TestServer,
    tools: &[Tool],
    client: impl FnOnce(&str) -> Command,
) {
    if are_set_up(tools) {
        let server = server();
        let base = format!("http://{}", server.address);
        succeed(&mut client(&base));
    }
}

/// Runs a client, which must succeed.
#[track_caller]
fn succeed(client: &mut Command) {
    run(client, RUN_WITHIN).unwrap_or_else(|error| panic!("{error}"));
}

/// Returns the command that runs a program in `../clients` with the Node that is new enough.
fn node_with(file: &str) -> Command {
    let mut node = Command::new(installed("node/bin/node"));
    node.arg(source(file));
    node
}

/// Returns the command that runs Node's `ws` against the server at the URL `base`.
fn node(base: &str) -> Command {
    let mut node = node_with("node.mjs");
    node.arg(base).arg(installed("node"));
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
    let mut node = node_with("page.mjs");
    node.arg(base);
    node.args([installed("node"), installed("pictures")]);
    node
}

#[test]
fn node_agrees_with_the_server() {
    test(&[Node], node);
}

#[test]
fn node_agrees_with_a_server_that_compresses() {
    test_with_deflate(&[Node], node);
}

#[test]
fn the_connect_command_agrees_with_the_server_of_node() {
    if are_set_up(&[Node]) {
        let mut node = node_with("connect.mjs");
        node.args([env!("CARGO_BIN_EXE_framecast").into(), installed("node")]);
        succeed(&mut node);
    }
}

#[test]
fn python_agrees_with_the_server() {
    test(&[Python], python);
}

#[test]
fn python_agrees_with_a_server_that_compresses() {
    test_with_deflate(&[Python], python);
}

#[test]
fn the_page_works_in_a_browser() {
    test(&[Chromium, Node], page);
}

#[test]
fn a_browser_talks_to_a_server_that_compresses() {
    test_with_deflate(&[Chromium, Node], page);
}
