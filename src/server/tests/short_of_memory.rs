//! Tests of requests while memory is short, and while it is so full that new connections are
//! answered 503.

use std::{
    io::{Read as _, Write as _},
    net::Shutdown,
    slice,
    time::Duration,
};

use socket2::SockRef;

use crate::{
    message::Message,
    server::tests::{
        dial, read_head,
        served::{Served, eventually, expect, expect_end},
    },
    topic::TopicName,
};

#[test]
fn while_memory_is_full_new_clients_get_503_and_health_is_answered() {
    let server = Served::start(1);
    let budget = server.hub.budget();
    // Memory is full from 13/16 of the budget on.
    let charge = budget.charge((budget.limit() / 8 * 7).try_into().unwrap());
    for _ in 0..3 {
        let (head, body) = server.get("/");
        assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
        assert!(head.contains("\r\nretry-after: 1\r\n"), "{head}");
        assert_eq!(body, "{\"error\":\"the server is short of memory\"}\n");
        let (head, _) = server.get("/health");
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    }
    drop(charge);
    eventually("connections are accepted again", || {
        server.get("/").0.starts_with("HTTP/1.1 200 ")
    });
}

#[test]
fn a_connection_is_charged_when_it_is_accepted_though_its_shard_is_held_up() {
    let server = Served::start(2);
    let release = server.hold_up(1);
    let before = server.hub.budget().held();
    let connections: Vec<_> = (0..8).map(|_| dial(server.address)).collect();
    eventually("all are charged", || {
        // Each connection is charged 32 KiB for HTTP.
        server.hub.budget().held() >= before + 8 * 32 * 1024
    });
    drop((release, connections));
}

// Each client that sent nothing once held up the next client for a second.
#[test]
fn while_memory_is_full_silent_clients_do_not_hold_up_others() {
    let server = Served::start(1);
    let budget = server.hub.budget();
    let _charge = budget.charge((budget.limit() / 8 * 7).try_into().unwrap());
    // One client fewer than are answered simultaneously (16).
    let silent: Vec<_> = (0..15).map(|_| dial(server.address)).collect();
    // The answer must come within 10 s, the read timeout of the test's sockets.
    let (head, _) = server.get("/health");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    drop(silent);
}

#[test]
fn while_memory_is_short_every_answer_closes_its_http_connection() {
    let server = Served::start(1);
    // None of these requests is a correct WebSocket handshake.
    let old_version = "/ws HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                       Sec-WebSocket-Version: 8\r\n";
    let requests = [
        "/ HTTP/1.1\r\n",
        "/health HTTP/1.1\r\n",
        "/nowhere HTTP/1.1\r\n",
        "/ws HTTP/1.1\r\n",
        old_version,
    ];
    let ask = |request: &str| {
        let mut stream = dial(server.address);
        let request = format!("GET {request}Host: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let head = read_head(&mut stream);
        (stream, head)
    };
    let says = |head: &str, connection| head.contains(&format!("\r\nconnection: {connection}\r\n"));
    for request in requests {
        assert!(!ask(request).1.contains("close"), "{request}");
    }
    let budget = server.hub.budget();
    // Memory is short from 12/16 of the budget on.
    let _charge = budget.charge((budget.limit() / 16 * 12).try_into().unwrap());
    for request in requests {
        let (mut stream, head) = ask(request);
        let close = if request == old_version {
            "Upgrade, close"
        } else {
            "close"
        };
        assert!(says(&head, close), "{head}");
        stream.read_to_end(&mut Vec::new()).unwrap();
    }
}

// A page whose handshake is refused asks for the reason by a plain request.
#[test]
fn while_memory_is_short_a_plain_request_is_told_so_where_a_handshake_would_be_refused() {
    let server = Served::start(1);
    assert!(server.get("/ws").0.starts_with("HTTP/1.1 426 "));
    let budget = server.hub.budget();
    let refused = budget.counts.refused_connections.get();
    let _charge = budget.charge((budget.limit() / 16 * 12).try_into().unwrap());
    for path in ["/ws", "/echo", "/ws?topic="] {
        let (head, body) = server.get(path);
        assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
        assert_eq!(body, "{\"error\":\"the server is short of memory\"}\n");
    }
    let counted = budget.counts.refused_connections.get();
    assert_eq!(counted, refused, "it was no WebSocket");
}

#[test]
fn while_memory_is_short_a_client_that_does_not_complete_a_head_is_given_up() {
    let server = Served::with(1, |config| {
        config.hub.timeouts.request = Duration::from_secs(60);
        config.hub.timeouts.blocked = Duration::from_millis(100);
    });
    let mut echo = server.upgrade("/echo");
    // `first` never completes its first head. `later` gets an answer, and does not complete its
    // second head.
    let [mut first, mut later] = [(); 2].map(|()| dial(server.address));
    first.write_all(b"GET /health HTTP/1.1\r\nHo").unwrap();
    later
        .write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\nGET")
        .unwrap();
    assert!(read_head(&mut later).starts_with("HTTP/1.1 200 "));
    let budget = server.hub.budget();
    let _charge = budget.charge((budget.limit() / 16 * 12).try_into().unwrap());
    expect_end(&mut first);
    later.read_to_end(&mut Vec::new()).unwrap();
    let unfinished = budget.counts.unfinished.get();
    assert_eq!(unfinished, 1, "a client that was answered is not counted");
    // The WebSocket connection stays open: it sends the text "hi" and gets it back.
    echo.write_all(b"\x81\x82\0\0\0\0hi").unwrap();
    expect(&mut echo, b"\x81\x02hi");
}

// What waited for it was held until the time for the closing handshake was over.
#[test]
fn while_memory_is_short_a_peer_that_has_gone_and_reads_nothing_is_dropped() {
    let server = Served::with(1, |config| {
        config.hub.timeouts.close = Duration::from_secs(60);
        config.hub.timeouts.blocked = Duration::from_millis(100);
        // So an outbox may hold 16 MiB.
        config.hub.limits.message_bytes = 4 * 1024 * 1024;
    });
    let client = server.upgrade("/ws?topic=t");
    let topic = TopicName::new("t").unwrap();
    // The kernel takes little of this for the client.
    SockRef::from(&client).set_recv_buffer_size(4096).unwrap();
    for _ in 0..40 {
        let message = server.hub.encode(Message::binary(&[0; 100_000]));
        drop(
            server
                .hub
                .publish_now(slice::from_ref(&topic), message, None),
        );
    }
    client.shutdown(Shutdown::Write).unwrap();
    eventually("the client has gone", || {
        server.hub.metrics().ended.lost == 1
    });
    let budget = server.hub.budget();
    let before = budget.held();
    assert!(before > 1_000_000, "{before}");
    let _charge = budget.charge((budget.limit() / 16 * 12).try_into().unwrap());
    eventually("the connection is dropped", || {
        server.hub.metrics().connections == 0
    });
}

// The server once gave up all unfinished messages, because memory was still short while it was
// freeing the first ones.
#[test]
fn only_as_many_unfinished_messages_are_given_up_as_memory_needs() {
    let server = Served::with(2, |config| {
        config.hub.timeouts.blocked = Duration::from_millis(100);
    });
    let budget = server.hub.budget();
    let before = budget.held();
    // The header of a message of 65,535 bytes, and 60,000 of these.
    let message = [&b"\x82\xFE\xFF\xFF\0\0\0\0"[..], &[0; 60_000]].concat();
    let senders: Vec<_> = (0..20)
        .map(|_| {
            let mut sender = server.upgrade("/ws");
            sender.write_all(&message).unwrap();
            sender
        })
        .collect();
    // fastwebsockets may hold twice the bytes of a message, and 20 KiB for itself.
    let each = 2 * 60_000 + 20 * 1024;
    eventually("all are read", || budget.held() >= before + 20 * each);
    let crowded = budget.limit() / 16 * 12;
    // Memory is short of the bytes of two and a half messages.
    let short_of = each * 5 / 2;
    let _charge = budget.charge((crowded - budget.held() + short_of).try_into().unwrap());
    eventually("memory is no longer short", || !budget.is_crowded());
    let given_up = budget.counts.unfinished.get();
    // Three messages must be given up. Each of the two shards may give up one more before it knows
    // what the other shard has freed.
    assert!((3..=5).contains(&given_up), "{given_up}");
    drop(senders);
}
