//! Parses frames out of received bytes, and puts them together to messages.

use std::ops::Range;

use crate::plan::Scheme;

/// A whole message, of one or more frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    /// True for a binary message, false for text.
    pub is_binary: bool,
    pub payload: &'a [u8],
}

/// A message or a control frame from a server.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Incoming<'a> {
    Message(Message<'a>),
    Ping(&'a [u8]),
    /// A Close, with its code if there is one, and its reason.
    Close(Option<u16>, &'a [u8]),
}

/// A protocol error of the server: against RFC 6455, or against the generator's own limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// A continuation without a message to continue (§5.4).
    #[error("a continuation of nothing")]
    Continuation,
    /// A control frame of more than 125 bytes, or in fragments (§5.5).
    #[error("a control frame that is too long or in fragments")]
    Control,
    /// A masked frame (§5.1).
    #[error("a masked frame")]
    Masked,
    /// A reserved bit or opcode (§5.2).
    #[error("a reserved bit or opcode")]
    Reserved,
    /// A text message that is not UTF-8 (§8.1).
    #[error("text that is not UTF-8")]
    Text,
    /// A message over the generator's limit.
    #[error("a message of more than {MAX_MESSAGE_BYTES} bytes")]
    TooBig,
    /// A new message before the last fragment of the previous message (§5.4).
    #[error("a message inside of a fragmented one")]
    Unfinished,
}

/// Parses the frames of one connection, and puts fragments together to messages.
#[derive(Debug)]
pub(crate) struct Assembly {
    scheme: Scheme,
    unfinished: Option<Unfinished>,
}

/// The fragments so far of a message whose last one has not arrived.
#[derive(Debug)]
struct Unfinished {
    is_binary: bool,
    payload: Vec<u8>,
}

impl Assembly {
    pub(crate) fn new(scheme: Scheme) -> Self {
        Self {
            scheme,
            unfinished: None,
        }
    }

    /// Parses the frame at the start of `bytes`. If it completes a message, or is a Ping or a
    /// Close, calls `on_incoming`. Returns the length of the frame, or `None` if it is not complete
    /// yet.
    pub(crate) fn take(
        &mut self,
        bytes: &[u8],
        on_incoming: impl FnOnce(Incoming<'_>),
    ) -> Result<Option<usize>, ProtocolError> {
        let Some(header) = header(self.scheme, bytes)? else {
            return Ok(None);
        };
        let Some(payload) = bytes.get(header.payload.clone()) else {
            return Ok(None);
        };
        let is_binary = header.opcode == 0x2;
        // The opcodes: 0x0 is a continuation, 0x1 Text, 0x2 Binary, 0x8 Close, 0x9 Ping, 0xA Pong.
        match (header.opcode, &mut self.unfinished) {
            (0x1 | 0x2, None) if header.is_final => {
                on_incoming(Incoming::Message(message(is_binary, payload)?));
            }
            (0x1 | 0x2, None) => {
                let payload = payload.to_vec();
                self.unfinished = Some(Unfinished { is_binary, payload });
            }
            (0x1 | 0x2, Some(_)) => return Err(ProtocolError::Unfinished),
            (0x0, Some(unfinished)) => {
                if unfinished.payload.len() + payload.len() > MAX_MESSAGE_BYTES {
                    return Err(ProtocolError::TooBig);
                }
                unfinished.payload.extend_from_slice(payload);
                if header.is_final {
                    let message = message(unfinished.is_binary, &unfinished.payload)?;
                    on_incoming(Incoming::Message(message));
                    self.unfinished = None;
                }
            }
            (0x0, None) => return Err(ProtocolError::Continuation),
            (0x8, _) => {
                let (code, reason) = match payload.split_first_chunk() {
                    Some((code, reason)) => (Some(u16::from_be_bytes(*code)), reason),
                    None => (None, &[][..]),
                };
                on_incoming(Incoming::Close(code, reason));
            }
            (0x9, _) => on_incoming(Incoming::Ping(payload)),
            // The generator sends no Pings, so each Pong is unsolicited and needs no answer
            // (§5.5.3).
            (0xA, _) => {}
            _ => return Err(ProtocolError::Reserved),
        }
        Ok(Some(header.payload.end))
    }
}

/// Returns the message, whose text must be UTF-8.
fn message(is_binary: bool, payload: &[u8]) -> Result<Message<'_>, ProtocolError> {
    // Nearly all text is ASCII, for which the first check is the faster one.
    if is_binary || payload.is_ascii() || str::from_utf8(payload).is_ok() {
        Ok(Message { is_binary, payload })
    } else {
        Err(ProtocolError::Text)
    }
}

struct Header {
    is_final: bool,
    opcode: u8,
    payload: Range<usize>,
}

/// Parses the frame header at the start of `bytes`. `None` if it is not complete yet.
fn header(scheme: Scheme, bytes: &[u8]) -> Result<Option<Header>, ProtocolError> {
    let &[first, second, ..] = bytes else {
        return Ok(None);
    };
    let (key_len, second) = match (second & 0x80, scheme) {
        (0, _) => (0, second),
        // The server sends back one of our own frames, whose masking key is all zeros.
        (_, Scheme::Tcp) => (4, second & 0x7F),
        (_, Scheme::Ws) => return Err(ProtocolError::Masked),
    };
    if first & 0x70 != 0 {
        return Err(ProtocolError::Reserved);
    }
    let (is_final, opcode) = (first & 0x80 != 0, first & 0x0F);
    if opcode >= 8 && (!is_final || second > 125) {
        return Err(ProtocolError::Control);
    }
    // The length of the header without the masking key, and the length of the payload: 7 bits, or
    // after 126 the next 16, or after 127 the next 64.
    let (start, len) = match second {
        126 => match bytes[2..].first_chunk() {
            Some(&len) => (4, u64::from(u16::from_be_bytes(len))),
            None => return Ok(None),
        },
        127 => match bytes[2..].first_chunk() {
            Some(&len) => (10, u64::from_be_bytes(len)),
            None => return Ok(None),
        },
        len => (2, u64::from(len)),
    };
    match usize::try_from(len) {
        Ok(len) if len <= MAX_MESSAGE_BYTES => Ok(Some(Header {
            is_final,
            opcode,
            payload: start + key_len..start + key_len + len,
        })),
        _ => Err(ProtocolError::TooBig),
    }
}

/// Length of the longest message that is accepted, in bytes. It bounds the memory of one
/// connection. Arbitrary: four times the default of most servers.
pub(crate) const MAX_MESSAGE_BYTES: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns all messages and control frames in `bytes`, and how many bytes are left over.
    fn take_all(mut bytes: &[u8]) -> Result<(Vec<String>, usize), ProtocolError> {
        let (mut assembly, mut incoming) = (Assembly::new(Scheme::Ws), Vec::new());
        while let Some(taken) = assembly.take(bytes, |each| incoming.push(format!("{each:?}")))? {
            bytes = &bytes[taken..];
        }
        Ok((incoming, bytes.len()))
    }

    fn text(payload: &[u8]) -> String {
        let is_binary = false;
        format!("{:?}", Incoming::Message(Message { is_binary, payload }))
    }

    fn binary(payload: &[u8]) -> String {
        let is_binary = true;
        format!("{:?}", Incoming::Message(Message { is_binary, payload }))
    }

    #[test]
    fn frames_are_parsed_one_by_one_and_an_incomplete_one_is_left() {
        // A text, an empty binary message, and 5 of the 7 bytes of another text.
        let (incoming, rest) = take_all(b"\x81\x02hi\x82\x00\x81\x05hel").unwrap();
        assert_eq!(incoming, [text(b"hi"), binary(b"")]);
        assert_eq!(rest, 5);
    }

    #[test]
    fn fragments_make_one_message_and_control_frames_may_be_between_them() {
        // A text in three fragments, with a Ping between the first two, and a Close with code 1000.
        let (incoming, rest) =
            take_all(b"\x01\x01a\x89\x01p\x00\x01b\x80\x01c\x88\x02\x03\xE8").unwrap();
        assert_eq!(
            incoming,
            // 112 is `p`.
            ["Ping([112])", &text(b"abc"), "Close(Some(1000), [])"]
        );
        assert_eq!(rest, 0);
        // The first fragment says of which kind all are.
        let (incoming, _) = take_all(b"\x02\x01\xE2\x80\x01\xFF").unwrap();
        assert_eq!(incoming, [binary(b"\xE2\xFF")]);
    }

    #[test]
    fn text_must_be_utf8_as_a_whole_message() {
        for wire in [
            &b"\x81\x03\xE2\x82\xAC"[..],
            // A euro sign, cut after its second byte.
            b"\x01\x02\xE2\x82\x80\x01\xAC",
        ] {
            let (incoming, _) = take_all(wire).unwrap();
            assert_eq!(incoming, [text("€".as_bytes())]);
        }
        for wire in [
            &b"\x81\x01\xFF"[..],
            b"\x81\x02\xE2\x82",
            // A surrogate and a form that is too long.
            b"\x81\x03\xED\xA0\x80",
            b"\x81\x02\xC0\xAF",
            b"\x01\x02\xE2\x82\x80\x00",
        ] {
            assert_eq!(take_all(wire), Err(ProtocolError::Text));
        }
        assert!(take_all(b"\x82\x01\xFF").is_ok());
    }

    #[test]
    fn both_long_lengths_are_read() {
        // A 16-bit length of 256, after 4 bytes of header.
        let mut medium = b"\x82\x7E\x01\x00".to_vec();
        medium.resize(4 + 256, 1);
        assert_eq!(take_all(&medium).unwrap(), (vec![binary(&[1; 256])], 0));
        // A 64-bit length of 65,536, in a header of 10 bytes, which is incomplete without its
        // payload.
        let mut long = b"\x82\x7F\0\0\0\0\0\x01\0\0".to_vec();
        assert_eq!(take_all(&long).unwrap().1, 10);
        long.resize(10 + 65_536, 1);
        assert_eq!(take_all(&long).unwrap().1, 0);
    }

    #[test]
    fn our_own_frames_are_parsed_if_a_bare_tcp_server_sends_them_back() {
        let mut incoming = Vec::new();
        let mut take = |bytes: &[u8]| {
            let mut assembly = Assembly::new(Scheme::Tcp);
            assembly.take(bytes, |each| incoming.push(format!("{each:?}")))
        };
        // 2 bytes of header, 4 of masking key, 2 of payload, and the begin of the next frame.
        assert_eq!(take(b"\x81\x82\0\0\0\0hi\x81"), Ok(Some(8)));
        assert_eq!(take(b"\x81\x82\0\0\0\0h"), Ok(None));
        assert_eq!(incoming, [text(b"hi")]);
    }

    #[test]
    fn each_protocol_error_has_its_variant() {
        let error = |bytes: &[u8]| take_all(bytes).unwrap_err();
        assert_eq!(error(b"\x81\x80\0\0\0\0"), ProtocolError::Masked);
        // RSV1 is set.
        assert_eq!(error(b"\xC1\x00"), ProtocolError::Reserved);
        // Opcode 3.
        assert_eq!(error(b"\x83\x00"), ProtocolError::Reserved);
        assert_eq!(error(b"\x80\x00"), ProtocolError::Continuation);
        assert_eq!(error(b"\x01\x00\x81\x00"), ProtocolError::Unfinished);
        // A Ping without FIN, and one with a 16-bit length.
        assert_eq!(error(b"\x09\x00"), ProtocolError::Control);
        assert_eq!(error(b"\x89\x7E\0\0"), ProtocolError::Control);
        assert_eq!(error(b"\x82\x7F\xFF\0\0\0\0\0\0\0"), ProtocolError::TooBig);
    }
}
