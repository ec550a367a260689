//! The table: sequences of frames that are answered, and what comes back.

use framecast_test_support::{frame, text};

/// What is sent, and all that comes back before the end of the stream.
pub(super) struct Row {
    pub(super) name: String,
    pub(super) sent: Vec<u8>,
    pub(super) received: Vec<u8>,
}

pub(super) fn row(name: impl Into<String>, sent: &[&[u8]], received: &[&[u8]]) -> Row {
    Row {
        name: name.into(),
        sent: sent.concat(),
        received: received.concat(),
    }
}

/// A row that the server has nothing against: the client closes, and its code is echoed.
pub(super) fn fine(name: impl Into<String>, sent: &[&[u8]], received: &[&[u8]]) -> Row {
    let mut row = row(name, sent, received);
    row.sent.extend(frame(0x88, b"\x03\xE8"));
    row.received.extend(b"\x88\x02\x03\xE8");
    row
}

/// A Close of the server.
pub(super) fn close(code: u16, reason: &str) -> Vec<u8> {
    let len = u8::try_from(2 + reason.len()).unwrap();
    let payload = [&code.to_be_bytes(), reason.as_bytes()].concat();
    [&[0x88, len][..], &payload].concat()
}

/// Fragments: this many, one byte each, the last one final.
pub(super) fn fragments(count: usize) -> Vec<u8> {
    let mut wire = frame(0x02, b"f");
    (2..count).for_each(|_| wire.extend(frame(0x00, b"f")));
    wire.extend(frame(0x80, b"f"));
    wire
}

/// The largest message, by default.
pub(super) const LIMIT: usize = 64 * 1024;

/// Messages of one frame.
pub(super) fn messages() -> Vec<Row> {
    vec![
        fine(
            "the masked Hello of RFC 6455 §5.7",
            &[b"\x81\x85\x37\xFA\x21\x3D\x7F\x9F\x4D\x51\x58"],
            &[b"\x81\x05Hello"],
        ),
        fine("a key of zeros", &[b"\x82\x82\0\0\0\0hi"], &[b"\x82\x02hi"]),
        fine("empty text", &[&text("")], &[b"\x81\x00"]),
        fine("empty binary", &[&frame(0x82, b"")], &[b"\x82\x00"]),
        fine(
            "binary that is not UTF-8",
            &[&frame(0x82, b"\xFF\0\xC0")],
            &[b"\x82\x03\xFF\0\xC0"],
        ),
        fine(
            "text of NUL, U+FFFF and U+10FFFF",
            &[&text("\0\u{FFFF}\u{10FFFF}")],
            &[b"\x81\x08\0\xEF\xBF\xBF\xF4\x8F\xBF\xBF"],
        ),
        fine(
            "text and binary by turns",
            &[&text("a"), &frame(0x82, b"b"), &text("c")],
            &[b"\x81\x01a\x82\x01b\x81\x01c"],
        ),
    ]
}

/// Fragments, and control frames.
pub(super) fn fragments_and_control() -> Vec<Row> {
    vec![
        fine(
            "the fragmented Hello",
            &[&frame(0x01, b"Hel"), &frame(0x80, b"lo")],
            &[b"\x81\x05Hello"],
        ),
        fine(
            "nothing but empty fragments",
            &[&frame(0x01, b""), &frame(0x00, b""), &frame(0x80, b"")],
            &[b"\x81\x00"],
        ),
        fine(
            "a ping inside a message",
            &[
                &frame(0x02, b"a"),
                &frame(0x89, b"\xFF?"),
                &frame(0x80, b"b"),
            ],
            &[b"\x8A\x02\xFF?\x82\x02ab"],
        ),
        fine(
            "a code point cut into four fragments, with a pong inside",
            &[
                &frame(0x01, b"\xF0"),
                &frame(0x00, b"\x9F"),
                &frame(0x8A, b"\xFF"),
                &frame(0x00, b"\x98"),
                &frame(0x80, b"\x80"),
            ],
            &[b"\x81\x04\xF0\x9F\x98\x80"],
        ),
        fine(
            "pings, answered in order",
            &[&frame(0x89, b""), &frame(0x89, b"2"), &frame(0x89, b"3")],
            &[b"\x8A\x00\x8A\x012\x8A\x013"],
        ),
        fine(
            "the longest ping",
            &[&frame(0x89, &[9; 125])],
            &[b"\x8A\x7D", &[9; 125]],
        ),
        fine("a pong that nobody asked for", &[&frame(0x8A, b"?")], &[]),
    ]
}

/// Lengths around every form, and the limits.
pub(super) fn lengths() -> Vec<Row> {
    let full = vec![b'm'; LIMIT];
    let sum: &[&[u8]] = &[
        &frame(0x02, &full[..LIMIT - 1]),
        &frame(0x00, b"m"),
        &frame(0x80, b""),
    ];
    vec![
        fine(
            "125 bytes, the longest in the short form",
            &[&frame(0x82, &full[..125])],
            &[b"\x82\x7D", &full[..125]],
        ),
        fine(
            "126 bytes, the shortest in the 16-bit form",
            &[&frame(0x82, &full[..126])],
            &[b"\x82\x7E\x00\x7E", &full[..126]],
        ),
        fine(
            "65,535 bytes, the longest in the 16-bit form",
            &[&frame(0x82, &full[..65_535])],
            &[b"\x82\x7E\xFF\xFF", &full[..65_535]],
        ),
        fine(
            "65,536 bytes: the 64-bit form, and exactly the limit",
            &[&frame(0x82, &full)],
            &[b"\x82\x7F\0\0\0\0\0\x01\0\0", &full],
        ),
        fine(
            "exactly the limit, over all fragments",
            sum,
            &[b"\x82\x7F\0\0\0\0\0\x01\0\0", &full],
        ),
        fine(
            "1,024 fragments",
            &[&fragments(1024)],
            &[b"\x82\x7E\x04\0", &[b'f'; 1024]],
        ),
    ]
}

pub(super) fn closes() -> Vec<Row> {
    let mut rows = vec![
        row("no code", &[&frame(0x88, b"")], &[b"\x88\x00"]),
        row(
            "one byte",
            &[&frame(0x88, b"\x03")],
            &[&close(1002, "invalid close frame")],
        ),
        row(
            "a reason that is not UTF-8",
            &[&frame(0x88, b"\x03\xE8\xED\xA0\x80")],
            &[&close(1007, "invalid UTF-8")],
        ),
        row(
            "the longest reason",
            &[&frame(0x88, &close(1000, &"r".repeat(123))[2..])],
            &[&close(1000, &"r".repeat(123))],
        ),
        row(
            "a Close inside a message",
            &[&frame(0x01, b"begun"), &frame(0x88, b"\x03\xE9")],
            &[&close(1001, "")],
        ),
        row(
            "a Close behind a message",
            &[&text("hi"), &frame(0x89, b"?"), &frame(0x88, b"\x03\xE9")],
            &[b"\x8A\x01?\x81\x02hi", &close(1001, "")],
        ),
    ];
    for code in [
        1000, 1001, 1002, 1003, 1007, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999,
    ] {
        let name = format!("code {code}");
        rows.push(row(
            name,
            &[&frame(0x88, &close(code, "é")[2..])],
            &[&close(code, "é")],
        ));
    }
    let bad: [u16; 14] = [
        0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 1999, 2000, 2999, 5000, 0xFFFF,
    ];
    for code in bad {
        let name = format!("code {code}");
        // The reason says what was wrong, and is not the client's own.
        rows.push(row(
            name,
            &[&frame(0x88, &close(code, "bye")[2..])],
            &[&close(1002, "invalid close code")],
        ));
    }
    rows
}

/// A Close with 3000, and what must not be looked at any more.
pub(super) fn behind_a_close() -> Vec<Row> {
    let late: [(&str, &[u8]); 4] = [
        ("a message", &text("late")),
        ("a ping", &frame(0x89, b"late")),
        ("a second Close", &frame(0x88, b"\x0F\xA0")),
        ("a violation", b"\xFF\xFF\xFF\xFF"),
    ];
    let after = |(name, late): (&str, &[u8])| {
        let sent: &[&[u8]] = &[&frame(0x88, b"\x0B\xB8"), late];
        row(format!("{name} behind a Close"), sent, &[&close(3000, "")])
    };
    late.into_iter().map(after).collect()
}
