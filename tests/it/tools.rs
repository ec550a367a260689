//! Tests of the tests that need a tool of the machine, by the example of the test that runs curl.

use std::{
    env,
    os::unix::fs::symlink,
    process::{self, Command},
};

use framecast_test_support::{
    skipped,
    tools::{Tool, parse, version},
};

/// The name of the test that runs curl.
const TEST: &str = "relay::registration::curl_registers_publishes_and_deletes";

/// Runs the test of curl on a machine that has no program but `curl`, which is a link to the
/// program `linked`. `skip` is the value of `FRAMECAST_SKIP`. Returns true if the test passes, and
/// its output.
fn run(linked: Option<&str>, skip: &str) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    if let Some(program) = linked {
        symlink(program, folder.path().join("curl")).unwrap();
    }
    let mut test = Command::new(env::current_exe().unwrap());
    test.args(["--exact", TEST])
        .env("PATH", folder.path())
        .env("FRAMECAST_SKIP", skip);
    let output = test.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("running 1 test"), "{text}");
    (output.status.success(), text)
}

/// Asserts that `text` has each of the `parts`.
#[track_caller]
fn assert_has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn a_test_whose_tool_is_missing_fails_and_names_it() {
    let (passes, text) = run(None, "strace,node");
    assert!(!passes, "{text}");
    assert_has(
        &text,
        &[
            "curl can't be used: there is no curl",
            "version 7.76 or newer is needed",
            "apt-get install curl",
            "FRAMECAST_SKIP=curl",
        ],
    );
}

#[test]
fn a_test_whose_tool_is_too_old_fails_and_names_the_version() {
    // sed has a version 4.
    let (passes, text) = run(Some("/bin/sed"), "");
    assert!(!passes, "{text}");
    let too_old = "which is too old; version 7.76 or newer is needed";
    assert_has(&text, &["curl is `", "sed) 4.", too_old]);
}

#[test]
fn a_test_whose_tool_is_to_be_skipped_passes_and_is_listed() {
    let (passes, text) = run(None, "strace, curl");
    assert!(passes, "{text}");
    let note = format!("curl: {TEST}");
    assert_has(&text, &[&format!("SKIPPED for want of {note}")]);
    assert!(skipped::take(process::id()).contains(&note));
}

#[test]
fn an_unknown_tool_that_is_to_be_skipped_fails_the_test() {
    let (passes, text) = run(None, "nodejs");
    assert!(!passes, "{text}");
    let known =
        "FRAMECAST_SKIP names `nodejs`, and tests need only caddy, chromium, curl, nginx, node";
    assert_has(&text, &[known]);
}

#[test]
fn the_tools_to_be_skipped_are_separated_by_commas() {
    assert_eq!(parse(""), Ok(vec![]));
    assert_eq!(parse("strace"), Ok(vec![Tool::Strace]));
    assert_eq!(parse("node, strace,"), Ok(vec![Tool::Node, Tool::Strace]));
    for unknown in ["Node", "node strace", "all"] {
        assert!(parse(unknown).is_err(), "{unknown}");
    }
}

#[test]
fn the_version_is_found_in_the_line_that_a_program_prints() {
    for (line, expected) in [
        ("curl 7.88.1 (x86_64-pc-linux-gnu) libcurl/7.88.1", (7, 88)),
        ("strace -- version 6.1", (6, 1)),
        ("Python 3.13.5", (3, 13)),
        ("Python 3.14.0rc1", (3, 14)),
        ("v18.20.4", (18, 20)),
        ("9.2.0", (9, 2)),
        ("nginx version: nginx/1.22.1", (1, 22)),
        ("nginx version: nginx/1.26.3 (Ubuntu)", (1, 26)),
        ("2.6.2", (2, 6)),
        (
            "v2.10.0 h1:fonubSaQKF1YANl8TXqGcn4IbIRUDdfAkpcsfI/vX5U=",
            (2, 10),
        ),
        (
            "Chromium 143.0.7499.40 built on Debian GNU/Linux 13 (trixie)",
            (143, 0),
        ),
    ] {
        assert_eq!(version(line), Some(expected), "{line}");
    }
    for line in ["", "curl", "curl 7", "libcurl/7.88.1", "curl x.1"] {
        assert_eq!(version(line), None, "{line}");
    }
}
