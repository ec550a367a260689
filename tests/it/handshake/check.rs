//! The check of a table of handshakes: sends each case, whole and cut in two, on all paths.

use std::io::Write as _;

use framecast_test_support::{Client, TestServer, eventually, frames::text};

use crate::handshake::{KEY, SWITCHED};

/// Headers of a correct handshake.
const HEADERS: [&str; 5] = [
    "Host: a.localhost",
    "Upgrade: websocket",
    "Connection: Upgrade",
    KEY,
    "Sec-WebSocket-Version: 13",
];

/// The path that stands for the path of a new registration in a case.
const RELAY: &str = "/ws/ID";

/// Number of connections that a check keeps open together, because a process may have few
/// descriptors.
const CONNECTIONS: usize = 50;

/// Sends each case in one piece and cut in two at every place, and asserts that the response has
/// this status line and these headers, and no headers that it must not have.
///
/// A case is a correct handshake with changes: a path or a start line, and then headers between
/// bars. A header replaces all headers of its name or is added; `-Name` removes a header. A case
/// for `/echo` is sent to a chat and to a relay, too.
#[track_caller]
pub(super) fn check(server: &TestServer, cases: &[&str], status: &str, headers: &[&str]) {
    for case in cases {
        for case in everywhere(case) {
            check_whole(server, &case, status, headers);
            check_cut(server, &case, status);
        }
    }
    eventually("no connection is left", || {
        server.health()["connections"] == 0
    });
}

/// Returns a case, and if it is for `/echo` the same case for a chat and for a relay.
fn everywhere(case: &str) -> Vec<String> {
    let mut cases = vec![case.to_owned()];
    let is_echo = |rest: &str| rest.is_empty() || rest.starts_with([' ', '?']);
    if let Some((start, rest)) = case.split_once("/echo")
        && is_echo(rest)
    {
        cases.extend(["/ws", RELAY].map(|path| format!("{start}{path}{rest}")));
    }
    cases
}

/// Sends a case in one piece. Checks the head of the response and, if the WebSocket is open, that
/// it works.
#[track_caller]
fn check_whole(server: &TestServer, case: &str, status: &str, headers: &[&str]) {
    let request = request(server, case);
    let mut client = server.dial();
    client.send(request.as_bytes());
    let head = client.read_head();
    let lines: Vec<&str> = head.split("\r\n").collect();
    assert_eq!(lines[0], status, "{request}{head}");
    for header in headers {
        assert!(lines.contains(header), "{request}{head}");
    }
    let is_switched = status == SWITCHED;
    for (name, may_be_there) in [
        ("sec-websocket-accept", is_switched),
        ("sec-websocket-protocol", false),
        ("sec-websocket-extensions", false),
        ("content-length", !is_switched),
    ] {
        let is_there = lines.iter().any(|line| line.starts_with(name));
        assert!(may_be_there || !is_there, "{name}: {request}{head}");
    }
    if is_switched {
        client.sends(text("ping"));
        // A relay replies to `ping`. An echo and the chat return the message.
        let is_relay = request.contains("/ws/");
        let answer = if is_relay { "pong" } else { "ping" };
        client.receives(text(answer));
        client.close();
    }
}

/// Sends a handshake cut in two at every place, and asserts that each response is the one to the
/// whole handshake.
#[track_caller]
fn check_cut(server: &TestServer, case: &str, status: &str) {
    let whole = request(server, case);
    let head = |client: &mut Client| {
        let head = client.read_head();
        let is_date = |line: &&str| line.starts_with("date: ");
        let lines: Vec<&str> = head.lines().filter(|line| !is_date(line)).collect();
        lines.join("\n")
    };
    let mut client = server.dial();
    client.send(whole.as_bytes());
    let answer = head(&mut client);
    let cuts: Vec<usize> = (1..whole.len()).collect();
    for cuts in cuts.chunks(CONNECTIONS) {
        let begin = |&at: &usize| {
            // A registration is for one connection at a time.
            let is_used = status == SWITCHED;
            let request = if is_used {
                request(server, case)
            } else {
                whole.clone()
            };
            let (start, rest) = request.as_bytes().split_at(at);
            let mut client = server.dial();
            client.send(start);
            (client, rest.to_vec())
        };
        let clients: Vec<_> = cuts.iter().map(begin).collect();
        // A request to each shard, which answers after it has read the sockets that it got before.
        server.health();
        server.health();
        for (mut client, rest) in clients {
            // If the request is not HTTP, the server may have refused it after the first part.
            let _ = client.stream.write_all(&rest);
            let rest = String::from_utf8_lossy(&rest);
            assert_eq!(head(&mut client), answer, "cut before {rest:?}");
        }
    }
}

/// Returns the request of a case.
fn request(server: &TestServer, case: &str) -> String {
    if case.contains(RELAY) {
        let relay = server.register(r#"{"user_id":1}"#);
        return request(server, &case.replace(RELAY, &relay));
    }
    let name = |line: &str| {
        let name = line.trim_start_matches('-').split(':').next();
        name.unwrap_or_default().trim().to_ascii_lowercase()
    };
    let (start, changes) = case.split_once(" | ").unwrap_or((case, ""));
    let changes: Vec<&str> = changes
        .split(" | ")
        .filter(|line| !line.is_empty())
        .collect();
    let start = match start.strip_prefix('/') {
        Some(path) => format!("GET /{path} HTTP/1.1"),
        None => start.into(),
    };
    let is_changed = |line: &&str| changes.iter().any(|change| name(change) == name(line));
    let kept = HEADERS.into_iter().filter(|line| !is_changed(line));
    let added = changes
        .iter()
        .copied()
        .filter(|line| !line.starts_with('-'));
    let lines: Vec<&str> = kept.chain(added).collect();
    format!("{start}\r\n{}\r\n\r\n", lines.join("\r\n"))
}
