//! Registrations: made, taken, remembered, deleted, and forgotten.

use std::{collections::HashSet, env, fs, process::Command, time::Duration};

use framecast_test_support::{Client, TestServer, eventually, frame, handshake};
use serde_json::Value;

use super::{ask, tell};

fn delete(server: &TestServer, path: &str) -> u16 {
    let path = path.replace("/ws/", "/register/");
    server.http("DELETE", &path, "", "").status
}

/// The status that a handshake is answered with.
fn status_of(server: &TestServer, path: &str) -> u16 {
    let mut client = server.dial();
    client.send(handshake(path).as_bytes());
    client.read_head()[9..12].parse().unwrap()
}

#[test]
fn a_url_leads_to_the_host_that_was_asked_and_its_id_to_one_registration() {
    let server = TestServer::start();
    let mut ids = HashSet::new();
    for _ in 0..100 {
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
        // Random (UUID version 4), and not in any order.
        assert_eq!(&id[12..13], "4");
        ids.insert(id.to_owned());
    }
    assert_eq!(ids.len(), 100);
    assert_eq!(server.health()["registrations"], 100);
}

#[test]
fn a_registration_is_taken_while_it_is_connected_and_free_when_that_has_ended() {
    let server = TestServer::start();
    let path = server.register(r#"{"user_id": 1}"#);
    // Whichever shard the next connection is handed to.
    for _ in 0..20 {
        let mut client = server.connect(&path);
        for _ in 0..3 {
            let mut second = server.dial();
            second.send(handshake(&path).as_bytes());
            let answer = second.read_answer();
            assert_eq!(answer.status, 409);
            assert_eq!(answer.body, "{\"error\":\"connected already\"}\n");
        }
        assert_eq!(tell(&server, "cats", "x"), 1);
        assert_eq!(client.read_text(), "x");
        client.send(&frame(0x88, &[0x03, 0xE8]));
        client.expect(&[0x88, 0x02, 0x03, 0xE8]);
        client.expect_end();
        // Free at once, even if this end of the stream is still open.
        server.connect(&path).close();
        drop(client);
    }
    assert_eq!(server.health()["registrations"], 1);
}

#[test]
fn a_registration_is_free_when_its_connection_was_lost_or_broke_the_protocol() {
    let server = TestServer::start();
    let path = server.register(r#"{"user_id": 1}"#);
    drop(server.connect(&path));
    eventually("the lost one is noticed", || {
        status_of(&server, &path) == 101
    });
    eventually("and the one that asked", || {
        server.health()["connections"] == 0
    });
    let mut client = server.connect(&path);
    client.send(&[0x81, 0x00]);
    assert_eq!(client.read_close().0, 1002);
    client.expect_end();
    server.connect(&path).close();
}

#[test]
fn of_many_that_come_at_once_one_gets_the_registration() {
    let server = TestServer::start();
    let path = server.register(r#"{"user_id": 1}"#);
    let mut clients: Vec<_> = (0..20).map(|_| server.dial()).collect();
    for client in &mut clients {
        client.send(handshake(&path).as_bytes());
    }
    let heads: Vec<_> = clients.iter_mut().map(Client::read_head).collect();
    let with = |status: &str| heads.iter().filter(|head| head.contains(status)).count();
    assert_eq!((with(" 101 "), with(" 409 ")), (1, 19));
    assert_eq!(tell(&server, "cats", "x"), 1);
}

#[test]
fn topics_are_remembered_over_a_reconnection() {
    let server = TestServer::start();
    let path = server.register(r#"{"user_id": 1}"#);
    let mut client = server.connect(&path);
    ask(&mut client, r#"{"topics": ["dogs", "birds"]}"#);
    client.close();
    let mut client = server.connect(&path);
    assert_eq!(tell(&server, "cats", "purr"), 0);
    assert_eq!(tell(&server, "dogs", "bark"), 1);
    assert_eq!(tell(&server, "birds", "sing"), 1);
    assert_eq!(client.read_text(), "bark");
    assert_eq!(client.read_text(), "sing");
    client.close();
}

#[test]
fn a_deleted_registration_ends_its_connection_and_says_so() {
    let server = TestServer::start();
    for _ in 0..10 {
        let path = server.register(r#"{"user_id": 1}"#);
        let mut client = server.connect(&path);
        assert_eq!(tell(&server, "cats", "before"), 1);
        assert_eq!(delete(&server, &path), 200);
        // What was queued comes first.
        assert_eq!(client.read_text(), "before");
        client.expect(b"\x88\x16\x11\x97registration deleted");
        client.send(&frame(0x88, &[0x11, 0x97]));
        client.expect_end();
        assert_eq!(tell(&server, "cats", "after"), 0);
        assert_eq!(delete(&server, &path), 404);
        assert_eq!(status_of(&server, &path), 404);
    }
    assert_eq!(server.health()["registrations"], 0);
    eventually("no connection is left", || {
        server.health()["connections"] == 0
    });
}

#[test]
fn a_deleted_registration_of_nobody_is_gone() {
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
        // Too late, or just in time to be told.
        if client.read_head().starts_with("HTTP/1.1 101 ") {
            assert_eq!(client.read_close(), (4503, "registration deleted".into()));
        }
    }
    assert_eq!(tell(&server, "cats", "x"), 0);
    eventually("no connection is left", || {
        server.health()["connections"] == 0
    });
}

#[test]
fn a_registration_that_nobody_connects_to_expires_and_one_in_use_does_not() {
    let server = TestServer::with(|config| {
        config.registrations.lifetime = Duration::from_secs(1);
    });
    let kept = server.register(r#"{"user_id": 1}"#);
    let mut client = server.connect(&kept);
    let lapsed = server.register(r#"{"user_id": 2}"#);
    // Longer than the one that is connected would have had.
    eventually("it expires", || server.health()["registrations"] == 1);
    assert_eq!(status_of(&server, &lapsed), 404);
    assert_eq!(delete(&server, &lapsed), 404);
    assert_eq!(status_of(&server, &kept), 409);
    assert_eq!(tell(&server, "cats", "x"), 1);
    assert_eq!(client.read_text(), "x");
    client.close();
    eventually("it expires too", || server.health()["registrations"] == 0);
    assert_eq!(status_of(&server, &kept), 404);
}

#[test]
fn one_registration_more_than_allowed_is_refused_until_one_is_gone() {
    let server = TestServer::with(|config| config.registrations.most = 2);
    let first = server.register(r#"{"user_id": 1}"#);
    // One that is connected counts as well.
    let client = server.connect(&server.register(r#"{"user_id": 1}"#));
    let answer = server.http("POST", "/register", "", r#"{"user_id": 1}"#);
    assert_eq!(answer.status, 503);
    assert_eq!(answer.body, "{\"error\":\"too many registrations\"}\n");
    assert_eq!(delete(&server, &first), 200);
    server.register(r#"{"user_id": 1}"#);
    client.close();
}

/// Runs curl: the status, and the body.
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
    let (body, status) = out.split_at(out.len() - 3);
    (status.to_owned(), body.to_owned())
}

#[test]
fn curl_registers_publishes_and_deletes() {
    let found = Command::new("curl").arg("--version").output();
    if found.is_err() && env::var_os("CI").is_none() {
        eprintln!("SKIPPED: there is no curl here");
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
    client.expect(b"\x81\x0bare awesome");
    let gone = path.replace("/ws/", "/register/");
    assert_eq!(curl(&server, &["--request", "DELETE"], &gone).0, "200");
    assert_eq!(client.read_close().0, 4503);
    assert_eq!(curl(&server, &["--request", "DELETE"], &gone).0, "404");
    assert_eq!(curl(&server, &["--head"], "/health").0, "200");
    assert_eq!(curl(&server, &[], "/ws").0, "426");
    // Far over the limit, and sent without waiting to be asked.
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), vec![b' '; 4 * 1024 * 1024]).unwrap();
    let data = format!("@{}", file.path().display());
    assert_eq!(
        curl(&server, &["--data-binary", &data], "/publish").0,
        "413"
    );
}
