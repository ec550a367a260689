//! The lines of the log: what they say, how often, and that clients can't forge them.
//! `docs/logs.md` is compared with them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::SocketAddr,
};

use framecast_test_support::{
    Answer, Client, PATIENCE,
    frames::{binary, close, masked, text, unmasked},
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
fn slow_consumers_are_logged_with_their_address_and_the_messages_that_they_lost() {
    let server = start(&["--slow-after=1ms", "--close-timeout=100ms", "--log=debug"]);
    let slow = server.connect("/ws?topic=flood");
    let peer = slow.stream.local_addr().unwrap();
    let mut publisher = server.connect("/ws?topic=flood");
    let message = binary(vec![0; 60 * 1024]);
    let is_logged = |server: &Process| {
        let log = server.program.errors();
        log.contains("slow consumers are ended")
    };
    while !is_logged(&server) {
        publisher.sends(message.clone());
        publisher.receives(message.clone());
    }
    let lines = parse(&stop(server));
    let slow = only(&lines, "slow consumers are ended");
    let peer = Value::from(peer.to_string());
    let ended = of(&lines, "connection ended");
    let ended = ended.iter().find(|line| line["peer"] == peer).unwrap();
    assert_eq!(ended["reason"], "slow consumer");
    assert_eq!(ended["dropped_topic"], "flood");
    assert!(ended["dropped"].as_u64() > Some(0), "{ended}");
    assert_eq!(slow["peer"], peer);
    assert_eq!((&slow["count"], &slow["code"]), (&1.into(), &4008.into()));
}

#[test]
fn a_connection_has_a_line_at_its_begin_and_one_with_counts_at_its_end() {
    let server = start(&["--log=debug"]);
    let mut client = server.connect("/echo");
    let peer = client.stream.local_addr().unwrap().to_string();
    for frame in [text("ab"), text("cde")] {
        client.sends(frame.clone());
        client.receives(frame);
    }
    client.close();
    let lines = parse(&stop(server));
    let (began, ended) = (
        only(&lines, "connection began"),
        only(&lines, "connection ended"),
    );
    for line in [began, ended] {
        assert_eq!(
            (&line["peer"], &line["path"]),
            (&peer.clone().into(), &"/echo".into())
        );
        assert_eq!(
            (&line["topics"], &line["user"]),
            (&"[]".into(), &Value::Null)
        );
        assert_eq!(line["target"], "framecast::connection");
    }
    assert_eq!(began["connection"], ended["connection"]);
    // Each frame of a client has a header of 6 bytes, each of the server one of 2.
    let close_bytes = 2;
    for (field, value) in [
        ("messages_in", 2),
        ("bytes_in", 8 + 9 + 6 + close_bytes),
        ("messages_out", 2),
        ("bytes_out", 4 + 5 + 2 + close_bytes),
        ("dropped", 0),
    ] {
        assert_eq!(ended[field], value, "{field} in {ended}");
    }
    assert_eq!(ended["reason"], "closed by peer");
    assert_eq!(ended["orderly"], true);
    assert!(ended["duration_ms"].is_u64(), "{ended}");
}

#[test]
fn messages_count_for_each_connection_whatever_way_they_take() {
    let server = start(&["--log=debug", "--deflate"]);
    let path = register(&server, r#"{"user_id": 7, "topics": ["cats", "dogs"]}"#);
    let mut relay = server.connect(&path);
    relay.sends(text("ping"));
    relay.receives(text("pong"));
    for user in ["", r#", "user_id": 7"#] {
        post(
            &server,
            "/publish",
            &format!(r#"{{"topic": "cats", "message": "meow"{user}}}"#),
        );
        relay.receives(text("meow"));
    }
    relay.close();
    let mut raw = server.connect("/echo/raw");
    // One message in two frames, a Ping between them.
    let (first, ping, last) = ((0x01, b"a".to_vec()), (0x89, vec![]), (0x80, b"b".to_vec()));
    raw.sends_together([first.clone(), ping, last.clone()]);
    let mut received = [raw.read_frame(), raw.read_frame(), raw.read_frame()];
    received.sort();
    let mut expected = [first, (0x8a, vec![]), last];
    expected.sort();
    assert_eq!(received, expected);
    raw.close();

    let lines = parse(&stop(server));
    let ended = of(&lines, "connection ended");
    let of_path = |path: &str| *ended.iter().find(|line| line["path"] == path).unwrap();
    let relay = of_path("/ws/{id}");
    assert_eq!(relay["user"], "7");
    assert_eq!(relay["topics"], r#"["cats", "dogs"]"#);
    assert_eq!(relay["topic_count"], 2);
    assert_eq!(
        (&relay["messages_in"], &relay["messages_out"]),
        (&1.into(), &3.into())
    );
    let raw = of_path("/echo/raw");
    assert_eq!(
        (&raw["messages_in"], &raw["messages_out"]),
        (&1.into(), &1.into())
    );
}

#[test]
fn a_drain_is_logged_with_the_connections_that_were_closed_and_those_that_were_cut() {
    let server = start(&["--close-timeout=2s"]);
    let mut polite = server.connect("/ws");
    // This client never answers the Close.
    let _silent = server.connect("/ws");
    server.signal(Signal::TERM);
    polite.receives(close(1012, "server is restarting"));
    polite.sends(close(1012, ""));
    polite.expect_end();
    let lines = parse(&log_of(server));
    assert_eq!(only(&lines, "draining")["connections"], 2);
    let drained = only(&lines, "drained");
    assert_eq!(
        (&drained["closed"], &drained["cut"]),
        (&1.into(), &1.into())
    );
    assert_eq!(drained["undelivered"], 0);
    assert_eq!(lines.last().unwrap()["message"], "stopped");
}

#[test]
fn clients_that_never_answer_the_close_are_logged_as_cut_or_left() {
    // The closing handshakes may take two thirds of this time, so that usually nothing is left.
    let server = start(&["--drain-timeout=300ms"]);
    let _silent: Vec<Client> = (0..3).map(|_| server.connect("/ws")).collect();
    let log = stop(server);
    let lines = parse(&log);
    let ended = lines
        .iter()
        .find(|line| line["duration_ms"].is_u64())
        .unwrap();
    let left = ended["left"].as_u64().unwrap_or(0);
    assert_eq!(ended["cut"].as_u64().unwrap() + left, 3, "{log}");
}

#[test]
fn no_client_can_forge_a_line_or_a_field_or_control_a_terminal() {
    for format in ["text", "json"] {
        let server = Process::serve(&["--log=debug", "--log-format", format]);
        let body = r#"{"user_id": "a\n2026-01-01T00:00:00Z  INFO forged\u001b[2J\u009b2J\u007f",
            "topics": ["x\" peer=forged\u202e\u2028"]}"#;
        let path = register(&server, body);
        server.connect(&path).close();
        // HTTP allows bytes above 0x7F in a header.
        let origin = "GET / HTTP/1.1\r\nHost: localhost\r\nOrigin: http://e.example\" status=\u{9b}2J\u{202e}\r\n\r\n";
        assert_eq!(ask(&server, origin.as_bytes()).0.status, 403);
        let log = stop(server);
        let may_stay = |character: char| character == '\n' || character.escape_debug().len() == 1;
        let visible = |character: &char| may_stay(*character) || "\"'\\".contains(*character);
        assert_eq!(
            log.chars().find(|character| !visible(character)),
            None,
            "{log}"
        );
        assert!(log.contains("INFO forged"), "{log}");
        let is_forged = |line: &str| line.starts_with("2026-01-01");
        assert!(!log.lines().any(is_forged), "{log}");
        if format == "json" {
            let lines = parse(&log);
            let user = &only(&lines, "connection began")["user"];
            assert_eq!(
                *user,
                "a\n2026-01-01T00:00:00Z  INFO forged\u{1b}[2J\u{9b}2J\u{7f}"
            );
        } else {
            assert!(
                log.contains(r#"topics=["x\" peer=forged\u{202e}\u{2028}"]"#),
                "{log}"
            );
            assert!(
                log.contains(r#"http://e.example\" status=\u{9b}2J\u{202e}""#),
                "{log}"
            );
        }
    }
}

#[test]
fn no_line_has_the_id_of_a_registration_or_a_part_of_a_message() {
    const SECRET: &str = "a-secret-message";
    for format in ["text", "json"] {
        let server = Process::serve(&["--log=trace", "--log-format", format]);
        let path = register(&server, r#"{"user_id": 1}"#);
        let id = path.strip_prefix("/ws/").unwrap().to_owned();
        let mut old = server.connect(&path);
        let mut new = server.connect(&path);
        old.receives(close(4506, "taken over"));
        old.sends(close(4506, ""));
        new.sends(text(format!("{{\"topics\": [1, \"{SECRET}\"]}}")));
        new.read_text();
        post(
            &server,
            "/publish",
            &format!("{{\"topic\": \"cats\", \"message\": [\"{SECRET}\"]}}"),
        );
        // A handshake without its key, a method that is not allowed, and a head that is cut off.
        for head in [
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
            format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
            format!("GET {path}\r\n\r\n"),
            format!("DELETE /register/{id} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
            format!("DELETE /register/{id} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        ] {
            ask_any(&server, &head);
        }
        new.receives(close(4503, "registration deleted"));
        new.send(&masked([close(4503, "")]));
        let log = stop(server);
        assert!(log.contains("/ws/{id}"), "{log}");
        assert!(!log.contains(&id), "{id} in {log}");
        assert!(!log.contains(SECRET), "{log}");
    }
}

/// Sends a request that need not be valid, and waits for the head of the response.
fn ask_any(server: &Process, head: &str) {
    let mut client = Client::dial(server.address);
    client.send(head.as_bytes());
    assert!(client.read_head().starts_with("HTTP/1.1 "), "{head}");
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
