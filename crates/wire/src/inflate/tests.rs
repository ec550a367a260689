//! Tests of the inflater with the RFC's examples, decompression bombs, truncated messages and
//! random bytes.

use proptest::{collection::vec, prelude::*};
use zlib_rs::{Deflate, DeflateFlush};

use super::*;
use crate::deflate::Deflater;

const INVALID: Result<Vec<u8>, ProtocolError> = Err(ProtocolError::InvalidCompression);
const TOO_BIG: Result<Vec<u8>, ProtocolError> = Err(ProtocolError::MessageTooBig);

/// Inflates a message with a new inflater, to at most 1 MiB.
fn inflate(compressed: &[u8]) -> Result<Vec<u8>, ProtocolError> {
    Inflater::new().inflate(compressed, 1 << 20)
}

/// Returns `count` mebibytes of zeros as a compressed message. Only the first two mebibytes are
/// really compressed. For each further one, the blocks of the second are repeated.
fn mebibytes_of_zeros(count: usize) -> Vec<u8> {
    let mut stream = Deflate::new(9, false, 15);
    let zeros = vec![0; 1 << 20];
    let mut block = || {
        let mut output = vec![0; 8192];
        let before = stream.total_out();
        stream
            .compress(&zeros, &mut output, DeflateFlush::SyncFlush)
            .unwrap();
        output.truncate(to_len(stream.total_out() - before));
        output
    };
    let first = block();
    [first, block().repeat(count - 1), vec![0x00]].concat()
}

#[test]
fn the_examples_of_the_rfc_are_inflated() {
    let examples: [(&str, &[u8]); 6] = [
        ("7.2.3.1", &[0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00]),
        (
            "7.2.3.3",
            &[
                0x00, 0x05, 0x00, 0xFA, 0xFF, 0x48, 0x65, 0x6C, 0x6C, 0x6F, 0x00,
            ],
        ),
        ("7.2.3.4", &[0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 0x00]),
        (
            "7.2.3.4, without the last byte",
            &[0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00],
        ),
        (
            "7.2.3.5",
            &[
                0xF2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xFF, 0xFF, 0xCA, 0xC9, 0xC9, 0x07, 0x00,
            ],
        ),
        (
            "two fragments of 7.2.3.1",
            &[[0xF2, 0x48, 0xCD].as_slice(), &[0xC9, 0xC9, 0x07, 0x00]].concat(),
        ),
    ];
    for (section, compressed) in examples {
        assert_eq!(inflate(compressed), Ok(b"Hello".to_vec()), "{section}");
    }
    assert_eq!(inflate(&[0x00]), Ok(vec![]), "7.2.3.6");
    assert_eq!(inflate(&[0x01]), Ok(vec![]), "7.2.3.6 as a last block");
    // A second "Hello" that refers back to the first, which needs a context.
    let refers_to_earlier_message = [0xF2, 0x00, 0x11, 0x00, 0x00];
    assert_eq!(inflate(&refers_to_earlier_message), INVALID, "7.2.3.2");
}

#[test]
fn a_message_that_refers_to_an_earlier_one_is_refused() {
    let mut inflater = Inflater::new();
    let hello = [0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00];
    for _ in 0..2 {
        assert_eq!(inflater.inflate(&hello, 5), Ok(b"Hello".to_vec()));
        assert_eq!(
            inflater.inflate(&[0xF2, 0x00, 0x11, 0x00, 0x00], 5),
            INVALID
        );
    }
}

#[test]
fn a_block_after_one_with_bfinal_may_refer_back_to_it() {
    // "Hello" in a block with BFINAL, and the block of §7.2.3.2 that refers back to it.
    let last = [0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00];
    let twice = [&last[..], &[0xF2, 0x00, 0x11, 0x00, 0x00]].concat();
    assert_eq!(inflate(&twice), Ok(b"HelloHello".to_vec()));
    let many = |count| inflate(&[&last.repeat(count)[..], &[0x00]].concat());
    assert_eq!(many(MAX_STREAMS - 1), Ok(b"Hello".repeat(MAX_STREAMS - 1)));
    assert_eq!(many(MAX_STREAMS + 1), INVALID);
}

#[test]
fn invalid_deflate_data_is_refused() {
    let cases: [&[u8]; 9] = [
        // No bytes: an empty message has the byte 0x00.
        b"",
        // Read as a stored block whose length and complement do not fit.
        b"Hello",
        // The reserved block type, with BFINAL and without.
        &[0xFF],
        &[0x06],
        // A stored "Hello" whose length and complement do not fit.
        &[
            0x00, 0x05, 0x00, 0xFA, 0xFE, 0x48, 0x65, 0x6C, 0x6C, 0x6F, 0x00,
        ],
        // The reserved block type after a block with BFINAL.
        &[0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 0xFF],
        // Cut inside the Huffman table, so that the tail would be read as the rest of the table.
        &[0x04, 0x00],
        &[0x0C, 0x8F, 0x5B, 0x0A, 0x00, 0x50, 0x04, 0x44, 0xB7],
        // A stored block without its content, so that the tail would be read as the content.
        &[0x00, 0x04, 0x00, 0xFB, 0xFF],
    ];
    for compressed in cases {
        assert_eq!(inflate(compressed), INVALID, "{compressed:02X?}");
    }
}

#[test]
fn exactly_the_limit_passes_and_no_more_memory_is_taken() {
    let mut deflater = Deflater::new(WindowBits::MAX);
    for limit in [0, 1, 100, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 100_000] {
        let compressed = |len: usize| {
            let compressed = deflater.deflate(&vec![b'a'; len]);
            compressed.unwrap_or_else(|| stored(&vec![b'a'; len]))
        };
        let [full, over] = [limit, limit + 1].map(compressed);
        let payload = Inflater::new().inflate(&full, limit).unwrap();
        assert_eq!((payload.len(), payload.capacity()), (limit, limit));
        assert_eq!(Inflater::new().inflate(&over, limit), TOO_BIG);
    }
}

/// Encodes a message as one block without compression.
fn stored(payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len()).unwrap();
    let lengths = [len.to_le_bytes(), (!len).to_le_bytes()].concat();
    [&[0x00], &lengths[..], payload, &[0x00]].concat()
}

#[test]
fn a_decompression_bomb_is_inflated_to_the_limit_and_no_further() {
    let three = mebibytes_of_zeros(3);
    let payload = Inflater::new().inflate(&three, 3 << 20).unwrap();
    assert_eq!((payload.len(), payload.capacity()), (3 << 20, 3 << 20));

    let gibibyte = mebibytes_of_zeros(1024);
    let mut inflater = Inflater::new();
    assert_eq!(inflater.inflate(&gibibyte, 1 << 16), TOO_BIG);
    assert!(to_len(inflater.stream.total_out()) <= (1 << 16) + CHUNK);
    assert_eq!(inflater.inflate(&[0x00], 0), Ok(vec![]), "still usable");
}

#[test]
fn a_truncated_message_is_refused_unless_its_first_byte_alone_is_a_message() {
    let mut payload =
        b"{\"topic\":\"cats\",\"offset\":1234567,\"data\":\"meow meow meow\"}".repeat(3);
    payload.extend((0..=255).rev());
    let stored = stored(&payload);
    let deflated = |level| {
        let mut output = vec![0; 2000];
        let mut stream = Deflate::new(level, false, 15);
        stream
            .compress(&payload, &mut output, DeflateFlush::SyncFlush)
            .unwrap();
        output.truncate(to_len(stream.total_out()) - 4);
        output
    };
    // A stored block, fixed and dynamic Huffman codes, and a stored block whose content looks like
    // the tail.
    let tails = [
        0x00, 0x08, 0x00, 0xF7, 0xFF, 0, 0, 0xFF, 0xFF, 0, 0, 0xFF, 0xFF, 0x00,
    ];
    for message in [stored, deflated(1), deflated(9), tails.to_vec()] {
        let whole = inflate(&message).unwrap();
        assert!(!whole.is_empty());
        let cuts: Vec<usize> = (0..message.len())
            .filter(|cut| inflate(&message[..*cut]).is_ok())
            .collect();
        for cut in cuts {
            // Only a cut behind the first byte may leave a valid message: the byte 0x00 is an empty
            // one (§7.2.3.6).
            assert_eq!(cut, 1, "{message:02X?}");
            assert_eq!(inflate(&message[..cut]), Ok(vec![]));
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_inflate_to_no_more_than_the_limit(
        bytes in vec(any::<u8>(), 0..300), limit in 0..2000usize,
    ) {
        let mut inflater = Inflater::new();
        if let Ok(payload) = inflater.inflate(&bytes, limit) {
            prop_assert!(payload.capacity() <= limit);
        }
    }

    #[test]
    fn a_message_with_one_byte_changed_inflates_to_no_more_than_the_limit(
        place in any::<proptest::sample::Index>(), byte in any::<u8>(), limit in 0..2000usize,
    ) {
        let payload = b"{\"topic\":\"cats\",\"offset\":1234567}".repeat(30);
        let mut message = Deflater::new(WindowBits::MAX).deflate(&payload).unwrap();
        let place = place.index(message.len());
        message[place] = byte;
        if let Ok(payload) = Inflater::new().inflate(&message, limit) {
            prop_assert!(payload.capacity() <= limit);
        }
    }
}
