//! `/ws`: what one says, everybody in the same topics hears, once and in the same order.

use std::thread;

use framecast_test_support::{Client, TestServer, eventually, frame, handshake, text};

/// Two connections made one after the other are on different ones of these.
fn server_with_shards(shards: usize) -> TestServer {
    TestServer::with(|config| config.hub.shards = shards.try_into().unwrap())
}

/// Asserts that these texts have come, and nothing else before the end.
#[track_caller]
fn expect_texts_and_close(mut client: Client, texts: &[&str]) {
    for text in texts {
        assert_eq!(client.read_text(), *text);
    }
    client.close();
}

/// Publishes over HTTP; to how many connections it was queued.
fn publish(server: &TestServer, topic: &str, message: &str) -> u64 {
    let body = serde_json::json!({ "topic": topic, "message": message });
    let answer: serde_json::Value =
        serde_json::from_str(&server.post("/publish", &body.to_string())).unwrap();
    answer["queued"].as_u64().unwrap()
}

#[test]
fn everybody_in_the_lobby_hears_what_one_says_the_sender_included() {
    let server = server_with_shards(3);
    let mut clients: Vec<Client> = (0..7).map(|_| server.connect("/ws")).collect();
    clients[0].send(b"\x81\x85\x37\xFA\x21\x3D\x7F\x9F\x4D\x51\x58");
    for client in &mut clients {
        client.expect(b"\x81\x05Hello");
    }
    let mut explicit = server.connect("/ws?topic=lobby");
    explicit.send(&text("me too"));
    clients.push(explicit);
    for client in clients {
        expect_texts_and_close(client, &["me too"]);
    }
}

#[test]
fn text_stays_text_and_binary_stays_binary_and_fragments_are_one_message() {
    let server = TestServer::start();
    let mut sender = server.connect("/ws");
    let mut listener = server.connect("/ws");
    let full = vec![b'f'; 64 * 1024];
    sender.send(
        &[
            text(""),
            frame(0x82, b""),
            frame(0x82, b"\xFF\0"),
            frame(0x01, b"\xE2\x82"),
            frame(0x89, b"?"),
            frame(0x80, b"\xAC"),
            frame(0x82, &full),
        ]
        .concat(),
    );
    sender.send(&text("end"));
    listener.expect(b"\x81\x00\x82\x00\x82\x02\xFF\0\x81\x03\xE2\x82\xAC");
    listener.expect(b"\x82\x7F\0\0\0\0\0\x01\0\0");
    listener.expect(&full);
    listener.expect(b"\x81\x03end");
    listener.close();
}

#[test]
fn topics_are_apart_and_a_message_to_several_comes_once() {
    let server = server_with_shards(3);
    let rooms: [&[&str]; 7] = [
        &["a"],
        &["b"],
        &["c"],
        &["a", "b"],
        &["b", "c"],
        &["c", "a", "b"],
        &["a", "b", "a"],
    ];
    let mut clients: Vec<Client> = rooms
        .iter()
        .map(|topics| server.connect(&format!("/ws?topic={}", topics.join("&topic="))))
        .collect();
    for (number, speaker) in rooms.iter().enumerate() {
        let said = format!("{number} to {speaker:?}");
        clients[number].send(&text(&said));
        for (listener, client) in rooms.iter().zip(&mut clients) {
            if listener.iter().any(|topic| speaker.contains(topic)) {
                // Heard before the next one speaks, so that there is one order of all.
                assert_eq!(client.read_text(), said);
            }
        }
    }
    for client in clients {
        client.close();
    }
}

#[test]
fn one_that_changes_its_other_topics_misses_nothing_and_hears_nothing_twice() {
    const MESSAGES: usize = 3000;
    const OTHERS: [&str; 3] = ["a", "b", "c"];
    let server = server_with_shards(4);
    let path = server.register(r#"{"user_id":1,"topics":["stay"]}"#);
    let mut relay = server.connect(&path);
    let mut change = Client {
        stream: relay.stream.try_clone().unwrap(),
    };
    let mut heard = Vec::new();
    thread::scope(|scope| {
        let speaking = OTHERS.map(|other| {
            let mut speaker = server.connect(&format!("/ws?topic={other}&topic=stay"));
            scope.spawn(move || {
                for number in 0..MESSAGES {
                    speaker.send(&text(&format!("{other} {number:04}")));
                }
                // Heard by itself, in the end: so it has been delivered.
                while speaker.read_text() != format!("{other} {:04}", MESSAGES - 1) {}
                speaker
            })
        });
        scope.spawn(move || {
            for number in 0..MESSAGES {
                let other = OTHERS[number % OTHERS.len()];
                change.send(&text(&format!(r#"{{"topics":["stay","{other}"]}}"#)));
                change.send(&text(r#"{"topics":["stay"]}"#));
            }
        });
        scope.spawn(|| {
            let speakers = speaking.map(|speaker| speaker.join().unwrap());
            publish(&server, "stay", "end");
            drop(speakers);
        });
        loop {
            let message = relay.read_text();
            if message == "end" {
                break;
            }
            // The others say which topics are in force.
            if !message.starts_with('{') {
                heard.push(message);
            }
        }
    });
    // Between topics there is no order, and so none while they change.
    heard.sort();
    let said = |number| format!("{} {:04}", OTHERS[number / MESSAGES], number % MESSAGES);
    let said: Vec<String> = (0..OTHERS.len() * MESSAGES).map(said).collect();
    let wrong = heard.iter().zip(&said).find(|(heard, said)| heard != said);
    assert_eq!((wrong, heard.len()), (None, said.len()));
}

#[test]
fn every_subscriber_hears_every_publisher_in_the_same_order() {
    const PUBLISHERS: usize = 8;
    const MESSAGES: usize = 300;
    let server = server_with_shards(4);
    let listeners: Vec<Client> = (0..4).map(|_| server.connect("/ws?topic=order")).collect();
    let publishers: Vec<Client> = (0..PUBLISHERS)
        .map(|_| server.connect("/ws?topic=order"))
        .collect();
    let hear = |mut client: Client| -> Vec<String> {
        (0..PUBLISHERS * MESSAGES)
            .map(|_| client.read_text())
            .collect()
    };
    let heard: Vec<Vec<String>> = thread::scope(|scope| {
        let publishing = publishers.into_iter().enumerate().map(|(who, publisher)| {
            let mut sender = Client {
                stream: publisher.stream.try_clone().unwrap(),
            };
            scope.spawn(move || {
                for number in 0..MESSAGES {
                    sender.send(&text(&format!("{who} {number}")));
                }
            });
            publisher
        });
        let everybody: Vec<Client> = publishing.chain(listeners).collect();
        let hearing = everybody
            .into_iter()
            .map(|client| scope.spawn(|| hear(client)));
        let hearing: Vec<_> = hearing.collect();
        hearing
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    for other in &heard[1..] {
        assert!(*other == heard[0], "two subscribers heard different orders");
    }
    for who in 0..PUBLISHERS {
        let prefix = format!("{who} ");
        let own = heard[0]
            .iter()
            .filter_map(|text| text.strip_prefix(&prefix));
        assert!(own.eq((0..MESSAGES).map(|number| number.to_string())));
    }
}

#[test]
fn a_subscription_is_in_force_when_its_handshake_is_answered() {
    let server = server_with_shards(4);
    for number in 0..200 {
        let topic = format!("new-{number}");
        let mut publisher = server.connect(&format!("/ws?topic={topic}"));
        let mut subscriber = server.connect(&format!("/ws?topic={topic}"));
        publisher.send(&text("at once"));
        assert_eq!(subscriber.read_text(), "at once");
        let mut first = server.connect(&format!("/ws?topic=other-{number}"));
        assert_eq!(publish(&server, &format!("other-{number}"), "hello"), 1);
        assert_eq!(first.read_text(), "hello");
    }
    eventually("nothing is left", || {
        let health = server.health();
        health["connections"] == 0 && health["topics"] == 0
    });
}

#[test]
fn a_burst_is_joined_before_it_is_written() {
    const MESSAGES: u64 = 1000;
    const LISTENERS: u64 = 4;
    let server = TestServer::start();
    let listeners: Vec<Client> = (0..LISTENERS)
        .map(|_| server.connect("/ws?topic=t"))
        .collect();
    let mut speaker = server.connect("/ws?topic=t");
    let before = server.health();
    let burst: Vec<u8> = (0..MESSAGES)
        .flat_map(|number| text(&number.to_string()))
        .collect();
    speaker.send(&burst);
    for mut listener in listeners {
        for number in 0..MESSAGES {
            assert_eq!(listener.read_text(), number.to_string());
        }
    }
    let after = server.health();
    let counted = |name: &str| after[name].as_u64().unwrap() - before[name].as_u64().unwrap();
    // The speaker is one of the subscribers; how far it has got does not matter.
    assert_eq!(counted("deliveries"), MESSAGES * (LISTENERS + 1));
    assert!(
        counted("writes") < MESSAGES * LISTENERS / 10,
        "{} writes",
        counted("writes")
    );
}

#[test]
fn what_is_delivered_to_some_subscribers_is_counted_too() {
    let server = TestServer::start();
    let mut listener = server.connect("/ws?topic=b");
    let mut speaker = server.connect("/ws?topic=a&topic=b");
    speaker.send(&text("hi"));
    assert_eq!(listener.read_text(), "hi");
    assert_eq!(speaker.read_text(), "hi");
    assert_eq!(server.health()["deliveries"], 2);
}

#[test]
fn a_topic_may_be_named_in_any_characters() {
    let server = TestServer::start();
    for (query, name) in [
        ("topic=caf%C3%A9", "café"),
        ("topic=cats%20%26%20dogs", "cats & dogs"),
        ("topic=cats+%2B+dogs", "cats + dogs"),
        ("topic=a%2Fb%3D%3F", "a/b=?"),
        ("other=x&t%6Fpic=encoded+key", "encoded key"),
        ("nothing=here", "lobby"),
    ] {
        let client = server.connect(&format!("/ws?{query}"));
        assert_eq!(publish(&server, name, "by name"), 1, "{name}");
        expect_texts_and_close(client, &["by name"]);
    }
}

#[test]
fn a_topic_without_a_proper_name_is_refused() {
    let server = TestServer::start();
    let long = format!("topic={}", "x".repeat(256));
    for query in ["topic", "topic=", "topic=%0A", "topic=a&topic=", &long] {
        let mut client = server.dial();
        client.send(handshake(&format!("/ws?{query}")).as_bytes());
        let answer = client.read_answer();
        assert_eq!(answer.status, 400, "{query}: {}", answer.body);
        assert!(answer.body.contains("topic"), "{}", answer.body);
    }
}
