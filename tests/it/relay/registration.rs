//! The life of registrations: creation, use by one connection, deletion, and expiry.

use std::{collections::HashSet, fs, process::Command, time::Duration};

use framecast_test_support::{
    Client, TestServer, eventually,
    frames::{Frame, close, text, unmasked},
    handshake, handshake_with,
    tools::Tool,
};
use serde_json::Value;

use crate::relay::{ask, publish_to};

/// Returns the Close of a connection whose registration was deleted.
fn deleted() -> Frame {
    close(4503, "registration deleted")
}

/// Returns the Close of a connection whose registration a newer one has taken over.
fn taken_over() -> Frame {
    close(4506, "taken over")
}

/// Deletes the registration of a path. Returns the status.
fn delete(server: &TestServer, path: &str) -> u16 {
    let path = path.replace("/ws/", "/register/");
    server.http("DELETE", &path, "", "").status
}

/// Sends a handshake for a path. Returns the status of the response.
fn status_of(server: &TestServer, path: &str) -> u16 {
    let mut client = server.dial();
    client.send(handshake(path).as_bytes());
    // The status follows the 9 bytes of `HTTP/1.1 `.
    client.read_head()[9..12].parse().unwrap()
}

#[test]
fn a_url_has_the_host_of_its_request_and_a_random_id() {
    const REGISTRATIONS: usize = 100;
    let server = TestServer::start();
    let mut ids = HashSet::new();
    for _ in 0..REGISTRATIONS {
        let answer = server.post("/register", r#"{"user_id": "same"}"#);
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer.as_object().unwrap().len(), 1);
        let url = answer["url"].as_str().unwrap();
        let id = url.strip_prefix("ws://a.localhost/ws/").unwrap();
        assert_eq!(id.len(), 32);
        assert!(
            id.bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        );
        // A random UUID (version 4).
        assert_eq!(&id[12..13], "4");
        ids.insert(id.to_owned());
    }
    assert_eq!(ids.len(), REGISTRATIONS);
    assert_eq!(server.health()["registrations"], REGISTRATIONS);
}

// The client of a dead connection met 409 until the server noticed that one's end, 35 s later.
#[test]
fn a_new_connection_takes_over_from_one_that_sends_nothing_any_more() {
    let server = TestServer::start();
    let path = server.register(r#"{"user_id": 1}"#);
    let dead = server.connect(&path);
    let mut client = server.connect(&path);
    assert_eq!(publish_to(&server, "cats", "x"), 1);
    client.receives(text("x"));
    assert_eq!(server.health()["registrations"], 1);
    client.close();
    drop(dead);
}

#[test]
fn an_older_connection_receives_what_was_published_before_and_then_its_close() {
    let server = TestServer::start();
    let path = server.register(r#"{"user_id": 1}"#);
    let mut old = server.connect(&path);
    // On either shard: they get connections in turn.
    for _ in 0..20 {
        assert_eq!(publish_to(&server, "cats", "before"), 1);
        let mut new = server.connect(&path);
        assert_eq!(publish_to(&server, "cats", "after"), 1);
        old.expect(b"\x81\x06before\x88\x0C\x11\x9Ataken over");
        old.sends(close(4506, ""));
        old.expect_end();
        new.receives(text("after"));
        old = new;
    }
    old.close();
    assert_eq!(server.health()["registrations"], 1);
}

#[test]
fn the_end_of_an_older_connection_neither_frees_nor_changes_the_registration() {
    let server = TestServer::with(|config| {
        config.registrations.lifetime = Duration::from_secs(1);
    });
    let path = server.register(r#"{"user_id": 1}"#);
    let mut old = server.connect(&path);
    let mut new = server.connect(&path);
    old.sends(text(r#"{"topics": ["dogs"]}"#));
    old.receives(taken_over());
    old.sends(close(4506, ""));
    old.expect_end();
    // By then the lifetime of a registration without a connection is over.
    server.register(r#"{"user_id": 2}"#);
    eventually("the unused one expires", || {
        server.health()["registrations"] == 1
    });
    assert_eq!(ask(&mut new, "ping"), "pong");
    new.close();
    let mut again = server.connect(&path);
    assert_eq!(publish_to(&server, "dogs", "bark"), 0);
    assert_eq!(publish_to(&server, "cats", "purr"), 1);
    again.receives(text("purr"));
    again.close();
}

#[test]
fn a_handshake_that_is_refused_takes_nothing_over() {
    let server = TestServer::start();
    let path = server.register(r#"{"user_id": 1}"#);
    let mut client = server.connect(&path);
    for header in [
        "Sec-WebSocket-Extensions: permessage-deflate; =\r\n",
        "Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==\r\n",
    ] {
        let mut other = server.dial();
        other.send(handshake_with(&path, header).as_bytes());
        assert_eq!(other.read_answer().status, 400, "{header}");
        assert_eq!(ask(&mut client, "ping"), "pong");
    }
    client.close();
}

#[test]
fn a_registration_is_free_at_once_after_the_close_of_its_connection() {
    let server = TestServer::start();
    let path = server.register(r#"{"user_id": 1}"#);
    for _ in 0..20 {
        let mut client = server.connect(&path);
        client.sends(close(1000, ""));
        client.receives(close(1000, ""));
        client.expect_end();
        // The client's end of the stream is still open.
        server.connect(&path).close();
        drop(client);
    }
    assert_eq!(server.health()["registrations"], 1);
}

#[test]
fn a_registration_is_free_after_its_connection_was_lost_or_had_a_protocol_error() {
    let server = TestServer::start();
    let path = server.register(r#"{"user_id": 1}"#);
    drop(server.connect(&path));
    drop(server.connect(&path));
    eventually("both lost connections have ended", || {
        server.health()["connections"] == 0
    });
    let mut client = server.connect(&path);
    client.send(&unmasked([text("")]));
    client.receives(close(1002, "unmasked frame"));
    client.expect_end();
    server.connect(&path).close();
}

#[test]
fn the_last_of_many_simultaneous_connections_keeps_the_registration() {
    const CLIENTS: usize = 20;
    let server = TestServer::start();
    let path = server.register(r#"{"user_id": 1}"#);
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| server.dial()).collect();
    for client in &mut clients {
        client.send(handshake(&path).as_bytes());
    }
    let answers: Vec<_> = clients.iter_mut().map(Client::read_answer).collect();
    assert_eq!(publish_to(&server, "cats", "x"), 1);
    let mut reached = 0;
    for (client, answer) in clients.iter_mut().zip(&answers) {
        if answer.status == 409 {
            assert_eq!(answer.header("retry-after"), Some("1"));
            let error = "another handshake for this registration is under way; try again";
            assert_eq!(answer.body, format!("{{\"error\":\"{error}\"}}\n"));
            continue;
        }
        assert_eq!(answer.status, 101);
        let frame = client.read_frame();
        if frame == text("x") {
            reached += 1;
        } else {
            assert_eq!(frame, taken_over());
        }
    }
    assert_eq!(reached, 1);
}

#[test]
fn a_registration_keeps_its_topics_from_connection_to_connection() {
    let server = TestServer::start();
    let path = server.register(r#"{"user_id": 1}"#);
    let mut client = server.connect(&path);
    ask(&mut client, r#"{"topics": ["dogs", "birds"]}"#);
    client.close();
    let mut client = server.connect(&path);
    assert_eq!(publish_to(&server, "cats", "purr"), 0);
    assert_eq!(publish_to(&server, "dogs", "bark"), 1);
    assert_eq!(publish_to(&server, "birds", "sing"), 1);
    client.receives_all([text("bark"), text("sing")]);
    client.close();
}

#[test]
fn deleting_a_registration_closes_its_connection_with_a_reason() {
    let server = TestServer::start();
    for _ in 0..10 {
        let path = server.register(r#"{"user_id": 1}"#);
        let mut client = server.connect(&path);
        assert_eq!(publish_to(&server, "cats", "before"), 1);
        assert_eq!(delete(&server, &path), 200);
        // Queued messages are sent before the Close.
        client.receives_all([text("before"), deleted()]);
        client.sends(close(4503, ""));
        client.expect_end();
        assert_eq!(publish_to(&server, "cats", "after"), 0);
        assert_eq!(delete(&server, &path), 404);
        assert_eq!(status_of(&server, &path), 404);
    }
    assert_eq!(server.health()["registrations"], 0);
    eventually("no connection is left", || {
        server.health()["connections"] == 0
    });
}

#[test]
fn a_registration_without_a_connection_is_deleted() {
    let server = TestServer::start();
    let path = server.register(r#"{"user_id": 1}"#);
    assert_eq!(delete(&server, &path), 200);
    assert_eq!(delete(&server, &path), 404);
    assert_eq!(status_of(&server, &path), 404);
    assert_eq!(delete(&server, "/ws/0123456789abcdef0123456789abcdef"), 404);
}

#[test]
fn a_registration_deleted_during_its_handshake_leaves_no_connection() {
    let server = TestServer::start();
    for _ in 0..50 {
        let path = server.register(r#"{"user_id": 1}"#);
        let mut client = server.dial();
        client.send(handshake(&path).as_bytes());
        assert_eq!(delete(&server, &path), 200);
        // The handshake is refused, or the connection is closed.
        if client.read_head().starts_with("HTTP/1.1 101 ") {
            client.receives(deleted());
        }
    }
    assert_eq!(publish_to(&server, "cats", "x"), 0);
    eventually("no connection is left", || {
        server.health()["connections"] == 0
    });
}

#[test]
fn deleting_a_registration_that_is_being_taken_over_closes_both_connections() {
    let server = TestServer::start();
    for _ in 0..50 {
        let path = server.register(r#"{"user_id": 1}"#);
        let mut old = server.connect(&path);
        let mut new = server.dial();
        new.send(handshake(&path).as_bytes());
        assert_eq!(delete(&server, &path), 200);
        assert!([deleted(), taken_over()].contains(&old.read_frame()));
        if new.read_head().starts_with("HTTP/1.1 101 ") {
            new.receives(deleted());
        }
        assert_eq!(status_of(&server, &path), 404);
    }
    assert_eq!(publish_to(&server, "cats", "x"), 0);
    eventually("no connection is left", || {
        server.health()["connections"] == 0
    });
}

#[test]
fn a_registration_without_a_connection_expires_and_one_with_a_connection_does_not() {
    let server = TestServer::with(|config| {
        config.registrations.lifetime = Duration::from_secs(1);
    });
    let kept = server.register(r#"{"user_id": 1}"#);
    let mut client = server.connect(&kept);
    let unused = server.register(r#"{"user_id": 2}"#);
    // When the unused registration expires, the lifetime of the kept one is over, too.
    eventually("the unused one expires", || {
        server.health()["registrations"] == 1
    });
    assert_eq!(status_of(&server, &unused), 404);
    assert_eq!(delete(&server, &unused), 404);
    assert_eq!(publish_to(&server, "cats", "x"), 1);
    client.receives(text("x"));
    client.close();
    eventually("the other one expires", || {
        server.health()["registrations"] == 0
    });
    assert_eq!(status_of(&server, &kept), 404);
}

#[test]
fn a_registration_over_the_limit_is_refused_until_one_is_deleted() {
    let server = TestServer::with(|config| config.registrations.most = 2);
    let first = server.register(r#"{"user_id": 1}"#);
    // A registration with a connection counts, too.
    let client = server.connect(&server.register(r#"{"user_id": 1}"#));
    let answer = server.http("POST", "/register", "", r#"{"user_id": 1}"#);
    assert_eq!(answer.status, 503);
    assert_eq!(answer.body, "{\"error\":\"too many registrations\"}\n");
    assert_eq!(delete(&server, &first), 200);
    server.register(r#"{"user_id": 1}"#);
    client.close();
}

/// Runs curl. Returns the status and the body.
fn curl(server: &TestServer, arguments: &[&str], path: &str) -> (String, String) {
    let output = Command::new("curl")
        .args([
            "--silent",
            "--show-error",
            "--max-time",
            "10",
            "--noproxy",
            "*",
        ])
        .args(["--write-out", "%{http_code}", "--header", "Expect:"])
        .args(arguments)
        .arg(format!("http://{}{path}", server.address))
        .output()
        .unwrap();
    let out = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{out}{output:?}");
    // `--write-out` appends the three digits of the status to the body.
    let (body, status) = out.split_at(out.len() - 3);
    (status.to_owned(), body.to_owned())
}

#[test]
fn curl_registers_publishes_and_deletes() {
    if !Tool::Curl.is_here() {
        return;
    }
    let server = TestServer::start();
    let (status, body) = curl(&server, &["--data", r#"{"user_id": 1}"#], "/register");
    assert_eq!(status, "200", "{body}");
    let answer: Value = serde_json::from_str(&body).unwrap();
    let url = answer["url"].as_str().unwrap();
    let path = url
        .strip_prefix(&format!("ws://{}", server.address))
        .unwrap();
    let mut client = server.connect(path);
    let json = ["--header", "Content-Type: application/json", "--data"];
    let publish = [
        &json[..],
        &[r#"{"topic": "cats", "message": "are awesome"}"#],
    ]
    .concat();
    let published = curl(&server, &publish, "/publish");
    assert_eq!(published, ("200".into(), "{\"queued\":1}\n".into()));
    client.receives(text("are awesome"));
    let registration = path.replace("/ws/", "/register/");
    assert_eq!(
        curl(&server, &["--request", "DELETE"], &registration).0,
        "200"
    );
    client.receives(deleted());
    assert_eq!(
        curl(&server, &["--request", "DELETE"], &registration).0,
        "404"
    );
    assert_eq!(curl(&server, &["--head"], "/health").0, "200");
    assert_eq!(curl(&server, &[], "/ws").0, "426");
    // A body far over the limit, which curl sends without waiting for `100 Continue`.
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), vec![b' '; 4 * 1024 * 1024]).unwrap();
    let data = format!("@{}", file.path().display());
    assert_eq!(
        curl(&server, &["--data-binary", &data], "/publish").0,
        "413"
    );
}
