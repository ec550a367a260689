//! What clients can't do by what they choose: forge lines, or have secrets logged.

use framecast_test_support::{
    Client,
    frames::{close, masked, text},
};

use crate::{
    log_lines::{ask, only, parse, post, register, stop},
    process::Process,
};

#[test]
fn no_client_can_forge_a_line_or_a_field_or_control_a_terminal() {
    for format in ["text", "json"] {
        let server = Process::serve(&["--log=debug", "--log-format", format]);
        let body = r#"{"user_id": "a\n2026-01-01T00:00:00Z  INFO forged\u001b[2J\u009b2J\u007f",
            "topics": ["x\" peer=forged\u202e\u2028"]}"#;
        let path = register(&server, body);
        server.connect(&path).close();
        // HTTP allows bytes above 0x7F in a header.
        let origin = "GET / HTTP/1.1\r\nHost: localhost\r\nOrigin: http://e.example\" status=\u{9b}2J\u{202e}\r\n\r\n";
        assert_eq!(ask(&server, origin.as_bytes()).0.status, 403);
        let log = stop(server);
        let may_stay = |character: char| character == '\n' || character.escape_debug().len() == 1;
        let visible = |character: &char| may_stay(*character) || "\"'\\".contains(*character);
        assert_eq!(
            log.chars().find(|character| !visible(character)),
            None,
            "{log}"
        );
        assert!(log.contains("INFO forged"), "{log}");
        let is_forged = |line: &str| line.starts_with("2026-01-01");
        assert!(!log.lines().any(is_forged), "{log}");
        if format == "json" {
            let lines = parse(&log);
            let user = &only(&lines, "connection began")["user"];
            assert_eq!(
                *user,
                "a\n2026-01-01T00:00:00Z  INFO forged\u{1b}[2J\u{9b}2J\u{7f}"
            );
        } else {
            assert!(
                log.contains(r#"topics=["x\" peer=forged\u{202e}\u{2028}"]"#),
                "{log}"
            );
            assert!(
                log.contains(r#"http://e.example\" status=\u{9b}2J\u{202e}""#),
                "{log}"
            );
        }
    }
}

#[test]
fn no_line_has_the_id_of_a_registration_or_a_part_of_a_message() {
    const SECRET: &str = "a-secret-message";
    for format in ["text", "json"] {
        let server = Process::serve(&["--log=trace", "--log-format", format]);
        let path = register(&server, r#"{"user_id": 1}"#);
        let id = path.strip_prefix("/ws/").unwrap().to_owned();
        let mut old = server.connect(&path);
        let mut new = server.connect(&path);
        old.receives(close(4506, "taken over"));
        old.sends(close(4506, ""));
        new.sends(text(format!("{{\"topics\": [1, \"{SECRET}\"]}}")));
        new.read_text();
        post(
            &server,
            "/publish",
            &format!("{{\"topic\": \"cats\", \"message\": [\"{SECRET}\"]}}"),
        );
        // A handshake without its key, a method that is not allowed, and a head that is cut off.
        for head in [
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
            format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
            format!("GET {path}\r\n\r\n"),
            format!("DELETE /register/{id} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
            format!("DELETE /register/{id} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        ] {
            ask_any(&server, &head);
        }
        new.receives(close(4503, "registration deleted"));
        new.send(&masked([close(4503, "")]));
        let log = stop(server);
        assert!(log.contains("/ws/{id}"), "{log}");
        assert!(!log.contains(&id), "{id} in {log}");
        assert!(!log.contains(SECRET), "{log}");
    }
}

/// Sends a request that need not be valid, and waits for the head of the response.
fn ask_any(server: &Process, head: &str) {
    let mut client = Client::dial(server.address);
    client.send(head.as_bytes());
    assert!(client.read_head().starts_with("HTTP/1.1 "), "{head}");
}
