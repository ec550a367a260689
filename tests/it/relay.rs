//! The relay: what a registered connection may say, and what reaches it.

mod registration;

use framecast_test_support::{Client, TestServer, frame, text};
use serde_json::Value;

/// Publishes, and returns to how many it was queued.
#[track_caller]
fn publish(server: &TestServer, body: &str) -> u64 {
    let answer: Value = serde_json::from_str(&server.post("/publish", body)).unwrap();
    let answer = answer.as_object().unwrap();
    assert_eq!(answer.len(), 1, "{answer:?}");
    answer["queued"].as_u64().unwrap()
}

/// Publishes `message` to everybody on `topic`.
#[track_caller]
fn tell(server: &TestServer, topic: &str, message: &str) -> u64 {
    publish(
        server,
        &format!(r#"{{"topic": "{topic}", "message": "{message}"}}"#),
    )
}

/// Says `message`, and reads the answer.
#[track_caller]
fn ask(client: &mut Client, message: &str) -> String {
    client.send(&text(message));
    client.read_text()
}

#[test]
fn a_registered_connection_gets_the_bare_text_of_what_is_published() {
    let server = TestServer::start();
    let mut client = server.connect(&server.register(r#"{"user_id": 1}"#));
    assert_eq!(tell(&server, "cats", "are awesome"), 1);
    client.expect(b"\x81\x0bare awesome");
    assert_eq!(tell(&server, "cats", r"\u0000\n\u00e9"), 1);
    client.expect(b"\x81\x04\x00\n\xC3\xA9");
    assert_eq!(tell(&server, "cats", ""), 1);
    client.expect(b"\x81\x00");
    assert_eq!(tell(&server, "dogs", "bark"), 0);
    client.close();
    assert_eq!(tell(&server, "cats", "unheard"), 0);
}

#[test]
fn topics_are_those_registered_and_by_default_cats() {
    let server = TestServer::start();
    for (body, topics) in [
        (r#"{"user_id": 1}"#, &["cats"][..]),
        (r#"{"user_id": 1, "topics": null}"#, &["cats"]),
        (
            r#"{"topics": ["a", "b", "a"], "user_id": "x"}"#,
            &["a", "b"],
        ),
        (r#"{"user_id": -1, "topics": []}"#, &[]),
    ] {
        let mut client = server.connect(&server.register(body));
        for topic in ["cats", "a", "b"] {
            let queued = u64::from(topics.contains(&topic));
            assert_eq!(tell(&server, topic, topic), queued, "{body} {topic}");
        }
        for topic in topics {
            assert_eq!(client.read_text(), *topic);
        }
        client.close();
    }
}

#[test]
fn a_user_has_any_number_of_connections_and_is_the_same_as_number_and_as_digits() {
    let server = TestServer::start();
    let connect =
        |user: &str| server.connect(&server.register(&format!(r#"{{"user_id": {user}}}"#)));
    let mut own: Vec<_> = ["1", "\"1\"", "1"].into_iter().map(connect).collect();
    let mut others: Vec<_> = ["2", "\"01\"", "-1", "\"one\""]
        .into_iter()
        .map(connect)
        .collect();
    // A chat has no user.
    let mut chat = server.connect("/ws?topic=cats");
    let to = |user: &str| {
        publish(
            &server,
            &format!(r#"{{"topic": "cats", "message": "to {user}", "user_id": {user}}}"#),
        )
    };
    assert_eq!((to("1"), to("3"), to("-1")), (3, 0, 1));
    assert_eq!(tell(&server, "cats", "to all"), 8);
    assert_eq!(others[2].read_text(), "to -1");
    for client in &mut own {
        assert_eq!(client.read_text(), "to 1");
    }
    for client in own.iter_mut().chain(&mut others).chain([&mut chat]) {
        assert_eq!(client.read_text(), "to all");
    }
    for client in own.into_iter().chain(others).chain([chat]) {
        client.close();
    }
}

#[test]
fn messages_to_one_user_and_to_all_keep_their_order() {
    let server = TestServer::start();
    let mut client = server.connect(&server.register(r#"{"user_id": 1}"#));
    for number in 0..100 {
        let user = if number % 3 == 0 {
            r#", "user_id": 1"#
        } else {
            ""
        };
        let body = format!(r#"{{"topic": "cats", "message": "{number}"{user}}}"#);
        assert_eq!(publish(&server, &body), 1);
    }
    for number in 0..100 {
        assert_eq!(client.read_text(), number.to_string());
    }
    client.close();
}

#[test]
fn topics_are_replaced_and_in_force_when_the_answer_is_there() {
    let server = TestServer::with(|config| config.hub.shards = 3.try_into().unwrap());
    let mut client = server.connect(&server.register(r#"{"user_id": 1, "topics": ["0", "x"]}"#));
    // Many topics, with records in many parts of the router.
    for number in 1..50 {
        let answer = ask(&mut client, &format!(r#"{{"topics": ["{number}", "x"]}}"#));
        assert_eq!(answer, format!(r#"{{"topics":["{number}","x"]}}"#));
        assert_eq!(tell(&server, &(number - 1).to_string(), "old"), 0);
        assert_eq!(tell(&server, &number.to_string(), "new"), 1);
        assert_eq!(tell(&server, "x", "kept"), 1);
        assert_eq!(client.read_text(), "new");
        assert_eq!(client.read_text(), "kept");
    }
    let twice = ask(&mut client, "{\"topics\": [\"a\", \"b\", \"a\"]}");
    assert_eq!(twice, r#"{"topics":["a","b"]}"#);
    assert_eq!(tell(&server, "a", "once"), 1);
    assert_eq!(client.read_text(), "once");
    assert_eq!(
        ask(&mut client, "\t{ \"topics\" : [ ] }\n"),
        r#"{"topics":[]}"#
    );
    assert_eq!(tell(&server, "a", "unheard"), 0);
    assert_eq!(server.health()["topics"], 0);
    client.close();
}

#[test]
fn changes_sent_without_waiting_are_answered_in_order_and_the_last_one_holds() {
    let server = TestServer::start();
    let mut client = server.connect(&server.register(r#"{"user_id": 1}"#));
    let mut wire = Vec::new();
    for number in 0..100 {
        wire.extend(text(&format!(r#"{{"topics": ["{number}"]}}"#)));
        wire.extend(text("ping"));
    }
    client.send(&wire);
    for number in 0..100 {
        assert_eq!(client.read_text(), format!(r#"{{"topics":["{number}"]}}"#));
        assert_eq!(client.read_text(), "pong");
    }
    assert_eq!(tell(&server, "98", "old"), 0);
    assert_eq!(tell(&server, "99", "new"), 1);
    assert_eq!(client.read_text(), "new");
    client.close();
}

#[test]
fn ping_is_answered_pong_as_text_and_as_a_control_frame() {
    let server = TestServer::start();
    let mut client = server.connect(&server.register(r#"{"user_id": 1}"#));
    client.send(&text("ping"));
    client.expect(b"\x81\x04pong");
    client.send(&[frame(0x01, b"pi"), frame(0x80, b"ng")].concat());
    client.expect(b"\x81\x04pong");
    client.send(&frame(0x89, b"ping"));
    client.expect(b"\x8A\x04ping");
    client.close();
}

#[test]
fn anything_else_is_answered_by_one_line_of_json_and_the_connection_stays() {
    let server = TestServer::start();
    let mut client = server.connect(&server.register(r#"{"user_id": 1}"#));
    let long = format!(r#"{{"topics": ["{}"]}}"#, "x".repeat(256));
    let names: Vec<String> = (0..129).map(|number| format!("\"{number}\"")).collect();
    let many = format!(r#"{{"topics": [{}]}}"#, names.join(","));
    let deep = "[".repeat(60_000);
    let odd = format!(r#"{{"{}": 1}}"#, "\\n\u{2028}".repeat(10_000));
    for message in [
        "",
        "pong",
        "PING",
        " ping",
        "ping\n",
        "{",
        "null",
        "1",
        "\"ping\"",
        "[]",
        "{}",
        r#"["cats"]"#,
        r#"[["cats"]]"#,
        r#"{"topics": null}"#,
        r#"{"topics": "dogs"}"#,
        r#"{"topics": ["dogs", 1]}"#,
        r#"{"topics": ["dogs", ""]}"#,
        r#"{"topics": ["dogs"], "user_id": 1}"#,
        r#"{"topics": ["dogs"], "topics": ["dogs"]}"#,
        r#"{"topics": ["dogs"]} x"#,
        r#"{"topics": ["dogs"#,
        r#"{"topics": ["\ud800"]}"#,
        r#"{"topics": ["\u001b[31m"]}"#,
        "{\n\"a\u{1b}\":\n1}",
        &long,
        &many,
        &deep,
        &odd,
    ] {
        let line = ask(&mut client, message);
        assert!(!line.contains(char::is_control), "{message:.80}: {line}");
        let complaint: Value = serde_json::from_str(&line).unwrap();
        let complaint = complaint.as_object().unwrap();
        assert_eq!(complaint.len(), 1, "{message:.80}: {line}");
        assert!(complaint["error"].is_string(), "{message:.80}: {line}");
    }
    client.send(&frame(0x82, b"ping"));
    assert_eq!(client.read_text(), r#"{"error":"text expected"}"#);
    assert_eq!(ask(&mut client, "ping"), "pong");
    // The topics have stayed as they were.
    assert_eq!(tell(&server, "dogs", "bark"), 0);
    assert_eq!(tell(&server, "cats", "purr"), 1);
    assert_eq!(client.read_text(), "purr");
    client.close();
}
