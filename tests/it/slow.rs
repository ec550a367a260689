//! Subscribers that do not read: they are ended, and nobody else notices.

use std::{
    io::Read,
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use framecast_test_support::{Client, PATIENCE, TestServer, eventually, frame, text};
use socket2::{Domain, Socket, Type};

/// Gives up on a blocked subscriber soon, and waits long for its Close.
fn server() -> TestServer {
    TestServer::with(|config| {
        config.hub.timeouts.blocked = Duration::from_millis(100);
        config.hub.timeouts.close = 6 * PATIENCE;
    })
}

/// Connects with a receive buffer that holds next to nothing.
pub(crate) fn connect_narrowly(server: &TestServer, path: &str) -> Client {
    connect_with_buffer(server, path, 4096)
}

fn connect_with_buffer(server: &TestServer, path: &str, bytes: usize) -> Client {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(bytes).unwrap();
    socket.connect(&server.address.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    Client { stream }.upgrade(path)
}

/// 32 KiB that begin with a number.
fn numbered(number: u32) -> Vec<u8> {
    let mut payload = vec![b'.'; 32 * 1024];
    payload[..4].copy_from_slice(&number.to_be_bytes());
    payload
}

/// Reads numbered messages until something else comes: how many, and that.
#[track_caller]
fn read_in_order(client: &mut Client) -> (u32, (u8, Vec<u8>)) {
    for number in 0.. {
        match client.read_frame() {
            (0x82, payload) => assert!(payload == numbered(number), "not message {number}"),
            other => return (number, other),
        }
    }
    unreachable!("it ends before the numbers do");
}

fn slow_consumers(server: &TestServer) -> u64 {
    server.health()["slow_consumers"].as_u64().unwrap()
}

#[test]
fn a_subscriber_that_never_reads_is_ended_and_the_others_lose_nothing() {
    let server = server();
    let mut slow = connect_narrowly(&server, "/ws?topic=t");
    let mut healthy = server.connect("/ws?topic=t");
    let mut publisher = server.connect("/ws?topic=t&topic=echo-of-the-publisher");
    let mut sent = 0;
    thread::scope(|scope| {
        let hearing = scope.spawn(|| read_in_order(&mut healthy));
        // The publisher hears itself: it is held up by nobody but itself.
        while slow_consumers(&server) == 0 {
            publisher.send(&frame(0x82, &numbered(sent)));
            assert!(publisher.read_frame() == (0x82, numbered(sent)));
            sent += 1;
        }
        publisher.send(&text("end"));
        let (heard, end) = hearing.join().unwrap();
        assert_eq!((heard, end), (sent, (0x81, b"end".to_vec())));
    });
    let (heard, end) = read_in_order(&mut slow);
    assert!(heard < sent, "{heard} of {sent}");
    assert_eq!(end, (0x88, b"\x0F\xA8slow consumer".to_vec()));
    slow.send(&frame(0x88, b"\x0F\xA8"));
    slow.expect_end();
    drop(slow);
    assert_eq!(slow_consumers(&server), 1);
    eventually("only the slow one is gone", || {
        server.health()["connections"] == 2
    });
}

#[test]
fn a_slow_subscriber_that_stays_away_is_dropped_after_the_time_for_its_close() {
    let server = TestServer::with(|config| {
        config.hub.timeouts.blocked = Duration::from_millis(100);
        config.hub.timeouts.close = Duration::from_millis(300);
    });
    let mut slow = connect_narrowly(&server, "/ws");
    let message = "m".repeat(60_000);
    let publication = format!(r#"{{"topic":"lobby","message":"{message}"}}"#);
    let mut queued = 0;
    while slow_consumers(&server) == 0 {
        let answer = server.post("/publish", &publication);
        queued += u32::from(answer.contains("1"));
    }
    assert!(queued > 10, "{queued}");
    eventually("it is gone", || server.health()["connections"] == 0);
    // It comes back too late: the Close stood behind what it did not read.
    let mut rest = Vec::new();
    slow.stream.read_to_end(&mut rest).unwrap();
    assert!(rest.ends_with(b"m"), "{:?}", rest.last());
}

#[test]
fn one_that_is_blocked_within_its_bound_is_kept_and_gets_everything() {
    let server = server();
    let mut slow = connect_narrowly(&server, "/ws?topic=t");
    let mut publisher = server.connect("/ws?topic=t");
    // Half the bound of 1 MiB.
    for number in 0..16 {
        publisher.send(&frame(0x82, &numbered(number)));
        assert!(publisher.read_frame() == (0x82, numbered(number)));
    }
    let begin = Instant::now();
    eventually("it has been blocked for much longer than the limit", || {
        begin.elapsed() > Duration::from_millis(500)
    });
    assert_eq!(slow_consumers(&server), 0);
    publisher.send(&text("end"));
    assert_eq!(read_in_order(&mut slow), (16, (0x81, b"end".to_vec())));
    slow.close();
}

#[test]
fn one_that_is_over_its_bound_is_kept_while_its_socket_takes_something() {
    // The kernel holds what it likes; six times the bound is over it for long enough.
    const MESSAGES: u32 = 192;
    let server = TestServer::with(|config| config.hub.timeouts.blocked = Duration::from_secs(1));
    let mut slow = connect_with_buffer(&server, "/ws?topic=t", 64 * 1024);
    let mut publisher = server.connect("/ws?topic=t");
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..MESSAGES {
                publisher.send(&frame(0x82, &numbered(number)));
                assert!(publisher.read_frame() == (0x82, numbered(number)));
            }
        });
        // Meanwhile, however long that takes on a busy machine.
        for number in 0..MESSAGES {
            assert!(slow.read_frame() == (0x82, numbered(number)), "{number}");
            // A peer that reads steadily, and takes four seconds for all of it.
            thread::sleep(Duration::from_millis(20));
        }
    });
    assert_eq!(slow_consumers(&server), 0);
    slow.close();
}
