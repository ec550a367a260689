//! Messages to be published, of text or of bytes.

use crate::wire::frame::{Frame, Kind};

/// A message to be published. It is encoded once for all connections that get it.
///
/// Cloning is a reference-count increment. The payload is never copied again.
///
/// ```
/// use framecast::{Kind, Message};
///
/// let message = Message::text("cats are awesome");
/// assert_eq!(message.kind(), Kind::Text);
/// assert_eq!(message.payload(), b"cats are awesome");
/// assert_eq!(Message::binary(&[1, 2, 3]).as_text(), None);
/// ```
//
// Invariant: the frame is a whole message, and not compressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message(Frame);

impl Message {
    /// Makes a text message.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self(Frame::text(text))
    }

    /// Makes a binary message of any bytes.
    #[must_use]
    pub fn binary(payload: &[u8]) -> Self {
        Self(Frame::binary(payload))
    }

    /// Makes a message of this kind. The caller has checked that the payload of a text message is
    /// UTF-8.
    pub(crate) fn new(kind: Kind, payload: &[u8]) -> Self {
        Self(Frame::message(kind, payload))
    }

    /// Makes a message of a frame. Returns `None` if the frame is not a whole uncompressed message,
    /// but a fragment, a control frame or compressed.
    pub(crate) fn from_frame(frame: Frame) -> Option<Self> {
        frame.is_message().then_some(Self(frame))
    }

    /// Returns the frame that the message is sent in.
    pub(crate) fn into_frame(self) -> Frame {
        self.0
    }

    /// Returns the kind of the message: text or binary.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "the frame begins a message")]
    pub fn kind(&self) -> Kind {
        self.0.kind().expect("the frame begins a message")
    }

    /// Returns the bytes of the message.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.0.payload()
    }

    /// Returns the text of the message, or `None` if it is binary.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self.kind() {
            Kind::Text => str::from_utf8(self.payload()).ok(),
            Kind::Binary => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frame::Opcode;

    #[test]
    fn only_a_frame_with_a_whole_uncompressed_message_becomes_one() {
        for frame in [
            Frame::text("hi"),
            Frame::binary(b""),
            Frame::binary(&[7; 200]),
        ] {
            let message = Message::from_frame(frame.clone()).unwrap();
            assert_eq!(message.payload(), frame.payload());
            assert_eq!(message.into_frame(), frame);
        }
        for no_message in [
            Frame::fragment(Opcode::Text, false, b"hi"),
            Frame::fragment(Opcode::Continuation, true, b"hi"),
            Frame::text("hi").deflated(b"hi"),
            Frame::ping(),
            Frame::close(1000, ""),
        ] {
            assert_eq!(Message::from_frame(no_message), None);
        }
    }

    #[test]
    fn a_message_knows_its_kind_and_its_text() {
        assert_eq!(Message::text("é").as_text(), Some("é"));
        assert_eq!(Message::binary(b"x").as_text(), None);
        assert_eq!(Message::new(Kind::Binary, b"x"), Message::binary(b"x"));
    }
}
