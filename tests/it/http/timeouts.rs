//! Requests that are sent too slowly, and responses that are not read.

use std::{
    fs,
    io::{ErrorKind, Read, Write},
    time::{Duration, Instant},
};

use framecast_test_support::{Client, PATIENCE, TestServer, eventually, frames::text};

use crate::http::error_of;

/// Starts a server that waits at most 200 ms for a whole request.
fn impatient() -> TestServer {
    TestServer::with(|config| config.hub.timeouts.request = Duration::from_millis(200))
}

/// Sends a byte after each 20 ms without a response. Returns all that the server sends before it
/// ends the connection.
#[track_caller]
fn trickle(mut client: Client) -> String {
    let pause = Some(Duration::from_millis(20));
    client.stream.set_read_timeout(pause).unwrap();
    let end = Instant::now() + PATIENCE;
    let mut received = Vec::new();
    while Instant::now() < end {
        let mut bytes = [0; 1024];
        match client.stream.read(&mut bytes) {
            Ok(0) => return String::from_utf8(received).unwrap(),
            Ok(len) => received.extend(&bytes[..len]),
            // The write fails if the server has ended the connection. Then the next read returns.
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let _ = client.stream.write(b"x");
            }
            Err(_) => return String::from_utf8(received).unwrap(),
        }
    }
    panic!("the server does not end the connection");
}

#[test]
fn a_connection_whose_head_does_not_arrive_in_time_is_ended() {
    let server = impatient();
    for start in ["", "GET", "GET /echo HTTP/1.1\r\nHost: localhost\r\nX: "] {
        let mut client = server.dial();
        client.send(start.as_bytes());
        client.expect_end();
        let mut client = server.dial();
        client.send(start.as_bytes());
        // The time is for the whole head, not for each byte.
        assert_eq!(trickle(client), "");
    }
    let mut idle = server.dial();
    idle.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(idle.read_answer().status, 200);
    idle.expect_end();
}

#[test]
fn a_body_that_does_not_arrive_in_time_is_answered_408() {
    let server = impatient();
    for framing in ["Content-Length: 16000", "Transfer-Encoding: chunked"] {
        let start = format!("POST /publish HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n");
        let mut client = server.dial();
        client.send(start.as_bytes());
        let answer = client.read_answer();
        assert_eq!(answer.status, 408);
        assert_eq!(answer.header("connection"), Some("close"));
        assert_eq!(error_of(&answer), "the request took too long");
        client.expect_end();
    }
    let mut client = server.dial();
    client.send(b"POST /publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: 16000\r\n\r\n");
    let answer = trickle(client);
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}

/// Returns how many bytes the kernel still has to send at the server's end of a connection, as the
/// eight hexadecimal digits in `/proc/net/tcp`. Returns `None` if the connection is not
/// established.
fn unsent(server: &TestServer, client: &Client) -> Option<String> {
    let local = server.address.port();
    let remote = client.stream.local_addr().unwrap().port();
    // The ports of both ends, 127.0.0.1 as the client's address, and `01` for "established".
    let ends = format!(":{local:04X} 0100007F:{remote:04X} 01 ");
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let (_, queues) = table.split_once(&ends)?;
    Some(queues[..8].to_owned())
}

// Once such a client kept its connection, and megabytes of responses in the kernel, for ever.
#[test]
fn the_connection_of_a_client_that_does_not_read_its_responses_is_ended() {
    let server = impatient();
    let mut client = server.dial();
    client.send(
        "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
            .repeat(2000)
            .as_bytes(),
    );
    eventually("the connection is ended", || {
        unsent(&server, &client).is_none()
    });
}

#[test]
fn a_subscriber_may_be_blocked_for_longer_than_a_request_may_take() {
    const MESSAGES: usize = 15;
    let server = impatient();
    let mut client = server.connect("/ws?topic=t");
    let message = "x".repeat(60_000);
    let body = format!(r#"{{"topic": "t", "message": "{message}"}}"#);
    for _ in 0..MESSAGES {
        let status = server.http("POST", "/publish", "", &body).status;
        // 202 on a busy machine: published, but not counted in time.
        assert!(matches!(status, 200 | 202), "{status}");
    }
    // The server ends each of these connections after the time that a request may take. Meanwhile
    // the subscriber reads nothing.
    for _ in 0..5 {
        server.dial().expect_end();
        assert_ne!(unsent(&server, &client).unwrap(), "00000000");
    }
    for _ in 0..MESSAGES {
        client.receives(text(&message));
    }
    client.close();
}

#[test]
fn a_connection_in_use_outlives_the_time_for_a_request() {
    let server = impatient();
    let mut client = server.connect("/echo");
    let mut other = server.dial();
    // The server ends this connection after the time that a request may take, which is then over
    // for the first connection, too.
    other.expect_end();
    client.sends(text("hi"));
    client.receives(text("hi"));
    client.close();
}
