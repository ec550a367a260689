//! Messages that are fanned out together, joined into segments that subscribers share.

use std::{ops::Deref, rc::Rc, slice};

use crate::{
    hub::{
        bounds::{allowance::Allowance, ledger::Ledger},
        ids::{PeerKey, TopicKey},
        publication::{
            compression::{Compressors, cost_of_piece},
            encoded_message::EncodedMessage,
            segment::{Content, Segment},
        },
    },
    wire::{deflate::Deflating, extension::WindowBits, frame::Frame},
};

/// Messages on their way to the subscribers, joined into segments once for each form that a
/// subscriber takes.
#[derive(Debug)]
pub(in crate::hub) struct Segments {
    messages: Vec<EncodedMessage>,
    /// The topic that they were published to, or `None` if there are several topics.
    topic: Option<TopicKey>,
    /// The segments without compression, which are made for the first subscriber that takes them.
    plain: Option<Joined>,
    /// The segments for each window, which are made for the first subscriber with that window.
    compressed: Option<Box<[Compressed; WindowBits::ALL.len()]>>,
    /// Subscribers with a compression context of their own that had got only a part of the messages
    /// when a step was over, each with the number of messages that it has got. The next step goes
    /// on with the same subscriber, so all of them but the last have left the topic meanwhile.
    partly_served: Vec<(PeerKey, usize)>,
}

/// The messages, compressed for one window.
#[derive(Debug)]
enum Compressed {
    /// The frames compressed so far, and the state of compressing the next one if that takes
    /// several steps.
    Unfinished(Vec<Frame>, Option<Box<Deflating>>),
    Joined(Joined),
}

/// Frames joined into segments. Most often it is one segment, which needs no allocation for a list.
#[derive(Debug)]
enum Joined {
    One(Rc<Segment>),
    Several(Vec<Rc<Segment>>),
}

impl Deref for Joined {
    type Target = [Rc<Segment>];

    fn deref(&self) -> &[Rc<Segment>] {
        match self {
            Self::One(segment) => slice::from_ref(segment),
            Self::Several(segments) => segments,
        }
    }
}

impl Default for Compressed {
    fn default() -> Self {
        Self::Unfinished(Vec::new(), None)
    }
}

impl Segments {
    pub(in crate::hub) fn new(messages: Vec<EncodedMessage>, topic: Option<TopicKey>) -> Self {
        Self {
            messages,
            topic,
            plain: None,
            compressed: None,
            partly_served: Vec::new(),
        }
    }

    pub(in crate::hub) fn messages(&self) -> &[EncodedMessage] {
        &self.messages
    }

    /// Returns the content of a segment that has a single one of the messages.
    pub(in crate::hub) fn content_of_one(&self) -> Content {
        Content::new(1, self.topic)
    }

    /// Returns the messages, so that the caller can drop them and reuse the memory of their list.
    pub(in crate::hub) fn into_messages(self) -> Vec<EncodedMessage> {
        self.messages
    }

    /// Returns how many of the messages a peer with a compression context of its own has got in
    /// earlier steps.
    pub(in crate::hub) fn served(&self, key: PeerKey) -> usize {
        let served = self.partly_served.iter().find(|(each, _)| *each == key);
        served.map_or(0, |(_, count)| *count)
    }

    /// Remembers that a peer has got the first `count` messages, and gets more in a later step.
    pub(in crate::hub) fn set_served(&mut self, key: PeerKey, count: usize) {
        self.partly_served.retain(|(each, _)| *each != key);
        self.partly_served.push((key, count));
    }

    /// Returns the segments for subscribers without compression.
    pub(in crate::hub) fn plain(&mut self, ledger: &Rc<Ledger>) -> &[Rc<Segment>] {
        let (messages, topic) = (&self.messages, self.topic);
        self.plain
            .get_or_insert_with(|| join(messages.iter().map(EncodedMessage::plain), topic, ledger))
    }

    /// Returns the segments for subscribers with this window, or `None` if the step is over before
    /// all messages are compressed.
    pub(in crate::hub) fn compressed(
        &mut self,
        window: WindowBits,
        compressors: &mut Compressors,
        ledger: &Rc<Ledger>,
        allowance: &mut Allowance,
    ) -> Option<&[Rc<Segment>]> {
        let form = &mut self.compressed.get_or_insert_default()[window.index()];
        while let Compressed::Unfinished(frames, deflating) = form {
            let Some(message) = self.messages.get(frames.len()) else {
                *form = Compressed::Joined(join(frames.iter(), self.topic, ledger));
                break;
            };
            if allowance.is_spent() {
                return None;
            }
            let compressed = message.compressed(window, compressors);
            let frame = match compressed {
                Some(frame) => {
                    allowance.spend(message.compression_cost().for_window(window));
                    frame
                }
                None => {
                    let frame = compress_in_steps(message, window, deflating, allowance)?;
                    message.share(window, frame, ledger.budget())
                }
            };
            *deflating = None;
            frames.push(frame);
        }
        match form {
            Compressed::Joined(segments) => Some(segments),
            Compressed::Unfinished(..) => None,
        }
    }
}

/// Compresses more of a large message. Returns its frame, or `None` if the step is over before the
/// whole message is compressed.
fn compress_in_steps(
    message: &EncodedMessage,
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
        // Messages of this size are sent uncompressed to subscribers with this window.
        return Some(frame.clone());
    };
    loop {
        match under_way.step(payload) {
            0 => break,
            taken => allowance.spend(cost_of_piece(taken)),
        }
        if allowance.is_spent() {
            return None;
        }
    }
    let compressed = deflating.take()?.finish();
    Some(compressed.map_or_else(|| frame.clone(), |payload| frame.deflated(&payload)))
}

/// Joins frames, in order, into segments.
///
/// A single frame, and every frame over 16 KiB, becomes a segment without a copy. All other frames
/// are copied into segments of at most 64 KiB, so that an outbox refers to one segment instead of
/// many frames. Measured: up to 16 KiB, copying a frame once for all subscribers is never slower
/// than a segment of its own.
fn join<'a>(
    mut frames: impl ExactSizeIterator<Item = &'a Frame>,
    topic: Option<TopicKey>,
    ledger: &Rc<Ledger>,
) -> Joined {
    if frames.len() == 1
        && let Some(frame) = frames.next()
    {
        return Joined::One(shared(frame, topic, ledger));
    }
    let mut segments = Vec::new();
    let mut run = Vec::new();
    let mut run_bytes = 0;
    for frame in frames {
        let len = frame.wire_len();
        let is_large = len > MAX_COPIED_BYTES;
        if is_large || run_bytes + len > MAX_SEGMENT_BYTES {
            segments.extend(join_run(&run, run_bytes, topic, ledger));
            run.clear();
            run_bytes = 0;
        }
        if is_large {
            segments.push(shared(frame, topic, ledger));
        } else {
            run.push(frame);
            run_bytes += len;
        }
    }
    segments.extend(join_run(&run, run_bytes, topic, ledger));
    Joined::Several(segments)
}

/// Makes a segment of a single frame, whose bytes are not copied.
fn shared(frame: &Frame, topic: Option<TopicKey>, ledger: &Rc<Ledger>) -> Rc<Segment> {
    let content = Content::new(1, topic);
    Segment::shared(frame.clone().into_bytes(), content, ledger)
}

/// Joins the small frames `run`, which have `bytes` bytes together, into a segment. Returns `None`
/// if there are no frames.
fn join_run(
    run: &[&Frame],
    bytes: usize,
    topic: Option<TopicKey>,
    ledger: &Rc<Ledger>,
) -> Option<Rc<Segment>> {
    match run {
        [] => None,
        [frame] => Some(shared(frame, topic, ledger)),
        frames => {
            let mut joined = Vec::with_capacity(bytes);
            for frame in frames {
                joined.extend_from_slice(frame.as_bytes());
            }
            let content = Content::new(frames.len(), topic);
            Some(Segment::published(joined.into(), content, ledger))
        }
    }
}

/// Length of the largest frame that is copied into a segment with others, in bytes.
const MAX_COPIED_BYTES: usize = 16 * 1024;

/// Length of the largest segment that frames are copied into, in bytes.
const MAX_SEGMENT_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        config,
        hub::bounds::{
            allowance::{STEP, STEP_NANOSECONDS},
            budget::Budget,
        },
        message::Message,
    };

    fn ledger() -> Rc<Ledger> {
        Ledger::new(Budget::new(u64::MAX))
    }

    /// Joins frames with payloads of these lengths. Returns the lengths of the segments.
    fn lengths(payloads: &[usize]) -> Vec<usize> {
        let frames = payloads.iter().map(|&len| Frame::binary(&vec![0; len]));
        let frames: Vec<_> = frames.collect();
        let segments = join(frames.iter(), None, &ledger());
        segments.iter().map(|segment| segment.len()).collect()
    }

    #[test]
    fn a_single_frame_is_shared_and_not_copied() {
        let frame = Frame::text("alone");
        let at = frame.as_bytes().as_ptr();
        let segments = join([frame].iter(), None, &ledger());
        assert_eq!(segments[0].bytes().as_ptr(), at);
    }

    #[test]
    fn small_frames_are_joined_up_to_64_kib_and_large_frames_are_segments_of_their_own() {
        // A header has 2 bytes up to a payload of 125 bytes, and 4 bytes up to 64 KiB.
        assert_eq!(lengths(&[10, 20, 30]), [12 + 22 + 32]);
        assert_eq!(lengths(&[10, 20_000, 30, 40]), [12, 20_004, 32 + 42]);
        let frame = 16_000 + 4;
        assert_eq!(lengths(&[16_000; 6]), [4 * frame, 2 * frame]);
        assert_eq!(lengths(&[]), [0; 0]);
    }

    #[test]
    fn each_segment_knows_its_topic_and_the_number_of_its_messages() {
        let topic = Some(TopicKey::default());
        let frames = [10, 20_000, 30, 40].map(|len| Frame::binary(&vec![0; len]));
        let segments = join(frames.iter(), topic, &ledger());
        let contents: Vec<_> = segments.iter().map(|segment| segment.content()).collect();
        assert_eq!(contents, [1, 1, 2].map(|count| Content::new(count, topic)));
    }

    #[test]
    fn a_message_compressed_in_steps_is_the_same_as_one_compressed_in_one_go() {
        let config = config::Deflate {
            enabled: true,
            ..config::Deflate::default()
        };
        let texts = [50_000, 300_000, 100].map(|len| Message::text(&"x".repeat(len)));
        let ledger = ledger();
        let encoded = |message| EncodedMessage::new(message, &config, ledger.budget());
        let messages = || texts.clone().map(encoded).to_vec();
        let bytes = |segments: &[Rc<Segment>]| -> Vec<Vec<u8>> {
            let bytes = segments.iter().map(|segment| segment.bytes().to_vec());
            bytes.collect()
        };
        let mut compressors = Compressors::new(&config, ledger.budget());
        let mut in_one_go = Segments::new(messages(), None);
        let mut long = Allowance::new(Duration::from_secs(3600));
        let whole = in_one_go.compressed(WindowBits::MAX, &mut compressors, &ledger, &mut long);
        let whole = bytes(whole.unwrap());
        let mut segments = Segments::new(messages(), None);
        let mut steps = 0;
        let in_steps = loop {
            // 1 ns is left, so the step is over after one piece of the message is compressed.
            let mut step = Allowance::new(STEP);
            step.charge_later(STEP_NANOSECONDS - 1);
            steps += 1;
            if let Some(segments) =
                segments.compressed(WindowBits::MAX, &mut compressors, &ledger, &mut step)
            {
                break bytes(segments);
            }
        };
        assert_eq!(in_steps, whole);
        assert!(steps > 10, "{steps}");
    }
}
