//! Messages through one compressor: a peer that inflates by the book, within the window that was
//! agreed on, gets what was sent.
//!
//! The first byte of the input is the window, and whether a context is kept; then a list of
//! [`Parts`].
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
    // The smallest window is not one for zlib.
    let keeps_context = with_context && window != WindowBits::MIN;
    let mut peer = inflate::Inflater::new(window.bits(), keeps_context);
    let mut own = Inflater::new();
    for message in Parts::new(parts) {
        let Some(compressed) = deflater.deflate(&message) else {
            assert!(!keeps_context, "the next one may refer to it");
            assert!(!is_worth_it(&message, window), "{} bytes", message.len());
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

/// The same byte many times, in the window.
fn is_worth_it(message: &[u8], window: WindowBits) -> bool {
    let is_small = window != WindowBits::MIN || message.len() <= 256;
    is_small && message.len() >= 16 && message.iter().all(|byte| *byte == message[0])
}
