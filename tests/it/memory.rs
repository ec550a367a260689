//! What happens when memory gets short: who is ended, what is refused, and who does not notice.

use std::{thread, time::Duration};

use framecast::Config;
use framecast_test_support::{Client, TestServer, eventually, frame, text};

use crate::slow::connect_narrowly;

const MIB: u64 = 1 << 20;

/// A server with little memory, which gives up soon on whoever is behind.
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

fn health(server: &TestServer, field: &str) -> u64 {
    server.health()[field].as_u64().unwrap()
}

/// Reads messages until a Close comes: how many, and its code and reason.
fn read_to_close(client: &mut Client) -> (usize, u16, String) {
    for count in 0.. {
        let (first, payload) = client.read_frame();
        if first == 0x88 {
            let code = u16::from_be_bytes([payload[0], payload[1]]);
            let reason = String::from_utf8_lossy(&payload[2..]).into_owned();
            return (count, code, reason);
        }
    }
    unreachable!("it ends before the numbers do")
}

#[test]
fn whoever_never_reads_is_ended_before_memory_runs_out_and_a_reader_gets_everything() {
    const ROOMS: usize = 20;
    const MESSAGES: usize = 16;
    let server = server(4 * MIB);
    let rooms: Vec<_> = (0..ROOMS).map(|room| format!("topic={room}")).collect();
    let mut healthy = server.connect(&format!("/ws?{}", rooms.join("&")));
    let connect = |room: &String| connect_narrowly(&server, &format!("/ws?{room}"));
    let _slow: Vec<_> = rooms.iter().map(connect).collect();
    let connect = |room: &String| server.connect(&format!("/ws?{room}"));
    let publishers: Vec<_> = rooms.iter().map(connect).collect();
    let hearing = thread::spawn(move || read_to_close(&mut healthy).0);
    let message = frame(0x82, &[7; 50_000]);
    for mut publisher in publishers {
        // Less than each may have waiting.
        for _ in 0..MESSAGES {
            publisher.send(&message);
            assert_eq!(publisher.read_frame().1, [7; 50_000]);
            assert!(health(&server, "memory_bytes") < 4 * MIB);
        }
    }
    assert!(health(&server, "evicted") > 0);
    drop(server);
    assert_eq!(hearing.join().unwrap(), ROOMS * MESSAGES);
}

#[test]
fn a_message_that_has_begun_long_ago_is_given_up_with_1013() {
    let server = server(4 * MIB);
    let mut senders: Vec<_> = (0..60).map(|_| server.connect("/ws?topic=t")).collect();
    let whole = frame(0x82, &[1; 60_000]);
    for sender in &mut senders {
        sender.send(&whole[..59_000]);
    }
    eventually("the oldest is given up", || {
        health(&server, "unfinished") > 0
    });
    let (code, reason) = senders[0].read_close();
    assert_eq!((code, &reason[..]), (1013, "server is short of memory"));
    eventually("there is memory again", || {
        health(&server, "memory_bytes") < 3 * MIB
    });
}

#[test]
fn an_old_message_is_not_waited_for_however_little_it_holds() {
    let server = TestServer::with(|config| config.hub.timeouts.behind = Duration::from_millis(300));
    let mut slow = connect_narrowly(&server, "/ws?topic=t");
    let mut publisher = server.connect("/ws?topic=t");
    // More than the kernel takes, and less than an outbox may have.
    let mut sent = 0;
    while health(&server, "too_far_behind") == 0 {
        if sent < 100 {
            publisher.send(&frame(0x82, &[1; 50_000]));
            assert_eq!(publisher.read_frame().1, [1; 50_000]);
            sent += 1;
        }
    }
    let (read, code, reason) = read_to_close(&mut slow);
    assert!(read < sent);
    assert_eq!((code, &reason[..]), (4008, "too far behind"));
}

#[test]
fn while_memory_is_short_what_would_stay_is_refused_and_publishing_goes_on() {
    // Those who say nothing are to stay.
    let server = server_with(4 * MIB, |config| {
        config.hub.timeouts.blocked = Duration::from_secs(10);
        config.hub.timeouts.request = Duration::from_secs(10);
    });
    let mut listener = server.connect("/ws?topic=t");
    let topics: Vec<_> = (0..128).map(|n| format!("\"{n:0250}\"")).collect();
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
    // In place of the request that was one too many.
    let others = [(); 6].map(|()| server.dial());
    eventually("memory is short", || {
        health(&server, "memory_bytes") > 3 * MIB
    });
    let mut client = server.dial();
    client.send(framecast_test_support::handshake("/ws?topic=t").as_bytes());
    assert_eq!(client.read_answer().status, 503);
    assert_eq!(health(&server, "refused"), 2);
    assert_eq!(health(&server, "refused_registrations"), 1);
    assert_eq!(health(&server, "refused_connections"), 1);
    server.post("/publish", r#"{"topic": "t", "message": "hi"}"#);
    assert_eq!(listener.read_text(), "hi");
    // What is given back can be had again.
    drop(others);
    for answer in registered {
        let answer: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        let id = answer["url"].as_str().unwrap().rsplit('/').next().unwrap();
        let path = format!("/register/{id}");
        assert_eq!(server.http("DELETE", &path, "", "").status, 200);
    }
    server.connect("/ws?topic=t").send(&text("back"));
    assert_eq!(listener.read_text(), "back");
}

#[test]
fn what_a_client_has_made_the_server_hold_is_given_back_when_it_is_gone() {
    let server = server(64 * MIB);
    let before = health(&server, "memory_bytes");
    let readers: Vec<_> = (0..10)
        .map(|_| connect_narrowly(&server, "/ws?topic=t"))
        .collect();
    let mut publisher = server.connect("/ws?topic=t");
    for _ in 0..15 {
        publisher.send(&frame(0x82, &[1; 60_000]));
        assert_eq!(publisher.read_frame().1, [1; 60_000]);
    }
    assert!(health(&server, "memory_bytes") > before + MIB / 2);
    drop(readers);
    publisher.close();
    // Of each of two shards up to 16 KiB are not told yet.
    eventually("it is given back", || {
        health(&server, "memory_bytes") < before + 64 * 1024
    });
}
