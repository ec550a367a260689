//! Compares the inflater with a simple decompressor that reads bit by bit. The input is garbage, or
//! a message that another compressor has compressed and in which some bytes were then changed. Both
//! must return the same payload or the same error, and never more bytes than the limit.
//!
//! The lower four bits of the input's first byte select the limit. Its bit 0x10 says what follows
//! this byte:
//!
//! - set: a byte for the compression level, a byte for the number of changes, three bytes for each
//!   change (two for its position, one with the bits to flip, or 0 to cut the message there), and
//!   the [`Parts`] of one message;
//! - not set: a compressed message as on the wire.
#![no_main]

use framecast_fuzz::{deflate, inflate, parts::Parts};
use framecast_wire::{inflate::Inflater, protocol_error::ProtocolError};
use libfuzzer_sys::fuzz_target;
use miniz_oxide::inflate::decompress_to_vec_with_limit;

fuzz_target!(|data: &[u8]| {
    let Some((shape, rest)) = data.split_first() else {
        return;
    };
    let limit = LIMITS[usize::from(shape & 0x0F)];
    let compressed = match shape & 0x10 {
        0 => Some(rest.to_vec()),
        _ => changed(rest),
    };
    let Some(compressed) = compressed else {
        return;
    };
    let expected = inflate::message(&compressed, limit);
    let mut inflater = Inflater::new();
    check(&inflater.inflate(&compressed, limit), &expected);
    // An inflater must not be changed by a message, valid or not: the next messages have the same
    // results.
    assert_eq!(inflater.inflate(&HELLO, 5), Ok(b"Hello".to_vec()));
    let again = inflater.inflate(&compressed, limit);
    check(&again, &expected);
    if let Ok(payload) = expected {
        assert!(again.is_ok_and(|payload| payload.capacity() <= limit));
        // A third decompressor, miniz_oxide, must find the same payload. It needs a block with
        // BFINAL, so one is appended. It stops behind the first such block, which may be an earlier
        // one, so only the beginning of the payload is compared.
        let stream = [&compressed[..], &[0x00, 0x00, 0xFF, 0xFF, 0x03, 0x00]].concat();
        let first = decompress_to_vec_with_limit(&stream, limit);
        assert!(payload.starts_with(&first.expect("it is valid")));
    }
});

/// Checks the inflater's result against the expected payload, or the errors that it may report.
fn check(ours: &Result<Vec<u8>, ProtocolError>, expected: &Result<Vec<u8>, Vec<ProtocolError>>) {
    match (ours, expected) {
        (Err(error), Err(faults)) => {
            assert!(faults.contains(error), "{error:?}, not {faults:?}")
        }
        (Ok(ours), Ok(theirs)) => assert!(ours == theirs, "a different payload"),
        (Ok(ours), Err(faults)) => panic!("{} bytes, not {faults:?}", ours.len()),
        (Err(error), Ok(theirs)) => panic!("{error:?}, not {} bytes", theirs.len()),
    }
}

/// Returns a message that was compressed and then changed, as the input describes. Returns `None`
/// if the input is too short.
fn changed(input: &[u8]) -> Option<Vec<u8>> {
    let [level, count, rest @ ..] = input else {
        return None;
    };
    let (changes, parts) = rest.split_at_checked(3 * usize::from(count % 8))?;
    let payload = Parts::new(parts).next()?;
    let mut compressed = deflate::message(&payload, level % 10);
    for change in changes.chunks(3) {
        let place = usize::from(change[0]) << 8 | usize::from(change[1]);
        let len = compressed.len();
        // There are no bits to flip: the message is cut at this place.
        if change[2] == 0 {
            compressed.truncate(place % (len + 1));
        } else if len > 0 {
            compressed[place % len] ^= change[2];
        }
    }
    Some(compressed)
}

/// Limits of the payload, in bytes, around the sizes at which the inflater behaves differently.
const LIMITS: [usize; 16] = [
    0, 1, 5, 16, 100, 257, 258, 259, 1000, 16_383, 16_384, 16_385, 32_768, 32_769, 50_000, 200_000,
];

/// "Hello", compressed as in RFC 7692 §7.2.3.1.
const HELLO: [u8; 7] = [0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00];
