//! Messages and fragments from a client, as its protocol gets them.

use crate::{
    message::Message,
    wire::frame::{Frame, Kind, Opcode},
};

/// A message that a client has sent.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    kind: Kind,
    payload: &'a [u8],
}

impl<'a> Incoming<'a> {
    pub(crate) fn new(kind: Kind, payload: &'a [u8]) -> Self {
        Self { kind, payload }
    }

    /// Returns the kind of the message: text or binary.
    #[must_use]
    pub fn kind(self) -> Kind {
        self.kind
    }

    /// Returns the bytes of the message.
    #[must_use]
    pub fn payload(self) -> &'a [u8] {
        self.payload
    }

    /// Returns the text of the message, or `None` if it is binary.
    #[must_use]
    pub fn text(self) -> Option<&'a str> {
        match self.kind {
            Kind::Text => str::from_utf8(self.payload).ok(),
            Kind::Binary => None,
        }
    }
}

/// Makes a message to be published, with a copy of the payload.
impl From<Incoming<'_>> for Message {
    fn from(message: Incoming<'_>) -> Self {
        Self::new(message.kind, message.payload)
    }
}

/// A frame of a fragmented message that a client has sent.
#[derive(Clone, Copy, Debug)]
pub struct Fragment<'a> {
    kind: Option<Kind>,
    is_last: bool,
    payload: &'a [u8],
}

impl<'a> Fragment<'a> {
    pub(crate) fn new(kind: Option<Kind>, is_last: bool, payload: &'a [u8]) -> Self {
        Self {
            kind,
            is_last,
            payload,
        }
    }

    /// Returns the kind of the message if this is its first frame, and `None` for all other frames.
    #[must_use]
    pub fn kind(self) -> Option<Kind> {
        self.kind
    }

    /// Returns true if the message ends with this frame.
    #[must_use]
    pub fn is_last(self) -> bool {
        self.is_last
    }

    /// Returns the payload of the frame.
    #[must_use]
    pub fn payload(self) -> &'a [u8] {
        self.payload
    }

    pub(super) fn to_frame(self) -> Frame {
        let opcode = self.kind.map_or(Opcode::Continuation, Opcode::from);
        Frame::fragment(opcode, self.is_last, self.payload)
    }
}
