//! The table: sequences of frames that are refused, and with what Close.

use framecast_test_support::{frame, text};

use super::rows::{LIMIT, Row, close, fragments, row};

/// A row that ends with this Close, whatever follows in it.
pub(super) fn refused(name: &str, sent: &[&[u8]], code: u16, reason: &str) -> Row {
    let ignored = text("behind");
    let sent = [sent, &[&ignored]].concat();
    row(name, &sent, &[&close(code, reason)])
}

/// Everything that is refused with 1002, 1008 or 1009.
pub(super) fn violations() -> Vec<Row> {
    let mut rows = first_two_bytes();
    rows.extend(sequences());
    rows.extend(lengths());
    rows.extend(sizes());
    rows
}

/// Refused for what the first two bytes of a frame say.
fn first_two_bytes() -> Vec<Row> {
    let mut rows = Vec::new();
    let mut refuse = |reason: &str, sent: Vec<u8>| {
        let name = format!("{reason} {:02X?}", &sent[..2]);
        rows.push(refused(&name, &[&sent], 1002, reason));
    };
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
    for opcode in [0x8, 0x9, 0xA] {
        refuse("fragmented control frame", frame(opcode, b""));
        refuse(
            "control frame over 125 bytes",
            frame(0x80 | opcode, &[0; 126]),
        );
        refuse("control frame over 125 bytes", vec![0x80 | opcode, 0xFF]);
    }
    rows
}

/// Refused for what came before.
fn sequences() -> Vec<Row> {
    let mut rows = Vec::new();
    for second in [0x01, 0x02, 0x81, 0x82] {
        let name = format!("{second:02X} inside a message");
        let sent: &[&[u8]] = &[&frame(0x01, b"a"), &frame(0x89, b""), &frame(second, b"b")];
        let reason = "data frame inside a fragmented message";
        let mut row = refused(&name, sent, 1002, reason);
        row.received.splice(0..0, *b"\x8A\x00");
        rows.push(row);
    }
    for first in [0x00, 0x80] {
        let name = format!("{first:02X} without a start");
        let reason = "continuation frame without a message to continue";
        rows.push(refused(&name, &[&frame(first, b"x")], 1002, reason));
        let name = format!("{first:02X} after the end of a message");
        let sent: &[&[u8]] = &[&frame(0x02, b""), &frame(0x80, b"x"), &frame(first, b"")];
        let mut row = refused(&name, sent, 1002, reason);
        row.received.splice(0..0, *b"\x82\x01x");
        rows.push(row);
    }
    rows
}

/// Refused for how a length is written.
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
    let refused = |(name, header)| refused(name, &[header, &[0; 4]], 1002, reason);
    headers.into_iter().map(refused).collect()
}

/// Refused for what it adds up to.
fn sizes() -> Vec<Row> {
    let (full, kib) = (vec![0; LIMIT], vec![0; 1024]);
    let too_big: [(&str, &[&[u8]]); 5] = [
        (
            "2^63 - 1",
            &[b"\x82\xFF\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF", &[0; 4]],
        ),
        (
            "the header of limit + 1",
            &[b"\x82\xFF\0\0\0\0\0\x01\0\x01", &[0; 4]],
        ),
        ("limit + 1", &[&frame(0x02, &full), &frame(0x80, b"x")]),
        (
            "1 + limit",
            &[&frame(0x02, b"x"), &frame(0x80, &full)[..14]],
        ),
        (
            "64 KiB and 1",
            &[
                &frame(0x02, &kib),
                &frame(0x00, &kib).repeat(63),
                &frame(0x80, b"x"),
            ],
        ),
    ];
    let refused_size = |(name, sent)| refused(name, sent, 1009, "message too big");
    let mut rows: Vec<Row> = too_big.into_iter().map(refused_size).collect();
    let many: &[&[u8]] = &[&fragments(1025)];
    rows.push(refused("1,025 fragments", many, 1008, "too many fragments"));
    rows
}

/// Everything that is refused with 1007.
pub(super) fn invalid_text() -> Vec<Row> {
    let mut rows = Vec::new();
    let texts: [&[u8]; 11] = [
        b"\xFF",
        b"ok\x80",
        b"\xC0\x80",
        b"\xC1\xBF",
        b"\xE0\x9F\xBF",
        b"\xF0\x8F\xBF\xBF",
        b"\xED\xA0\x80",
        b"\xED\xBF\xBF",
        b"\xF4\x90\x80\x80",
        b"\xF5\x80\x80\x80",
        b"\xE2\x82",
    ];
    let refused = |name: String, sent: &[&[u8]]| row(name, sent, &[&close(1007, "invalid UTF-8")]);
    for payload in texts {
        let whole = format!("text {payload:02X?}");
        rows.push(refused(whole, &[&frame(0x81, payload)]));
        let name = format!("text {payload:02X?} in two fragments");
        let sent: &[&[u8]] = &[&frame(0x01, &payload[..1]), &frame(0x80, &payload[1..])];
        rows.push(refused(name, sent));
    }
    let cut = "a code point cut by an empty final fragment";
    let sent: &[&[u8]] = &[&frame(0x01, b"ab\xE2\x82"), &frame(0x80, b"")];
    rows.push(refused(cut.into(), sent));
    let unfinished = "invalid text in a frame that never ends";
    let header = b"\x81\xFE\xFF\xFF\0\0\0\0ok\xF0\x9F\x98x";
    rows.push(refused(unfinished.into(), &[header]));
    rows
}
