//! The HTTP interface: the response of each path, and the rejections.

mod connections;
mod hosts;
mod limits;
mod origin;
mod publishing;
mod timeouts;

use framecast_test_support::{Answer, Client, TestServer, limits::NAME_BYTES};

/// All paths, each with the methods that it allows.
const PATHS: [(&str, &str); 9] = [
    ("/", "GET, HEAD, OPTIONS"),
    ("/health", "GET, HEAD, OPTIONS"),
    ("/publish", "POST, OPTIONS"),
    ("/register", "POST, OPTIONS"),
    (
        "/register/0123456789abcdef0123456789abcdef",
        "DELETE, OPTIONS",
    ),
    ("/echo", "GET, OPTIONS"),
    ("/echo/raw", "GET, OPTIONS"),
    ("/ws", "GET, OPTIONS"),
    ("/ws/0123456789abcdef0123456789abcdef", "GET, OPTIONS"),
];

/// Methods that the tests try on every path.
const METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW",
];

/// Sends a request, and asserts that the response has no body.
#[track_caller]
fn without_body(server: &TestServer, method: &str, path: &str, headers: &str) -> Answer {
    let mut client = server.dial();
    client.send(
        format!(
            "{method} {path} HTTP/1.1\r\nHost: a.localhost\r\nConnection: close\r\n{headers}\r\n"
        )
        .as_bytes(),
    );
    let head = client.read_head();
    client.expect_end();
    Answer {
        status: head[9..12].parse().unwrap(),
        head,
        body: String::new(),
    }
}

/// Returns the value of `error`, which must be the only field of the body.
#[track_caller]
fn error_of(answer: &Answer) -> String {
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let line = answer.body.strip_suffix('\n').expect("a whole line");
    assert!(!line.contains(char::is_control), "{line}");
    let body: serde_json::Map<_, _> = serde_json::from_str(line).unwrap();
    assert_eq!(body.len(), 1, "{line}");
    body["error"].as_str().unwrap().to_owned()
}

#[test]
fn the_page_lets_only_its_own_script_and_style_run() {
    let server = TestServer::start();
    let mut nonces = Vec::new();
    for _ in 0..2 {
        let answer = server.http("GET", "/", "", "");
        assert_eq!(answer.status, 200);
        let policy = answer.header("content-security-policy").unwrap();
        let (_, rest) = policy.split_once("'nonce-").unwrap();
        let nonce = rest.split_once('\'').unwrap().0.to_owned();
        assert_eq!(nonce.len(), 32);
        let expected = format!(
            "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; \
             connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
             frame-ancestors 'none'"
        );
        assert_eq!(policy, expected);
        for (name, value) in [
            ("content-type", "text/html; charset=utf-8"),
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
        ] {
            assert_eq!(answer.header(name), Some(value));
        }
        let marked = format!(" nonce=\"{nonce}\"");
        for tag in ["<script", "<style"] {
            let mut tags = answer.body.split(tag).skip(1).peekable();
            assert!(tags.peek().is_some(), "{tag}");
            assert!(tags.all(|rest| rest.split('>').next().unwrap().contains(&marked)));
        }
        // Markup that the policy would block, and references to other servers.
        for foreign in [
            "{{",
            " src=",
            " style=",
            " onclick=",
            "stylesheet",
            "@import",
        ] {
            assert!(!answer.body.contains(foreign), "{foreign}");
        }
        // The tests of memory allow so much for a page that is not read.
        assert!(answer.body.len() < 32 * 1024, "{}", answer.body.len());
        nonces.push(nonce);
    }
    assert_ne!(nonces[0], nonces[1]);
}

#[test]
fn health_has_the_state_and_the_counters_of_the_server() {
    let server = TestServer::start();
    let client = server.connect("/ws?topic=a&topic=b");
    server.register(r#"{"user_id": 1}"#);
    let health = server.health();
    let health = health.as_object().unwrap();
    for (name, value) in [
        ("shards", 2),
        ("connections", 1),
        ("topics", 2),
        ("registrations", 1),
        ("slow_consumers", 0),
        ("unanswered_pings", 0),
        ("violations", 0),
        ("accept_errors", 0),
        ("evicted", 0),
        ("unfinished", 0),
        ("refused", 0),
        ("refused_connections", 0),
        ("refused_registrations", 0),
        ("refused_topics", 0),
        ("too_far_behind", 0),
    ] {
        assert_eq!(health[name], value, "{name}");
    }
    assert_eq!(health["status"], "ok");
    assert_eq!(health["version"], env!("CARGO_PKG_VERSION"));
    let counted = ["uptime_seconds", "deliveries", "writes"];
    for name in counted
        .into_iter()
        .chain(["memory_bytes", "memory_budget_bytes"])
    {
        assert!(health[name].is_u64(), "{name}");
    }
    assert_eq!(health.len(), 22, "{health:?}");
    client.close();
}

// It counted once for each shard on which it had subscribers.
#[test]
fn health_counts_a_topic_once_though_it_has_subscribers_on_several_shards() {
    let server = TestServer::with(|config| config.hub.shards = 3.try_into().unwrap());
    // Connections go to the shards in turn.
    let clients: Vec<_> = (0..6)
        .map(|_| server.connect("/ws?topic=a&topic=b"))
        .collect();
    assert_eq!(server.health()["topics"], 2);
    let one = server.connect("/ws?topic=b&topic=c");
    assert_eq!(server.health()["topics"], 3);
    clients.into_iter().for_each(Client::close);
    assert_eq!(server.health()["topics"], 2);
    one.close();
    assert_eq!(server.health()["topics"], 0);
}

#[test]
fn a_registration_is_created_and_deleted() {
    let server = TestServer::start();
    let path = server.register(r#"{"user_id": 1}"#);
    let id = path.strip_prefix("/ws/").unwrap();
    assert_eq!(server.health()["registrations"], 1);
    let published = server.post("/publish", r#"{"topic": "cats", "message": "x"}"#);
    assert_eq!(published, "{\"queued\":0}\n");
    let answer = server.http("DELETE", &format!("/register/{id}"), "", "");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body, format!("{{\"deleted\":\"{id}\"}}\n"));
    assert_eq!(server.health()["registrations"], 0);
}

#[test]
fn an_unknown_path_is_not_found() {
    let server = TestServer::start();
    for path in [
        "/favicon.ico",
        "/index.html",
        "//",
        "/HEALTH",
        "/health/",
        "//health",
        "/./health",
        "/x/../health",
        "/%68ealth",
        "/health%00",
        "/health%2F",
        "/health;x",
        "/%",
        "/%zz",
        "/%E2%82",
        "/register/",
        "/register/0123456789abcdef0123456789abcdef/",
        "/register/0123456789abcdef0123456789abcdef/x",
        "/ws/",
        "/ws/{id}/x",
        "/echo/raw/",
        "/echo%2Fraw",
        "*",
    ] {
        for method in ["GET", "POST", "OPTIONS"] {
            let answer = server.http(method, path, "", "");
            assert_eq!(answer.status, 404, "{method} {path}");
            assert_eq!(error_of(&answer), "no such resource");
        }
    }
    for id in [
        "0123456789abcdef0123456789abcdef",
        "01234567-89ab-cdef-0123-456789abcdef",
        "%30123456789abcdef0123456789abcdef",
        "0123456789abcdef0123456789abcdeg",
        "{0123456789abcdef0123456789abcd}",
        "é",
        "1",
    ] {
        let answer = server.http("DELETE", &format!("/register/{id}"), "", "");
        assert_eq!(answer.status, 404, "{id}");
    }
}

#[test]
fn another_method_is_answered_405_with_the_allowed_methods() {
    let server = TestServer::start();
    for (path, allowed) in PATHS {
        for method in METHODS {
            if allowed.split(", ").any(|each| each == method) {
                continue;
            }
            let answer = if method == "HEAD" {
                without_body(&server, method, path, "")
            } else {
                let answer = server.http(method, path, "", "");
                assert_eq!(error_of(&answer), format!("only {allowed} here"));
                answer
            };
            assert_eq!(answer.status, 405, "{method} {path}");
            assert_eq!(answer.header("allow"), Some(allowed), "{method} {path}");
        }
    }
}

#[test]
fn head_has_the_headers_of_get_and_no_body() {
    let server = TestServer::start();
    for path in ["/", "/health"] {
        let get = server.http("GET", path, "", "");
        let head = without_body(&server, "HEAD", path, "");
        assert_eq!(head.status, 200);
        for name in ["content-type", "cache-control", "content-length"] {
            assert_eq!(head.header(name), get.header(name), "{path}: {name}");
        }
    }
}

/// Posts bodies, and asserts that each is answered with 400 and an error. A case is
/// `body => start of the error`.
#[track_caller]
fn check_rejections(path: &str, cases: &[&str]) {
    let server = TestServer::start();
    for case in cases {
        let (body, expected) = case.split_once(" => ").unwrap();
        let answer = server.http("POST", path, "", body);
        assert_eq!(answer.status, 400, "{body}: {}", answer.body);
        let error = error_of(&answer);
        assert!(error.starts_with(expected), "{body}: {error}");
    }
    assert_eq!(server.health()["registrations"], 0);
}

#[test]
fn the_error_names_the_invalid_field_of_a_registration() {
    let long = format!(
        r#"{{"user_id": "{}"}} => user_id: invalid length"#,
        "x".repeat(NAME_BYTES + 1)
    );
    check_rejections(
        "/register",
        &[
            r#"{} => missing field `user_id`"#,
            r#"{"user": 1} => user: unknown field `user`"#,
            r#"{"user_id": null} => user_id: invalid type: null"#,
            r#"{"user_id": 1.5} => user_id: invalid type: floating point"#,
            r#"{"user_id": 18446744073709551616} => user_id: invalid type: floating point"#,
            r#"{"user_id": true} => user_id: invalid type: boolean"#,
            r#"{"user_id": {}} => user_id: invalid type: map"#,
            r#"{"user_id": ""} => user_id: invalid length 0"#,
            &long,
            r#"{"user_id": 1, "user_id": 2} => duplicate field `user_id`"#,
            r#"{"user_id": 1, "topics": "cats"} => topics: invalid type: string"#,
            r#"{"user_id": 1, "topics": ["a", 1]} => topics[1]: invalid type: integer"#,
            r#"{"user_id": 1, "topics": ["a", ""]} => topics: a topic name is 1 to 255 bytes"#,
            r#"{"user_id": 1, "topics": ["\n"]} => topics: a topic name is 1 to 255 bytes"#,
        ],
    );
}

#[test]
fn the_error_names_the_invalid_field_of_a_publication() {
    check_rejections(
        "/publish",
        &[
            r#"{"topic": "a"} => missing field `message`"#,
            r#"{"message": "a"} => missing field `topic`"#,
            r#"{"topic": 1, "message": ""} => topic: invalid type: integer"#,
            r#"{"topic": "", "message": ""} => topic: a topic name is 1 to 255 bytes"#,
            r#"{"topic": "\u007f", "message": ""} => topic: a topic name is 1 to 255 bytes"#,
            r#"{"topic": "a", "message": {}} => message: invalid type: map"#,
            r#"{"topic": "a", "message": "\ud800"} => message: "#,
            r#"{"topic": "a", "message": "", "user_id": []} => user_id: invalid type: sequence"#,
            r#"{"topic": "a", "message": "", "user": 1} => user: unknown field `user`"#,
            r#"{"topic": "a", "message": "", "topic": "b"} => duplicate field `topic`"#,
        ],
    );
}

#[test]
fn a_body_that_is_not_a_json_object_is_refused() {
    let deep = format!("{} => an object is expected", "[".repeat(10_000));
    let cases = [
        " => an object is expected",
        "null => an object is expected",
        "cats => an object is expected",
        "\"cats\" => an object is expected",
        // A list is refused even if its elements are the values of the fields.
        r#"["1", null] => an object is expected"#,
        r#"["cats", "are awesome", 1] => an object is expected"#,
        &deep,
        "\u{feff}{\"user_id\": 1} => a byte order mark (U+FEFF) stands before the JSON",
        "{ => EOF while parsing",
        "{\"user_id\": 1 => EOF while parsing",
        "{\"user_id\": 1,} => trailing comma",
        "{\"user_id\": 1} {} => trailing characters",
        "{'user_id': 1} => key must be a string",
        "{\"user_id\u{1b}\": 1} => control character",
    ];
    check_rejections("/register", &cases);
    let server = TestServer::start();
    let mut client = server.dial();
    client.send(b"POST /publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: 28\r\n\r\n");
    client.send(b"{\"topic\":\"a\",\"message\":\"\xFF\xFE\"}");
    let answer = client.read_answer();
    assert_eq!(answer.status, 400);
    assert!(error_of(&answer).contains("invalid unicode"));
}
