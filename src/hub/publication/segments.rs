//! Messages of one topic, copied together once so that every subscriber can share them.

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

/// Messages as subscribers get them, joined into segments once for each form that somebody takes.
#[derive(Debug)]
pub(in crate::hub) struct Segments {
    messages: Vec<EncodedMessage>,
    /// The topic that they were published to, unless there are several.
    topic: Option<TopicKey>,
    plain: Option<Joined>,
    /// By window; made when the first of its subscribers comes.
    compressed: Option<Box<[Compressed; WindowBits::ALL.len()]>>,
    /// Those with a context of their own that have got some of the messages, and how many. More than
    /// one only where somebody has left the topic meanwhile.
    partly: Vec<(PeerKey, usize)>,
}

/// The messages for one window.
#[derive(Debug)]
enum Compressed {
    /// The frames so far, and the compressing of the next one.
    InTheMaking(Vec<Frame>, Option<Box<Deflating>>),
    Joined(Joined),
}

/// Frames joined into segments. Most often it is one, which takes no list.
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
        Self::InTheMaking(Vec::new(), None)
    }
}

impl Segments {
    pub(in crate::hub) fn new(messages: Vec<EncodedMessage>, topic: Option<TopicKey>) -> Self {
        Self {
            messages,
            topic,
            plain: None,
            compressed: None,
            partly: Vec::new(),
        }
    }

    pub(in crate::hub) fn messages(&self) -> &[EncodedMessage] {
        &self.messages
    }

    /// Returns what one of the messages brings.
    pub(in crate::hub) fn one(&self) -> Content {
        Content::new(1, self.topic)
    }

    /// Gives the messages back, to be forgotten.
    pub(in crate::hub) fn into_messages(self) -> Vec<EncodedMessage> {
        self.messages
    }

    /// Returns how many messages a peer with a context of its own has got already.
    pub(in crate::hub) fn given_to(&self, key: PeerKey) -> usize {
        let given = self.partly.iter().find(|(each, _)| *each == key);
        given.map_or(0, |(_, given)| *given)
    }

    /// Takes note that it has got so many of them, and gets the others in a later step.
    pub(in crate::hub) fn break_off(&mut self, key: PeerKey, given: usize) {
        self.partly.retain(|(each, _)| *each != key);
        self.partly.push((key, given));
    }

    /// For those who take them as they are.
    pub(in crate::hub) fn plain(&mut self, ledger: &Rc<Ledger>) -> &[Rc<Segment>] {
        let (messages, topic) = (&self.messages, self.topic);
        self.plain
            .get_or_insert_with(|| join(messages.iter().map(EncodedMessage::plain), topic, ledger))
    }

    /// For those who take them compressed within this window; `None` if the step is over before
    /// they are.
    pub(in crate::hub) fn compressed(
        &mut self,
        window: WindowBits,
        compressors: &mut Compressors,
        ledger: &Rc<Ledger>,
        allowance: &mut Allowance,
    ) -> Option<&[Rc<Segment>]> {
        let form = &mut self.compressed.get_or_insert_default()[window.index()];
        while let Compressed::InTheMaking(frames, deflating) = form {
            let Some(message) = self.messages.get(frames.len()) else {
                *form = Compressed::Joined(join(frames.iter(), self.topic, ledger));
                break;
            };
            if allowance.is_spent() {
                return None;
            }
            let compressed = message.compressed(window, compressors);
            let done = match compressed {
                Some(frame) => {
                    allowance.spend(message.cost_of_form().for_window(window));
                    frame
                }
                None => {
                    let frame = in_steps(message, window, deflating, allowance)?;
                    message.share(window, frame, ledger.budget())
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

/// Joins frames in order into segments.
///
/// A frame that stands alone, and every frame over 16 KiB, stays as it is and is not copied; the
/// others are joined into segments of at most 64 KiB. One segment costs a subscriber one reference
/// instead of one for each frame (measured: up to 16 KiB copying once per topic is never the slower
/// way).
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

fn shared(frame: &Frame, topic: Option<TopicKey>, ledger: &Rc<Ledger>) -> Rc<Segment> {
    let content = Content::new(1, topic);
    Segment::shared(frame.clone().into_bytes(), content, ledger)
}

/// Joins small frames of so many bytes in all; nothing, if there are none.
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

const MAX_COPIED_BYTES: usize = 16 * 1024;
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
    fn small_frames_are_joined_up_to_64_kib_and_large_ones_stand_alone_in_order() {
        assert_eq!(lengths(&[10, 20, 30]), [12 + 22 + 32]);
        assert_eq!(lengths(&[10, 20_000, 30, 40]), [12, 20_004, 32 + 42]);
        let frame = 16_000 + 4;
        assert_eq!(lengths(&[16_000; 6]), [4 * frame, 2 * frame]);
        assert_eq!(lengths(&[]), [0; 0]);
    }

    #[test]
    fn each_segment_knows_its_topic_and_how_many_messages_it_brings() {
        let topic = Some(TopicKey::default());
        let frames = [10, 20_000, 30, 40].map(|len| Frame::binary(&vec![0; len]));
        let segments = join(frames.iter(), topic, &ledger());
        let contents: Vec<_> = segments.iter().map(|segment| segment.content()).collect();
        assert_eq!(contents, [1, 1, 2].map(|count| Content::new(count, topic)));
    }

    #[test]
    fn what_is_compressed_in_steps_is_the_same_as_in_one_go() {
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
            // Over after a piece of the message.
            let mut step = Allowance::new(STEP);
            step.cause(STEP_NANOSECONDS - 1);
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
