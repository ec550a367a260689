//! Compresses messages with one compressor of the product, and checks that the oracle inflates each
//! of them to the same message. The oracle has the window that was agreed on, as a peer would.
//!
//! The lowest three bits of the input's first byte select the window. The next bit is set for a
//! compressor with a context. The [`Parts`] of the messages follow.
#![no_main]

use framecast_fuzz::{inflate, parts::Parts};
use framecast_wire::{deflate::Deflater, extension::WindowBits, inflate::Inflater};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((terms, parts)) = data.split_first() else {
        return;
    };
    let window = WindowBits::ALL[usize::from(terms & 0x07)];
    let with_context = terms & 0x08 != 0;
    let mut deflater = if with_context {
        Deflater::with_context(window)
    } else {
        Deflater::new(window)
    };
    // zlib does not support the smallest window, so there is no context with it.
    let keeps_context = with_context && window != WindowBits::MIN;
    let mut peer = inflate::Inflater::new(window.bits(), keeps_context);
    let mut own = Inflater::new();
    for message in Parts::new(parts) {
        let Some(compressed) = deflater.deflate(&message) else {
            assert!(!keeps_context, "a context needs every message");
            assert!(!must_shrink(&message, window), "{} bytes", message.len());
            continue;
        };
        assert!(
            peer.inflate(&compressed) == message,
            "{} bytes",
            message.len()
        );
        if !keeps_context {
            assert!(compressed.len() < message.len());
            let inflated = own.inflate(&compressed, message.len());
            assert!(inflated.as_ref() == Ok(&message), "{:?}", inflated.err());
        }
    }
});

/// Returns true if a message must be compressed: it is the same byte at least 16 times, and not
/// more than 256 times if the window is the smallest.
fn must_shrink(message: &[u8], window: WindowBits) -> bool {
    let fits = window != WindowBits::MIN || message.len() <= 256;
    fits && message.len() >= 16 && message.iter().all(|byte| *byte == message[0])
}
