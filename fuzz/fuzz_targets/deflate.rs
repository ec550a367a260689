//! Messages through one compressor: a peer that inflates them with the oracle, within the agreed
//! window, gets what was sent.
//!
//! The first byte of the input holds the window, and a flag for a context. A list of [`Parts`]
//! follows.
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

/// Returns true for one byte many times, in a message that fits in the smallest window if that is
/// used. Such a message must be compressed.
fn must_shrink(message: &[u8], window: WindowBits) -> bool {
    let is_small = window != WindowBits::MIN || message.len() <= 256;
    is_small && message.len() >= 16 && message.iter().all(|byte| *byte == message[0])
}
