//! Tests of runs that fail, and of wrong command lines: the exit status, and the reason in one
//! line.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    process::Command,
    thread,
};

use serde_json::Value;

use crate::{
    scripted::Peer,
    support::{FRAMECAST, Run, Server},
};

#[test]
fn an_error_of_a_worker_is_reported_in_one_line() {
    // A server that accepts the first connection, which is the probe, and refuses all later ones.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let full = listener.local_addr().unwrap();
    thread::spawn(move || {
        for (index, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            if index == 0 {
                thread::spawn(move || Peer::accept(stream).map(|mut peer| peer.read()));
            } else {
                let _ = stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\n\r\n");
                let _ = stream.read(&mut [0; 1024]);
            }
        }
    });
    let run = Run::of("idle", &format!("ws://{full}/"), &["--workers", "2"]);
    assert_eq!(run.code, Some(1));
    assert_eq!(
        run.error_line(),
        "framecast: a worker process has failed: the server answered 503 Service Unavailable"
    );
}

#[test]
fn a_run_that_fails_reports_the_reason_in_one_line() {
    let server = Server::start();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // Nobody listens at this address once the listener is dropped.
    let nowhere = listener.local_addr().unwrap();
    drop(listener);
    let nowhere_url = format!("ws://{nowhere}/");
    let refused = format!("cannot connect to {nowhere}: Connection refused (os error 111)");
    let echo = server.url("/echo");
    for (kind, url, arguments, reason) in [
        ("echo", nowhere_url.as_str(), &[][..], refused.as_str()),
        ("echo", &nowhere_url, &["--workers", "2"], &refused),
        ("fanout", &nowhere_url, &["--relay"], &refused),
        (
            "echo",
            &server.url("/nope"),
            &[],
            "the server answered 404 Not Found: no such resource",
        ),
        (
            "fanout",
            &server.url("/nope"),
            &["--relay"],
            "the server answered 404 Not Found: no such resource",
        ),
        (
            "idle",
            &echo,
            // No process has the largest id.
            &["--pid", "4294967295"],
            "cannot read what process 4294967295 uses",
        ),
        ("handshake", &nowhere_url, &[], &refused),
    ] {
        let run = Run::of(kind, url, arguments);
        assert_eq!(run.code, Some(1), "{kind} {url}: {}", run.stderr);
        let line = run.stderr.strip_prefix("framecast: ").unwrap();
        assert!(
            line.starts_with(reason),
            "{line} should begin with {reason}"
        );
        assert_eq!(line.lines().count(), 1, "{line}");
        assert_eq!(run.stdout, "");
    }
}

/// A URL at which no server listens, so that a run with a right command line would fail, too.
const NOWHERE: &str = "ws://127.0.0.1:1/";

#[test]
fn options_that_are_wrong_only_together_are_a_wrong_command_line_too() {
    for (kind, url, arguments, reason) in [
        (
            "fanout",
            NOWHERE,
            &["--size", "35"][..],
            "--size: 35 is less than 36, the size of the number and the time in a message",
        ),
        (
            "fanout",
            NOWHERE,
            &["--publish", "x"],
            "--publish: the text must contain {payload} once",
        ),
        (
            "fanout",
            NOWHERE,
            &["--publish", r#"{"a":"{payload}","b":"{payload}"}"#],
            "--publish: the text must contain {payload} once",
        ),
        (
            "fanout",
            NOWHERE,
            &["--relay", "--header", "content-type: text/plain"],
            "--header: `Content-Type` cannot be added with --relay",
        ),
        (
            "fanout",
            NOWHERE,
            &["--topics", "3", "--subscribers", "2"],
            "--topics: 3 is more than the 2 subscribers, so that some would have no subscriber",
        ),
    ] {
        assert_misuse(kind, url, arguments, reason);
    }
}

#[test]
fn a_time_a_header_or_a_url_that_no_run_can_have_is_a_wrong_command_line_too() {
    for (kind, url, arguments, reason) in [
        (
            "idle",
            NOWHERE,
            &["--duration", "0s"][..],
            "--duration: must be more than 0",
        ),
        (
            "idle",
            // A wrong command line is found before the name is looked up.
            "ws://nosuch.invalid/",
            &["--header", "Host: a", "--header", "host: b"],
            "--header: there is more than one `Host`",
        ),
        (
            "idle",
            "ws://b\u{ad}:x/",
            &[],
            "`ws://b\u{ad}:x/` is not a URL: invalid port number",
        ),
        (
            "idle",
            "http://h/",
            &[],
            "the URL must start with ws://, not http://",
        ),
        (
            "fanout",
            "ws://{topic}.example/ws",
            &[],
            "the host in the URL must not contain {topic}",
        ),
        (
            "idle",
            "ws://127.0.0.1:1/ ",
            &[],
            "the URL must not end with a space",
        ),
        (
            "churn",
            "tcp://nosuch.invalid:1",
            &[],
            "the URL must start with ws://: a bare TCP server has no subscribers",
        ),
    ] {
        assert_misuse(kind, url, arguments, reason);
    }
}

/// Asserts that scenario `kind` against `url` is a wrong command line with these arguments.
#[track_caller]
fn assert_misuse(kind: &str, url: &str, arguments: &[&str], reason: &str) {
    let run = Run::of(kind, url, arguments);
    assert_eq!(run.code, Some(2), "{kind} {url}: {}", run.stderr);
    assert_eq!(run.stderr, format!("framecast: {reason}\n"));
    assert_eq!(run.stdout, "");
}

#[test]
fn a_publication_that_the_relay_refuses_ends_the_run_with_its_reason() {
    let server = Server::start();
    // More bytes than the server accepts in a request, by default.
    let crowd = ["--relay", "--subscribers", "2", "--size", "200000"];
    let run = Run::of("fanout", &server.url(""), &crowd);
    assert_eq!(run.code, Some(1));
    let reason = "framecast: cannot publish: the server answered 413 Payload Too Large: \
                  message: over 65536 bytes";
    assert_eq!(run.error_line(), reason);
}

#[test]
fn the_reason_of_a_refusal_or_a_close_by_the_server_is_shown() {
    let server = Server::start();
    let foreign = ["--header", "Origin: https://other.example"];
    let run = Run::of("echo", &server.url("/echo"), &foreign);
    assert_eq!(run.code, Some(1));
    let reason = "framecast: the server answered 403 Forbidden: \
                  pages of this origin may not use this server";
    assert_eq!(run.error_line(), reason);

    let big = ["--connections", "2", "--size", "100KiB"];
    let run = Run::of("echo", &server.url("/echo"), &big);
    assert_eq!(run.code, Some(1));
    let reason = "framecast: the server has ended 2 connections (1009: message too big)";
    assert_eq!(run.error_line(), reason);
}

#[test]
fn the_reason_of_a_refusal_cannot_control_the_terminal() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 1024]);
            let body = format!("full\u{1b}[2J{}\n", "!".repeat(10_000));
            let len = body.len();
            let head = format!("HTTP/1.1 503 Busy\r\nContent-Length: {len}\r\n\r\n");
            let _ = stream.write_all((head + &body).as_bytes());
        }
    });
    let run = Run::of("echo", &format!("ws://{address}/"), &[]);
    assert_eq!(run.code, Some(1));
    let reason = "framecast: the server answered 503 Busy: full\\u{1b}[2J!!!!";
    assert!(run.error_line().starts_with(reason), "{}", run.error_line());
    assert!(run.error_line().ends_with("!…"), "{}", run.error_line());
}

#[test]
fn a_wrong_command_line_has_another_exit_status_than_a_run_that_failed() {
    for (arguments, reason) in [
        (
            &["--rate", "0"][..],
            "invalid value '0' for '--rate <N>': not a number from above 0 to 1e9",
        ),
        (
            &["--rate", "5", "--depth", "2"],
            "the argument '--rate <N>' cannot be used with '--depth <N>'",
        ),
        (
            &["--header", "x"],
            "invalid value 'x' for '--header <LINE>': not `Name: value`",
        ),
        (
            &["--header", "Upgrade: h2c"],
            "invalid value 'Upgrade: h2c' for '--header <LINE>': `Upgrade` cannot be added",
        ),
        (
            &["--connections", "0"],
            "invalid value '0' for '--connections <N>': not a whole number from 1",
        ),
        (
            &["--size", "big"],
            "invalid value 'big' for '--size <SIZE>': not a size such as 65536, 64KiB, 200MiB or 1GiB, \
             at most 64MiB",
        ),
        (
            &["--duration", "soon"],
            "invalid value 'soon' for '--duration <TIME>': not a time such as 250ms, 5s or 2m",
        ),
        (
            &["--plot", "x.png"],
            "invalid value 'x.png' for '--plot <FILE.svg>': the plot is an SVG, whose name must \
             end in .svg",
        ),
        (
            &["--min-ratio", "1.5"],
            "invalid value '1.5' for '--min-ratio <RATIO>': not a number from 0 to 1",
        ),
    ] {
        let run = Run::of("echo", "ws://127.0.0.1:1/", arguments);
        assert_eq!(run.code, Some(2), "{arguments:?}: {}", run.stderr);
        assert_eq!(run.stderr, format!("framecast: {reason}\n"));
    }
}

#[test]
fn an_output_file_that_cannot_be_written_is_reported_before_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("missing/file.svg");
    for output in ["--json", "--hdr", "--plot"] {
        // No server listens there, so a run would fail otherwise.
        let mut command = Command::new(FRAMECAST);
        command.args(["load", "echo", "--url", "ws://127.0.0.1:1/", output]);
        let output = command.arg(&file).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let reason = "No such file or directory (os error 2)";
        let expected = format!("framecast: writing {}: {reason}\n", file.display());
        assert_eq!(String::from_utf8(output.stderr).unwrap(), expected);
    }
}

#[test]
fn a_file_name_of_a_hyphen_is_standard_output_for_one_result_alone() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let load = |outputs: &[&str]| {
        let mut command = Command::new(FRAMECAST);
        let url = server.url("/echo");
        command.args(["load", "echo", "--duration", "100ms", "--connections", "1"]);
        command.args(["--url", &url]).args(outputs);
        let output = command.current_dir(folder.path()).output().unwrap();
        let [stdout, stderr] =
            [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        (output.status.code(), stdout, stderr)
    };
    let (code, stdout, stderr) = load(&["--json", "-"]);
    assert_eq!(code, Some(0), "{stderr}");
    let result: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(result["scenario"], "echo");
    assert!(stderr.contains("\necho: 1 connection of "), "{stderr}");
    let (code, stdout, stderr) = load(&["--json", "result.json", "--hdr=-"]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(
        stdout.starts_with("       Value     Percentile"),
        "{stdout}"
    );
    assert!(stderr.contains("\necho: 1 connection of "), "{stderr}");
    let (code, stdout, stderr) = load(&["--json", "-", "--hdr", "-"]);
    let reason = "framecast: --json and --hdr cannot both go to standard output\n";
    assert_eq!(
        (code, stdout.as_str(), stderr.as_str()),
        (Some(2), "", reason)
    );
    // Another name is a file, and nothing is named `-`.
    let files = fs::read_dir(folder.path()).unwrap();
    let names: Vec<_> = files.map(|file| file.unwrap().file_name()).collect();
    assert_eq!(names, ["result.json"]);
}

#[test]
fn the_help_explains_exit_statuses_and_mentions_tcp_only_where_it_is_supported() {
    let help = |kind: &[&str]| {
        let mut command = Command::new(FRAMECAST);
        let output = command.arg("load").args(kind).arg("--help").output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    assert!(help(&[]).contains("Exit status:\n  0  "));
    for word in [
        "closed loop",
        "corrupted",
        "open loop",
        "first to last",
        "gap",
        "held up",
        "stall",
    ] {
        assert!(help(&[]).contains(&format!("\n  {word}  ")), "{word}");
    }
    for (kind, is_possible) in [
        ("churn", false),
        ("echo", true),
        ("fanout", false),
        ("handshake", true),
        ("idle", true),
    ] {
        let help = help(&[kind]);
        assert!(help.contains("URL of the server"), "{help}");
        assert!(help.contains("framecast load --help"), "{help}");
        assert_eq!(help.contains("tcp://"), is_possible, "{kind}");
    }
}
