//! A server that is short of memory: the connections that it ends, the requests that it refuses,
//! and the clients that lose nothing.

use std::{thread, time::Duration};

use framecast::Config;
use framecast_test_support::{
    Client, TestServer, eventually,
    frames::{Frame, binary, close, masked, text},
    handshake,
    limits::TOPICS,
};

use crate::slow::connect_with_small_buffer;

const MIB: u64 = 1 << 20;

/// Memory budget of most of these tests, in bytes.
const BUDGET: u64 = 4 * MIB;

/// Held bytes from which on the server is short of memory: 3/4 of the budget.
const CROWDED: u64 = BUDGET * 3 / 4;

/// Starts a server with this memory budget, and with a short time for which a client may block it.
fn server(budget: u64) -> TestServer {
    server_with(budget, |_| {})
}

fn server_with(budget: u64, change: impl FnOnce(&mut Config)) -> TestServer {
    TestServer::with(|config| {
        config.hub.limits.memory_budget = Some(budget);
        config.hub.timeouts.blocked = Duration::from_millis(100);
        change(config);
    })
}

/// Returns a number of `/health`.
fn health(server: &TestServer, field: &str) -> u64 {
    server.health()[field].as_u64().unwrap()
}

/// Reads messages until a Close comes. Returns the number of messages and the Close.
fn read_to_close(client: &mut Client) -> (usize, Frame) {
    for count in 0.. {
        let frame = client.read_frame();
        if frame.0 == 0x88 {
            return (count, frame);
        }
    }
    unreachable!("a Close comes before the numbers end")
}

#[test]
fn subscribers_that_never_read_are_evicted_before_memory_runs_out_and_a_reader_gets_everything() {
    const USED_TOPICS: usize = 20;
    // 800 KB: less than the 1 MiB of an outbox, so that only the budget evicts a subscriber.
    const MESSAGES: usize = 16;
    let message = binary([7; 50_000]);
    let server = server(BUDGET);
    let topics: Vec<_> = (0..USED_TOPICS)
        .map(|topic| format!("topic={topic}"))
        .collect();
    let mut healthy = server.connect(&format!("/ws?{}", topics.join("&")));
    let connect = |topic: &String| connect_with_small_buffer(&server, &format!("/ws?{topic}"));
    let _slow: Vec<_> = topics.iter().map(connect).collect();
    let connect = |topic: &String| server.connect(&format!("/ws?{topic}"));
    let publishers: Vec<_> = topics.iter().map(connect).collect();
    let receiving = thread::spawn(move || read_to_close(&mut healthy).0);
    for mut publisher in publishers {
        for _ in 0..MESSAGES {
            publisher.sends(message.clone());
            publisher.receives(message.clone());
            assert!(health(&server, "memory_bytes") < BUDGET);
        }
    }
    assert!(health(&server, "evicted") > 0);
    // The server closes the healthy subscriber, which ends the thread.
    drop(server);
    assert_eq!(receiving.join().unwrap(), USED_TOPICS * MESSAGES);
}

#[test]
fn the_oldest_unfinished_message_is_closed_with_1013_while_memory_is_short() {
    let server = server(BUDGET);
    // 3.5 MB, which is more than 3/4 of the budget.
    let mut senders: Vec<_> = (0..60).map(|_| server.connect("/ws?topic=t")).collect();
    let whole = masked([binary([1; 60_000])]);
    for sender in &mut senders {
        sender.send(&whole[..59_000]);
    }
    eventually("the oldest is ended", || health(&server, "unfinished") > 0);
    senders[0].receives(close(1013, "server is short of memory"));
    eventually("memory is not short any more", || {
        health(&server, "memory_bytes") < CROWDED
    });
}

#[test]
fn a_subscriber_whose_oldest_message_is_too_old_is_closed() {
    let server = TestServer::with(|config| config.hub.timeouts.behind = Duration::from_millis(300));
    let mut slow = connect_with_small_buffer(&server, "/ws?topic=t");
    let mut publisher = server.connect("/ws?topic=t");
    let message = binary([1; 50_000]);
    // At most 5 MB: more than the kernel buffers, and less than the hard cap of an outbox, 8 MiB.
    let mut sent = 0;
    while health(&server, "too_far_behind") == 0 {
        if sent < 100 {
            publisher.sends(message.clone());
            publisher.receives(message.clone());
            sent += 1;
        }
    }
    let (received, end) = read_to_close(&mut slow);
    assert!(received < sent);
    assert_eq!(end, close(4008, "too far behind"));
}

#[test]
fn registrations_and_connections_are_refused_while_memory_is_short_and_publishing_goes_on() {
    // Connections that send nothing must not time out.
    let server = server_with(BUDGET, |config| {
        config.hub.timeouts.blocked = Duration::from_secs(10);
        config.hub.timeouts.request = Duration::from_secs(10);
    });
    let mut subscriber = server.connect("/ws?topic=t");
    let topics: Vec<_> = (0..TOPICS).map(|n| format!("\"{n:0250}\"")).collect();
    let registration = format!(r#"{{"user_id": 1, "topics": [{}]}}"#, topics.join(","));
    let mut registered = Vec::new();
    let refused = loop {
        let answer = server.http("POST", "/register", "", &registration);
        if answer.status != 200 {
            break answer;
        }
        registered.push(answer);
    };
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (503, Some("1"))
    );
    assert_eq!(
        refused.body,
        "{\"error\":\"the server is short of memory\"}\n"
    );
    assert!(registered.len() > 20, "{}", registered.len());
    // The connections take the memory that the refused registration would have taken.
    let others = [(); 6].map(|()| server.dial());
    eventually("memory is short", || {
        health(&server, "memory_bytes") > CROWDED
    });
    let mut client = server.dial();
    client.send(handshake("/ws?topic=t").as_bytes());
    assert_eq!(client.read_answer().status, 503);
    assert_eq!(health(&server, "refused"), 2);
    assert_eq!(health(&server, "refused_registrations"), 1);
    assert_eq!(health(&server, "refused_connections"), 1);
    server.post("/publish", r#"{"topic": "t", "message": "hi"}"#);
    subscriber.receives(text("hi"));
    // Freed memory can be used again.
    drop(others);
    for answer in registered {
        let answer: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        let id = answer["url"].as_str().unwrap().rsplit('/').next().unwrap();
        let path = format!("/register/{id}");
        assert_eq!(server.http("DELETE", &path, "", "").status, 200);
    }
    server.connect("/ws?topic=t").sends(text("back"));
    subscriber.receives(text("back"));
}

#[test]
fn memory_that_is_held_for_clients_is_freed_when_they_are_gone() {
    let server = server(64 * MIB);
    let before = health(&server, "memory_bytes");
    let readers: Vec<_> = (0..10)
        .map(|_| connect_with_small_buffer(&server, "/ws?topic=t"))
        .collect();
    let mut publisher = server.connect("/ws?topic=t");
    let message = binary([1; 60_000]);
    for _ in 0..15 {
        publisher.sends(message.clone());
        publisher.receives(message.clone());
    }
    assert!(health(&server, "memory_bytes") > before + MIB / 2);
    drop(readers);
    publisher.close();
    // The ledgers of the two shards may hold 16 KiB each that they have not reported yet.
    eventually("the memory is freed", || {
        health(&server, "memory_bytes") < before + 64 * 1024
    });
}
