//! A message on its way to the subscribers, in every form in which they take it.

use std::sync::{Arc, OnceLock};

use super::{compression::Compressors, outbox::ELEMENT_BYTES};
use crate::{
    config,
    wire::{extension::WindowBits, frame::Frame},
};

/// A message, encoded once; compressed once for each window that a subscriber asks for, on the
/// shard that comes to it first, and shared by all.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    plain: Frame,
    /// Absent where it would never be filled.
    compressed: Option<Arc<[OnceLock<Frame>; WindowBits::ALL.len()]>>,
}

impl Message {
    pub(super) fn new(plain: Frame, config: &config::Deflate) -> Self {
        let is_worth_it = config.enabled && plain.payload().len() >= config.min_bytes;
        Self {
            plain,
            compressed: is_worth_it.then(Arc::default),
        }
    }

    /// Memory that it holds before it is compressed, in bytes: a tiny one is not free.
    pub(super) fn held_bytes(&self) -> usize {
        let forms = self.compressed.as_deref().map_or(0, size_of_val);
        self.plain.wire_len() + ELEMENT_BYTES + forms
    }

    pub(super) fn plain(&self) -> &Frame {
        &self.plain
    }

    /// Its frame for subscribers with this window. A shard that comes to it while another one is
    /// compressing it waits for that: it is shorter than doing it again.
    pub(super) fn compressed(&self, window: WindowBits, compressors: &mut Compressors) -> Frame {
        let Some(forms) = &self.compressed else {
            return self.plain.clone();
        };
        let form = &forms[window.index()];
        form.get_or_init(|| compressors.compress(&self.plain, window))
            .clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFLATE: config::Deflate = config::Deflate {
        enabled: true,
        min_bytes: 64,
        contexts: 0,
    };

    fn at(frame: &Frame) -> *const u8 {
        frame.as_bytes().as_ptr()
    }

    #[test]
    fn every_shard_gets_the_same_compressed_frame_for_the_same_window() {
        let message = Message::new(Frame::text(&"cats ".repeat(100)), &DEFLATE);
        let (mut one, mut other) = (Compressors::new(&DEFLATE), Compressors::new(&DEFLATE));
        let compressed = message.compressed(WindowBits::MAX, &mut one);
        assert_eq!(compressed.as_bytes()[0], 0xC1);
        assert!(compressed.wire_len() < 100);
        let clone = message.clone();
        let again = clone.compressed(WindowBits::MAX, &mut other);
        assert_eq!(at(&again), at(&compressed));
        let smaller = WindowBits::ALL[1];
        assert_ne!(at(&message.compressed(smaller, &mut one)), at(&compressed));
    }

    #[test]
    fn the_room_for_compressed_forms_is_not_free_to_hold() {
        let held = |len| Message::new(Frame::binary(&vec![0; len]), &DEFLATE).held_bytes();
        assert_eq!(held(63), 2 + 63 + ELEMENT_BYTES);
        let forms = WindowBits::ALL.len() * size_of::<OnceLock<Frame>>();
        assert_eq!(held(64), 2 + 64 + ELEMENT_BYTES + forms);
    }

    #[test]
    fn what_is_small_or_would_not_shrink_goes_as_it_is() {
        let mut compressors = Compressors::new(&DEFLATE);
        let random: Vec<u8> = (0..100u32)
            .map(|n| (n.wrapping_mul(0x9E37_79B9) >> 24) as u8)
            .collect();
        for plain in [Frame::text(&"x".repeat(63)), Frame::binary(&random)] {
            let message = Message::new(plain.clone(), &DEFLATE);
            let form = message.compressed(WindowBits::MAX, &mut compressors);
            assert_eq!(at(&form), at(&plain));
        }
    }
}
