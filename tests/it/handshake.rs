//! Opening handshakes: status line and headers of the response to a request (RFC 6455 §4.2).
//!
//! Most tests have a table of cases. [`check`](check::check) says how a case is written.

mod check;
mod early_bytes;

use framecast_test_support::{
    TestServer,
    frames::text,
    handshake,
    limits::{NAME_BYTES, TOPICS},
};

use crate::handshake::check::check;

const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols";
const NOT_AN_UPGRADE: &str = "HTTP/1.1 426 Upgrade Required";
const BAD: &str = "HTTP/1.1 400 Bad Request";
const FORBIDDEN: &str = "HTTP/1.1 403 Forbidden";
const NOT_FOUND: &str = "HTTP/1.1 404 Not Found";
const NOT_ALLOWED: &str = "HTTP/1.1 405 Method Not Allowed";

/// The header with the key of RFC 6455 §1.3.
const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
/// The header with which the server's response confirms [`KEY`].
const ACCEPT: &str = "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// Headers of a response that opens a WebSocket.
const UPGRADED: &[&str] = &["connection: upgrade", "upgrade: websocket", ACCEPT];
/// Headers of a response with status 426, which demands an upgrade to a WebSocket.
const UPGRADE: &[&str] = &[
    "upgrade: websocket",
    "connection: Upgrade",
    "sec-websocket-version: 13",
];

#[test]
fn a_correct_handshake_is_answered_101() {
    let cases = [
        "/echo",
        "/echo/raw",
        "/ws",
        "/ws?topic=a&topic=b",
        "/ws?topic=a%20b+%C3%A9&x",
        "/echo?anything=1",
        "GET http://a.localhost/echo HTTP/1.1",
        // The case of names and tokens does not matter, nor does white space around values.
        "/echo | UPGRADE: WEBSOCKET",
        "/echo | connection: upgrade",
        "/echo | sec-websocket-version:13",
        "/echo | Sec-WebSocket-Version: \t 13 \t",
        "/echo | SEC-WEBSOCKET-KEY:   dGhlIHNhbXBsZSBub25jZQ==  ",
        // Lists in one header or in several.
        "/echo | Connection: keep-alive, Upgrade",
        "/echo | Connection: Upgrade,keep-alive",
        "/echo | Connection: ,\t, upgrade ,",
        "/echo | Connection: keep-alive | Connection: Upgrade",
        "/echo | Upgrade: h2c, WebSocket",
        "/echo | Upgrade: h2c | Upgrade: websocket",
        // Offers that the server does not accept are not answered.
        "/echo | Sec-WebSocket-Protocol: a, b",
        "/echo | Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
        "/echo | Sec-WebSocket-Accept: forged",
        "/echo | Origin: http://a.localhost",
        // An empty body is none.
        "/echo | Content-Length: 0",
        // A name may have the character that stands for what is not UTF-8.
        "/ws?topic=a%EF%BF%BD",
        "/ws?topic=a&topic_id=7&channels&rooms=x",
    ];
    let server = TestServer::start();
    check(&server, &cases, SWITCHED, UPGRADED);
    // hyper adds `connection: close`, and so the `connection` header is not compared.
    let closing = ["/echo | Connection: close, Upgrade"];
    check(&server, &closing, SWITCHED, &UPGRADED[1..]);
    let other_key = ["/echo | Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="];
    let accept = "sec-websocket-accept: ICX+Yqv66kxgM0FcWaLWlFLwTAI=";
    check(&server, &other_key, SWITCHED, &[accept]);
}

#[test]
fn a_request_without_an_upgrade_is_answered_426() {
    let cases = [
        "/ws | -Upgrade | -Connection",
        "/echo | -Upgrade | -Connection",
        "/echo/raw | -Upgrade | -Connection",
        "/echo | -Upgrade",
        "/echo | -Connection",
        "/echo | Upgrade:",
        "/echo | Upgrade: h2c",
        "/echo | Upgrade: websocket2",
        "/echo | Upgrade: web socket",
        "/echo | Connection: keep-alive",
        "/echo | Connection: Upgrades",
    ];
    let server = TestServer::start();
    check(&server, &cases, NOT_AN_UPGRADE, UPGRADE);
    let registered = server.register(r#"{"user_id": 1}"#) + " | -Upgrade | -Connection";
    check(&server, &[&registered], NOT_AN_UPGRADE, UPGRADE);
    let old = ["GET /echo HTTP/1.0", "GET /echo HTTP/1.0 | -Host"];
    check(&server, &old, "HTTP/1.0 426 Upgrade Required", UPGRADE);
}

// A browser hides the answer to a refused handshake from its page. A page that then asked by a plain
// request was answered 426, whatever the reason was, and went on trying.
#[test]
fn a_plain_request_is_told_what_a_handshake_for_its_target_would_be_refused_for() {
    let server = TestServer::start();
    let long = format!("/ws?topic={}", "x".repeat(NAME_BYTES + 1));
    let unknown = "/ws/0123456789abcdef0123456789abcdef";
    for (path, status) in [
        (long.as_str(), 400),
        ("/ws?topic=", 400),
        ("/ws?topic=%FF", 400),
        ("/ws?room=a", 400),
        (unknown, 404),
        ("/ws/1", 404),
    ] {
        let plain = server.http("GET", path, "", "");
        let mut client = server.dial();
        client.send(handshake(path).as_bytes());
        let refused = client.read_answer();
        assert_eq!((plain.status, &plain.body), (status, &refused.body));
        assert_eq!(plain.status, refused.status, "{path}");
    }
    // A handshake for these would be accepted.
    let registered = server.register(r#"{"user_id": 1}"#);
    for path in ["/ws?topic=a", "/echo?topic=", &registered] {
        assert_eq!(server.http("GET", path, "", "").status, 426, "{path}");
    }
    server.connect(&registered).close();
}

#[test]
fn a_plain_request_for_a_registration_leaves_its_connection_alone() {
    let server = TestServer::start();
    let registered = server.register(r#"{"user_id": 1}"#);
    let mut client = server.connect(&registered);
    for (method, status) in [("GET", 426), ("OPTIONS", 204), ("HEAD", 405), ("POST", 405)] {
        let mut plain = server.dial();
        let request = format!("{method} {registered} HTTP/1.1\r\nHost: a.localhost\r\n\r\n");
        plain.send(request.as_bytes());
        let head = plain.read_head();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        client.sends(text("ping"));
        client.receives(text("pong"));
    }
    client.close();
}

#[test]
fn a_version_other_than_13_is_answered_426() {
    let cases = [
        "/echo | -Sec-WebSocket-Version",
        "/echo | Sec-WebSocket-Version:",
        "/echo | Sec-WebSocket-Version: 0",
        "/echo | Sec-WebSocket-Version: 8",
        "/echo | Sec-WebSocket-Version: 14",
        "/echo | Sec-WebSocket-Version: 013",
        "/echo | Sec-WebSocket-Version: 13, 8",
        "/echo | Sec-WebSocket-Version: 13 | Sec-WebSocket-Version: 8",
        "/echo/raw | Sec-WebSocket-Version: 8",
        "/ws | Sec-WebSocket-Version: 13 | Sec-WebSocket-Version: 13",
        "/ws/0123456789abcdef0123456789abcdef | Sec-WebSocket-Version: 7",
    ];
    check(&TestServer::start(), &cases, NOT_AN_UPGRADE, UPGRADE);
}

#[test]
fn an_invalid_handshake_is_answered_400() {
    let two_keys = format!("/echo | {KEY} | {KEY}");
    let cases = [
        "/echo | -Sec-WebSocket-Key",
        "/echo | Sec-WebSocket-Key:",
        "/echo | Sec-WebSocket-Key: abc",
        "/echo | Sec-WebSocket-Key: ==",
        // 15 and 17 bytes, no padding, the URL-safe alphabet, a space inside, two keys.
        "/echo | Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j",
        "/echo | Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZWU=",
        "/echo | Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ",
        "/echo | Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZ_==",
        "/echo | Sec-WebSocket-Key: dGhlIHNh XBsZSBub25jZQ==",
        "/echo | Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ==",
        &two_keys,
        "/echo | -Host",
        "/echo | Host: a.localhost | Host: a.localhost",
        "/echo | Host: a.localhost | Host: b.example",
        // A body: after the request of a handshake there may be frames only.
        "/echo | Content-Length: 8",
        "/echo | Content-Length: 0 | Content-Length: 8",
        "/echo | Content-Length: 0, 0",
        "/echo | Content-Length: +0",
        "/echo | Transfer-Encoding: chunked",
        // Not HTTP.
        "/echo | Host : a.localhost",
        "/echo | X: a\r\n b",
        "/echo | X: a\0b",
        "/echo | X",
        "GET /echo",
        "GET /ec ho HTTP/1.1",
        "G@T /echo HTTP/1.1",
        // Invalid topics. Names that are not UTF-8 must not all become the same topic.
        "/ws?topic=",
        "/ws?topic",
        "/ws?topic=a&topic=",
        "/ws?topic=a%0Ab",
        "/ws?topic=%1B[31m",
        "/ws?topic=a%00",
        "/ws?topic=%FF",
        "/ws?topic=a&topic=%C3%28",
        // Keys by which `topic` was meant: the client would be in the lobby, and not know it.
        "/ws?topics=a",
        "/ws?Topic=a",
        "/ws?channel=a",
        "/ws?topic=a&room=b",
    ];
    check(&TestServer::start(), &cases, BAD, &[]);
}

#[test]
fn a_handshake_with_another_method_path_or_origin_is_refused() {
    let server = TestServer::start();
    let methods = [
        "POST /echo HTTP/1.1",
        "POST /ws HTTP/1.1 | Content-Length: 0",
        "PUT /echo/raw HTTP/1.1",
        "HEAD /ws HTTP/1.1",
        "get /echo HTTP/1.1",
        "DELETE /ws/0123456789abcdef0123456789abcdef HTTP/1.1",
    ];
    check(&server, &methods, NOT_ALLOWED, &["allow: GET, OPTIONS"]);
    let unknown_paths = [
        "/ws/0123456789abcdef0123456789abcdef",
        "/ws/01234567-89ab-cdef-0123-456789abcdef",
        "/ws/1",
        "/ws/",
        "/echo/",
        "/ECHO",
        "/nowhere",
    ];
    check(&server, &unknown_paths, NOT_FOUND, &[]);
    let foreign_origins = [
        "/echo | Origin: http://b.example",
        "/echo/raw | Origin: http://b.example",
        "/ws | Origin: http://b.example",
        "/ws/0123456789abcdef0123456789abcdef | Origin: http://b.example",
        "/ws | Origin: null",
        "/ws | Origin: http://a.localhost:81",
        "/ws | Origin: http://a.localhost | Origin: http://b.example",
        "/ws | Origin: http://b.example | Origin: http://a.localhost",
    ];
    check(&server, &foreign_origins, FORBIDDEN, &[]);
}

#[test]
fn a_chat_has_at_most_128_topics_with_names_of_at_most_255_bytes() {
    let server = TestServer::start();
    let topics = |count: usize| {
        let names: Vec<String> = (0..count).map(|number| format!("topic={number}")).collect();
        format!("/ws?{}", names.join("&"))
    };
    let name_of = |bytes: usize| format!("/ws?topic={}", "x".repeat(bytes));
    server.connect(&topics(TOPICS)).close();
    server.connect(&name_of(NAME_BYTES)).close();
    for (path, field) in [
        (topics(TOPICS + 1), "topics"),
        (name_of(NAME_BYTES + 1), "topic"),
    ] {
        let mut client = server.dial();
        client.send(handshake(&path).as_bytes());
        let answer = client.read_answer();
        assert_eq!(answer.status, 400);
        assert!(
            answer.body.starts_with(&format!("{{\"error\":\"{field}: ")),
            "{}",
            answer.body
        );
    }
}

#[test]
fn a_client_may_try_again_on_the_connection_of_a_refused_handshake() {
    let server = TestServer::start();
    let mut client = server.dial();
    for (path, status) in [("/ws/0", 404), ("/ws?topic=", 400), ("/echo/", 404)] {
        client.send(handshake(path).as_bytes());
        assert_eq!(client.read_answer().status, status, "{path}");
    }
    client.send(handshake("/echo").as_bytes());
    client.read_head();
    client.sends(text("hi"));
    client.receives(text("hi"));
    client.close();
}
