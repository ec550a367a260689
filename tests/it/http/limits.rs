//! Limits of bodies, messages and heads, and connections that carry several requests.

use std::{net::Shutdown, time::Duration};

use framecast_test_support::{TestServer, frames::text};

use crate::http::error_of;

/// Bytes of the largest message that a server of [`small`] accepts.
const SMALL_BYTES: usize = 16;

/// Bytes of the largest body that a server of [`small`] accepts: 16 KiB more than six times the
/// largest message, because JSON may write one byte of a message as six (`\u0000`).
const BODY_BYTES: usize = 6 * SMALL_BYTES + 16 * 1024;

/// Bytes of the largest list of publications.
const LIST_BYTES: usize = 1024 * 1024;

/// Bytes of the largest head of a request.
const HEAD_BYTES: usize = 16 * 1024;

/// Largest number of headers that a request may have.
const HEADERS: usize = 100;

/// Bytes of the largest body of a publication that a shard's own thread parses. Another thread
/// parses larger bodies.
const INLINE_BYTES: usize = 80 * 1024;

/// Returns the body of a publication, padded to `bytes` bytes.
fn body_of(bytes: usize) -> String {
    let body = r#"{"topic": "t", "message": "x"}"#;
    format!("{}{body}", " ".repeat(bytes - body.len()))
}

/// Starts a server that accepts messages of at most [`SMALL_BYTES`].
fn small() -> TestServer {
    TestServer::with(|config| config.hub.limits.message_bytes = SMALL_BYTES)
}

/// Returns the error with which the server answers a body over [`BODY_BYTES`].
fn too_large() -> String {
    format!("the body is over {BODY_BYTES} bytes")
}

#[test]
fn a_body_of_the_limit_passes_and_one_byte_more_does_not() {
    let server = small();
    let answer = server.http("POST", "/publish", "", &body_of(BODY_BYTES));
    assert_eq!(answer.status, 200, "{}", answer.body);
    for path in ["/publish", "/register"] {
        let answer = server.http("POST", path, "", &body_of(BODY_BYTES + 1));
        assert_eq!(answer.status, 413);
        assert_eq!(error_of(&answer), too_large());
    }
}

// A body over `INLINE_BYTES` is parsed on another thread than the shard's.
#[test]
fn a_large_body_is_answered_like_a_small_one() {
    const LIMIT: usize = 1024 * 1024;
    let server = TestServer::with(|config| config.hub.limits.message_bytes = LIMIT);
    let mut client = server.connect("/ws?topic=t");
    let post = |path: &str, body: &str, bytes: usize| {
        // White space counts as part of the body, and does not change its meaning.
        let body = format!("{}{body}", " ".repeat(bytes.saturating_sub(body.len())));
        let answer = server.http("POST", path, "", &body);
        (answer.status, answer.body)
    };
    for bytes in [0, INLINE_BYTES, INLINE_BYTES + 1, 2 * INLINE_BYTES] {
        let published = post("/publish", r#"{"topic": "t", "message": "x"}"#, bytes);
        assert_eq!(published, (200, "{\"queued\":1}\n".into()), "{bytes}");
        client.receives(text("x"));
        let (status, body) = post("/register", r#"{"user_id": 1}"#, bytes);
        assert_eq!(status, 200, "{bytes}: {body}");
    }
    assert_eq!(server.health()["registrations"], 4);
    for (path, body) in [
        ("/publish", r#"{"topic": "t"}"#),
        ("/publish", r#"{"topic": "", "message": "x"}"#),
        (
            "/publish",
            r#"{"topic": "t", "message": "x", "user_id": []}"#,
        ),
        ("/publish", "7"),
        ("/register", r#"{"user_id": null}"#),
        ("/register", r#"{"user_id": 1, "topics": ["a", 1]}"#),
    ] {
        let (status, small) = post(path, body, 0);
        assert_eq!(status, 400);
        // The error without the position in the body, which white space changes.
        let small = small.split(" at ").next().unwrap().to_owned();
        let (status, large) = post(path, body, INLINE_BYTES + 1);
        assert_eq!(status, 400, "{large}");
        assert!(large.starts_with(&small), "{large} {small}");
    }
    let message = "é".repeat(LIMIT / "é".len());
    let body = |message: &str| format!(r#"{{"topic": "t", "message": "{message}"}}"#);
    assert_eq!(post("/publish", &body(&message), 0).0, 200);
    client.receives(text(&message));
    assert_eq!(post("/publish", &body(&format!("{message}x")), 0).0, 413);
    client.close();
}

#[test]
fn a_body_announced_as_too_large_is_refused_unread() {
    let server = TestServer::with(|config| {
        config.hub.limits.message_bytes = SMALL_BYTES;
        config.hub.timeouts.request = Duration::from_millis(500);
    });
    for (path, length, error) in [
        ("/register", BODY_BYTES as u64 + 1, too_large()),
        ("/register", u64::MAX - 2, too_large()),
        // It may be a list.
        (
            "/publish",
            LIST_BYTES as u64 + 1,
            format!("the body is over {LIST_BYTES} bytes"),
        ),
    ] {
        for expect in ["", "Expect: 100-continue\r\n"] {
            let mut client = server.dial();
            client.send(
                format!(
                    "POST {path} HTTP/1.1\r\nHost: a.localhost\r\n{expect}\
                     Content-Length: {length}\r\n\r\n"
                )
                .as_bytes(),
            );
            let answer = client.read_answer();
            assert_eq!(answer.status, 413, "{length}");
            assert_eq!(answer.header("connection"), Some("close"));
            assert_eq!(error_of(&answer), error);
            client.expect_end();
        }
    }
}

#[test]
fn a_publication_announced_as_too_large_is_refused_when_it_turns_out_to_be_no_list() {
    let server = small();
    let mut client = server.dial();
    let length = BODY_BYTES + 1;
    client.send(
        format!(
            "POST /publish HTTP/1.1\r\nHost: a.localhost\r\nContent-Length: {length}\r\n\r\n {{"
        )
        .as_bytes(),
    );
    let answer = client.read_answer();
    assert_eq!(answer.status, 413);
    assert_eq!(error_of(&answer), too_large());
    client.send(&vec![b' '; length - " {".len()]);
    client.expect_end();
}

// The server hung up in the middle of the body that it had asked for, and most clients got an error
// of their own write instead of the response.
#[test]
fn a_client_that_was_told_to_continue_sends_its_whole_body_and_gets_its_rejection() {
    const CHUNK: usize = 16 * 1024;
    let server = small();
    let spaces = " ".repeat(CHUNK);
    let (whole, chunk) = (spaces.clone(), format!("{CHUNK:x}\r\n{spaces}\r\n"));
    let length = format!("Content-Length: {LIST_BYTES}");
    let chunked = "Transfer-Encoding: chunked";
    for (path, framing, start, part, parts, end) in [
        (
            "/publish",
            &*length,
            " {",
            &whole,
            LIST_BYTES / CHUNK - 1,
            &spaces[2..],
        ),
        ("/publish", chunked, "2\r\n {\r\n", &chunk, 256, "0\r\n\r\n"),
        (
            "/register",
            chunked,
            "2\r\n {\r\n",
            &chunk,
            256,
            "0\r\n\r\n",
        ),
    ] {
        let mut client = server.dial();
        let head = format!("POST {path} HTTP/1.1\r\nHost: a.localhost\r\n{framing}\r\n");
        client.send(format!("{head}Expect: 100-continue\r\n\r\n").as_bytes());
        client.expect(b"HTTP/1.1 100 Continue\r\n\r\n");
        client.send(start.as_bytes());
        client.send(part.as_bytes());
        client.send(part.as_bytes());
        // The response has come. The client does not look at it before it has sent everything.
        assert_eq!(client.stream.peek(&mut [0]).unwrap(), 1, "{path} {framing}");
        for _ in 2..parts {
            client.send(part.as_bytes());
        }
        client.send(end.as_bytes());
        let answer = client.read_answer();
        assert_eq!(answer.status, 413, "{path} {framing}");
        assert_eq!(answer.header("connection"), Some("close"));
        assert_eq!(error_of(&answer), too_large());
        client.expect_end();
    }
}

// Once the response was lost to a reset, and most clients got an error of their own write instead.
#[test]
fn a_client_that_sends_its_whole_body_before_it_reads_still_gets_its_rejection() {
    let server = TestServer::start();
    let body = vec![b' '; 4 * 1024 * 1024];
    let length = body.len();
    for (path, origin, status) in [
        ("/publish", "http://a.localhost", 413),
        ("/publish", "http://b.example", 403),
        ("/health", "http://a.localhost", 405),
        ("/nowhere", "http://a.localhost", 404),
        ("/ws", "http://a.localhost", 405),
    ] {
        let mut client = server.dial();
        client.send(
            format!(
                "POST {path} HTTP/1.1\r\nHost: a.localhost\r\nOrigin: {origin}\r\n\
                 Content-Length: {length}\r\n\r\n"
            )
            .as_bytes(),
        );
        client.send(&body);
        let answer = client.read_answer();
        assert_eq!(answer.status, status, "{path}");
        if answer.header("connection") == Some("close") {
            client.expect_end();
        } else {
            client.send(b"GET /health HTTP/1.1\r\nHost: a.localhost\r\n\r\n");
            assert_eq!(client.read_answer().status, 200, "{path}");
        }
    }
}

#[test]
fn the_limit_of_a_chunked_body_is_for_the_sum_of_its_chunks() {
    const HEAD: &[u8] =
        b"POST /publish HTTP/1.1\r\nHost: a.localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    let server = TestServer::with(|config| {
        config.hub.limits.message_bytes = SMALL_BYTES;
        config.hub.timeouts.request = Duration::from_millis(500);
    });
    let chunked = |body: &str, chunk_bytes: usize| {
        let mut wire = HEAD.to_vec();
        for chunk in body.as_bytes().chunks(chunk_bytes) {
            wire.extend(format!("{:x}\r\n", chunk.len()).bytes());
            wire.extend(chunk);
            wire.extend(b"\r\n");
        }
        wire
    };
    let mut client = server.dial();
    for chunk_bytes in [1000, 10] {
        client.send(&chunked(&body_of(BODY_BYTES), chunk_bytes));
        client.send(b"0\r\n\r\n");
        assert_eq!(client.read_answer().status, 200);
    }
    // The server refuses at the first byte over the limit, before the last chunk.
    client.send(&chunked(&body_of(BODY_BYTES + 1), 1000));
    let answer = client.read_answer();
    assert_eq!(answer.status, 413);
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(error_of(&answer), too_large());
    client.expect_end();
}

#[test]
fn an_invalid_chunk_is_a_bad_request() {
    let server = TestServer::start();
    for body in ["x\r\n", "-1\r\n", "ffffffffffffffffff\r\n", "1\r\nab\r\n"] {
        let mut client = server.dial();
        let head =
            "POST /publish HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
        client.send(format!("{head}{body}").as_bytes());
        let answer = client.read_answer();
        assert_eq!(answer.status, 400, "{body:?}");
    }
}

#[test]
fn a_head_of_more_than_16_kib_or_100_headers_is_refused() {
    let server = TestServer::start();
    let padded = |bytes: usize| {
        format!(
            "GET /health HTTP/1.1\r\nHost: localhost\r\nX: {}",
            "x".repeat(bytes)
        )
    };
    // Headers besides `Host`.
    let many = |count: usize| {
        format!(
            "GET /health HTTP/1.1\r\nHost: localhost{}",
            "\r\nX: 1".repeat(count)
        )
    };
    let long = format!(
        "GET /{} HTTP/1.1\r\nHost: localhost",
        "x".repeat(HEAD_BYTES + 1024)
    );
    for (head, status) in [
        (padded(HEAD_BYTES - 1024), 200),
        (padded(HEAD_BYTES + 1024), 431),
        (many(HEADERS - 1), 200),
        (many(HEADERS), 431),
        (long, 431),
    ] {
        let mut client = server.dial();
        client.send(format!("{head}\r\n\r\n").as_bytes());
        assert_eq!(client.read_answer().status, status, "{head:.40}");
    }
}

#[test]
fn a_connection_carries_more_requests_after_any_status() {
    let server = TestServer::start();
    let mut client = server.dial();
    let requests = [
        ("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n", 200),
        ("GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (
            "POST /register HTTP/1.1\r\nHost: localhost\r\nContent-Length: 13\r\n\r\n{\"user_id\":1}",
            200,
        ),
        (
            "POST /register HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n{",
            400,
        ),
        ("PUT /register HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        ("GET /ws HTTP/1.1\r\nHost: localhost\r\n\r\n", 426),
        (
            "GET /health HTTP/1.1\r\nHost: localhost\r\nOrigin: null\r\n\r\n",
            403,
        ),
        ("OPTIONS /publish HTTP/1.1\r\nHost: localhost\r\n\r\n", 204),
    ];
    for (request, status) in requests {
        client.send(request.as_bytes());
        assert_eq!(client.read_answer().status, status, "{request}");
    }
    // All requests in one write: the server answers them in order.
    let all: String = requests.iter().map(|(request, _)| *request).collect();
    client.send(all.as_bytes());
    for (request, status) in requests {
        assert_eq!(client.read_answer().status, status, "{request}");
    }
}

#[test]
fn a_request_must_name_exactly_one_host() {
    let server = TestServer::start();
    for (head, status) in [
        ("GET /health HTTP/1.1\r\n\r\n", 400),
        (
            "GET /health HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
            400,
        ),
        (
            "GET /health HTTP/1.0\r\nHost: localhost\r\nHost: b\r\n\r\n",
            400,
        ),
        (
            "GET http://a.localhost/health HTTP/1.1\r\nHost: localhost\r\n\r\n",
            200,
        ),
        ("GET /health HTTP/1.0\r\n\r\n", 200),
        (
            "POST /register HTTP/1.0\r\nContent-Length: 13\r\n\r\n{\"user_id\":1}",
            400,
        ),
    ] {
        let mut client = server.dial();
        client.send(head.as_bytes());
        assert_eq!(client.read_answer().status, status, "{head}");
    }
}

// Once the server dropped a whole request if its client then ended its half of the stream.
#[test]
fn a_client_that_ends_its_stream_after_a_request_still_gets_its_response() {
    let server = TestServer::start();
    let mut subscriber = server.connect("/ws?topic=t");
    for _ in 0..50 {
        let mut client = server.dial();
        client.send(b"POST /publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: 27\r\n\r\n");
        client.send(br#"{"topic":"t","message":"x"}"#);
        client.stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(client.read_answer().body, "{\"queued\":1}\n");
        client.expect_end();
        subscriber.receives(text("x"));
    }
    subscriber.close();
}
