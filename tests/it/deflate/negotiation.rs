//! permessage-deflate in opening handshakes: `Sec-WebSocket-Extensions` in, status and header out.

use framecast_test_support::{Client, TestServer, eventually, handshake_with};

fn server(contexts: usize) -> TestServer {
    TestServer::with(|config| {
        config.hub.deflate.enabled = true;
        config.hub.deflate.contexts = contexts;
    })
}

const MALFORMED: &str = r#"{"error":"malformed Sec-WebSocket-Extensions"}"#;

/// Does the opening handshake: the client, and the value of the answer's header, `-` if there is
/// none, or `400` for a header that is malformed.
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

/// Offers, one line of the header each, and the answer. `DEFLATE` is permessage-deflate, `FORGETS`
/// is `server_no_context_takeover; client_no_context_takeover`.
const ROWS: &[(&str, &str)] = &[
    ("DEFLATE", "DEFLATE; FORGETS"),
    ("DEFLATE; client_max_window_bits", "DEFLATE; FORGETS"),
    ("DEFLATE; client_max_window_bits=8", "DEFLATE; FORGETS"),
    ("DEFLATE; client_max_window_bits=15", "DEFLATE; FORGETS"),
    ("DEFLATE; FORGETS", "DEFLATE; FORGETS"),
    ("DEFLATE; client_no_context_takeover", "DEFLATE; FORGETS"),
    ("\t DEFLATE ;\tclient_max_window_bits ", "DEFLATE; FORGETS"),
    // Several offers: the first that can be met.
    (
        "DEFLATE; server_max_window_bits=10, DEFLATE",
        "DEFLATE; FORGETS; server_max_window_bits=10",
    ),
    (
        "DEFLATE; server_max_window_bits=7, DEFLATE; server_max_window_bits=9",
        "DEFLATE; FORGETS; server_max_window_bits=9",
    ),
    (
        "DEFLATE; mux=1, x-webkit-deflate-frame, DEFLATE",
        "DEFLATE; FORGETS",
    ),
    ("x-webkit-deflate-frame | DEFLATE", "DEFLATE; FORGETS"),
    (
        "DEFLATE | DEFLATE; server_max_window_bits=9",
        "DEFLATE; FORGETS",
    ),
    (",, DEFLATE ,", "DEFLATE; FORGETS"),
    // Quoted.
    (
        r#"DEFLATE; server_max_window_bits="11""#,
        "DEFLATE; FORGETS; server_max_window_bits=11",
    ),
    (
        r#"DEFLATE; server_max_window_bits="1\1""#,
        "DEFLATE; FORGETS; server_max_window_bits=11",
    ),
    (
        r#"DEFLATE; client_max_window_bits="15""#,
        "DEFLATE; FORGETS",
    ),
    // Declined: unknown, twice, or with a value that it can't have.
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
    // Malformed, wherever in the header.
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

fn written_out(row: &str) -> String {
    let forgets = "server_no_context_takeover; client_no_context_takeover";
    row.replace("DEFLATE", "permessage-deflate")
        .replace("FORGETS", forgets)
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
fn every_window_from_8_to_15_is_kept_to_and_told() {
    let server = server(8);
    for bits in 8..=15 {
        let window = format!("server_max_window_bits={bits}");
        let offer = format!("permessage-deflate; {window}");
        // zlib has no window of 8 bits, and so no context that would keep to it.
        let forgets = if bits == 8 {
            "server_no_context_takeover; "
        } else {
            ""
        };
        let answer = format!("permessage-deflate; {forgets}client_no_context_takeover; {window}");
        assert_eq!(negotiate(&server, "/ws", &offer).1, answer);
        let offer = format!("{offer}; server_no_context_takeover");
        let answer = format!("permessage-deflate; {}; {window}", written_out("FORGETS"));
        assert_eq!(negotiate(&server, "/ws", &offer).1, answer);
    }
}

#[test]
fn without_deflate_every_offer_is_declined_and_malformed_ones_are_refused_all_the_same() {
    let server = TestServer::start();
    for (offer, answer) in ROWS {
        let (_, verdict) = negotiate(&server, "/echo", &written_out(offer));
        let expected = if *answer == "400" { "400" } else { "-" };
        assert_eq!(verdict, expected, "{offer}");
    }
}

#[test]
fn contexts_are_granted_as_long_as_there_are_some_and_given_back() {
    const KEEPS: &str = "permessage-deflate; client_no_context_takeover";
    let server = server(2);
    let offer = "permessage-deflate; client_max_window_bits";
    let forgets = written_out("DEFLATE; FORGETS");
    // Not for those who want none, nor for those who are refused or declined.
    let (_forgetful, verdict) = negotiate(&server, "/ws", &forgets);
    assert_eq!(verdict, forgets);
    for offer in ["permessage-deflate; x", "permessage-deflate;"] {
        negotiate(&server, "/ws", offer);
    }
    negotiate(&server, "/ws?topic=", offer);
    negotiate(&server, "/ws/0", offer);
    let (one, first) = negotiate(&server, "/ws", offer);
    let (other, second) = negotiate(&server, "/echo", offer);
    assert_eq!([first, second], [KEEPS; 2]);
    assert_eq!(negotiate(&server, "/ws", offer).1, forgets);
    // One leaves in good order, the other does not.
    one.close();
    drop(other);
    eventually("the contexts are given back", || {
        let [one, other] = [(); 2].map(|()| negotiate(&server, "/ws", offer));
        [one.1, other.1] == [KEEPS; 2]
    });
}
