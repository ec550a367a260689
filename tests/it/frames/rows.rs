//! Rows of the tables in `frames.rs`: sequences of messages, control frames and Closes, and the
//! replies of the echo.

use framecast_test_support::{
    frames::{
        Frame, binary, close, empty_close, first_binary, first_text, frame, last, masked, middle,
        ping, pong, text,
    },
    limits::{CONTROL_BYTES, FRAGMENTS, MESSAGE_BYTES},
};

/// Close codes that a peer may send (RFC 6455 §7.4).
const VALID_CODES: [u16; 12] = [
    1000, 1001, 1002, 1003, 1007, 1011, 1012, 1013, 3000, 3999, 4000, 4999,
];

/// Close codes that a peer must not send: out of range, reserved, or not assigned.
const INVALID_CODES: [u16; 14] = [
    0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 1999, 2000, 2999, 5000, 0xFFFF,
];

/// Bytes that a client sends, and all frames that the echo sends before it ends the stream.
pub(super) struct Row {
    pub(super) name: String,
    pub(super) sent: Vec<u8>,
    pub(super) received: Vec<Frame>,
}

pub(super) fn row(
    name: impl Into<String>,
    sent: Vec<u8>,
    received: impl IntoIterator<Item = Frame>,
) -> Row {
    Row {
        name: name.into(),
        sent,
        received: received.into_iter().collect(),
    }
}

/// Returns a row without a protocol error. The client ends it with a Close, to which the server
/// replies.
pub(super) fn fine(
    name: impl Into<String>,
    sent: impl IntoIterator<Item = Frame>,
    received: impl IntoIterator<Item = Frame>,
) -> Row {
    fine_bytes(name, &masked(sent), received)
}

/// Returns a row without a protocol error, like [`fine`], from the bytes that the client sends.
fn fine_bytes(
    name: impl Into<String>,
    sent: &[u8],
    received: impl IntoIterator<Item = Frame>,
) -> Row {
    let sent = [sent, &masked([close(1000, "")])].concat();
    let mut row = row(name, sent, received);
    row.received.push(close(1000, ""));
    row
}

/// Returns a binary message of `count` fragments of one byte each.
pub(super) fn fragments(count: usize) -> Vec<Frame> {
    let mut frames = vec![middle("f"); count];
    frames[0] = first_binary("f");
    frames[count - 1] = last("f");
    frames
}

/// Messages of one frame.
pub(super) fn messages() -> Vec<Row> {
    vec![
        fine_bytes(
            "the masked Hello of RFC 6455 §5.7",
            b"\x81\x85\x37\xFA\x21\x3D\x7F\x9F\x4D\x51\x58",
            [text("Hello")],
        ),
        fine_bytes(
            "a masking key of zeros",
            b"\x82\x82\0\0\0\0hi",
            [binary("hi")],
        ),
        fine("empty text", [text("")], [text("")]),
        fine("empty binary", [binary("")], [binary("")]),
        fine(
            "binary that is not UTF-8",
            [binary(b"\xFF\0\xC0")],
            [binary(b"\xFF\0\xC0")],
        ),
        fine(
            "text of NUL, U+FFFF and U+10FFFF",
            [text("\0\u{FFFF}\u{10FFFF}")],
            [text(b"\0\xEF\xBF\xBF\xF4\x8F\xBF\xBF")],
        ),
        fine(
            "text and binary by turns",
            [text("a"), binary("b"), text("c")],
            [text("a"), binary("b"), text("c")],
        ),
    ]
}

/// Fragments and control frames.
pub(super) fn fragments_and_control() -> Vec<Row> {
    vec![
        fine(
            "the fragmented Hello of RFC 6455 §5.7",
            [first_text("Hel"), last("lo")],
            [text("Hello")],
        ),
        fine(
            "a message of empty fragments",
            [first_text(""), middle(""), last("")],
            [text("")],
        ),
        fine(
            "a Ping inside a message",
            [first_binary("a"), ping(b"\xFF?"), last("b")],
            [pong(b"\xFF?"), binary("ab")],
        ),
        fine(
            "a code point cut into four fragments, with a Pong inside",
            [
                first_text(b"\xF0"),
                middle(b"\x9F"),
                pong(b"\xFF"),
                middle(b"\x98"),
                last(b"\x80"),
            ],
            [text(b"\xF0\x9F\x98\x80")],
        ),
        fine(
            "Pings, answered in order",
            [ping(""), ping("2"), ping("3")],
            [pong(""), pong("2"), pong("3")],
        ),
        fine(
            "the longest Ping",
            [ping([9_u8; CONTROL_BYTES])],
            [pong([9_u8; CONTROL_BYTES])],
        ),
        fine("an unsolicited Pong", [pong("?")], []),
    ]
}

/// Lengths at the bounds of each form of a length, and messages at the limits.
pub(super) fn lengths() -> Vec<Row> {
    let full = vec![b'm'; MESSAGE_BYTES];
    let lengths = [
        ("the longest in the 7-bit form", 125),
        ("the shortest in the 16-bit form", 126),
        ("the longest in the 16-bit form", 0xFFFF),
        ("the 64-bit form, and exactly the limit", MESSAGE_BYTES),
    ];
    let of_length = |(name, len): (&str, usize)| {
        let message = binary(&full[..len]);
        fine(format!("{len} bytes: {name}"), [message.clone()], [message])
    };
    let mut rows: Vec<Row> = lengths.into_iter().map(of_length).collect();
    rows.push(fine(
        "exactly the limit, over all fragments",
        [
            first_binary(&full[..MESSAGE_BYTES - 1]),
            middle("m"),
            last(""),
        ],
        [binary(&full)],
    ));
    rows.push(fine(
        format!("{FRAGMENTS} fragments"),
        fragments(FRAGMENTS),
        [binary([b'f'; FRAGMENTS])],
    ));
    rows
}

/// Closes of the client: with a code that the server repeats, or with an invalid payload.
pub(super) fn closes() -> Vec<Row> {
    let longest = close(1000, &"r".repeat(CONTROL_BYTES - 2));
    let mut rows = vec![
        row("no code", masked([empty_close()]), [empty_close()]),
        row(
            "one byte",
            frame(0x88, b"\x03"),
            [close(1002, "invalid close frame")],
        ),
        row(
            "a reason that is not UTF-8",
            frame(0x88, b"\x03\xE8\xED\xA0\x80"),
            [close(1007, "invalid UTF-8")],
        ),
        row("the longest reason", masked([longest.clone()]), [longest]),
        row(
            "a Close inside a message",
            masked([first_text("begun"), close(1001, "")]),
            [close(1001, "")],
        ),
        row(
            "a Close after a message",
            masked([text("hi"), ping("?"), close(1001, "")]),
            [pong("?"), text("hi"), close(1001, "")],
        ),
    ];
    for code in VALID_CODES {
        let sent = close(code, "é");
        rows.push(row(format!("code {code}"), masked([sent.clone()]), [sent]));
    }
    for code in INVALID_CODES {
        let sent = masked([close(code, "")]);
        rows.push(row(format!("code {code}"), sent, [close(1002, "")]));
    }
    rows
}

/// A Close with 3000, and frames after it that the server must ignore.
pub(super) fn after_a_close() -> Vec<Row> {
    let late = [
        ("a message", masked([text("late")])),
        ("a Ping", masked([ping("late")])),
        ("a second Close", masked([close(4000, "")])),
        ("a protocol error", vec![0xFF; 4]),
    ];
    let after_a_close = |(name, late): (&str, Vec<u8>)| {
        let sent = [masked([close(3000, "")]), late].concat();
        row(format!("{name} after a Close"), sent, [close(3000, "")])
    };
    late.into_iter().map(after_a_close).collect()
}
