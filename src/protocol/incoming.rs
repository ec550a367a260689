//! What a client has sent, as its protocol gets it.

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

    /// Text or binary.
    #[must_use]
    pub fn kind(self) -> Kind {
        self.kind
    }

    /// The bytes of the message.
    #[must_use]
    pub fn payload(self) -> &'a [u8] {
        self.payload
    }

    /// The text of the message; `None` if it is binary.
    #[must_use]
    pub fn text(self) -> Option<&'a str> {
        match self.kind {
            Kind::Text => str::from_utf8(self.payload).ok(),
            Kind::Binary => None,
        }
    }
}

/// The same message, to be published.
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

    /// Text or binary, which only the first frame of a message says.
    #[must_use]
    pub fn kind(self) -> Option<Kind> {
        self.kind
    }

    /// Returns true if the message ends with it.
    #[must_use]
    pub fn is_last(self) -> bool {
        self.is_last
    }

    /// The bytes of the frame.
    #[must_use]
    pub fn payload(self) -> &'a [u8] {
        self.payload
    }

    pub(super) fn to_frame(self) -> Frame {
        let opcode = self.kind.map_or(Opcode::Continuation, Opcode::from);
        Frame::fragment(opcode, self.is_last, self.payload)
    }
}
