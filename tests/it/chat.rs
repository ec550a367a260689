//! The chat, `/ws`: every message reaches all subscribers of its topics, once and in the same
//! order.

use std::thread;

use framecast_test_support::{
    Client, TestServer, eventually,
    frames::{binary, first_text, last, ping, text},
    handshake,
    limits::{MESSAGE_BYTES, NAME_BYTES},
};

/// Starts a server with this number of shards. Connections go to the shards in turn.
fn server_with_shards(shards: usize) -> TestServer {
    TestServer::with(|config| config.hub.shards = shards.try_into().unwrap())
}

/// Publishes over HTTP. Returns the number of connections that the message was queued to.
fn publish(server: &TestServer, topic: &str, message: &str) -> u64 {
    let body = serde_json::json!({ "topic": topic, "message": message });
    let answer: serde_json::Value =
        serde_json::from_str(&server.post("/publish", &body.to_string())).unwrap();
    answer["queued"].as_u64().unwrap()
}

#[test]
fn a_query_that_names_topics_by_another_key_is_refused() {
    let server = TestServer::start();
    for key in ["topics", "Topic", "channel", "room"] {
        let mut client = server.dial();
        client.send(handshake(&format!("/ws?{key}=a")).as_bytes());
        let answer = client.read_answer();
        assert_eq!(answer.status, 400, "{key}");
        let error = format!("{{\"error\":\"{key}: topic is meant, as in ?topic=a&topic=b\"}}\n");
        assert_eq!(answer.body, error);
    }
    server.connect("/ws?topic=a&token=secret&v=2").close();
}

#[test]
fn a_message_to_the_lobby_reaches_all_its_subscribers_and_the_sender() {
    let server = server_with_shards(3);
    let mut clients: Vec<Client> = (0..7).map(|_| server.connect("/ws")).collect();
    clients[0].sends(text("Hello"));
    for client in &mut clients {
        client.receives(text("Hello"));
    }
    let mut explicit = server.connect("/ws?topic=lobby");
    explicit.sends(text("me too"));
    clients.push(explicit);
    for mut client in clients {
        client.receives(text("me too"));
        client.close();
    }
}

#[test]
fn messages_keep_their_kind_and_fragments_become_one_message() {
    let server = TestServer::start();
    let mut sender = server.connect("/ws");
    let mut subscriber = server.connect("/ws");
    let full = binary([b'f'; MESSAGE_BYTES]);
    sender.sends_together([
        text(""),
        binary(""),
        binary(b"\xFF\0"),
        first_text(b"\xE2\x82"),
        ping("?"),
        last(b"\xAC"),
        full.clone(),
    ]);
    sender.sends(text("end"));
    subscriber.receives_all([
        text(""),
        binary(""),
        binary(b"\xFF\0"),
        text("€"),
        full,
        text("end"),
    ]);
    subscriber.close();
}

#[test]
fn a_message_reaches_the_subscribers_of_its_topics_only_and_each_once() {
    let server = server_with_shards(3);
    let topics_of: [&[&str]; 7] = [
        &["a"],
        &["b"],
        &["c"],
        &["a", "b"],
        &["b", "c"],
        &["c", "a", "b"],
        &["a", "b", "a"],
    ];
    let mut clients: Vec<Client> = topics_of
        .iter()
        .map(|topics| server.connect(&format!("/ws?topic={}", topics.join("&topic="))))
        .collect();
    for (number, published) in topics_of.iter().enumerate() {
        let message = text(format!("{number} to {published:?}"));
        clients[number].sends(message.clone());
        for (followed, client) in topics_of.iter().zip(&mut clients) {
            if followed.iter().any(|topic| published.contains(topic)) {
                // Each message is received before the next one is published, so that all clients
                // have the same order.
                client.receives(message.clone());
            }
        }
    }
    for client in clients {
        client.close();
    }
}

#[test]
fn a_relay_that_changes_other_topics_receives_each_message_of_a_kept_topic_once() {
    const MESSAGES: usize = 3000;
    const OTHERS: [&str; 3] = ["a", "b", "c"];
    let server = server_with_shards(4);
    let path = server.register(r#"{"user_id":1,"topics":["stay"]}"#);
    let mut relay = server.connect(&path);
    let mut changing = Client {
        stream: relay.stream.try_clone().unwrap(),
    };
    let mut received = Vec::new();
    thread::scope(|scope| {
        let publishing = OTHERS.map(|other| {
            let mut publisher = server.connect(&format!("/ws?topic={other}&topic=stay"));
            scope.spawn(move || {
                for number in 0..MESSAGES {
                    publisher.sends(text(format!("{other} {number:04}")));
                }
                // Once the publisher has its last message, all its messages were delivered.
                while publisher.read_text() != format!("{other} {:04}", MESSAGES - 1) {}
                publisher
            })
        });
        scope.spawn(move || {
            for number in 0..MESSAGES {
                let other = OTHERS[number % OTHERS.len()];
                changing.sends(text(format!(r#"{{"topics":["stay","{other}"]}}"#)));
                changing.sends(text(r#"{"topics":["stay"]}"#));
            }
        });
        scope.spawn(|| {
            let publishers = publishing.map(|publisher| publisher.join().unwrap());
            publish(&server, "stay", "end");
            drop(publishers);
        });
        loop {
            let message = relay.read_text();
            if message == "end" {
                break;
            }
            // Messages that begin with a brace are the relay's answers to changes.
            if !message.starts_with('{') {
                received.push(message);
            }
        }
    });
    // Messages that arrive by different topics have no order, and so they are sorted.
    received.sort();
    let message = |number| format!("{} {:04}", OTHERS[number / MESSAGES], number % MESSAGES);
    let expected: Vec<String> = (0..OTHERS.len() * MESSAGES).map(message).collect();
    let mut pairs = received.iter().zip(&expected);
    let wrong = pairs.find(|(received, expected)| received != expected);
    assert_eq!((wrong, received.len()), (None, expected.len()));
}

#[test]
fn all_subscribers_receive_all_publishers_in_the_same_order() {
    const PUBLISHERS: usize = 8;
    const MESSAGES: usize = 300;
    let server = server_with_shards(4);
    let connect = |_| server.connect("/ws?topic=order");
    let subscribers: Vec<Client> = (0..4).map(connect).collect();
    let publishers: Vec<Client> = (0..PUBLISHERS).map(connect).collect();
    let receive = |mut client: Client| -> Vec<String> {
        (0..PUBLISHERS * MESSAGES)
            .map(|_| client.read_text())
            .collect()
    };
    let received: Vec<Vec<String>> = thread::scope(|scope| {
        let publishing = publishers
            .into_iter()
            .enumerate()
            .map(|(index, publisher)| {
                let mut sender = Client {
                    stream: publisher.stream.try_clone().unwrap(),
                };
                scope.spawn(move || {
                    for number in 0..MESSAGES {
                        sender.sends(text(format!("{index} {number}")));
                    }
                });
                publisher
            });
        let all: Vec<Client> = publishing.chain(subscribers).collect();
        let receiving = all
            .into_iter()
            .map(|client| scope.spawn(|| receive(client)));
        let receiving: Vec<_> = receiving.collect();
        receiving
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    for other in &received[1..] {
        assert!(
            *other == received[0],
            "two subscribers received different orders"
        );
    }
    for index in 0..PUBLISHERS {
        let prefix = format!("{index} ");
        let own = received[0]
            .iter()
            .filter_map(|text| text.strip_prefix(&prefix));
        assert!(own.eq((0..MESSAGES).map(|number| number.to_string())));
    }
}

#[test]
fn a_subscription_is_in_force_when_the_handshake_is_answered() {
    let server = server_with_shards(4);
    for number in 0..200 {
        let topic = format!("new-{number}");
        let mut publisher = server.connect(&format!("/ws?topic={topic}"));
        let mut subscriber = server.connect(&format!("/ws?topic={topic}"));
        publisher.sends(text("at once"));
        subscriber.receives(text("at once"));
        let mut first = server.connect(&format!("/ws?topic=other-{number}"));
        assert_eq!(publish(&server, &format!("other-{number}"), "hello"), 1);
        first.receives(text("hello"));
    }
    eventually("no connection and no topic is left", || {
        let health = server.health();
        health["connections"] == 0 && health["topics"] == 0
    });
}

#[test]
fn messages_of_a_burst_share_writes() {
    const MESSAGES: u64 = 1000;
    const SUBSCRIBERS: u64 = 4;
    let server = TestServer::start();
    let subscribers: Vec<Client> = (0..SUBSCRIBERS)
        .map(|_| server.connect("/ws?topic=t"))
        .collect();
    let mut publisher = server.connect("/ws?topic=t");
    let before = server.health();
    let burst = || (0..MESSAGES).map(|number| text(number.to_string()));
    publisher.sends_together(burst());
    for mut subscriber in subscribers {
        subscriber.receives_all(burst());
    }
    let after = server.health();
    let counted = |name: &str| after[name].as_u64().unwrap() - before[name].as_u64().unwrap();
    // The publisher is a subscriber, too. Its own messages may still be unwritten.
    assert_eq!(counted("deliveries"), MESSAGES * (SUBSCRIBERS + 1));
    assert!(
        counted("writes") < MESSAGES * SUBSCRIBERS / 10,
        "{} writes",
        counted("writes")
    );
}

#[test]
fn deliveries_to_subscribers_of_several_topics_are_counted_once() {
    let server = TestServer::start();
    let mut subscriber = server.connect("/ws?topic=b");
    let mut publisher = server.connect("/ws?topic=a&topic=b");
    publisher.sends(text("hi"));
    subscriber.receives(text("hi"));
    publisher.receives(text("hi"));
    assert_eq!(server.health()["deliveries"], 2);
}

#[test]
fn the_name_of_a_topic_is_percent_decoded_and_may_have_any_characters() {
    let server = TestServer::start();
    for (query, name) in [
        ("topic=caf%C3%A9", "café"),
        ("topic=cats%20%26%20dogs", "cats & dogs"),
        ("topic=cats+%2B+dogs", "cats + dogs"),
        ("topic=a%2Fb%3D%3F", "a/b=?"),
        ("other=x&t%6Fpic=encoded+key", "encoded key"),
        ("nothing=here", "lobby"),
    ] {
        let mut client = server.connect(&format!("/ws?{query}"));
        assert_eq!(publish(&server, name, "by name"), 1, "{name}");
        client.receives(text("by name"));
        client.close();
    }
}

#[test]
fn a_topic_with_an_invalid_name_is_refused() {
    let server = TestServer::start();
    let long = format!("topic={}", "x".repeat(NAME_BYTES + 1));
    for query in ["topic", "topic=", "topic=%0A", "topic=a&topic=", &long] {
        let mut client = server.dial();
        client.send(handshake(&format!("/ws?{query}")).as_bytes());
        let answer = client.read_answer();
        assert_eq!(answer.status, 400, "{query}: {}", answer.body);
        assert!(answer.body.contains("topic"), "{}", answer.body);
    }
}
