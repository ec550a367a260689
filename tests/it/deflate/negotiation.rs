//! Negotiation of permessage-deflate: the server's answers to `Sec-WebSocket-Extensions`.

use framecast_test_support::{Client, TestServer, eventually, handshake_with};

const MALFORMED: &str = r#"{"error":"malformed Sec-WebSocket-Extensions"}"#;

/// Offers, and the answer to each: the header of the response, `-` if there is none, or `400`. A
/// bar separates the lines of several headers. `DEFLATE` stands for `permessage-deflate`, and
/// `NO_CONTEXTS` for `server_no_context_takeover; client_no_context_takeover`.
const ROWS: &[(&str, &str)] = &[
    ("DEFLATE", "DEFLATE; NO_CONTEXTS"),
    ("DEFLATE; client_max_window_bits", "DEFLATE; NO_CONTEXTS"),
    ("DEFLATE; client_max_window_bits=8", "DEFLATE; NO_CONTEXTS"),
    ("DEFLATE; client_max_window_bits=15", "DEFLATE; NO_CONTEXTS"),
    ("DEFLATE; NO_CONTEXTS", "DEFLATE; NO_CONTEXTS"),
    (
        "DEFLATE; client_no_context_takeover",
        "DEFLATE; NO_CONTEXTS",
    ),
    (
        "\t DEFLATE ;\tclient_max_window_bits ",
        "DEFLATE; NO_CONTEXTS",
    ),
    // Several offers: the server accepts the first one that it supports.
    (
        "DEFLATE; server_max_window_bits=10, DEFLATE",
        "DEFLATE; NO_CONTEXTS; server_max_window_bits=10",
    ),
    (
        "DEFLATE; server_max_window_bits=7, DEFLATE; server_max_window_bits=9",
        "DEFLATE; NO_CONTEXTS; server_max_window_bits=9",
    ),
    (
        "DEFLATE; mux=1, x-webkit-deflate-frame, DEFLATE",
        "DEFLATE; NO_CONTEXTS",
    ),
    ("x-webkit-deflate-frame | DEFLATE", "DEFLATE; NO_CONTEXTS"),
    (
        "DEFLATE | DEFLATE; server_max_window_bits=9",
        "DEFLATE; NO_CONTEXTS",
    ),
    (",, DEFLATE ,", "DEFLATE; NO_CONTEXTS"),
    // Quoted values.
    (
        r#"DEFLATE; server_max_window_bits="11""#,
        "DEFLATE; NO_CONTEXTS; server_max_window_bits=11",
    ),
    (
        r#"DEFLATE; server_max_window_bits="1\1""#,
        "DEFLATE; NO_CONTEXTS; server_max_window_bits=11",
    ),
    (
        r#"DEFLATE; client_max_window_bits="15""#,
        "DEFLATE; NO_CONTEXTS",
    ),
    // Declined: unknown, repeated, or with an invalid value.
    ("x-webkit-deflate-frame", "-"),
    ("permessage-bzip2; x=1", "-"),
    ("Permessage-Deflate", "-"),
    ("DEFLATE; unknown", "-"),
    (
        "DEFLATE; server_no_context_takeover; server_no_context_takeover",
        "-",
    ),
    (
        "DEFLATE; client_max_window_bits; client_max_window_bits=9",
        "-",
    ),
    (
        "DEFLATE; server_max_window_bits=9; server_max_window_bits=9",
        "-",
    ),
    ("DEFLATE; server_no_context_takeover=1", "-"),
    ("DEFLATE; client_no_context_takeover=\"yes\"", "-"),
    ("DEFLATE; server_max_window_bits", "-"),
    ("DEFLATE; server_max_window_bits=7", "-"),
    ("DEFLATE; server_max_window_bits=16", "-"),
    ("DEFLATE; server_max_window_bits=09", "-"),
    ("DEFLATE; server_max_window_bits=-9", "-"),
    ("DEFLATE; client_max_window_bits=7", "-"),
    ("DEFLATE; client_max_window_bits=16", "-"),
    // Malformed, in any offer of the header.
    ("", "400"),
    (",", "400"),
    ("DEFLATE;", "400"),
    ("DEFLATE; ; x", "400"),
    ("DEFLATE client_max_window_bits", "400"),
    ("DEFLATE; client_max_window_bits=", "400"),
    ("DEFLATE; =9", "400"),
    ("DEFLATE; x==1", "400"),
    (r#"DEFLATE; x="""#, "400"),
    (r#"DEFLATE; x="1"#, "400"),
    (r#"DEFLATE; x="1 2""#, "400"),
    ("DEFLATE, x/y", "400"),
    ("DEFLATE; x | ;", "400"),
    ("(DEFLATE)", "400"),
    ("\u{e4}", "400"),
];

/// Starts a server that keeps compression contexts for at most `contexts` clients.
fn server(contexts: usize) -> TestServer {
    TestServer::with(|config| {
        config.hub.deflate.enabled = true;
        config.hub.deflate.contexts = contexts;
    })
}

/// Does the opening handshake with one header for each part of `lines` between bars. Returns the
/// client and the header of the response, `-` if the response has none, or `400` if a header is
/// malformed.
fn negotiate(server: &TestServer, path: &str, lines: &str) -> (Client, String) {
    let header = |line: &str| format!("Sec-WebSocket-Extensions: {line}\r\n");
    let headers: String = lines.split(" | ").map(header).collect();
    let mut client = server.dial();
    client.send(handshake_with(path, &headers).as_bytes());
    let answer = client.read_answer();
    let values: Vec<&str> = answer
        .head
        .lines()
        .filter_map(|line| line.strip_prefix("sec-websocket-extensions: "))
        .collect();
    let verdict = match (answer.status, &values[..]) {
        (101, []) => "-".to_owned(),
        (101, [value]) => (*value).to_owned(),
        (400, []) if answer.body.trim_end() == MALFORMED => "400".to_owned(),
        (status, _) => format!("{status} {values:?} {}", answer.body),
    };
    (client, verdict)
}

/// Replaces the abbreviations of [`ROWS`].
fn written_out(row: &str) -> String {
    let no_contexts = "server_no_context_takeover; client_no_context_takeover";
    row.replace("DEFLATE", "permessage-deflate")
        .replace("NO_CONTEXTS", no_contexts)
}

#[test]
fn an_offer_is_accepted_declined_or_refused_on_every_path() {
    let server = server(0);
    for (offer, answer) in ROWS {
        let relay = server.register(r#"{"user_id":1}"#);
        for path in ["/echo", "/echo/raw", "/ws", &relay] {
            let (_, verdict) = negotiate(&server, path, &written_out(offer));
            assert_eq!(verdict, written_out(answer), "{path}: {offer}");
        }
    }
}

#[test]
fn every_window_from_8_to_15_bits_is_accepted_and_named_in_the_answer() {
    let server = server(8);
    for bits in 8..=15 {
        let window = format!("server_max_window_bits={bits}");
        let offer = format!("permessage-deflate; {window}");
        // zlib has no window of 8 bits, and so the server offers no context with one.
        let no_server_context = if bits == 8 {
            "server_no_context_takeover; "
        } else {
            ""
        };
        let answer =
            format!("permessage-deflate; {no_server_context}client_no_context_takeover; {window}");
        assert_eq!(negotiate(&server, "/ws", &offer).1, answer);
        let offer = format!("{offer}; server_no_context_takeover");
        let answer = format!(
            "permessage-deflate; {}; {window}",
            written_out("NO_CONTEXTS")
        );
        assert_eq!(negotiate(&server, "/ws", &offer).1, answer);
    }
}

#[test]
fn a_server_without_deflate_declines_every_offer_and_refuses_malformed_ones() {
    let server = TestServer::start();
    for (offer, answer) in ROWS {
        let (_, verdict) = negotiate(&server, "/echo", &written_out(offer));
        let expected = if *answer == "400" { "400" } else { "-" };
        assert_eq!(verdict, expected, "{offer}");
    }
}

#[test]
fn contexts_are_granted_until_the_limit_and_returned_when_a_connection_ends() {
    const KEEPS_CONTEXT: &str = "permessage-deflate; client_no_context_takeover";
    let server = server(2);
    let offer = "permessage-deflate; client_max_window_bits";
    let no_contexts = written_out("DEFLATE; NO_CONTEXTS");
    // A client that declines a context takes none. Neither does a client whose offer is declined or
    // malformed, or whose request is refused (an empty topic, an unknown registration).
    let (_declining, verdict) = negotiate(&server, "/ws", &no_contexts);
    assert_eq!(verdict, no_contexts);
    for offer in ["permessage-deflate; x", "permessage-deflate;"] {
        negotiate(&server, "/ws", offer);
    }
    negotiate(&server, "/ws?topic=", offer);
    negotiate(&server, "/ws/0", offer);
    let (one, first) = negotiate(&server, "/ws", offer);
    let (other, second) = negotiate(&server, "/echo", offer);
    assert_eq!([first, second], [KEEPS_CONTEXT; 2]);
    assert_eq!(negotiate(&server, "/ws", offer).1, no_contexts);
    // One connection ends with a closing handshake, the other without.
    one.close();
    drop(other);
    eventually("the contexts are free again", || {
        let [one, other] = [(); 2].map(|()| negotiate(&server, "/ws", offer));
        [one.1, other.1] == [KEEPS_CONTEXT; 2]
    });
}
