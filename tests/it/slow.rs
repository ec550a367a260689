//! Slow consumers: their connections are closed, and other subscribers lose nothing.

use std::{
    io::Read,
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use framecast_test_support::{
    Client, NEVER, PATIENCE, TestServer, eventually,
    frames::{Frame, binary, close, text},
};
use socket2::{Domain, Socket, Type};

/// Time for which a subscriber may be blocked in most of these tests.
const BLOCKED: Duration = Duration::from_millis(100);

/// Receive buffer of a subscriber whose socket is to fill soon.
const SMALL_BUFFER_BYTES: usize = 4096;

/// Bytes of a numbered message.
const NUMBERED_BYTES: u32 = 32 * 1024;

/// Bytes that an outbox may hold before its connection is closed as a slow consumer.
const OUTBOX_BYTES: u32 = 1024 * 1024;

/// Starts a server that closes a slow subscriber that has been blocked for [`BLOCKED`]. It waits
/// for the subscriber's Close for longer than a test.
fn server() -> TestServer {
    TestServer::with(|config| {
        config.hub.timeouts.blocked = BLOCKED;
        config.hub.timeouts.close = NEVER;
    })
}

/// Connects with a small receive buffer, so that the server's writes soon block.
pub(crate) fn connect_with_small_buffer(server: &TestServer, path: &str) -> Client {
    connect_with_buffer(server, path, SMALL_BUFFER_BYTES)
}

fn connect_with_buffer(server: &TestServer, path: &str, bytes: usize) -> Client {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(bytes).unwrap();
    socket.connect(&server.address.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    Client { stream }.upgrade(path)
}

/// Returns a message that begins with a number.
fn numbered(number: u32) -> Frame {
    let mut payload = vec![b'.'; NUMBERED_BYTES as usize];
    payload[..4].copy_from_slice(&number.to_be_bytes());
    binary(payload)
}

/// Reads numbered messages, which must come in order, until another frame comes. Returns the number
/// of messages, and that frame.
#[track_caller]
fn read_in_order(client: &mut Client) -> (u32, Frame) {
    for number in 0.. {
        match client.read_frame() {
            (0x82, payload) => assert!((0x82, payload) == numbered(number), "not message {number}"),
            other => return (number, other),
        }
    }
    unreachable!("another frame comes before the numbers end");
}

fn slow_consumers(server: &TestServer) -> u64 {
    server.health()["slow_consumers"].as_u64().unwrap()
}

#[test]
fn a_subscriber_that_never_reads_is_closed_and_other_subscribers_lose_nothing() {
    let server = server();
    let mut slow = connect_with_small_buffer(&server, "/ws?topic=t");
    let mut healthy = server.connect("/ws?topic=t");
    let mut publisher = server.connect("/ws?topic=t&topic=echo-of-the-publisher");
    let mut sent = 0;
    thread::scope(|scope| {
        let receiving = scope.spawn(|| read_in_order(&mut healthy));
        // The publisher waits for its own messages, and so for no subscriber but itself.
        while slow_consumers(&server) == 0 {
            publisher.sends(numbered(sent));
            publisher.receives(numbered(sent));
            sent += 1;
        }
        publisher.sends(text("end"));
        assert_eq!(receiving.join().unwrap(), (sent, text("end")));
    });
    let (received, end) = read_in_order(&mut slow);
    assert!(received < sent, "{received} of {sent}");
    assert_eq!(end, close(4008, "slow consumer"));
    slow.sends(close(4008, ""));
    slow.expect_end();
    drop(slow);
    assert_eq!(slow_consumers(&server), 1);
    eventually("only the slow subscriber has gone", || {
        server.health()["connections"] == 2
    });
}

#[test]
fn a_slow_subscriber_that_does_not_answer_its_close_is_dropped_after_the_timeout() {
    let server = TestServer::with(|config| {
        config.hub.timeouts.blocked = BLOCKED;
        config.hub.timeouts.close = Duration::from_millis(300);
    });
    let mut slow = connect_with_small_buffer(&server, "/ws");
    let message = "m".repeat(60_000);
    let publication = format!(r#"{{"topic":"lobby","message":"{message}"}}"#);
    let mut queued = 0;
    while slow_consumers(&server) == 0 {
        let answer = server.post("/publish", &publication);
        // `{"queued":1}` until the subscriber is closed.
        queued += u32::from(answer.contains("1"));
    }
    assert!(queued > 10, "{queued}");
    eventually("its connection has ended", || {
        server.health()["connections"] == 0
    });
    // The Close was queued after messages that the subscriber did not read, and never written.
    let mut rest = Vec::new();
    slow.stream.read_to_end(&mut rest).unwrap();
    assert!(rest.ends_with(b"m"), "{:?}", rest.last());
}

#[test]
fn a_blocked_subscriber_whose_outbox_is_within_its_bound_gets_everything() {
    // Half of what an outbox may hold.
    const MESSAGES: u32 = OUTBOX_BYTES / NUMBERED_BYTES / 2;
    let server = server();
    let mut slow = connect_with_small_buffer(&server, "/ws?topic=t");
    let mut publisher = server.connect("/ws?topic=t");
    for number in 0..MESSAGES {
        publisher.sends(numbered(number));
        publisher.receives(numbered(number));
    }
    let begin = Instant::now();
    eventually(
        "it has been blocked for much longer than the timeout",
        || begin.elapsed() > 5 * BLOCKED,
    );
    assert_eq!(slow_consumers(&server), 0);
    publisher.sends(text("end"));
    assert_eq!(read_in_order(&mut slow), (MESSAGES, text("end")));
    slow.close();
}

#[test]
fn a_subscriber_whose_outbox_is_over_its_bound_is_kept_while_it_reads() {
    // Six times the bound: however much the kernel buffers, the outbox is over its bound for long
    // enough.
    const MESSAGES: u32 = 6 * OUTBOX_BYTES / NUMBERED_BYTES;
    let server = TestServer::with(|config| config.hub.timeouts.blocked = Duration::from_secs(1));
    let mut slow = connect_with_buffer(&server, "/ws?topic=t", 64 * 1024);
    let mut publisher = server.connect("/ws?topic=t");
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..MESSAGES {
                publisher.sends(numbered(number));
                publisher.receives(numbered(number));
            }
        });
        for number in 0..MESSAGES {
            slow.receives(numbered(number));
            // A peer that reads steadily, and takes about four seconds for all messages.
            thread::sleep(Duration::from_millis(20));
        }
    });
    assert_eq!(slow_consumers(&server), 0);
    slow.close();
}
