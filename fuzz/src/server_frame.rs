//! A strict parser of the frames that a server sends. It shares no code with the encoder.

use crate::inflate::Inflater;

/// One frame that a server sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerFrame {
    /// The first byte of the frame: FIN, RSV and opcode.
    pub first: u8,
    pub payload: Vec<u8>,
}

impl ServerFrame {
    pub fn is_control(&self) -> bool {
        self.first & 0x08 != 0
    }

    pub fn is_close(&self) -> bool {
        self.first == 0x88
    }

    /// Returns the frame as it was before compression. `inflater` must have inflated all earlier
    /// frames.
    #[must_use]
    pub fn inflated(self, inflater: &mut Inflater) -> Self {
        if self.first & 0x40 == 0 {
            return self;
        }
        Self {
            first: self.first & !0x40,
            payload: inflater.inflate(&self.payload),
        }
    }

    /// Splits the first frame off `wire`.
    ///
    /// # Panics
    ///
    /// If the frame is not whole, or breaks RFC 6455.
    pub fn take(wire: &mut &[u8]) -> Self {
        let [first, second, rest @ ..] = *wire else {
            panic!("a truncated header: {wire:?}");
        };
        let (length, rest) = match *second {
            126 => {
                let (length, rest) = rest.split_first_chunk().expect("a whole header");
                let length = u16::from_be_bytes(*length);
                assert!(length > 125, "the shortest form");
                (usize::from(length), rest)
            }
            127 => {
                let (length, rest) = rest.split_first_chunk().expect("a whole header");
                let length = u64::from_be_bytes(*length);
                assert!(length > 0xFFFF, "the shortest form");
                (length as usize, rest)
            }
            length => {
                assert!(length < 0x80, "unmasked");
                (usize::from(length), rest)
            }
        };
        assert!(rest.len() >= length, "a truncated payload: {wire:?}");
        let (payload, rest) = rest.split_at(length);
        *wire = rest;
        let frame = Self {
            first: *first,
            payload: payload.to_vec(),
        };
        assert!(
            matches!(first, 0x00..=0x02 | 0x80..=0x82 | 0x88..=0x8A | 0xC1..=0xC2),
            "{frame:?}"
        );
        assert!(
            !frame.is_control() || length <= 125,
            "a control frame too long: {frame:?}"
        );
        frame
    }

    /// Returns all frames of `wire`.
    ///
    /// # Panics
    ///
    /// If a frame is not whole, breaks RFC 6455, or follows a Close.
    pub fn all(mut wire: &[u8]) -> Vec<Self> {
        let mut frames: Vec<Self> = Vec::new();
        while !wire.is_empty() {
            assert!(
                !frames.last().is_some_and(Self::is_close),
                "a Close is the last frame"
            );
            frames.push(Self::take(&mut wire));
        }
        frames
    }
}
