//! Connections that carry several requests: how long they may be idle, and what ends them.

use std::time::Duration;

use framecast_test_support::{
    Client, NEVER, TestServer,
    frames::{masked, text},
    handshake_with,
};

use super::error_of;

const ASK: &[u8] = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Starts a server with little time for a request, and much between two.
fn with_keep_alive(keep_alive: Duration) -> TestServer {
    TestServer::with(|config| {
        config.hub.timeouts.request = Duration::from_millis(200);
        config.keep_alive_timeout = keep_alive;
    })
}

/// Starts a server that waits for a request longer than a test does.
fn patient() -> TestServer {
    TestServer::with(|config| config.hub.timeouts.request = NEVER)
}

#[track_caller]
fn ask(client: &mut Client) {
    client.send(ASK);
    assert_eq!(client.read_answer().status, 200);
}

/// Sends `head` and, when that is answered with `status`, `rest`. Returns true if the answer
/// announces the end of the connection.
#[track_caller]
fn exchange(client: &mut Client, head: &str, status: u16, rest: &str) -> bool {
    client.send(head.as_bytes());
    let answer = client.read_answer();
    assert_eq!(answer.status, status, "{head}");
    client.send(rest.as_bytes());
    answer.header("connection") == Some("close")
}

// A balancer that reuses its connections for up to a minute lost the requests that it sent on one
// that the server had just closed: after 5 s.
#[test]
fn a_connection_may_be_idle_between_two_requests_for_longer_than_a_request_may_take() {
    let server = with_keep_alive(NEVER);
    let mut client = server.dial();
    for _ in 0..2 {
        ask(&mut client);
        // These say nothing, and one after the other use up the time for a request.
        for _ in 0..3 {
            server.dial().expect_end();
        }
    }
    ask(&mut client);
}

#[test]
fn the_time_for_a_later_head_begins_with_its_first_byte() {
    let server = with_keep_alive(NEVER);
    for start in ["G", "GET /health HTTP/1.1\r\nHost: localhost\r\nX: "] {
        let mut client = server.dial();
        ask(&mut client);
        client.send(start.as_bytes());
        client.expect_end();
    }
}

#[test]
fn a_connection_that_is_idle_for_too_long_is_closed() {
    let server = with_keep_alive(Duration::from_millis(100));
    let mut client = server.dial();
    ask(&mut client);
    client.expect_end();
}

#[test]
fn idle_connections_are_charged_to_the_memory_budget() {
    const HTTP_BYTES: u64 = 32 * 1024;
    let server = TestServer::start();
    let held = || server.health()["memory_bytes"].as_u64().unwrap();
    let before = held();
    let mut idle: Vec<Client> = (0..20).map(|_| server.dial()).collect();
    idle.iter_mut().for_each(ask);
    // Each shard reports changes of up to 16 KiB later.
    assert!(held() + 64 * 1024 >= before + 20 * HTTP_BYTES);
    idle.iter_mut().for_each(ask);
}

// The answer came at once, and then the server hung up: the client's next request was lost.
#[test]
fn a_body_that_no_path_wants_is_read_to_its_end_and_the_next_request_answered() {
    let server = patient();
    let id = server.register(r#"{"user_id": 1}"#).replace("/ws/", "");
    let delete = format!("DELETE /register/{id} HTTP/1.1");
    for (line, status) in [
        (delete.as_str(), 200),
        (delete.as_str(), 404),
        ("GET /health HTTP/1.1", 200),
        ("GET / HTTP/1.1", 200),
        ("POST /nowhere HTTP/1.1", 404),
        ("PUT /publish HTTP/1.1", 405),
        ("POST /ws HTTP/1.1", 405),
        ("GET /ws HTTP/1.1", 426),
    ] {
        let mut client = server.dial();
        let head = format!("{line}\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n");
        // The body comes behind the answer, in two parts.
        assert!(!exchange(&mut client, &head, status, "bo"), "{line}");
        client.send(b"dy.");
        ask(&mut client);
        // Or together with the head.
        let refused = if status == 200 && line == delete {
            404
        } else {
            status
        };
        client.send(format!("{head}body.").as_bytes());
        assert_eq!(client.read_answer().status, refused, "{line}");
        ask(&mut client);
    }
}

#[test]
fn a_body_that_no_path_wants_must_come_in_time() {
    let server = with_keep_alive(NEVER);
    let mut client = server.dial();
    let head = "DELETE /register/0 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n";
    assert!(!exchange(&mut client, head, 404, "bo"));
    client.expect_end();
}

#[test]
fn a_connection_is_idle_from_the_end_of_a_body_that_no_path_wants() {
    let server = with_keep_alive(NEVER);
    let mut client = server.dial();
    let head = "DELETE /register/0 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n";
    assert!(!exchange(&mut client, head, 404, "body."));
    for _ in 0..3 {
        server.dial().expect_end();
    }
    ask(&mut client);
}

#[test]
fn a_refusal_of_a_body_that_was_only_announced_ends_the_connection_and_says_so() {
    let server = patient();
    for (line, status) in [
        ("POST /nowhere HTTP/1.1", 404),
        ("PUT /publish HTTP/1.1", 405),
        ("GET /health HTTP/1.1", 200),
    ] {
        let mut client = server.dial();
        let head = format!(
            "{line}\r\nHost: localhost\r\nExpect: 100-Continue\r\nContent-Length: 5\r\n\r\n"
        );
        assert!(exchange(&mut client, &head, status, ""), "{line}");
        client.expect_end();
    }
    let mut client = server.dial();
    client.send(
        b"POST /register HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n\
          Content-Length: 13\r\n\r\n",
    );
    client.expect(b"HTTP/1.1 100 Continue\r\n\r\n");
    client.send(b"{\"user_id\":1}");
    assert_eq!(client.read_answer().status, 200);
    ask(&mut client);
}

const CHUNKED: &str = "POST /publish HTTP/1.1\r\nHost: localhost\r\n\
                       Transfer-Encoding: chunked\r\n\r\n1e\r\n{\"topic\": \"t\", \"message\": \"x\"}\r\n";

// hyper takes what is behind a bare LF for trailers, and throws it away: the second request was
// never answered.
#[test]
fn a_request_behind_malformed_trailers_is_not_lost_silently() {
    let server = patient();
    let second = std::str::from_utf8(ASK).unwrap();
    for (end, status) in [
        ("0\r\n\n", 400),
        ("0\r\nA: b\r\n\n", 200),
        ("0\r\nA: b\r\n\r\n", 200),
        ("0\r\nA: b\n\n\r\n", 200),
    ] {
        let mut client = server.dial();
        client.send(format!("{CHUNKED}{end}{second}").as_bytes());
        let answer = client.read_answer();
        assert_eq!(answer.status, status, "{end:?}");
        assert_eq!(answer.header("connection"), Some("close"), "{end:?}");
        if status == 400 {
            assert_eq!(
                error_of(&answer),
                "the body can't be read: malformed trailers"
            );
        }
        client.expect_end();
    }
    let mut client = server.dial();
    client.send(format!("{CHUNKED}0\r\n\r\n{second}").as_bytes());
    assert_eq!(client.read_answer().status, 200);
    assert_eq!(client.read_answer().status, 200, "without trailers");
}

#[test]
fn a_body_whose_end_cannot_be_found_ends_the_connection_and_the_answer_says_so() {
    let server = patient();
    let head = "POST /publish HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    for body in [
        "x\r\n",
        "-1\r\n",
        "ffffffffffffffffff\r\n",
        "1\r\nab\r\n",
        "1;a\nb",
    ] {
        let mut client = server.dial();
        client.send(format!("{head}{body}").as_bytes());
        let answer = client.read_answer();
        assert_eq!(answer.status, 400, "{body:?}");
        assert_eq!(answer.header("connection"), Some("close"), "{body:?}");
        client.expect_end();
    }
    // One that is not read is chunked as well, and may be as malformed.
    let mut client = server.dial();
    let refused = head.replace("/publish", "/nowhere");
    assert!(exchange(&mut client, &refused, 404, "0\r\n\r\n"));
    client.expect_end();
}

#[test]
fn a_transfer_coding_that_is_not_understood_is_answered_501() {
    let server = patient();
    for (coding, status) in [
        ("gzip, chunked", 501),
        ("gzip\r\nTransfer-Encoding: chunked", 501),
        ("chunked, chunked", 501),
        ("gzip", 400),
        ("identity", 400),
        ("", 400),
    ] {
        let mut client = server.dial();
        let head = format!(
            "POST /publish HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: {coding}\r\n\r\n"
        );
        client.send(format!("{head}0\r\n\r\n").as_bytes());
        let answer = client.read_answer();
        assert_eq!(answer.status, status, "{coding}");
        assert_eq!(answer.header("connection"), Some("close"), "{coding}");
        if status == 501 {
            let error = error_of(&answer);
            assert_eq!(error, "Transfer-Encoding: only chunked is understood");
        }
        client.expect_end();
    }
    let mut client = server.dial();
    let chunked = CHUNKED.replace("chunked", "Chunked");
    client.send(format!("{chunked}0\r\n\r\n").as_bytes());
    assert_eq!(client.read_answer().status, 200);
}

#[test]
fn an_upgrade_that_expects_a_100_gets_it_before_the_101() {
    let server = TestServer::start();
    for expect in ["Expect: 100-continue\r\n", "Expect: 100-Continue\r\n"] {
        let mut client = server.dial();
        let request = handshake_with("/echo", expect);
        client.send(&[request.as_bytes(), &masked([text("hi")])].concat());
        client.expect(b"HTTP/1.1 100 Continue\r\n\r\n");
        let head = client.read_head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        client.receives(text("hi"));
        client.close();
    }
    for (path, expect, status) in [
        ("/echo", "", "HTTP/1.1 101 "),
        ("/echo", "Expect: something\r\n", "HTTP/1.1 101 "),
        ("/ws?topic=", "Expect: 100-continue\r\n", "HTTP/1.1 400 "),
        ("/nowhere", "Expect: 100-continue\r\n", "HTTP/1.1 404 "),
    ] {
        let mut client = server.dial();
        client.send(handshake_with(path, expect).as_bytes());
        let head = client.read_head();
        assert!(head.starts_with(status), "{path} {expect}: {head}");
    }
}
