//! Tests of the binary `framecast publish` against a server that is a bare socket and sends literal
//! bytes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::{Command, Output, Stdio},
    thread,
    time::Duration,
};

/// A request that the server has received. The head is in lower case.
struct Received {
    head: String,
    body: String,
}

/// Runs `framecast publish` with `arguments`, and with `input` on its standard input.
fn publish(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_framecast"))
        .arg("publish")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // Fails if the client has ended without reading its input.
    let _ = stdin.write_all(input);
    drop(stdin);
    child.wait_with_output().unwrap()
}

/// Returns a listener on loopback, and its URL.
fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

/// Accepts one connection, reads its request, and sends `answer`, a whole HTTP response.
fn serve(listener: &TcpListener, answer: &str) -> Received {
    let (socket, _) = listener.accept().unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let received = read_request(&socket);
    (&socket).write_all(answer.as_bytes()).unwrap();
    received
}

/// Reads the head of a request, and as many bytes of its body as `content-length` says.
fn read_request(socket: &TcpStream) -> Received {
    let mut reader = BufReader::new(socket);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(reader.read_line(&mut head).unwrap() > 0, "{head}");
    }
    let head = head.to_ascii_lowercase();
    let mut headers = head.lines().filter_map(|line| line.split_once(": "));
    let length = headers.find(|(name, _)| *name == "content-length").unwrap();
    let mut body = vec![0; length.1.parse().unwrap()];
    reader.read_exact(&mut body).unwrap();
    let body = String::from_utf8(body).unwrap();
    Received { head, body }
}

/// Publishes with `arguments` and `input` to a server that answers `status` and `body`.
fn publish_to(status: &str, body: &str, arguments: &[&str], input: &[u8]) -> (Received, Output) {
    let (listener, url) = listen();
    let length = body.len();
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}");
    let server = thread::spawn(move || serve(&listener, &answer));
    let output = publish(&[&["--url", &url], arguments].concat(), input);
    (server.join().unwrap(), output)
}

/// Returns the standard error of a publication to which the server answers `status` and `body`.
fn error_of(status: &str, body: &str) -> String {
    let (_, output) = publish_to(status, body, &["--topic", "cats", "meow"], b"");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stdout, b"");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_message_is_posted_as_json_and_the_count_is_printed() {
    let arguments = ["--topic", "cats", "say \"meow\" é"];
    let (received, output) = publish_to("200 OK", r#"{"queued":3}"#, &arguments, b"");
    assert!(received.head.starts_with("post /publish http/1.1\r\n"));
    assert!(
        received
            .head
            .contains("\r\ncontent-type: application/json\r\n")
    );
    assert_eq!(
        received.body,
        r#"{"topic":"cats","message":"say \"meow\" é"}"#
    );
    assert_eq!(output.stdout, b"queued to 3 connections\n");
    assert_eq!(output.stderr, b"");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn one_connection_is_singular() {
    let arguments = ["--topic", "cats", "meow"];
    let (_, output) = publish_to("200 OK", r#"{"queued":1}"#, &arguments, b"");
    assert_eq!(output.stdout, b"queued to 1 connection\n");
}

#[test]
fn a_publication_whose_count_is_not_known_yet_is_a_success() {
    let arguments = ["--topic", "cats", "meow"];
    let (_, output) = publish_to("202 Accepted", r#"{"queued":null}"#, &arguments, b"");
    let expected = "published; the number of connections is not known yet\n";
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    assert_eq!(output.stderr, b"");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_user_id_that_is_a_number_is_sent_as_a_number() {
    // The id on the command line, and its form in the JSON of the request.
    for (user, json) in [("42", "42"), ("-5", r#""-5""#), ("alice", r#""alice""#)] {
        let arguments = ["--topic", "cats", "--user", user, "meow"];
        let (received, _) = publish_to("200 OK", r#"{"queued":0}"#, &arguments, b"");
        let expected = format!(r#"{{"topic":"cats","message":"meow","user_id":{json}}}"#);
        assert_eq!(received.body, expected);
    }
}

#[test]
fn a_hyphen_stands_for_standard_input_without_its_last_line_feed() {
    let arguments = ["--topic", "cats", "-"];
    let (received, _) = publish_to("200 OK", r#"{"queued":0}"#, &arguments, b"a\nb\n\n");
    assert_eq!(received.body, r#"{"topic":"cats","message":"a\nb\n"}"#);
}

#[test]
fn several_topics_and_a_binary_message_are_published_together() {
    let arguments = ["--topic", "cats", "--topic", "dogs", "--binary", "-"];
    // The line feed at the end belongs to a binary message.
    let (received, output) = publish_to("200 OK", r#"{"queued":2}"#, &arguments, b"\0\xff\n");
    assert_eq!(
        received.body,
        r#"{"topics":["cats","dogs"],"base64":"AP8K"}"#
    );
    assert_eq!(output.stdout, b"queued to 2 connections\n");
}

#[test]
fn a_token_is_sent_and_two_of_them_are_a_wrong_command_line() {
    let arguments = [
        "--topic",
        "cats",
        "--bearer",
        "a.b",
        "-H",
        "X-Mine: c",
        "meow",
    ];
    let (received, _) = publish_to("200 OK", r#"{"queued":0}"#, &arguments, b"");
    assert!(received.head.contains("\r\nauthorization: bearer a.b\r\n"));
    assert!(received.head.contains("\r\nx-mine: c\r\n"));

    // Nobody listens there.
    let url = ["--url", "http://127.0.0.1:1", "--topic", "cats", "meow"];
    let twice = ["--bearer", "a", "-H", "Authorization: b"];
    let output = publish(&[&url[..], &twice].concat(), b"");
    let stderr = String::from_utf8(output.stderr).unwrap();
    let reason = "framecast: --bearer: --header has `Authorization` already\n";
    assert_eq!(stderr, reason);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn the_result_is_json_for_programs() {
    for (status, answer) in [
        ("200 OK", r#"{"queued":3}"#),
        ("202 Accepted", r#"{"queued":null}"#),
    ] {
        let arguments = ["--topic", "cats", "--json", "meow"];
        let (_, output) = publish_to(status, answer, &arguments, b"");
        let printed = String::from_utf8(output.stdout).unwrap();
        assert_eq!(printed, format!("{answer}\n"));
        assert_eq!(output.status.code(), Some(0));
    }
}

#[test]
fn a_message_that_reaches_too_few_connections_is_a_failure() {
    // The server's answer, and the exit status with `--min 2`.
    for (status, answer, code) in [
        ("200 OK", r#"{"queued":2}"#, 0),
        ("200 OK", r#"{"queued":1}"#, 1),
        ("202 Accepted", r#"{"queued":null}"#, 1),
    ] {
        let arguments = ["--topic", "cats", "--min", "2", "meow"];
        let (_, output) = publish_to(status, answer, &arguments, b"");
        assert_eq!(output.status.code(), Some(code), "{answer}");
        // The message was published in any case.
        assert!(!output.stdout.is_empty());
    }
}

#[test]
fn a_path_in_the_url_is_kept() {
    let (listener, url) = listen();
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n{\"queued\":0}";
    let server = thread::spawn(move || serve(&listener, answer));
    let url = format!("{url}/behind/proxy/");
    publish(&["--url", &url, "--topic", "cats", "meow"], b"");
    let received = server.join().unwrap();
    assert!(
        received
            .head
            .starts_with("post /behind/proxy/publish http/1.1\r\n")
    );
}

#[test]
fn a_redirection_is_an_error_with_its_target() {
    let head = "301 Moved Permanently\r\nLocation: https://app.example/publish";
    assert_eq!(
        error_of(head, "<html>"),
        "framecast: the server answered 301 Moved Permanently: it redirects to \
         https://app.example/publish\n"
    );
}

#[test]
fn a_refusal_says_why_in_one_line() {
    assert_eq!(
        error_of(
            "400 Bad Request",
            r#"{"error":"a topic is at most 64 bytes"}"#
        ),
        "framecast: the server answered 400 Bad Request: a topic is at most 64 bytes\n"
    );
    assert_eq!(
        error_of("404 Not Found", "no such route\nat all\n"),
        "framecast: the server answered 404 Not Found: no such route\n"
    );
    assert_eq!(
        error_of("413 Payload Too Large", ""),
        "framecast: the server answered 413 Payload Too Large\n"
    );
    assert_eq!(
        error_of("200 OK", "<html>"),
        "framecast: the server's answer is not that of a framecast server\n"
    );
}

#[test]
fn an_answer_may_have_any_form_of_http_1() {
    for answer in [
        "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n{\"queued\":3}",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nC\r\n{\"queued\":3}\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx: a\r\n b\r\ncontent-length: 12\r\n\r\n{\"queued\":3}",
        "HTTP/1.0 200\r\n\r\n{\"queued\":3}",
    ] {
        let (listener, url) = listen();
        let server = thread::spawn(move || serve(&listener, answer));
        let output = publish(&["--url", &url, "--topic", "cats", "meow"], b"");
        assert_eq!(output.stdout, b"queued to 3 connections\n", "{answer}");
        server.join().unwrap();
    }
}

#[test]
fn a_host_of_the_command_line_replaces_that_of_the_url() {
    let added = ["--header", "HOST: a.example", "--header", "X-Mine: b"];
    let arguments = [&["--topic", "cats", "meow"][..], &added].concat();
    let (received, _) = publish_to("200 OK", r#"{"queued":0}"#, &arguments, b"");
    assert_eq!(received.head.matches("\r\nhost: ").count(), 1);
    assert!(received.head.contains("\r\nhost: a.example\r\n"));
    assert!(received.head.contains("\r\nx-mine: b\r\n"));
}

#[test]
fn what_is_not_ascii_in_the_url_is_percent_encoded() {
    let (listener, url) = listen();
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n{\"queued\":0}";
    let server = thread::spawn(move || serve(&listener, answer));
    let url = format!("{}/é", url.replace("http", "HTTP"));
    publish(&["--url", &url, "--topic", "cats", "meow"], b"");
    let head = server.join().unwrap().head;
    assert!(
        head.starts_with("post /%c3%a9/publish http/1.1\r\n"),
        "{head}"
    );
}

#[test]
fn a_header_that_the_request_has_anyway_is_a_wrong_command_line() {
    for name in [
        "Content-Length",
        "content-type",
        "Transfer-Encoding",
        "Connection",
    ] {
        let line = format!("{name}: x");
        // Nobody listens there.
        let url = ["--url", "http://127.0.0.1:1", "--topic", "cats", "meow"];
        let output = publish(&[&url[..], &["--header", &line]].concat(), b"");
        let stderr = String::from_utf8(output.stderr).unwrap();
        let reason = format!("`{name}` cannot be added\n");
        assert!(
            stderr.to_lowercase().ends_with(&reason.to_lowercase()),
            "{stderr}"
        );
        assert_eq!(output.status.code(), Some(2));
    }
}

#[test]
fn a_wrong_url_or_input_fails_with_its_reason_in_one_line() {
    let (listener, nowhere) = listen();
    drop(listener);
    // A wrong URL is a wrong command line, which exits with 2.
    for (url, input, code, reason) in [
        (
            "https://localhost",
            &b""[..],
            2,
            "https:// (TLS) is not supported yet, use http://",
        ),
        (
            "ws://localhost",
            b"",
            2,
            "the URL must start with http://, not ws://",
        ),
        (
            "127.0.0.1:8080",
            b"",
            2,
            "the URL must start with http://, write http://127.0.0.1:8080",
        ),
        (
            "http://localhost/?a",
            b"",
            2,
            "the URL must not contain `?`",
        ),
        // The command line is right, but nobody listens there, or the message is not a text.
        (&nowhere, b"", 1, "Connection refused"),
        (&nowhere, b"\xff", 1, "UTF-8"),
    ] {
        let output = publish(&["--url", url, "--topic", "cats", "-"], input);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.contains(reason), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert_eq!(output.status.code(), Some(code));
    }
}
