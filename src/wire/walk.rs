//! The walker: judges the frames of a client while their bytes pass, in place.
//!
//! A pure state machine over bytes: it copies nothing but a header, allocates nothing, and gives
//! the same verdict for every way in which the same bytes are split. On its way it unmasks the
//! payload (§5.3), checks text as UTF-8 while it arrives (§8.1), and shows every data message as
//! binary to what reads after it, because fastwebsockets drops a code point that is cut off at
//! the end of a fragmented text; the true kind of each message goes into a queue beside.
//!
//! Section numbers are those of [RFC 6455](https://www.rfc-editor.org/rfc/rfc6455).

use std::collections::VecDeque;

use super::{frame::Kind, utf8::Utf8, violation::Violation};

/// What a client may send.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The largest message, in payload bytes, counted over all its fragments; this many pass.
    pub message_bytes: usize,
    /// The most frames that a message may be made of.
    pub fragments: u32,
}

/// A violation, and how many bytes of the chunk before it may still be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Offset in the chunk of the header or payload that was refused.
    pub at: usize,
    /// Why.
    pub violation: Violation,
}

/// Where a client's byte stream stands.
///
/// ```text
///         ┌────────────── payload done, or empty ──────────────┐
///         ▼                                                    │
///   header (2 to 14 bytes, may be split) ─► payload (`left` bytes, may be split)
/// ```
#[derive(Debug)]
pub struct Walk {
    limits: Limits,
    header: [u8; MAX_HEADER_BYTES],
    /// Bytes of the header under way that have arrived.
    header_len: usize,
    /// Payload bytes of the frame under way still to come.
    left: u64,
    /// The frame's masking key, turned so that its first byte is the next to be used.
    key: [u8; 4],
    /// The payload under way is text.
    is_text: bool,
    /// The frame under way is the last of its message.
    is_final: bool,
    utf8: Utf8,
    /// The fragmented message under way.
    message: Option<Fragmented>,
}

#[derive(Clone, Copy, Debug)]
struct Fragmented {
    kind: Kind,
    bytes: u64,
    frames: u32,
}

impl Walk {
    /// Starts at the first byte after the opening handshake.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            header: [0; MAX_HEADER_BYTES],
            header_len: 0,
            left: 0,
            key: [0; 4],
            is_text: false,
            is_final: false,
            utf8: Utf8::default(),
            message: None,
        }
    }

    /// No frame and no fragmented message is under way.
    #[must_use]
    pub fn is_between_messages(&self) -> bool {
        self.header_len == 0 && self.left == 0 && self.message.is_none()
    }

    /// Walks the next bytes, unmasking them; the kind of every data message that begins in them
    /// is appended to `started`.
    ///
    /// # Errors
    ///
    /// The first violation. The walk must not be continued after it.
    pub fn walk(&mut self, chunk: &mut [u8], started: &mut VecDeque<Kind>) -> Result<(), Refusal> {
        let mut at = 0;
        while at < chunk.len() {
            let rest = &mut chunk[at..];
            let taken = if self.left > 0 {
                self.take_payload(rest)
            } else {
                self.take_header(rest, started)
            };
            at += taken.map_err(|violation| Refusal { at, violation })?;
        }
        Ok(())
    }

    /// Takes payload from the head of `bytes`; how much.
    fn take_payload(&mut self, bytes: &mut [u8]) -> Result<usize, Violation> {
        let len = usize::try_from(self.left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let piece = &mut bytes[..len];
        fastwebsockets::unmask(piece, self.key);
        self.key.rotate_left(len % 4);
        self.left -= len as u64;
        if self.is_text && !self.utf8.feed(piece) {
            return Err(Violation::InvalidUtf8);
        }
        if self.left == 0 {
            self.end_frame()?;
        }
        Ok(len)
    }

    /// Takes header bytes from the head of `bytes`; how many.
    fn take_header(
        &mut self,
        bytes: &mut [u8],
        started: &mut VecDeque<Kind>,
    ) -> Result<usize, Violation> {
        let had = self.header_len;
        let known = MAX_HEADER_BYTES.min(had + bytes.len());
        self.header[had..known].copy_from_slice(&bytes[..known - had]);
        // The first two bytes are judged as soon as they are seen: they are delivered on, and
        // the first one is rewritten on its way.
        if had == 0 {
            bytes[0] = self.judge_first(started)?;
        }
        if had < 2 && known >= 2 {
            self.judge_second()?;
        }
        let size = if known < 2 {
            2
        } else {
            header_size(self.header[1])
        };
        if known < size {
            self.header_len = known;
            return Ok(known - had);
        }
        self.header_len = 0;
        self.begin_payload(size)?;
        Ok(size - had)
    }

    /// Judges FIN, RSV and opcode; the byte to show instead.
    fn judge_first(&self, started: &mut VecDeque<Kind>) -> Result<u8, Violation> {
        let first = self.header[0];
        if first & RSV != 0 {
            return Err(Violation::ReservedBits);
        }
        match first & OPCODE {
            0x0 if self.message.is_none() => Err(Violation::ContinuationWithoutStart),
            0x1 | 0x2 if self.message.is_some() => Err(Violation::DataInsideMessage),
            0x8..=0xA if first & FIN == 0 => Err(Violation::ControlFragmented),
            0x0 | 0x8..=0xA => Ok(first),
            0x1 => {
                started.push_back(Kind::Text);
                Ok(first & FIN | 0x2)
            }
            0x2 => {
                started.push_back(Kind::Binary);
                Ok(first)
            }
            _ => Err(Violation::UnknownOpcode),
        }
    }

    fn judge_second(&self) -> Result<(), Violation> {
        let [first, second] = [self.header[0], self.header[1]];
        if second & MASK == 0 {
            return Err(Violation::Unmasked);
        }
        if first & CONTROL != 0 && second & LENGTH > 125 {
            return Err(Violation::ControlTooLong);
        }
        Ok(())
    }

    /// The header is whole, `size` bytes: accounts its length before a byte of it is allocated.
    fn begin_payload(&mut self, size: usize) -> Result<(), Violation> {
        let first = self.header[0];
        let length = payload_length(&self.header, size).ok_or(Violation::LengthEncoding)?;
        if first & CONTROL == 0 {
            self.account(first, length)?;
        } else {
            self.is_text = false;
            self.is_final = false;
        }
        self.left = length;
        self.key.copy_from_slice(&self.header[size - 4..size]);
        if length == 0 {
            self.end_frame()?;
        }
        Ok(())
    }

    /// Counts a data frame into its message.
    fn account(&mut self, first: u8, length: u64) -> Result<(), Violation> {
        let kind = if first & OPCODE == 0x1 {
            Kind::Text
        } else {
            Kind::Binary
        };
        let before = self.message.take().unwrap_or(Fragmented {
            kind,
            bytes: 0,
            frames: 0,
        });
        let message = Fragmented {
            kind: before.kind,
            bytes: before.bytes.saturating_add(length),
            frames: before.frames + 1,
        };
        if message.bytes > self.limits.message_bytes as u64 {
            return Err(Violation::MessageTooBig);
        }
        if message.frames > self.limits.fragments {
            return Err(Violation::TooManyFragments);
        }
        self.is_text = message.kind == Kind::Text;
        self.is_final = first & FIN != 0;
        if !self.is_final {
            self.message = Some(message);
        }
        Ok(())
    }

    fn end_frame(&mut self) -> Result<(), Violation> {
        if self.is_text && self.is_final && !self.utf8.finish() {
            return Err(Violation::InvalidUtf8);
        }
        Ok(())
    }
}

/// Two bytes, an extended length of up to eight, and the masking key.
const MAX_HEADER_BYTES: usize = 14;

const FIN: u8 = 0x80;
const RSV: u8 = 0x70;
const OPCODE: u8 = 0x0F;
/// The bit that control opcodes have and data opcodes do not.
const CONTROL: u8 = 0x08;
const MASK: u8 = 0x80;
const LENGTH: u8 = 0x7F;

/// The size of a masked frame's header, from its second byte.
fn header_size(second: u8) -> usize {
    match second & LENGTH {
        126 => 8,
        127 => 14,
        _ => 6,
    }
}

/// The payload length in a whole header, unless a shorter form exists or its top bit is set.
fn payload_length(header: &[u8; MAX_HEADER_BYTES], size: usize) -> Option<u64> {
    let extended = |bytes: &[u8]| {
        bytes
            .iter()
            .fold(0, |sum, &byte| sum << 8 | u64::from(byte))
    };
    match size {
        6 => Some(u64::from(header[1] & LENGTH)),
        8 => Some(extended(&header[2..4])).filter(|&length| length > 125),
        _ => Some(extended(&header[2..10])).filter(|length| (0x1_0000..1 << 63).contains(length)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits {
        message_bytes: 1000,
        fragments: 4,
    };
    const KEY: [u8; 4] = [9, 8, 7, 6];

    /// A masked client frame: its first byte, then its length in the shortest form.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut wire = vec![first];
        match u16::try_from(payload.len()).unwrap() {
            len @ 0..=125 => wire.push(0x80 | len.to_be_bytes()[1]),
            len => {
                wire.push(0x80 | 126);
                wire.extend(len.to_be_bytes());
            }
        }
        wire.extend(KEY);
        wire.extend(
            payload
                .iter()
                .zip(KEY.iter().cycle())
                .map(|(byte, key)| byte ^ key),
        );
        wire
    }

    /// Walks `wire` in pieces of `piece` bytes: the violation, and how many bytes passed.
    fn verdict(wire: &[u8], piece: usize) -> (Option<Violation>, usize, Vec<Kind>) {
        let mut walk = Walk::new(LIMITS);
        let mut started = VecDeque::new();
        let mut passed = 0;
        for chunk in wire.to_vec().chunks_mut(piece) {
            if let Err(refusal) = walk.walk(chunk, &mut started) {
                return (Some(refusal.violation), passed + refusal.at, started.into());
            }
            passed += chunk.len();
        }
        (None, passed, started.into())
    }

    fn refused(wire: &[u8]) -> Option<Violation> {
        let verdicts: Vec<_> = (1..=wire.len())
            .map(|piece| verdict(wire, piece).0)
            .collect();
        assert!(
            verdicts.iter().all(|each| *each == verdicts[0]),
            "{verdicts:?}"
        );
        verdicts[0]
    }

    #[test]
    fn every_violation_has_its_verdict_however_the_bytes_are_split() {
        use Violation::*;
        let cases: [(&[Vec<u8>], Violation); 15] = [
            (&[vec![0x81, 0x02, b'h', b'i']], Unmasked),
            (&[frame(0xC1, b"x")], ReservedBits),
            (&[frame(0xA1, b"x")], ReservedBits),
            (&[frame(0x91, b"x")], ReservedBits),
            (&[frame(0x83, b"x")], UnknownOpcode),
            (&[frame(0x8B, b"x")], UnknownOpcode),
            (&[frame(0x09, b"x")], ControlFragmented),
            (&[frame(0x8A, &[0; 126])], ControlTooLong),
            (&[frame(0x01, b"a"), frame(0x81, b"b")], DataInsideMessage),
            (&[frame(0x01, b"a"), frame(0x01, b"b")], DataInsideMessage),
            (&[frame(0x80, b"x")], ContinuationWithoutStart),
            (&[vec![0x82, 0xFE, 0, 125, 0, 0, 0, 0]], LengthEncoding),
            (
                &[vec![0x82, 0xFF, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0, 0, 0, 0]],
                LengthEncoding,
            ),
            (
                &[vec![0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]],
                LengthEncoding,
            ),
            (&[frame(0x81, b"\xFF")], InvalidUtf8),
        ];
        for (frames, violation) in cases {
            assert_eq!(refused(&frames.concat()), Some(violation), "{frames:?}");
        }
    }

    #[test]
    fn exactly_the_limit_passes_and_one_more_is_refused_on_its_header() {
        assert_eq!(refused(&frame(0x82, &[7; 1000])), None);
        let header = &frame(0x82, &[7; 1001])[..8];
        assert_eq!(refused(header), Some(Violation::MessageTooBig));
        let sum = [frame(0x02, &[7; 500]), frame(0x80, &[7; 501])].concat();
        assert_eq!(verdict(&sum, sum.len()).0, Some(Violation::MessageTooBig));
        let huge = [
            0x82, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0,
        ];
        assert_eq!(refused(&huge), Some(Violation::MessageTooBig));
    }

    #[test]
    fn one_fragment_more_than_allowed_is_refused() {
        let middle = frame(0x00, b"");
        let four = [
            frame(0x02, b"a"),
            middle.clone(),
            middle.clone(),
            frame(0x80, b""),
        ];
        assert_eq!(refused(&four.concat()), None);
        let five = [&four[..3].concat()[..], &middle, &middle].concat();
        assert_eq!(refused(&five), Some(Violation::TooManyFragments));
    }

    #[test]
    fn text_must_not_end_inside_a_code_point_but_a_fragment_may() {
        assert_eq!(
            refused(&[frame(0x01, b"a\xE2"), frame(0x80, b"\x82\xAC")].concat()),
            None
        );
        let cut = [frame(0x01, b"a\xE2"), frame(0x80, b"\x82")].concat();
        assert_eq!(refused(&cut), Some(Violation::InvalidUtf8));
        let empty_end = [frame(0x01, b"a\xE2"), frame(0x80, b"")].concat();
        assert_eq!(refused(&empty_end), Some(Violation::InvalidUtf8));
        let ping_between = [
            frame(0x01, b"\xE2"),
            frame(0x89, b"\xFF"),
            frame(0x80, b"\x82\xAC"),
        ];
        assert_eq!(refused(&ping_between.concat()), None);
    }

    #[test]
    fn invalid_text_is_refused_before_its_frame_is_whole() {
        let wire = frame(0x81, &[b"ok\xFF".as_slice(), &[b'x'; 100]].concat());
        assert_eq!(verdict(&wire[..9], 1).0, Some(Violation::InvalidUtf8));
    }

    #[test]
    fn frames_before_a_violation_are_delivered() {
        let good = frame(0x81, b"hello");
        let wire = [&good[..], &[0x81, 0x01, b'x']].concat();
        assert_eq!(
            verdict(&wire, wire.len()),
            (Some(Violation::Unmasked), good.len(), vec![Kind::Text; 2])
        );
    }

    #[test]
    fn text_is_shown_as_binary_and_unmasked_in_place() {
        let mut wire = [frame(0x81, b"hi"), frame(0x01, b"a"), frame(0x80, b"b")].concat();
        let mut started = VecDeque::new();
        let mut walk = Walk::new(LIMITS);
        walk.walk(&mut wire, &mut started).unwrap();
        assert_eq!([wire[0], wire[8], wire[15]], [0x82, 0x02, 0x80]);
        assert_eq!(
            [&wire[6..8], &wire[14..15], &wire[21..]],
            [&b"hi"[..], b"a", b"b"]
        );
        assert_eq!(started, [Kind::Text, Kind::Text]);
        assert!(walk.is_between_messages());
    }

    proptest! {
        #[test]
        fn any_bytes_get_the_same_verdict_for_every_split(
            wire in proptest::collection::vec(any::<u8>(), 1..60), piece in 1..60usize,
        ) {
            let whole = verdict(&wire, wire.len());
            prop_assert_eq!(whole.0, verdict(&wire, piece).0);
        }
    }
}
