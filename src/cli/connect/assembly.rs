//! Frames into messages ([RFC 6455 §5.4]).
//!
//! Pure. Not fastwebsockets' `FragmentCollector`: that one puts no limit on the sum of the
//! fragments, and drops the tail of a text that ends inside a character.
//!
//! [RFC 6455 §5.4]: https://www.rfc-editor.org/rfc/rfc6455#section-5.4

use fastwebsockets::OpCode;

use super::message::Message;

/// The longest message accepted, in bytes of payload. Arbitrary: more than a terminal can show,
/// little enough for any machine to hold.
pub(super) const MAX_MESSAGE_BYTES: usize = 16 << 20;

/// How the server broke the protocol, or this client's limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Violation {
    #[error("the server sent a malformed frame")]
    Malformed,
    #[error("the server sent a message of more than {MAX_MESSAGE_BYTES} bytes")]
    MessageTooBig,
    #[error("the server sent text that is not UTF-8")]
    NotUtf8,
    #[error("the server sent fragments out of sequence")]
    Sequence,
}

impl Violation {
    /// The close code that tells the server (RFC 6455 §7.4.1).
    pub(super) fn close_code(self) -> u16 {
        match self {
            Self::Malformed | Self::Sequence => 1002,
            Self::NotUtf8 => 1007,
            Self::MessageTooBig => 1009,
        }
    }
}

/// The message being received.
///
/// Invariant: `payload` is empty while `opcode` is `None`, and at most [`MAX_MESSAGE_BYTES`] long.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    opcode: Option<OpCode>,
    payload: Vec<u8>,
}

impl Assembly {
    /// Takes the next data frame; returns the message when `fin` completes it.
    pub(super) fn on_frame(
        &mut self,
        opcode: OpCode,
        fin: bool,
        payload: &[u8],
    ) -> Result<Option<Message>, Violation> {
        // §5.4: a message starts with its opcode, and only continuation frames follow.
        if (opcode == OpCode::Continuation) != self.opcode.is_some() {
            return Err(Violation::Sequence);
        }
        if MAX_MESSAGE_BYTES - self.payload.len() < payload.len() {
            return Err(Violation::MessageTooBig);
        }
        self.payload.extend_from_slice(payload);
        let first = *self.opcode.get_or_insert(opcode);
        if !fin {
            return Ok(None);
        }
        self.opcode = None;
        complete(first, std::mem::take(&mut self.payload)).map(Some)
    }
}

fn complete(opcode: OpCode, payload: Vec<u8>) -> Result<Message, Violation> {
    if opcode == OpCode::Binary {
        return Ok(Message::Binary(payload));
    }
    // §8.1: a text that is not UTF-8 fails the connection.
    let text = String::from_utf8(payload).map_err(|_| Violation::NotUtf8)?;
    Ok(Message::Text(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Result<Option<Message>, Violation> {
        Ok(Some(Message::Text(text.to_owned())))
    }

    #[test]
    fn a_final_frame_is_a_message() {
        let mut assembly = Assembly::default();
        assert_eq!(assembly.on_frame(OpCode::Text, true, b"hi"), text("hi"));
        assert_eq!(
            assembly.on_frame(OpCode::Binary, true, &[0xff]),
            Ok(Some(Message::Binary(vec![0xff])))
        );
    }

    #[test]
    fn fragments_join_even_inside_a_character() {
        let mut assembly = Assembly::default();
        assert_eq!(assembly.on_frame(OpCode::Text, false, &[0xe2]), Ok(None));
        assert_eq!(
            assembly.on_frame(OpCode::Continuation, false, &[0x82]),
            Ok(None)
        );
        assert_eq!(
            assembly.on_frame(OpCode::Continuation, true, &[0xac]),
            text("€")
        );
        assert_eq!(assembly.on_frame(OpCode::Text, true, b"next"), text("next"));
    }

    #[test]
    fn a_text_cut_inside_a_character_is_refused() {
        let mut assembly = Assembly::default();
        assert_eq!(assembly.on_frame(OpCode::Text, false, b"ab"), Ok(None));
        assert_eq!(
            assembly.on_frame(OpCode::Continuation, true, &[0xe2, 0x82]),
            Err(Violation::NotUtf8)
        );
    }

    #[test]
    fn fragments_out_of_sequence_are_refused() {
        let mut assembly = Assembly::default();
        let lost_start = assembly.on_frame(OpCode::Continuation, true, b"x");
        assert_eq!(lost_start, Err(Violation::Sequence));

        assert_eq!(assembly.on_frame(OpCode::Text, false, b"first"), Ok(None));
        let second_start = assembly.on_frame(OpCode::Text, false, b"second");
        assert_eq!(second_start, Err(Violation::Sequence));
    }

    #[test]
    fn the_sum_of_the_fragments_is_limited() {
        let half = vec![b'x'; MAX_MESSAGE_BYTES / 2];
        let mut assembly = Assembly::default();
        assert_eq!(assembly.on_frame(OpCode::Text, false, &half), Ok(None));
        assert_eq!(
            assembly.on_frame(OpCode::Continuation, false, &half),
            Ok(None)
        );
        assert_eq!(
            assembly.on_frame(OpCode::Continuation, true, b"x"),
            Err(Violation::MessageTooBig)
        );
    }
}
