//! Rows of the tables in `frames.rs`: sequences of frames that end the connection, and the Close
//! with the reason.

use framecast_test_support::{
    frames::{
        binary, close, first_binary, first_text, frame, last, masked, middle, ping, pong, text,
    },
    limits::{CONTROL_BYTES, FRAGMENTS, MESSAGE_BYTES},
};

use crate::frames::rows::{Row, fragments, row};

/// Masking key of the headers that this file writes byte by byte.
const KEY: [u8; 4] = [0; 4];

/// Returns a row with a protocol error, to which the server replies with this Close. Another
/// message follows the error, which the server must ignore.
pub(super) fn refused(name: &str, sent: &[u8], code: u16, reason: &str) -> Row {
    let sent = [sent, &masked([text("ignored")])].concat();
    row(name, sent, [close(code, reason)])
}

/// Returns the rows that end with 1002, 1008 or 1009.
pub(super) fn protocol_errors() -> Vec<Row> {
    let mut rows = first_two_bytes();
    rows.extend(sequences());
    rows.extend(lengths());
    rows.extend(sizes());
    rows
}

/// Frames whose first two bytes are invalid.
fn first_two_bytes() -> Vec<Row> {
    let mut rows = Vec::new();
    let mut refuse = |reason: &str, sent: Vec<u8>| {
        let name = format!("{reason} {:02X?}", &sent[..2]);
        rows.push(refused(&name, &sent, 1002, reason));
    };
    // The second byte has only a length, and not the bit that announces a masking key.
    for first in [0x81, 0x82, 0x01, 0x88, 0x89, 0x8A] {
        refuse("unmasked frame", vec![first, 0x02, 0x03, 0xE8]);
    }
    for first in [0xC1, 0xA1, 0x91, 0xC2, 0xF1, 0xC8, 0xA9, 0x9A, 0x40] {
        refuse("reserved bits set", frame(first, b"x"));
    }
    for opcode in (0x3..=0x7).chain(0xB..=0xF) {
        refuse("unknown opcode", frame(0x80 | opcode, b""));
        refuse("unknown opcode", frame(opcode, b"x"));
    }
    let too_long = [0; CONTROL_BYTES + 1];
    for opcode in [0x8, 0x9, 0xA] {
        refuse("fragmented control frame", frame(opcode, b""));
        refuse(
            "control frame over 125 bytes",
            frame(0x80 | opcode, &too_long),
        );
        // 0xFF announces a masking key and a length in 64 bits.
        refuse("control frame over 125 bytes", vec![0x80 | opcode, 0xFF]);
    }
    rows
}

/// Frames that are invalid after the frames before them.
fn sequences() -> Vec<Row> {
    let mut rows = Vec::new();
    for second in [0x01, 0x02, 0x81, 0x82] {
        let name = format!("{second:02X} inside a message");
        let sent = masked([first_text("a"), ping(""), (second, b"b".to_vec())]);
        let reason = "data frame inside a fragmented message";
        let mut row = refused(&name, &sent, 1002, reason);
        row.received.insert(0, pong(""));
        rows.push(row);
    }
    for first in [0x00, 0x80] {
        let name = format!("{first:02X} without a start");
        let reason = "continuation frame without a message to continue";
        rows.push(refused(&name, &frame(first, b"x"), 1002, reason));
        let name = format!("{first:02X} after the end of a message");
        let sent = masked([first_binary(""), last("x"), (first, Vec::new())]);
        let mut row = refused(&name, &sent, 1002, reason);
        row.received.insert(0, binary("x"));
        rows.push(row);
    }
    rows
}

/// Lengths that are not in their shortest form, or that have the top bit set.
fn lengths() -> Vec<Row> {
    let headers: [(&str, &[u8]); 7] = [
        ("16 bits for 0", b"\x82\xFE\0\0"),
        ("16 bits for 125", b"\x82\xFE\0\x7D"),
        ("64 bits for 5", b"\x82\xFF\0\0\0\0\0\0\0\x05"),
        ("64 bits for 126", b"\x82\xFF\0\0\0\0\0\0\0\x7E"),
        ("64 bits for 65,535", b"\x82\xFF\0\0\0\0\0\0\xFF\xFF"),
        ("the top bit", b"\x82\xFF\x80\0\0\0\0\0\0\0"),
        ("all ones", b"\x82\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF"),
    ];
    let reason = "payload length not in its shortest form";
    let refused = |(name, header): (&str, &[u8])| {
        let sent = [header, &KEY].concat();
        refused(name, &sent, 1002, reason)
    };
    headers.into_iter().map(refused).collect()
}

/// Messages that are over a limit, in one frame or in sum.
fn sizes() -> Vec<Row> {
    let (full, kib) = (vec![0; MESSAGE_BYTES], vec![0; 1024]);
    let header = |first: u8, len: u64| [&[first, 0xFF][..], &len.to_be_bytes(), &KEY].concat();
    let limit = MESSAGE_BYTES as u64;
    let mut in_kib = vec![middle(&kib); MESSAGE_BYTES / kib.len()];
    in_kib[0] = first_binary(&kib);
    in_kib.push(last("x"));
    let too_big = [
        ("2^63 - 1", header(0x82, (1 << 63) - 1)),
        ("the header of limit + 1", header(0x82, limit + 1)),
        ("limit + 1", masked([first_binary(&full), last("x")])),
        (
            "1, and the header of limit",
            [masked([first_binary("x")]), header(0x80, limit)].concat(),
        ),
        ("limit + 1, in fragments of 1 KiB", masked(in_kib)),
    ];
    let refused_size =
        |(name, sent): (&str, Vec<u8>)| refused(name, &sent, 1009, "message too big");
    let mut rows: Vec<Row> = too_big.into_iter().map(refused_size).collect();
    let many = masked(fragments(FRAGMENTS + 1));
    let name = format!("{} fragments", FRAGMENTS + 1);
    rows.push(refused(&name, &many, 1008, "too many fragments"));
    rows
}

/// Returns the rows that end with 1007.
pub(super) fn invalid_text() -> Vec<Row> {
    let texts: [&[u8]; 11] = [
        // Bytes that begin no code point.
        b"\xFF",
        b"ok\x80",
        // More bytes than the code point needs.
        b"\xC0\x80",
        b"\xC1\xBF",
        b"\xE0\x9F\xBF",
        b"\xF0\x8F\xBF\xBF",
        // The first and the last surrogate.
        b"\xED\xA0\x80",
        b"\xED\xBF\xBF",
        // Above U+10FFFF.
        b"\xF4\x90\x80\x80",
        b"\xF5\x80\x80\x80",
        // Cut.
        b"\xE2\x82",
    ];
    let refused = |name: String, sent: Vec<u8>| row(name, sent, [close(1007, "invalid UTF-8")]);
    let mut rows = Vec::new();
    for payload in texts {
        let whole = format!("text {payload:02X?}");
        rows.push(refused(whole, masked([text(payload)])));
        let in_two = format!("text {payload:02X?} in two fragments");
        let sent = masked([first_text(&payload[..1]), last(&payload[1..])]);
        rows.push(refused(in_two, sent));
    }
    let cut = "a code point cut by an empty final fragment";
    let sent = masked([first_text(b"ab\xE2\x82"), last("")]);
    rows.push(refused(cut.into(), sent));
    let unfinished = "invalid text in a frame that never ends";
    // A text of 65,535 bytes, masked with zeros, of which 6 bytes are sent.
    let sent = b"\x81\xFE\xFF\xFF\0\0\0\0ok\xF0\x9F\x98x";
    rows.push(refused(unfinished.into(), sent.to_vec()));
    rows
}
