//! Tests of runs that Ctrl-C ends early: they report the result of the time until then.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    os::unix::process::CommandExt as _,
    process::{Command, Stdio},
    sync::Arc,
};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;

use crate::{
    scripted::scripted,
    support::{FRAMECAST, Run, Server},
};

/// Runs `framecast load` for ten minutes. For each of the texts `moments`, in order, waits until a
/// line on standard error begins with the text, and then sends a Ctrl-C.
fn interrupted(kind: &str, url: &str, arguments: &[&str], moments: &[&str]) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("result.json");
    let mut command = Command::new(FRAMECAST);
    command.args(["load", kind, "--url", url, "--duration", "10m", "--json"]);
    command.arg(&json).args(arguments).stdin(Stdio::null());
    // As from a terminal, which sends the signal to the whole process group of the program.
    command.process_group(0);
    let (stdout, stderr) = (Stdio::piped(), Stdio::piped());
    let mut child = command.stdout(stdout).stderr(stderr).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let mut stderr = String::new();
    for moment in moments {
        while !stderr.lines().any(|line| line.starts_with(moment)) {
            assert_ne!(lines.read_line(&mut stderr).unwrap(), 0, "{stderr}");
        }
        kill_process_group(Pid::from_child(&child), Signal::INT).unwrap();
    }
    lines.read_to_string(&mut stderr).unwrap();
    let output = child.wait_with_output().unwrap();
    Run {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr,
        result: serde_json::from_str(&fs::read_to_string(json).unwrap()).unwrap_or(Value::Null),
    }
}

#[test]
fn an_interrupted_run_reports_what_it_has_measured() {
    let server = Server::start();
    let crowd = ["--subscribers", "6", "--rate", "200", "--workers", "3"];
    for (kind, path, arguments) in [
        ("echo", "/echo", &["--connections", "4"][..]),
        ("echo", "/echo", &["--connections", "4", "--workers", "2"]),
        ("fanout", "/ws", &crowd),
        ("idle", "/ws", &["--connections", "4"]),
    ] {
        let run = interrupted(kind, &server.url(path), arguments, &["measuring "]);
        // As a shell reports it for a program that SIGINT has killed: 128 + 2.
        assert_eq!(run.code, Some(130), "{kind}: {}", run.stderr);
        let line = run.error_line();
        let after = line.strip_prefix("framecast: interrupted ").unwrap();
        assert!(after.starts_with("after ") && after.ends_with(" of 600 s"));
        let row = format!("  {after}\n");
        assert!(run.stdout.contains(&row), "{}", run.stdout);
        assert_eq!(run.result["is_interrupted"], true);
        assert_eq!(run.count("received"), run.count("expected"), "{kind}");
        assert_eq!(run.faults(), [0; 4]);
        // The timeline has the steps that had begun when the run was interrupted, and no others.
        let counts = run.result["throughput"]["counts"].as_array().unwrap();
        let steps = run.number("duration_s") * 1e3 / run.number("throughput.step_ms");
        assert_eq!(counts.len().to_string(), steps.ceil().to_string());
    }
}

#[test]
fn an_interruption_before_the_measured_time_has_no_result() {
    let server = Server::start();
    let slow = ["--connections", "100", "--ramp", "10m"];
    for workers in [&[][..], &["--workers", "2"]] {
        let arguments = [&slow[..], workers].concat();
        let url = server.url("/ws");
        let run = interrupted("idle", &url, &arguments, &["connecting "]);
        assert_eq!(run.code, Some(130), "{}", run.stderr);
        let reason = "framecast: interrupted before anything was measured";
        assert_eq!(run.error_line(), reason);
        assert_eq!((run.stdout.as_str(), run.result), ("", Value::Null));
    }
}

#[test]
fn a_second_interruption_ends_the_run_at_once() {
    // The server sends nothing back, so that the run still waits for replies after the first
    // Ctrl-C.
    let address = scripted(Arc::new(|mut peer| while peer.read().is_some() {}));
    let url = format!("ws://{address}/");
    let moments = ["measuring ", "waiting for messages in flight"];
    let run = interrupted("echo", &url, &["--connections", "2"], &moments);
    assert_eq!(run.code, Some(130), "{}", run.stderr);
    assert_eq!((run.stdout.as_str(), run.result), ("", Value::Null));
}
