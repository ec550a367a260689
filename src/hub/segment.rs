//! Messages of one topic, copied together once so that every subscriber can share them.

use bytes::{Bytes, BytesMut};

use super::{allowance::Allowance, compression::Compressors, message::Message};
use crate::wire::{deflate::Deflating, extension::WindowBits, frame::Frame};

/// Messages as subscribers get them, joined into segments once for each form that somebody takes.
#[derive(Debug)]
pub(super) struct Segments {
    messages: Vec<Message>,
    plain: Vec<Bytes>,
    /// By window; made when the first of its subscribers comes.
    compressed: Option<Box<[Compressed; WindowBits::ALL.len()]>>,
}

/// The messages for one window.
#[derive(Debug)]
enum Compressed {
    /// The frames so far, and the compressing of the next one.
    InTheMaking(Vec<Frame>, Option<Box<Deflating>>),
    Joined(Vec<Bytes>),
}

impl Default for Compressed {
    fn default() -> Self {
        Self::InTheMaking(Vec::new(), None)
    }
}

impl Segments {
    pub(super) fn new(messages: Vec<Message>) -> Self {
        Self {
            messages,
            plain: Vec::new(),
            compressed: None,
        }
    }

    pub(super) fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Gives the messages back, to be forgotten.
    pub(super) fn into_messages(self) -> Vec<Message> {
        self.messages
    }

    /// For those who take them as they are.
    pub(super) fn plain(&mut self) -> &[Bytes] {
        if self.plain.is_empty() {
            let frames = self.messages.iter().map(|message| message.plain().clone());
            self.plain = coalesce(frames);
        }
        &self.plain
    }

    /// For those who take them compressed within this window; `None` if the step is over before
    /// they are.
    pub(super) fn compressed(
        &mut self,
        window: WindowBits,
        compressors: &mut Compressors,
        allowance: &mut Allowance,
    ) -> Option<&[Bytes]> {
        let form = &mut self.compressed.get_or_insert_default()[window.index()];
        while let Compressed::InTheMaking(frames, deflating) = form {
            let Some(message) = self.messages.get(frames.len()) else {
                *form = Compressed::Joined(coalesce(std::mem::take(frames).into_iter()));
                break;
            };
            if allowance.is_spent() {
                return None;
            }
            let compressed = message.compressed(window, compressors);
            let done = match compressed {
                Some(frame) => {
                    allowance.spend(message.plain().wire_len() as u64 * COMPRESSED_BYTE);
                    frame
                }
                None => {
                    let frame = in_steps(message, window, deflating, allowance)?;
                    message.share(window, frame)
                }
            };
            *deflating = None;
            frames.push(done);
        }
        match form {
            Compressed::Joined(segments) => Some(segments),
            Compressed::InTheMaking(..) => None,
        }
    }
}

/// Compresses a large message until the step is over.
fn in_steps(
    message: &Message,
    window: WindowBits,
    deflating: &mut Option<Box<Deflating>>,
    allowance: &mut Allowance,
) -> Option<Frame> {
    let frame = message.plain();
    let payload = frame.payload();
    if deflating.is_none() {
        *deflating = Deflating::begin(window, payload).map(Box::new);
    }
    let Some(under_way) = deflating else {
        return Some(frame.clone());
    };
    loop {
        match under_way.step(payload) {
            0 => break,
            taken => allowance.spend(taken as u64 * COMPRESSED_BYTE),
        }
        if allowance.is_spent() {
            return None;
        }
    }
    let compressed = deflating.take()?.finish();
    Some(compressed.map_or_else(|| frame.clone(), |payload| frame.deflated(&payload)))
}

/// What it takes to compress a byte, in nanoseconds. Measured: 1.8 us for a KiB.
pub(super) const COMPRESSED_BYTE: u64 = 2;

/// Joins frames in order into segments.
///
/// A single frame, and every frame over 16 KiB, stays as it is and is not copied; the others are
/// joined into segments of at most 64 KiB. One segment costs a subscriber one reference instead
/// of one for each frame (measured: up to 16 KiB copying once per topic is never the slower way).
fn coalesce(frames: impl ExactSizeIterator<Item = Frame>) -> Vec<Bytes> {
    if frames.len() == 1 {
        return frames.map(Frame::into_bytes).collect();
    }
    let mut segments = Vec::new();
    let mut joined = BytesMut::new();
    for frame in frames {
        let is_large = frame.wire_len() > MAX_COPIED_BYTES;
        if !joined.is_empty() && (is_large || joined.len() + frame.wire_len() > MAX_SEGMENT_BYTES) {
            segments.push(joined.split().freeze());
        }
        if is_large {
            segments.push(frame.into_bytes());
        } else {
            joined.extend_from_slice(frame.as_bytes());
        }
    }
    if !joined.is_empty() {
        segments.push(joined.freeze());
    }
    segments
}

const MAX_COPIED_BYTES: usize = 16 * 1024;
const MAX_SEGMENT_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        config,
        hub::allowance::{STEP, STEP_NANOSECONDS},
    };

    fn lengths(payloads: &[usize]) -> Vec<usize> {
        let frames = payloads.iter().map(|&len| Frame::binary(&vec![0; len]));
        coalesce(frames).iter().map(Bytes::len).collect()
    }

    #[test]
    fn a_single_frame_is_shared_and_not_copied() {
        let frame = Frame::text("alone");
        let at = frame.as_bytes().as_ptr();
        assert_eq!(coalesce([frame].into_iter())[0].as_ptr(), at);
    }

    #[test]
    fn small_frames_are_joined_up_to_64_kib_and_large_ones_stand_alone_in_order() {
        assert_eq!(lengths(&[10, 20, 30]), [12 + 22 + 32]);
        assert_eq!(lengths(&[10, 20_000, 30, 40]), [12, 20_004, 32 + 42]);
        let frame = 16_000 + 4;
        assert_eq!(lengths(&[16_000; 6]), [4 * frame, 2 * frame]);
        assert_eq!(lengths(&[]), [0; 0]);
    }

    #[test]
    fn what_is_compressed_in_steps_is_the_same_as_in_one_go() {
        let config = config::Deflate {
            enabled: true,
            ..config::Deflate::default()
        };
        let frames = [50_000, 300_000, 100].map(|len| Frame::text(&"x".repeat(len)));
        let messages = || {
            frames
                .clone()
                .map(|frame| Message::new(frame, &config))
                .to_vec()
        };
        let mut compressors = Compressors::new(&config);
        let mut in_one_go = Segments::new(messages());
        let mut long = Allowance::new(Duration::from_secs(3600));
        let whole = in_one_go.compressed(WindowBits::MAX, &mut compressors, &mut long);
        let whole = whole.unwrap().to_vec();
        let mut segments = Segments::new(messages());
        let mut steps = 0;
        let in_steps = loop {
            // Over after a piece of the message.
            let mut step = Allowance::new(STEP);
            step.cause(STEP_NANOSECONDS - 1);
            steps += 1;
            if let Some(segments) =
                segments.compressed(WindowBits::MAX, &mut compressors, &mut step)
            {
                break segments;
            }
        };
        assert_eq!(in_steps, whole);
        assert!(steps > 10, "{steps}");
    }
}
