//! The relay: the messages of a registered connection, and the publications that it receives.

mod registration;

use framecast_test_support::{
    Client, TestServer,
    frames::{binary, first_text, last, ping, pong, text},
    limits::{NAME_BYTES, TOPICS},
};
use serde_json::Value;

/// Posts `body` to `/publish`. Returns the number of connections that the message was queued to.
#[track_caller]
fn publish(server: &TestServer, body: &str) -> u64 {
    let answer: Value = serde_json::from_str(&server.post("/publish", body)).unwrap();
    let answer = answer.as_object().unwrap();
    assert_eq!(answer.len(), 1, "{answer:?}");
    answer["queued"].as_u64().unwrap()
}

/// Publishes `message` to all subscribers of `topic`. Returns the number of connections that it was
/// queued to.
#[track_caller]
fn publish_to(server: &TestServer, topic: &str, message: &str) -> u64 {
    publish(
        server,
        &format!(r#"{{"topic": "{topic}", "message": "{message}"}}"#),
    )
}

/// Sends `message`. Returns the relay's reply.
#[track_caller]
fn ask(client: &mut Client, message: &str) -> String {
    client.sends(text(message));
    client.read_text()
}

#[test]
fn a_registered_connection_receives_the_text_of_a_publication_and_nothing_else() {
    let server = TestServer::start();
    let mut client = server.connect(&server.register(r#"{"user_id": 1}"#));
    assert_eq!(publish_to(&server, "cats", "are awesome"), 1);
    client.receives(text("are awesome"));
    assert_eq!(publish_to(&server, "cats", r"\u0000\n\u00e9"), 1);
    client.receives(text("\0\né"));
    assert_eq!(publish_to(&server, "cats", ""), 1);
    client.receives(text(""));
    assert_eq!(publish_to(&server, "dogs", "bark"), 0);
    client.close();
    assert_eq!(publish_to(&server, "cats", "unheard"), 0);
}

#[test]
fn a_connection_has_the_topics_of_its_registration_and_by_default_cats() {
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
            assert_eq!(publish_to(&server, topic, topic), queued, "{body} {topic}");
        }
        for topic in topics {
            client.receives(text(topic));
        }
        client.close();
    }
}

#[test]
fn a_user_has_many_connections_and_its_id_is_the_same_as_a_number_and_as_a_string() {
    let server = TestServer::start();
    let connect =
        |user: &str| server.connect(&server.register(&format!(r#"{{"user_id": {user}}}"#)));
    let mut own: Vec<_> = ["1", "\"1\"", "1"].into_iter().map(connect).collect();
    let mut others: Vec<_> = ["2", "\"01\"", "-1", "\"one\""]
        .into_iter()
        .map(connect)
        .collect();
    // A connection of the chat has no user.
    let mut chat = server.connect("/ws?topic=cats");
    let to = |user: &str| {
        publish(
            &server,
            &format!(r#"{{"topic": "cats", "message": "to {user}", "user_id": {user}}}"#),
        )
    };
    assert_eq!((to("1"), to("3"), to("-1")), (3, 0, 1));
    assert_eq!(publish_to(&server, "cats", "to all"), 8);
    others[2].receives(text("to -1"));
    for client in &mut own {
        client.receives(text("to 1"));
    }
    for client in own.iter_mut().chain(&mut others).chain([&mut chat]) {
        client.receives(text("to all"));
    }
    for client in own.into_iter().chain(others).chain([chat]) {
        client.close();
    }
}

#[test]
fn messages_to_a_user_and_to_all_subscribers_keep_their_order() {
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
        client.receives(text(number.to_string()));
    }
    client.close();
}

#[test]
fn new_topics_are_in_force_when_the_relay_answers() {
    let server = TestServer::with(|config| config.hub.shards = 3.try_into().unwrap());
    let mut client = server.connect(&server.register(r#"{"user_id": 1, "topics": ["0", "x"]}"#));
    // Many topics, with records in many parts of the router.
    for number in 1..50 {
        let answer = ask(&mut client, &format!(r#"{{"topics": ["{number}", "x"]}}"#));
        assert_eq!(answer, format!(r#"{{"topics":["{number}","x"]}}"#));
        assert_eq!(publish_to(&server, &(number - 1).to_string(), "old"), 0);
        assert_eq!(publish_to(&server, &number.to_string(), "new"), 1);
        assert_eq!(publish_to(&server, "x", "kept"), 1);
        client.receives_all([text("new"), text("kept")]);
    }
    let twice = ask(&mut client, "{\"topics\": [\"a\", \"b\", \"a\"]}");
    assert_eq!(twice, r#"{"topics":["a","b"]}"#);
    assert_eq!(publish_to(&server, "a", "once"), 1);
    client.receives(text("once"));
    assert_eq!(
        ask(&mut client, "\t{ \"topics\" : [ ] }\n"),
        r#"{"topics":[]}"#
    );
    assert_eq!(publish_to(&server, "a", "unheard"), 0);
    assert_eq!(server.health()["topics"], 0);
    client.close();
}

#[test]
fn pipelined_changes_are_answered_in_order_and_the_last_one_stays_in_force() {
    const CHANGES: usize = 100;
    let server = TestServer::start();
    let mut client = server.connect(&server.register(r#"{"user_id": 1}"#));
    let topics = |number: usize| text(format!(r#"{{"topics":["{number}"]}}"#));
    client.sends_together((0..CHANGES).flat_map(|number| [topics(number), text("ping")]));
    client.receives_all((0..CHANGES).flat_map(|number| [topics(number), text("pong")]));
    assert_eq!(publish_to(&server, &(CHANGES - 2).to_string(), "old"), 0);
    assert_eq!(publish_to(&server, &(CHANGES - 1).to_string(), "new"), 1);
    client.receives(text("new"));
    client.close();
}

#[test]
fn the_text_ping_is_answered_with_the_text_pong_and_a_ping_with_a_pong() {
    let server = TestServer::start();
    let mut client = server.connect(&server.register(r#"{"user_id": 1}"#));
    client.sends(text("ping"));
    client.receives(text("pong"));
    client.sends_together([first_text("pi"), last("ng")]);
    client.receives(text("pong"));
    client.sends(ping("ping"));
    client.receives(pong("ping"));
    client.close();
}

#[test]
fn any_other_message_is_answered_with_an_error_in_one_line_and_changes_nothing() {
    let server = TestServer::start();
    let mut client = server.connect(&server.register(r#"{"user_id": 1}"#));
    let long = format!(r#"{{"topics": ["{}"]}}"#, "x".repeat(NAME_BYTES + 1));
    let names: Vec<String> = (0..=TOPICS).map(|number| format!("\"{number}\"")).collect();
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
    client.sends(binary("ping"));
    client.receives(text(r#"{"error":"text expected"}"#));
    assert_eq!(ask(&mut client, "ping"), "pong");
    // The topics have not changed.
    assert_eq!(publish_to(&server, "dogs", "bark"), 0);
    assert_eq!(publish_to(&server, "cats", "purr"), 1);
    client.receives(text("purr"));
    client.close();
}
