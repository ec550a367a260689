//! Messages on their way to their subscribers, plain and in all compressed forms.

use std::sync::{Arc, OnceLock};

use crate::{
    config,
    hub::{
        bounds::budget::Budget,
        publication::compression::{Compressors, Cost, is_large},
    },
    message::Message,
    wire::{extension::WindowBits, frame::Frame},
};

/// A message that is encoded once, and compressed once for each window that a subscriber has. The
/// first shard that needs a form makes it, and all shards share it.
#[derive(Clone, Debug)]
pub(crate) struct EncodedMessage {
    plain: Frame,
    /// `None` if the message is never compressed: deflate is off, or the message is too small.
    compressed: Option<Arc<CompressedForms>>,
}

/// The compressed frame for each window.
type CompressedForms = [OnceLock<Frame>; WindowBits::ALL.len()];

impl EncodedMessage {
    /// Encodes a message, which is charged to the budget until its last clone is gone.
    pub(in crate::hub) fn new(
        message: Message,
        config: &config::Deflate,
        budget: &Arc<Budget>,
    ) -> Self {
        let is_compressible = config.enabled && message.payload().len() >= config.min_bytes;
        let compressed: Option<Arc<CompressedForms>> = is_compressible.then(Arc::default);
        // Charged together with the bytes of the frame.
        let besides = MESSAGE_BYTES + compressed.as_deref().map_or(0, size_of_val);
        Self {
            plain: message.into_frame().map(|bytes| budget.own(bytes, besides)),
            compressed,
        }
    }

    /// Returns how many bytes of memory the message holds before it is compressed. Even a message
    /// without payload holds some.
    pub(crate) fn held_bytes(&self) -> usize {
        let forms = self.compressed.as_deref().map_or(0, size_of_val);
        self.plain.wire_len() + MESSAGE_BYTES + forms
    }

    /// Returns the cost of compressing the message.
    pub(in crate::hub) fn compression_cost(&self) -> Cost {
        match self.compressed {
            Some(_) => Cost::of(self.plain.payload().len()),
            None => Cost::default(),
        }
    }

    pub(in crate::hub) fn plain(&self) -> &Frame {
        &self.plain
    }

    /// Returns the frame for subscribers with this window, or `None` if the message is large and
    /// not yet compressed: then the caller has to compress it in steps and [share](Self::share) the
    /// frame. If another shard is just compressing the message, and it is not large, this waits for
    /// the other shard, which takes less time than compressing the message again.
    pub(in crate::hub) fn compressed(
        &self,
        window: WindowBits,
        compressors: &mut Compressors,
    ) -> Option<Frame> {
        let Some(forms) = &self.compressed else {
            return Some(self.plain.clone());
        };
        let form = &forms[window.index()];
        if is_large(&self.plain) {
            return form.get().cloned();
        }
        let form = form.get_or_init(|| {
            let frame = compressors.compress(&self.plain, window);
            self.charge(frame, compressors.budget())
        });
        Some(form.clone())
    }

    /// Shares the frame for a window with all shards. Returns the shared frame, which is that of
    /// another shard if the other shard has shared one before.
    pub(in crate::hub) fn share(
        &self,
        window: WindowBits,
        frame: Frame,
        budget: &Arc<Budget>,
    ) -> Frame {
        match &self.compressed {
            Some(forms) => forms[window.index()]
                .get_or_init(|| self.charge(frame, budget))
                .clone(),
            None => frame,
        }
    }

    /// Charges a form to the budget, unless it is the plain frame, which is charged already.
    fn charge(&self, form: Frame, budget: &Arc<Budget>) -> Frame {
        if form.as_bytes().as_ptr() == self.plain.as_bytes().as_ptr() {
            return form;
        }
        form.map(|bytes| budget.own(bytes, 0))
    }
}

/// Bytes of memory that a message on its way holds besides its frame: its charge, its entries in
/// the inboxes, and the pointers to it.
const MESSAGE_BYTES: usize = 160;

#[cfg(test)]
mod tests {
    use super::*;

    const DEFLATE: config::Deflate = config::Deflate {
        enabled: true,
        min_bytes: 64,
        contexts: 0,
    };

    fn encoded(message: Message) -> EncodedMessage {
        EncodedMessage::new(message, &DEFLATE, &Budget::new(u64::MAX))
    }

    fn compressors() -> Compressors {
        Compressors::new(&DEFLATE, &Budget::new(u64::MAX))
    }

    /// Returns the address of a frame's bytes, which clones of the frame share.
    fn at(frame: &Frame) -> *const u8 {
        frame.as_bytes().as_ptr()
    }

    #[test]
    fn every_shard_gets_the_same_compressed_frame_for_the_same_window() {
        let message = encoded(Message::text(&"cats ".repeat(100)));
        let (mut one, mut other) = (compressors(), compressors());
        let compressed = message.compressed(WindowBits::MAX, &mut one).unwrap();
        assert_eq!(compressed.as_bytes()[0], 0xC1, "FIN, RSV1 and text");
        assert!(compressed.wire_len() < 100);
        let clone = message.clone();
        let again = clone.compressed(WindowBits::MAX, &mut other).unwrap();
        assert_eq!(at(&again), at(&compressed));
        let smaller = WindowBits::ALL[1];
        let other = message.compressed(smaller, &mut one).unwrap();
        assert_ne!(at(&other), at(&compressed));
    }

    #[test]
    fn a_large_message_is_compressed_in_steps_and_then_shared() {
        let message = encoded(Message::text(&"cats ".repeat(20_000)));
        let mut compressors = compressors();
        assert_eq!(message.compressed(WindowBits::MAX, &mut compressors), None);
        let budget = Budget::new(u64::MAX);
        let first = message.share(WindowBits::MAX, Frame::text("first"), &budget);
        let second = message.share(WindowBits::MAX, Frame::text("second"), &budget);
        assert_eq!(at(&first), at(&second));
        let shared = message.compressed(WindowBits::MAX, &mut compressors);
        assert_eq!(shared.as_ref().map(at), Some(at(&first)));
    }

    #[test]
    fn the_memory_for_compressed_forms_counts_as_held() {
        let held = |len| encoded(Message::binary(&vec![0; len])).held_bytes();
        // Two bytes of header. From 64 bytes on, messages are compressed.
        assert_eq!(held(63), 2 + 63 + MESSAGE_BYTES);
        let forms = WindowBits::ALL.len() * size_of::<OnceLock<Frame>>();
        assert_eq!(held(64), 2 + 64 + MESSAGE_BYTES + forms);
    }

    #[test]
    fn a_message_that_is_small_or_would_not_shrink_is_sent_uncompressed() {
        let mut compressors = compressors();
        // Bytes without repetitions.
        let random: Vec<u8> = (0..100u32)
            .map(|n| (n.wrapping_mul(0x9E37_79B9) >> 24) as u8)
            .collect();
        for plain in [Message::text(&"x".repeat(63)), Message::binary(&random)] {
            let message = encoded(plain);
            let form = message
                .compressed(WindowBits::MAX, &mut compressors)
                .unwrap();
            assert_eq!(at(&form), at(message.plain()));
        }
    }
}
