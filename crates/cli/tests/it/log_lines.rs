//! The lines of the log: the start, incidents and how often they are logged, [`connections`], and
//! what clients can't do to the log ([`untrusted`]). `docs/logs.md` is compared with the lines.

mod connections;
mod untrusted;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::SocketAddr,
};

use framecast_test_support::{
    Answer, Client, PATIENCE,
    frames::{close, text, unmasked},
};
use rustix::process::Signal;
use serde_json::Value;

use crate::process::Process;

const DOCUMENT: &str = include_str!("../../../../docs/logs.md");
/// The source that names the kinds of incident.
const INCIDENTS: &str = include_str!("../../../../src/server/incident_log.rs");
/// The fields that every JSON line has.
const COMMON: [&str; 4] = ["timestamp", "level", "message", "target"];

/// Starts a server that logs JSON.
fn start(options: &[&str]) -> Process {
    Process::serve(&[&["--log-format", "json"], options].concat())
}

/// Sends a request on a connection of its own. Returns the response, and the address of the client.
fn ask(server: &Process, request: &[u8]) -> (Answer, SocketAddr) {
    let mut client = Client::dial(server.address);
    client.send(request);
    let from = client.stream.local_addr().unwrap();
    (client.read_answer(), from)
}

/// Posts a body, and returns the body of the response.
fn post(server: &Process, path: &str, body: &str) -> String {
    let length = body.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    ask(server, request.as_bytes()).0.body
}

/// Registers a connection. Returns its path, which ends in its id.
fn register(server: &Process, body: &str) -> String {
    let answer: Value = serde_json::from_str(&post(server, "/register", body)).unwrap();
    let url = answer["url"].as_str().unwrap();
    url[url.find("/ws/").unwrap()..].to_owned()
}

/// Stops the server, and returns everything that it has logged.
fn stop(server: Process) -> String {
    server.signal(Signal::TERM);
    log_of(server)
}

/// Waits for the end of a server that was stopped, and returns everything that it has logged.
fn log_of(mut server: Process) -> String {
    server.program.wait(PATIENCE).expect("the server ends");
    server.program.errors()
}

/// Parses a log of which every line is a JSON object.
fn parse(log: &str) -> Vec<Value> {
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    log.lines().map(parse).collect()
}

/// Returns the lines with this message.
fn of<'a>(lines: &'a [Value], message: &str) -> Vec<&'a Value> {
    let is_of = |line: &&Value| line["message"] == message;
    lines.iter().filter(is_of).collect()
}

/// Returns the only line with this message.
#[track_caller]
fn only<'a>(lines: &'a [Value], message: &str) -> &'a Value {
    let [line] = of(lines, message)[..] else {
        panic!("not one line {message:?} in {lines:#?}");
    };
    line
}

/// Returns the documented lines, each with its level and what is said about its fields.
fn documented() -> BTreeMap<&'static str, (&'static str, &'static str)> {
    let rows = DOCUMENT.lines().filter_map(|line| line.strip_prefix("| `"));
    let rows = rows.map(|row| {
        let (message, rest) = row.split_once("` | ").unwrap();
        (message, rest.split_once(" | ").unwrap())
    });
    rows.collect()
}

#[test]
fn the_first_line_has_the_version_the_address_and_the_limits() {
    let options = [
        "--shards=2",
        "--max-message-bytes=100KiB",
        "--max-behind=7s",
    ];
    let server = start(&options);
    let address = server.address;
    let lines = parse(&stop(server));
    let started = &lines[0];
    for (field, value) in [
        ("level", Value::from("INFO")),
        ("message", "started".into()),
        ("target", "framecast::serve".into()),
        ("version", env!("CARGO_PKG_VERSION").into()),
        ("listen", address.to_string().into()),
        ("shards", 2.into()),
        ("max_message_bytes", (100 * 1024).into()),
        ("max_behind", "7s".into()),
        ("registration_lifetime", "5m".into()),
    ] {
        assert_eq!(started[field], value, "{started}");
    }
    assert!(started["descriptors"].as_u64() > Some(0), "{started}");
    assert!(started["memory_budget"].as_u64() > Some(0), "{started}");
}

#[test]
fn the_format_is_set_in_the_file_too_and_any_other_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("framecast.toml");
    fs::write(&file, "log-format = 'json'\n").unwrap();
    let server = Process::serve(&["--config", file.to_str().unwrap()]);
    assert!(!parse(&stop(server)).is_empty());
    let server = Process::serve(&["--config", file.to_str().unwrap(), "--log-format=text"]);
    assert!(stop(server).contains("Z  INFO framecast::serve: started version="));
}

#[test]
fn a_hundred_protocol_errors_are_fewer_lines_whose_counts_add_up() {
    let server = start(&[]);
    let mut peers = BTreeSet::new();
    for _ in 0..100 {
        let mut client = server.connect("/echo");
        peers.insert(client.stream.local_addr().unwrap().to_string());
        client.send(&unmasked([text("no mask")]));
        client.receives(close(1002, "unmasked frame"));
    }
    let lines = parse(&stop(server));
    let errors = of(&lines, "connections that break the protocol are ended");
    let counts = errors.iter().map(|line| line["count"].as_u64().unwrap());
    assert_eq!(counts.sum::<u64>(), 100);
    assert!(errors.len() < 100, "{} lines", errors.len());
    for error in errors {
        assert_eq!(error["code"], 1002);
        assert_eq!(error["reason"], "unmasked frame");
        assert!(peers.contains(error["peer"].as_str().unwrap()), "{error}");
    }
}

#[test]
fn refused_requests_are_logged_by_status_with_the_latest_client() {
    let server = start(&[]);
    let request = |target: &str, headers: &str| {
        let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
        ask(&server, request.as_bytes())
    };
    let missing = [(); 3].map(|()| request("/no/such/path", "").1);
    let (answer, foreign) = request("/ws", "Origin: https://evil.example\r\n");
    assert_eq!(answer.status, 403);
    let (answer, other) = ask(&server, b"GET / HTTP/1.1\r\nHost: other.example\r\n\r\n");
    assert_eq!(answer.status, 421);
    let mut no_http = Client::dial(server.address);
    no_http.send(b"\x16\x03\x01 is TLS\r\n\r\n");
    assert!(no_http.read_head().starts_with("HTTP/1.1 400 "));
    no_http.expect_end();

    let lines = parse(&stop(server));
    let refused = of(&lines, "requests are refused");
    let with = |status: u16| refused.iter().filter(move |line| line["status"] == status);
    let count = with(404).map(|line| line["count"].as_u64().unwrap());
    assert_eq!(count.sum::<u64>(), 3);
    let last = with(404).next_back().unwrap();
    assert_eq!(last["peer"], missing[2].to_string());
    for (status, peer, reason) in [
        (
            403,
            foreign,
            "pages of this origin may not use this server: https://evil.example",
        ),
        (
            421,
            other,
            "this server does not answer to other.example; start it with --allow-host if it should",
        ),
    ] {
        let line = with(status).next().unwrap();
        assert_eq!(line["peer"], peer.to_string());
        assert_eq!(line["reason"], reason);
    }
    assert_eq!(with(400).count(), 1);
}

#[test]
fn the_documented_lines_are_those_that_are_logged_with_their_levels_and_fields() {
    let server = start(&["--log=debug"]);
    let mut client = server.connect("/ws");
    client.send(&unmasked([text("no mask")]));
    client.read_close();
    ask(&server, b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let log = stop(server);
    let documented = documented();
    let lines = parse(&log);
    assert!(lines.len() >= 8, "{log}");
    for line in lines {
        let message = line["message"].as_str().unwrap();
        let (level, text) = documented
            .get(message)
            .unwrap_or_else(|| panic!("{message}"));
        assert_eq!(line["level"], level.to_uppercase(), "{message}");
        for field in line.as_object().unwrap().keys().map(String::as_str) {
            let everywhere =
                COMMON.contains(&field) || DOCUMENT.contains(&format!("All have `{field}`"));
            let of_both =
                message == "connection ended" && documented["connection began"].1.contains(field);
            let is_peer = field == "peer" && line["target"] == "framecast::incidents";
            let is_documented = text.contains(&format!("`{field}`"));
            assert!(
                everywhere || of_both || is_peer || is_documented,
                "{field} of {message}"
            );
        }
    }
    // The kinds of incident that this test does not cause.
    let (_, kinds) = INCIDENTS.split_once("fn text(").unwrap();
    let (kinds, _) = kinds.split_once("\n}\n").unwrap();
    let kinds: Vec<&str> = kinds.split('"').skip(1).step_by(2).collect();
    assert_eq!(kinds.len(), 11);
    for kind in kinds {
        assert!(documented.contains_key(kind), "{kind}");
    }
}
