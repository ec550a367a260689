//! The table: compressed messages (RFC 7692), and what comes back, shown without compression.

use framecast_test_support::{
    deflate::{deflated, stored, zeros},
    frame, text,
};

use super::{
    rows::{LIMIT, Row, fine},
    violations::refused,
};

/// "Hello" as in §7.2.3.1.
const HELLO: &[u8] = b"\xF2\x48\xCD\xC9\xC9\x07\x00";

/// Rows that the server has nothing against.
pub(super) fn messages() -> Vec<Row> {
    let mut rows = examples();
    rows.extend(fragmented());
    rows.extend(requests());
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
            "§7.2.3.4: a last block",
            b"\xF3\x48\xCD\xC9\xC9\x07\x00\x00",
        ),
        (
            "a last block, and nothing behind it",
            b"\xF3\x48\xCD\xC9\xC9\x07\x00",
        ),
        (
            "§7.2.3.5: two blocks",
            b"\xF2\x48\x05\x00\x00\x00\xFF\xFF\xCA\xC9\xC9\x07\x00",
        ),
        (
            "an empty block in front",
            b"\x00\x00\x00\xFF\xFF\xF2\x48\xCD\xC9\xC9\x07\x00",
        ),
    ];
    let mut rows = Vec::new();
    for (name, compressed) in hello {
        rows.push(fine(name, &[&frame(0xC1, compressed)], &[b"\x81\x05Hello"]));
        let name = format!("{name}, as binary");
        rows.push(fine(name, &[&frame(0xC2, compressed)], &[b"\x82\x05Hello"]));
    }
    rows.push(fine(
        "§7.2.3.6: nothing",
        &[&frame(0xC1, b"\x00"), &frame(0xC2, b"\x00")],
        &[b"\x81\x00\x82\x00"],
    ));
    rows
}

/// Messages in fragments, of which the first one says that they are compressed.
fn fragmented() -> Vec<Row> {
    let (head, tail) = HELLO.split_at(3);
    let byte_by_byte: Vec<u8> = (0..HELLO.len())
        .flat_map(|at| frame([0x41, 0x00][usize::from(at > 0)], &HELLO[at..=at]))
        .chain(frame(0x80, b""))
        .collect();
    vec![
        fine(
            "§7.2.3.1 in two fragments",
            &[&frame(0x41, head), &frame(0x80, tail)],
            &[b"\x81\x05Hello"],
        ),
        fine(
            "control frames between two fragments",
            &[
                &frame(0x42, head),
                &frame(0x89, b"\xFF?"),
                &frame(0x8A, b"\xF2"),
                &frame(0x80, tail),
            ],
            &[b"\x8A\x02\xFF?\x82\x05Hello"],
        ),
        fine(
            "an empty first and an empty last fragment",
            &[&frame(0x41, b""), &frame(0x00, HELLO), &frame(0x80, b"")],
            &[b"\x81\x05Hello"],
        ),
        fine(
            "a byte in each fragment",
            &[&byte_by_byte],
            &[b"\x81\x05Hello"],
        ),
        fine(
            "text cut inside a code point",
            &[
                &frame(0x41, &stored("€".as_bytes())[..6]),
                &frame(0x80, &stored("€".as_bytes())[6..]),
            ],
            &[b"\x81\x03\xE2\x82\xAC"],
        ),
        fine(
            "with and without compression by turns, the latter like the former",
            &[
                &frame(0xC1, HELLO),
                &frame(0x82, HELLO),
                &[frame(0x41, head), frame(0x80, tail)].concat(),
                &[frame(0x02, head), frame(0x80, tail)].concat(),
                &text("a"),
                &frame(0xC2, HELLO),
            ],
            &[
                &[b"\x81\x05Hello\x82\x07", HELLO].concat(),
                &[b"\x81\x05Hello\x82\x07", HELLO].concat(),
                b"\x81\x01a\x82\x05Hello",
            ],
        ),
    ]
}

/// What a relay understands.
fn requests() -> Vec<Row> {
    let topics = r#"{"topics":["cats","dogs"]}"#;
    let answer = [&[0x81, 26], topics.as_bytes()].concat();
    let ping = b"\x2A\xC8\xCC\x4B\x07\x00";
    let compressed = deflated(topics.as_bytes());
    vec![
        fine("ping", &[&frame(0xC1, ping)], &[b"\x81\x04ping"]),
        fine("topics", &[&frame(0xC1, &compressed)], &[&answer]),
        fine(
            "ping, topics and ping",
            &[&frame(0xC1, ping), &frame(0xC1, &compressed), &text("ping")],
            &[b"\x81\x04ping", &answer, b"\x81\x04ping"],
        ),
    ]
}

/// Around the limits.
fn sizes() -> Vec<Row> {
    let full = vec![b'm'; LIMIT];
    let echoed: &[&[u8]] = &[b"\x82\x7F\0\0\0\0\0\x01\0\0", &full];
    let compressed = deflated(&full);
    vec![
        fine(
            "64 bytes",
            &[&frame(0xC2, &deflated(&full[..64]))],
            &[b"\x82\x40", &full[..64]],
        ),
        fine("exactly the limit", &[&frame(0xC2, &compressed)], echoed),
        fine(
            "exactly the limit, in two fragments",
            &[
                &frame(0x42, &compressed[..40]),
                &frame(0x80, &compressed[40..]),
            ],
            echoed,
        ),
        fine(
            "exactly the limit, and larger compressed",
            &[&frame(0xC2, &stored(&full))],
            echoed,
        ),
        fine("1,024 fragments", &[&fragments(1024)], &[b"\x82\x05Hello"]),
    ]
}

/// Hello in this many fragments.
fn fragments(count: usize) -> Vec<u8> {
    let empty = frame(0x00, b"").repeat(count - 2);
    [frame(0x42, HELLO), empty, frame(0x80, b"")].concat()
}

/// Everything that is refused.
pub(super) fn violations() -> Vec<Row> {
    let mut rows = reserved_bits();
    rows.extend(invalid_data());
    rows.extend(invalid_text());
    rows.extend(too_big());
    rows
}

/// RSV1 where it means nothing, and the others, which never do.
fn reserved_bits() -> Vec<Row> {
    let mut rows = Vec::new();
    let mut refuse = |name: &str, sent: &[&[u8]]| {
        rows.push(refused(name, sent, 1002, "reserved bits set"));
    };
    for first in [
        0xA1, 0x91, 0xE1, 0xD1, 0xF2, 0xC8, 0xC9, 0xCA, 0xC3, 0xCB, 0x40, 0xC0, 0x48,
    ] {
        refuse(&format!("{first:02X}"), &[&frame(first, HELLO)]);
    }
    for begun in [0x02, 0x42] {
        for first in [0x40, 0xC0, 0xC9] {
            let name = format!("{first:02X} inside a message begun by {begun:02X}");
            refuse(
                &name,
                &[&frame(begun, &HELLO[..3]), &frame(first, &HELLO[3..])],
            );
        }
    }
    let inside: &[&[u8]] = &[&frame(0x41, &HELLO[..3]), &frame(0xC1, HELLO)];
    let reason = "data frame inside a fragmented message";
    rows.push(refused(
        "a compressed message inside one",
        inside,
        1002,
        reason,
    ));
    let unmasked: &[&[u8]] = &[&[0xC1, 0x07], HELLO];
    rows.push(refused("not masked", unmasked, 1002, "unmasked frame"));
    rows
}

/// What is not deflate, and what is not all of it.
fn invalid_data() -> Vec<Row> {
    let payloads: [&[u8]; 10] = [
        b"",
        b"Hello",
        b"\xFF\xFF\xFF\xFF",
        b"\x06",
        // Lengths of a block that do not fit; more behind the end.
        b"\x00\x05\x00\xFA\xFEHello\x00",
        b"\xF3\x48\xCD\xC9\xC9\x07\x00\xFF",
        // §7.2.3.2: a reference to an earlier message.
        b"\xF2\x00\x11\x00\x00",
        // Cut: inside a code, inside a table, inside a block without compression.
        &HELLO[..4],
        b"\x0C\x8F\x5B\x0A\x00\x50\x04\x44\xB7",
        b"\x00\x04\x00\xFB\xFF",
    ];
    let mut rows = Vec::new();
    let reason = "invalid compressed data";
    for payload in payloads {
        for first in [0xC1, 0xC2] {
            let name = format!("{first:02X} {payload:02X?}");
            rows.push(refused(&name, &[&frame(first, payload)], 1007, reason));
        }
    }
    let mut second = refused(
        "§7.2.3.2 behind §7.2.3.1",
        &[&frame(0xC1, HELLO), &frame(0xC1, b"\xF2\x00\x11\x00\x00")],
        1007,
        reason,
    );
    second.received.splice(0..0, *b"\x81\x05Hello");
    rows.push(second);
    let cut: &[&[u8]] = &[&frame(0x41, &HELLO[..2]), &frame(0x80, &HELLO[2..4])];
    rows.push(refused("cut, in two fragments", cut, 1007, reason));
    rows
}

/// Text that turns out not to be UTF-8.
fn invalid_text() -> Vec<Row> {
    let texts: [&[u8]; 5] = [
        b"\xFF",
        b"ok\x80",
        b"\xED\xA0\x80",
        b"\xF4\x90\x80\x80",
        b"\xE2\x82",
    ];
    let refused = |text: &[u8]| {
        let sent: &[&[u8]] = &[&frame(0xC1, &stored(text))];
        refused(&format!("text {text:02X?}"), sent, 1007, "invalid UTF-8")
    };
    texts.into_iter().map(refused).collect()
}

/// More than the limit, inflated or as it comes.
fn too_big() -> Vec<Row> {
    let over = deflated(&[b'm'; LIMIT + 1]);
    let bomb = zeros(LIMIT * 1000);
    let rows: [(&str, &[&[u8]]); 5] = [
        ("limit + 1", &[&frame(0xC2, &over)]),
        ("limit + 1, of text", &[&frame(0xC1, &over)]),
        (
            "limit + 1, in two fragments",
            &[&frame(0x42, &over[..40]), &frame(0x80, &over[40..])],
        ),
        ("62 MiB of zeros", &[&frame(0xC2, &bomb)]),
        // Nothing of the limit's size can get as large as this: 65,536 × 9 ⁄ 8 + 64 and one.
        (
            "a header that promises too much",
            &[b"\xC2\xFF\0\0\0\0\0\x01\x20\x41", &[0; 4]],
        ),
    ];
    let refused_size = |(name, sent)| refused(name, sent, 1009, "message too big");
    let mut rows: Vec<Row> = rows.into_iter().map(refused_size).collect();
    let many: &[&[u8]] = &[&fragments(1025)];
    rows.push(refused("1,025 fragments", many, 1008, "too many fragments"));
    rows
}
