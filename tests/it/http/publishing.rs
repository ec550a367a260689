//! `POST /publish`: text and bytes, several topics, and lists of messages.

use framecast_test_support::{
    Answer, Client, TestServer,
    frames::{binary, text},
};

use crate::http::error_of;

/// The header that announces lines.
const LINES: &str = "Content-Type: application/x-ndjson\r\n";

/// Greatest number of items of a list.
const ITEMS: usize = 1_000;

/// Posts a list of lines, and asserts that it is accepted. Returns the body of the answer.
#[track_caller]
fn post_lines(server: &TestServer, lines: &str) -> String {
    let answer = server.http("POST", "/publish", LINES, lines);
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    answer.body
}

/// Returns the object that asks for a text to be published.
fn message(topic: &str, message: &str) -> String {
    format!(r#"{{"topic": "{topic}", "message": "{message}"}}"#)
}

#[test]
fn a_message_is_published_as_text_or_as_bytes() {
    let server = TestServer::start();
    let mut client = server.connect("/ws?topic=t");
    let post = |body| server.post("/publish", body);
    assert_eq!(
        post(r#"{"topic": "t", "message": "AP8="}"#),
        "{\"queued\":1}\n"
    );
    client.expect(b"\x81\x04AP8=");
    assert_eq!(
        post(r#"{"topic": "t", "base64": "AP8="}"#),
        "{\"queued\":1}\n"
    );
    client.expect(b"\x82\x02\x00\xFF");
    assert_eq!(post(r#"{"topic": "t", "base64": ""}"#), "{\"queued\":1}\n");
    client.expect(b"\x82\x00");
    client.close();
}

#[test]
fn a_published_message_of_the_limit_passes_and_one_byte_more_does_not() {
    let server = TestServer::with(|config| config.hub.limits.message_bytes = 16);
    let mut client = server.connect("/ws?topic=t");
    let publish = |message: &str| {
        let body = format!(r#"{{"topic": "t", "message": "{message}"}}"#);
        server.http("POST", "/publish", "", &body)
    };
    // The limit is for bytes of the text: not for characters, and not for bytes of JSON.
    for message in [
        "0123456789abcdef",
        "éééééééé",
        r"\u001b\u0000\n0123456789abc",
    ] {
        assert_eq!(publish(message).body, "{\"queued\":1}\n", "{message}");
    }
    client.receives(text("0123456789abcdef"));
    client.receives(text("éééééééé"));
    client.receives(text("\x1B\0\n0123456789abc"));
    for message in [
        "0123456789abcdef0",
        "ééééééééa",
        r"\u001b\u0000\n0123456789abcd",
    ] {
        assert_eq!(publish(message).status, 413, "{message}");
    }
    assert_eq!(publish("").body, "{\"queued\":1}\n");
    client.receives(text(""));
    client.close();
}

#[test]
fn a_binary_message_of_the_limit_passes_and_one_byte_more_does_not() {
    let server = TestServer::with(|config| config.hub.limits.message_bytes = 3);
    let mut client = server.connect("/ws?topic=t");
    let post = |base64: &str| {
        let body = format!(r#"{{"topic": "t", "base64": "{base64}"}}"#);
        server.http("POST", "/publish", "", &body)
    };
    assert_eq!(post("AAAA").status, 200);
    client.receives(binary([0, 0, 0]));
    let answer = post("AAAAAA==");
    assert_eq!(answer.status, 413);
    assert_eq!(error_of(&answer), "base64: over 3 bytes");
    client.close();
}

#[test]
fn a_message_to_several_topics_reaches_each_connection_once_and_in_the_order_of_both() {
    let server = TestServer::start();
    // Connections go to the two shards in turn.
    let mut both: Vec<_> = (0..4)
        .map(|_| server.connect("/ws?topic=a&topic=b"))
        .collect();
    let mut one = server.connect("/ws?topic=b");
    let other = server.connect("/ws?topic=c");
    let post = |body: &str| server.post("/publish", body);
    for number in 0..50 {
        let queued = post(&message("a", &format!("{number} to a")));
        assert_eq!(queued, "{\"queued\":4}\n");
        let topics = ["[\"a\", \"b\"]", "[\"nobody\", \"b\", \"a\", \"b\"]"][number % 2];
        let body = format!(r#"{{"topics": {topics}, "message": "{number} to both"}}"#);
        assert_eq!(post(&body), "{\"queued\":5}\n");
        let queued = post(&message("b", &format!("{number} to b")));
        assert_eq!(queued, "{\"queued\":5}\n");
        let [to_a, to_both, to_b] = ["a", "both", "b"].map(|to| text(format!("{number} to {to}")));
        for client in &mut both {
            client.receives_all([to_a.clone(), to_both.clone(), to_b.clone()]);
        }
        one.receives_all([to_both, to_b]);
    }
    both.into_iter().chain([one, other]).for_each(Client::close);
}

#[test]
fn a_message_to_several_topics_may_be_for_one_user() {
    let server = TestServer::start();
    let [mut own, mut other] = [1, 2].map(|user| {
        let body = format!(r#"{{"user_id": {user}, "topics": ["a", "b"]}}"#);
        server.connect(&server.register(&body))
    });
    let body = r#"{"topics": ["a", "b"], "message": "to 1", "user_id": 1}"#;
    assert_eq!(server.post("/publish", body), "{\"queued\":1}\n");
    let body = r#"{"topics": ["b", "a"], "message": "to all"}"#;
    assert_eq!(server.post("/publish", body), "{\"queued\":2}\n");
    own.receives_all([text("to 1"), text("to all")]);
    other.receives(text("to all"));
    own.close();
    other.close();
}

#[test]
fn each_item_of_an_array_is_answered_at_its_place_and_a_bad_one_spoils_no_other() {
    let server = TestServer::with(|config| config.hub.limits.message_bytes = 8);
    let mut client = server.connect("/ws?topic=t");
    let body = r#" [
        {"topic": "t", "message": "first"},
        {"topic": "t"},
        7, [], "x",
        {"topic": "t", "message": "too large"},
        {"topic": "t", "base64": "AP8"},
        {"topic": "t" "message": "no comma"},
        {"topic": "nobody", "message": "unheard"},
        {"topic": "t", "base64": "AP8="},
        {"topics": ["t", "u"], "message": "], \"}"}
    ] "#;
    let answer = server.http("POST", "/publish", "", body);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(
        answer.body,
        concat!(
            r#"[{"queued":1},"#,
            r#"{"error":"missing field `message` or `base64`"},"#,
            r#"{"error":"an object is expected"},"#,
            r#"{"error":"an object is expected"},"#,
            r#"{"error":"an object is expected"},"#,
            r#"{"error":"message: over 8 bytes"},"#,
            r#"{"error":"base64: not of whole groups of 4 characters, the last one padded with `=`"},"#,
            r#"{"error":"expected `,` or `}` at line 1 column 15"},"#,
            r#"{"queued":0},"#,
            r#"{"queued":1},"#,
            r#"{"queued":1}]"#,
            "\n",
        )
    );
    client.receives_all([text("first"), binary([0, 255]), text("], \"}")]);
    client.close();
}

#[test]
fn the_error_of_lines_without_their_type_and_of_a_byte_order_mark_says_so() {
    let server = TestServer::start();
    let error = |body: &str| {
        let answer = server.http("POST", "/publish", "", body);
        assert_eq!(answer.status, 400, "{body}");
        error_of(&answer)
    };
    let lines = [message("t", "1"), message("t", "2")].join("\n");
    assert_eq!(
        error(&lines),
        "trailing characters at line 2 column 1; lines need Content-Type: application/x-ndjson"
    );
    let mark = "a byte order mark (U+FEFF) stands before the JSON";
    assert_eq!(error(&format!("\u{FEFF}{}", message("t", "1"))), mark);
    assert_eq!(error(&format!("\u{FEFF}[{}]", message("t", "1"))), mark);
    let answers = post_lines(&server, &format!("\u{FEFF}{lines}"));
    assert_eq!(
        answers,
        format!("{{\"error\":\"{mark}\"}}\n{{\"queued\":0}}\n")
    );
}

#[test]
fn an_empty_list_is_answered_by_an_empty_list() {
    let server = TestServer::start();
    assert_eq!(server.post("/publish", " [ ] "), "[]\n");
    assert_eq!(post_lines(&server, ""), "");
    assert_eq!(post_lines(&server, "\r\n \n"), "");
}

// What other servers ask of such lines differs: a line feed at the end, none, no blank lines.
#[test]
fn lines_are_answered_by_lines_whatever_their_ends_are() {
    let server = TestServer::start();
    let mut client = server.connect("/ws?topic=t");
    for end in ["\n", "\r\n", "\n\n", " \r\n\t\r\n"] {
        for last in [end, ""] {
            let lines = [message("t", "1"), "7".into(), message("t", "2")].join(end) + last;
            assert_eq!(
                post_lines(&server, &lines),
                "{\"queued\":1}\n{\"error\":\"an object is expected\"}\n{\"queued\":1}\n"
            );
            client.receives_all([text("1"), text("2")]);
        }
    }
    // Without the line feeds, which `curl --data @file` removes.
    let joined = [message("t", "1"), message("t", "2")].concat();
    assert!(post_lines(&server, &joined).starts_with("{\"error\":\"trailing characters"));
    // A list in a line is no message.
    let nested = format!("[{}]", message("t", "1"));
    assert_eq!(
        post_lines(&server, &nested),
        "{\"error\":\"an object is expected\"}\n"
    );
    assert_eq!(
        server.post("/publish", &message("t", "end")),
        "{\"queued\":1}\n"
    );
    client.receives(text("end"));
    client.close();
}

// A compressed list of lines was divided at the line feeds among its bytes, and answered 200 with
// an error for each.
#[test]
fn a_body_that_is_not_plain_utf8_is_refused_as_a_whole() {
    let server = TestServer::start();
    let gzip = "Content-Encoding: gzip\r\n";
    for (path, headers, error) in [
        (
            "/publish",
            gzip,
            "Content-Encoding: only identity is understood",
        ),
        (
            "/register",
            gzip,
            "Content-Encoding: only identity is understood",
        ),
        (
            "/publish",
            "Content-Type: application/json; charset=utf-16\r\n",
            "Content-Type: only charset=utf-8 is understood",
        ),
    ] {
        for lines in ["", LINES] {
            let body = "\u{1F}\u{8B}\u{8}\n\n";
            let answer = server.http("POST", path, &[lines, headers].concat(), body);
            assert_eq!(answer.status, 415, "{path} {headers}");
            assert_eq!(error_of(&answer), error);
            let is_coding = headers == gzip;
            let accepted = answer.header("accept-encoding");
            assert_eq!(accepted, is_coding.then_some("identity"));
        }
    }
    let plain = "Content-Encoding: identity\r\nContent-Type: text/plain; charset=utf-8\r\n";
    let answer = server.http("POST", "/publish", plain, &message("t", "x"));
    assert_eq!(answer.status, 200, "{}", answer.body);
    // No body is wanted here.
    let answer = server.http("GET", "/health", gzip, "x");
    assert_eq!(answer.status, 200, "{}", answer.body);
}

// It was answered 413 by itself, and accepted in a list.
#[test]
fn an_item_has_the_size_of_a_single_body() {
    let server = TestServer::with(|config| config.hub.limits.message_bytes = 16);
    // 16 KiB more than six times the largest message.
    let most = 6 * 16 + 16 * 1024;
    let padded = |bytes: usize| {
        let item = message("t", "x");
        let (start, end) = item.split_at(1);
        format!("{start}{}{end}", " ".repeat(bytes - item.len()))
    };
    let (largest, too_large) = (padded(most), padded(most + 1));
    assert_eq!(server.post("/publish", &largest), "{\"queued\":0}\n");
    assert_eq!(server.http("POST", "/publish", "", &too_large).status, 413);
    let error = format!("{{\"error\":\"the item is over {most} bytes\"}}");
    assert_eq!(
        server.post("/publish", &format!("[{too_large},{largest}]")),
        format!("[{error},{{\"queued\":0}}]\n")
    );
    assert_eq!(
        post_lines(&server, &format!("{largest}\n{too_large}\n")),
        format!("{{\"queued\":0}}\n{error}\n")
    );
}

#[test]
fn a_list_that_cannot_be_divided_into_items_is_refused_and_nothing_of_it_is_published() {
    let server = TestServer::start();
    let mut client = server.connect("/ws?topic=t");
    let item = message("t", "x");
    for (body, expected) in [
        (format!("[{item}"), "the array has no end"),
        (format!("[{item},]"), "an item is expected at byte"),
        (format!("[{item}] {item}"), "the array has ended at byte"),
        (format!("[{item}}}]"), "`,` or `]` is expected at byte"),
    ] {
        let answer = server.http("POST", "/publish", "", &body);
        assert_eq!(answer.status, 400, "{body}");
        let error = error_of(&answer);
        assert!(error.starts_with(expected), "{body}: {error}");
    }
    assert_eq!(
        server.post("/publish", &message("t", "end")),
        "{\"queued\":1}\n"
    );
    client.receives(text("end"));
    client.close();
}

/// Returns an array of messages to `t`, each of which is its number.
fn numbers(count: usize) -> String {
    let items = (0..count).map(|number| message("t", &number.to_string()));
    format!("[{}]", items.collect::<Vec<_>>().join(","))
}

#[test]
fn a_thousand_items_are_published_in_their_order_and_one_more_is_too_many() {
    let server = TestServer::start();
    let mut clients: Vec<_> = (0..3).map(|_| server.connect("/ws?topic=t")).collect();
    let refused = server.http("POST", "/publish", "", &numbers(ITEMS + 1));
    assert_eq!(refused.status, 413);
    assert_eq!(error_of(&refused), "more than 1000 items");
    let answer = server.post("/publish", &numbers(ITEMS));
    assert_eq!(
        answer,
        format!("[{}]\n", ["{\"queued\":3}"; ITEMS].join(","))
    );
    for client in &mut clients {
        client.receives_all((0..ITEMS).map(|number| text(number.to_string())));
    }
    clients.into_iter().for_each(Client::close);
}

#[test]
fn a_list_of_1_mib_is_taken_and_one_byte_more_is_refused() {
    const MIB: usize = 1024 * 1024;
    let server = TestServer::start();
    let mut client = server.connect("/ws?topic=t");
    // Items that a shard parses itself, and one that it does not.
    let large = "x".repeat(60_000);
    let items = [message("t", "1"), message("t", &large), message("t", "2")];
    let post = |body: String, headers: &str, bytes: usize| -> Answer {
        let body = format!("{body}{}", " ".repeat(bytes - body.len()));
        server.http("POST", "/publish", headers, &body)
    };
    for (body, headers) in [
        (format!("[{}]", items.join(",")), ""),
        (items.join("\n"), LINES),
    ] {
        let answer = post(body.clone(), headers, MIB);
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(answer.body.matches("{\"queued\":1}").count(), 3);
        client.receives_all([text("1"), text(&large), text("2")]);
        let refused = post(body, headers, MIB + 1);
        assert_eq!(refused.status, 413);
        assert_eq!(error_of(&refused), "the body is over 1048576 bytes");
    }
    client.close();
}
