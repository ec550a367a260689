//! Rows of the tables in `frames.rs`: compressed messages (RFC 7692), and the server's replies. The
//! replies are written here without compression, because the check inflates what the server sends.

use framecast_test_support::{
    deflate::{compressed, deflated, stored, zeros},
    frames::{
        Frame, binary, first_binary, first_text, frame, last, masked, middle, ping, pong, text,
        with_rsv1,
    },
    limits::{FRAGMENTS, MESSAGE_BYTES},
};

use crate::frames::{
    protocol_errors::refused,
    rows::{Row, fine},
};

/// The compressed "Hello" of §7.2.3.1.
pub(super) const HELLO: &[u8] = b"\xF2\x48\xCD\xC9\xC9\x07\x00";

/// The compressed "Hello" of §7.2.3.2, which refers to the message before it.
const HELLO_AGAIN: &[u8] = b"\xF2\x00\x11\x00\x00";

/// Returns the rows without a protocol error.
pub(super) fn messages() -> Vec<Row> {
    let mut rows = examples();
    rows.extend(fragmented());
    rows.extend(relay_messages());
    rows.extend(sizes());
    rows
}

/// The examples of RFC 7692 §7.2.3.
fn examples() -> Vec<Row> {
    let hello: [(&str, &[u8]); 6] = [
        ("§7.2.3.1", HELLO),
        (
            "§7.2.3.3: a block without compression",
            b"\x00\x05\x00\xFA\xFFHello\x00",
        ),
        (
            "§7.2.3.4: a block with BFINAL",
            b"\xF3\x48\xCD\xC9\xC9\x07\x00\x00",
        ),
        (
            "a block with BFINAL, and no byte after it",
            b"\xF3\x48\xCD\xC9\xC9\x07\x00",
        ),
        (
            "§7.2.3.5: two blocks",
            b"\xF2\x48\x05\x00\x00\x00\xFF\xFF\xCA\xC9\xC9\x07\x00",
        ),
        (
            "an empty block first",
            b"\x00\x00\x00\xFF\xFF\xF2\x48\xCD\xC9\xC9\x07\x00",
        ),
    ];
    let mut rows = Vec::new();
    for (name, payload) in hello {
        rows.push(fine(name, [with_rsv1(text(payload))], [text("Hello")]));
        let name = format!("{name}, as binary");
        rows.push(fine(name, [with_rsv1(binary(payload))], [binary("Hello")]));
    }
    rows.push(fine(
        "§7.2.3.6: an empty message",
        [with_rsv1(text(b"\x00")), with_rsv1(binary(b"\x00"))],
        [text(""), binary("")],
    ));
    rows
}

/// Compressed messages in fragments. Only the first fragment has RSV1 set.
fn fragmented() -> Vec<Row> {
    let (head, tail) = HELLO.split_at(3);
    let (first_of_euro, rest_of_euro) = {
        let mut payload = stored("€".as_bytes());
        // 5 bytes before the content of a stored block, and the first byte of `€`.
        let rest = payload.split_off(6);
        (payload, rest)
    };
    let mut byte_by_byte = vec![with_rsv1(first_text(&HELLO[..1]))];
    byte_by_byte.extend(HELLO[1..].iter().map(|byte| middle([*byte])));
    byte_by_byte.push(last(""));
    vec![
        fine(
            "§7.2.3.1 in two fragments",
            [with_rsv1(first_text(head)), last(tail)],
            [text("Hello")],
        ),
        fine(
            "control frames between two fragments",
            [
                with_rsv1(first_binary(head)),
                ping(b"\xFF?"),
                pong(b"\xF2"),
                last(tail),
            ],
            [pong(b"\xFF?"), binary("Hello")],
        ),
        fine(
            "an empty first and an empty last fragment",
            [with_rsv1(first_text("")), middle(HELLO), last("")],
            [text("Hello")],
        ),
        fine("a byte in each fragment", byte_by_byte, [text("Hello")]),
        fine(
            "text cut inside a code point",
            [with_rsv1(first_text(first_of_euro)), last(rest_of_euro)],
            [text("€")],
        ),
        fine(
            "compressed and plain messages by turns, with the same payload",
            [
                with_rsv1(text(HELLO)),
                binary(HELLO),
                with_rsv1(first_text(head)),
                last(tail),
                first_binary(head),
                last(tail),
                text("a"),
                with_rsv1(binary(HELLO)),
            ],
            [
                text("Hello"),
                binary(HELLO),
                text("Hello"),
                binary(HELLO),
                text("a"),
                binary("Hello"),
            ],
        ),
    ]
}

/// Messages that a relay interprets. The rows have the replies of the echo, as all rows do:
/// `Endpoint::answer` turns them into those of the relay.
fn relay_messages() -> Vec<Row> {
    let topics = text(r#"{"topics":["cats","dogs"]}"#);
    // "ping" in a block with fixed codes.
    let compressed_ping = with_rsv1(text(b"\x2A\xC8\xCC\x4B\x07\x00"));
    vec![
        fine("ping", [compressed_ping.clone()], [text("ping")]),
        fine("topics", [compressed(topics.clone())], [topics.clone()]),
        fine(
            "ping, topics and ping",
            [compressed_ping, compressed(topics.clone()), text("ping")],
            [text("ping"), topics, text("ping")],
        ),
    ]
}

/// Sizes at the limits.
fn sizes() -> Vec<Row> {
    let full = binary([b'm'; MESSAGE_BYTES]);
    let payload = deflated(&full.1);
    let (head, tail) = payload.split_at(40);
    let small = binary([b'm'; 64]);
    vec![
        fine("64 bytes", [compressed(small.clone())], [small]),
        fine(
            "exactly the limit",
            [compressed(full.clone())],
            [full.clone()],
        ),
        fine(
            "exactly the limit, in two fragments",
            [with_rsv1(first_binary(head)), last(tail)],
            [full.clone()],
        ),
        fine(
            "exactly the limit, and over it before it is inflated",
            [with_rsv1(binary(stored(&full.1)))],
            [full.clone()],
        ),
        fine(
            format!("{FRAGMENTS} fragments"),
            fragments(FRAGMENTS),
            [binary("Hello")],
        ),
    ]
}

/// Returns "Hello" in `count` fragments, of which all but the first are empty.
fn fragments(count: usize) -> Vec<Frame> {
    let mut frames = vec![middle(""); count];
    frames[0] = with_rsv1(first_binary(HELLO));
    frames[count - 1] = last("");
    frames
}

/// Returns the rows that end with the Close of a protocol error.
pub(super) fn protocol_errors() -> Vec<Row> {
    let mut rows = reserved_bits();
    rows.extend(invalid_data());
    rows.extend(invalid_text());
    rows.extend(too_big());
    rows
}

/// RSV1 on a frame that does not begin a message, and RSV2 and RSV3, which no extension defines.
fn reserved_bits() -> Vec<Row> {
    let mut rows = Vec::new();
    let mut refuse = |name: &str, sent: &[u8]| {
        rows.push(refused(name, sent, 1002, "reserved bits set"));
    };
    for first in [
        0xA1, 0x91, 0xE1, 0xD1, 0xF2, 0xC8, 0xC9, 0xCA, 0xC3, 0xCB, 0x40, 0xC0, 0x48,
    ] {
        refuse(&format!("{first:02X}"), &frame(first, HELLO));
    }
    let (head, tail) = HELLO.split_at(3);
    for begun in [0x02, 0x42] {
        for first in [0x40, 0xC0, 0xC9] {
            let name = format!("{first:02X} inside a message begun by {begun:02X}");
            refuse(&name, &[frame(begun, head), frame(first, tail)].concat());
        }
    }
    let inside = masked([with_rsv1(first_text(head)), with_rsv1(text(HELLO))]);
    let (name, reason) = (
        "a compressed message inside a compressed message",
        "data frame inside a fragmented message",
    );
    rows.push(refused(name, &inside, 1002, reason));
    let unmasked = [&[0xC1, 0x07][..], HELLO].concat();
    rows.push(refused("not masked", &unmasked, 1002, "unmasked frame"));
    rows
}

/// Payloads that are not deflate, or that are cut.
fn invalid_data() -> Vec<Row> {
    let payloads: [&[u8]; 10] = [
        b"",
        b"Hello",
        b"\xFF\xFF\xFF\xFF",
        b"\x06",
        // A stored block whose two lengths do not match, and bytes after a block with BFINAL.
        b"\x00\x05\x00\xFA\xFEHello\x00",
        b"\xF3\x48\xCD\xC9\xC9\x07\x00\xFF",
        // A reference to an earlier message, although `client_no_context_takeover` was agreed on.
        HELLO_AGAIN,
        // Cut: inside a code, inside a table, inside a stored block.
        &HELLO[..4],
        b"\x0C\x8F\x5B\x0A\x00\x50\x04\x44\xB7",
        b"\x00\x04\x00\xFB\xFF",
    ];
    let reason = "invalid compressed data";
    let refused = |name: &str, sent: &[u8]| refused(name, sent, 1007, reason);
    let mut rows = Vec::new();
    for payload in payloads {
        for message in [text(payload), binary(payload)] {
            let (first, _) = message;
            let name = format!("{first:02X} {payload:02X?}");
            rows.push(refused(&name, &masked([with_rsv1(message)])));
        }
    }
    let twice = masked([HELLO, HELLO_AGAIN].map(|payload| with_rsv1(text(payload))));
    let mut second = refused("§7.2.3.2 after §7.2.3.1", &twice);
    second.received.insert(0, text("Hello"));
    rows.push(second);
    let cut = masked([with_rsv1(first_text(&HELLO[..2])), last(&HELLO[2..4])]);
    rows.push(refused("cut, in two fragments", &cut));
    rows
}

/// Compressed text that is not UTF-8.
fn invalid_text() -> Vec<Row> {
    let texts: [&[u8]; 5] = [
        // Bytes that begin no code point.
        b"\xFF",
        b"ok\x80",
        // A surrogate, a code point above U+10FFFF, and one that is cut.
        b"\xED\xA0\x80",
        b"\xF4\x90\x80\x80",
        b"\xE2\x82",
    ];
    let refused = |payload: &[u8]| {
        let sent = masked([with_rsv1(text(stored(payload)))]);
        refused(
            &format!("text {payload:02X?}"),
            &sent,
            1007,
            "invalid UTF-8",
        )
    };
    texts.into_iter().map(refused).collect()
}

/// Messages that are over a limit when they are inflated, or already as they arrive.
fn too_big() -> Vec<Row> {
    let over = [b'm'; MESSAGE_BYTES + 1];
    let payload = deflated(&over);
    let (head, tail) = payload.split_at(40);
    let bomb = zeros(MESSAGE_BYTES * 1000);
    // No message within the limit compresses to more than 9/8 of the limit and 64 bytes.
    let too_long = (MESSAGE_BYTES * 9 / 8 + 65) as u64;
    let rows = [
        ("limit + 1", masked([compressed(binary(over))])),
        ("limit + 1, of text", masked([compressed(text(over))])),
        (
            "limit + 1, in two fragments",
            masked([with_rsv1(first_binary(head)), last(tail)]),
        ),
        ("62 MiB of zeros", masked([with_rsv1(binary(bomb))])),
        (
            "a header that announces too much",
            [&[0xC2, 0xFF][..], &too_long.to_be_bytes(), &[0; 4]].concat(),
        ),
    ];
    let refused_size =
        |(name, sent): (&str, Vec<u8>)| refused(name, &sent, 1009, "message too big");
    let mut rows: Vec<Row> = rows.into_iter().map(refused_size).collect();
    let many = masked(fragments(FRAGMENTS + 1));
    let name = format!("{} fragments", FRAGMENTS + 1);
    rows.push(refused(&name, &many, 1008, "too many fragments"));
    rows
}
