//! WebSocket frames from a server to its clients, encoded once and shared by all receivers.
//!
//! Frames of a server are never masked ([RFC 6455 §5.1]), so one encoding of a message is valid for
//! every connection. This module performs no I/O.
//!
//! [RFC 6455 §5.1]: https://www.rfc-editor.org/rfc/rfc6455#section-5.1

use bytes::{BufMut, Bytes, BytesMut};

use super::header::{CONTROL, FIN, OPCODE, RSV1};

/// Kind of a message ([RFC 6455 §5.6](https://www.rfc-editor.org/rfc/rfc6455#section-5.6)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the RFC knows two kinds of message"
)]
pub enum Kind {
    /// UTF-8 text.
    Text,
    /// Arbitrary bytes.
    Binary,
}

/// The opcodes of [RFC 6455 §5.2](https://www.rfc-editor.org/rfc/rfc6455#section-5.2) that this
/// crate encodes. Pong is missing, because fastwebsockets encodes the Pongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// A fragment of a message after its first one.
    Continuation = 0x0,
    /// The first or only frame of a text message.
    Text = 0x1,
    /// The first or only frame of a binary message.
    Binary = 0x2,
    /// The last frame that its sender sends (§5.5.1).
    Close = 0x8,
    /// A request for a Pong, which shows that the peer is alive (§5.5.2).
    Ping = 0x9,
}

impl From<Kind> for Opcode {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Text => Self::Text,
            Kind::Binary => Self::Binary,
        }
    }
}

/// One complete, unmasked frame, ready to be written to any number of sockets.
///
/// Layout, in bytes ([RFC 6455 §5.2]):
///
/// | offset     | size      | field                              |
/// |------------|-----------|------------------------------------|
/// | 0          | 1         | FIN, RSV1–3, opcode                |
/// | 1          | 1, 3 or 9 | MASK (always 0) and payload length |
/// | 2, 4 or 10 | n         | payload                            |
///
/// A clone only increments a reference count. The payload is never copied again.
///
/// [RFC 6455 §5.2]: https://www.rfc-editor.org/rfc/rfc6455#section-5.2
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame(Bytes);

impl Frame {
    /// Encodes `text` as a message of a single text frame.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::message(Kind::Text, text.as_bytes())
    }

    /// Encodes `payload` as a message of a single binary frame.
    #[must_use]
    pub fn binary(payload: &[u8]) -> Self {
        Self::message(Kind::Binary, payload)
    }

    /// Encodes a whole message as a single frame. Text is not checked for UTF-8 here, because the
    /// text of a peer is checked when it arrives.
    pub fn message(kind: Kind, payload: &[u8]) -> Self {
        Self::encode(FIN | Opcode::from(kind) as u8, payload)
    }

    /// Splits the first frame off `read`, the bytes that a receiver of frames has read. Returns
    /// `None` if the frame is not whole yet. The frame must be encoded as this module does it:
    /// unmasked, with its length in the shortest form.
    pub fn split_off(read: &mut BytesMut) -> Option<Self> {
        let payload_len = match *read.get(1)? {
            126 => usize::from(u16::from_be_bytes(*read.get(2..)?.first_chunk()?)),
            127 => usize::try_from(u64::from_be_bytes(*read.get(2..)?.first_chunk()?)).ok()?,
            len => usize::from(len),
        };
        let wire_len = header_bytes(payload_len).checked_add(payload_len)?;
        (read.len() >= wire_len).then(|| Self(read.split_to(wire_len).freeze()))
    }

    /// Returns the opcode, or `None` if it is none of those in [`Opcode`].
    #[must_use]
    pub fn opcode(&self) -> Option<Opcode> {
        use Opcode::{Binary, Close, Continuation, Ping, Text};
        let opcode = self.0[0] & OPCODE;
        let all = [Continuation, Text, Binary, Close, Ping];
        all.into_iter().find(|each| *each as u8 == opcode)
    }

    /// Returns the kind of the message that this frame begins, or `None` if it is a control frame
    /// or a later fragment.
    #[must_use]
    pub fn kind(&self) -> Option<Kind> {
        match self.opcode()? {
            Opcode::Text => Some(Kind::Text),
            Opcode::Binary => Some(Kind::Binary),
            Opcode::Continuation | Opcode::Close | Opcode::Ping => None,
        }
    }

    /// Returns true if this frame is a whole, uncompressed message.
    #[must_use]
    pub fn is_message(&self) -> bool {
        [Kind::Text, Kind::Binary]
            .map(|kind| FIN | Opcode::from(kind) as u8)
            .contains(&self.0[0])
    }

    /// Returns true if this frame is a whole message, or the last fragment of one.
    #[must_use]
    pub fn ends_message(&self) -> bool {
        self.0[0] & (FIN | CONTROL) == FIN
    }

    /// Encodes one frame of a message, with this opcode. If `is_final`, sets the FIN bit, which
    /// marks the last frame of the message.
    pub fn fragment(opcode: Opcode, is_final: bool, payload: &[u8]) -> Self {
        let fin = if is_final { FIN } else { 0 };
        Self::encode(fin | opcode as u8, payload)
    }

    /// Encodes an empty Ping. Any frame that the peer sends after it proves that the peer is alive.
    pub fn ping() -> Self {
        Self::encode(FIN | Opcode::Ping as u8, &[])
    }

    /// Encodes a Close with `code` and as much of `reason` as fits in a control frame (§5.5,
    /// §5.5.1).
    pub fn close(code: u16, reason: &str) -> Self {
        let mut payload = Vec::with_capacity(2 + reason.len());
        payload.put_u16(code);
        payload.put_slice(&reason.as_bytes()[..reason.floor_char_boundary(MAX_REASON_BYTES)]);
        Self::encode(FIN | Opcode::Close as u8, &payload)
    }

    /// Returns the size of this frame on the wire, header included, in bytes.
    #[must_use]
    pub fn wire_len(&self) -> usize {
        self.0.len()
    }

    /// Returns the encoded frame, header included.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Passes the bytes of the frame to `keep`. Returns the frame with the bytes that `keep`
    /// returns, which must be the same. `keep` may, for example, count the bytes against a budget.
    pub fn map(self, keep: impl FnOnce(Bytes) -> Bytes) -> Self {
        Self(keep(self.0))
    }

    /// Returns the payload.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        let header = match self.0[1] {
            126 => 4,
            127 => 10,
            _ => 2,
        };
        &self.0[header..]
    }

    /// Encodes this message as a compressed one (RFC 7692 §6.1). `payload` is the payload of the
    /// message after compression.
    pub fn deflated(&self, payload: &[u8]) -> Self {
        Self::encode(self.0[0] | RSV1, payload)
    }

    /// Returns the whole frame, header included.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    fn encode(first: u8, payload: &[u8]) -> Self {
        // The vector gets exactly the capacity that it needs, because `Bytes` needs a second
        // allocation for a vector with spare capacity.
        let mut wire = Vec::with_capacity(header_bytes(payload.len()) + payload.len());
        encode(first, payload, &mut wire);
        Self(wire.into())
    }
}

/// Appends a whole message to `wire` as a single frame. Text is not checked for UTF-8 here, because
/// the text of a peer is checked when it arrives.
#[inline]
pub fn encode_message(kind: Kind, payload: &[u8], wire: &mut impl BufMut) {
    encode(FIN | Opcode::from(kind) as u8, payload, wire);
}

/// Returns the size of the header of an unmasked frame whose payload has `payload_len` bytes.
fn header_bytes(payload_len: usize) -> usize {
    match payload_len {
        0..=125 => 2,
        126..=0xFFFF => 4,
        _ => MAX_HEADER_BYTES,
    }
}

/// Appends an unmasked frame with this first byte and this payload to `wire`.
#[expect(clippy::cast_possible_truncation, reason = "each arm bounds `len`")]
#[inline]
fn encode(first: u8, payload: &[u8], wire: &mut impl BufMut) {
    match payload.len() {
        len @ 0..=125 => wire.put_slice(&[first, len as u8]),
        len @ 126..=0xFFFF => {
            wire.put_slice(&[first, 126]);
            wire.put_u16(len as u16);
        }
        len => {
            wire.put_slice(&[first, 127]);
            wire.put_u64(len as u64);
        }
    }
    wire.put_slice(payload);
}

/// Returns true if an encoded frame is a Close.
#[must_use]
pub fn is_close(frame: &[u8]) -> bool {
    frame
        .first()
        .is_some_and(|first| first & OPCODE == Opcode::Close as u8)
}

/// Size of the longest header of a server's frame, in bytes: two bytes and an extended length of
/// eight. Servers send no masking key.
pub const MAX_HEADER_BYTES: usize = 10;

/// Size of the longest reason in a Close, in bytes. A control frame holds 125 bytes (§5.5), two of
/// which are the code.
const MAX_REASON_BYTES: usize = 123;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_is_encoded_in_the_shortest_form() {
        let header = |len: usize| Frame::binary(&vec![0; len]).0[..2].to_vec();
        assert_eq!(header(0), [0x82, 0]);
        assert_eq!(header(125), [0x82, 125]);
        assert_eq!(header(126), [0x82, 126]);
        assert_eq!(header(65_535), [0x82, 126]);
        assert_eq!(header(65_536), [0x82, 127]);
        assert_eq!(Frame::binary(&[0; 126]).0[2..4], [0, 126]);
        assert_eq!(
            Frame::binary(&vec![0; 65_536]).0[2..10],
            [0, 0, 0, 0, 0, 1, 0, 0]
        );
    }

    #[test]
    fn a_frame_is_split_off_when_it_is_whole_and_no_sooner() {
        for len in [0, 1, 125, 126, 65_535, 65_536] {
            let frame = Frame::binary(&vec![b'x'; len]);
            let bytes = [frame.as_bytes(), b"\x81\x01"].concat();
            for short in (0..frame.wire_len()).step_by(frame.wire_len() / 100 + 1) {
                let mut read = BytesMut::from(&bytes[..short]);
                assert_eq!(Frame::split_off(&mut read), None);
                assert_eq!(read.len(), short);
            }
            let mut read = BytesMut::from(&bytes[..]);
            assert_eq!(Frame::split_off(&mut read), Some(frame));
            assert_eq!(read[..], *b"\x81\x01");
            assert_eq!(Frame::split_off(&mut read), None);
        }
        let impossible = [&[0x82, 127][..], &[0xFF; 8]].concat();
        assert_eq!(Frame::split_off(&mut BytesMut::from(&impossible[..])), None);
    }

    #[test]
    fn kind_and_opcode_are_read_from_the_encoded_frame() {
        assert_eq!(Frame::text("x").kind(), Some(Kind::Text));
        assert_eq!(Frame::binary(b"x").kind(), Some(Kind::Binary));
        assert_eq!(Frame::text("x").deflated(b"y").kind(), Some(Kind::Text));
        assert_eq!(Frame::ping().kind(), None);
        assert_eq!(Frame::close(1000, "").opcode(), Some(Opcode::Close));
        assert!(Frame::text("x").is_message());
        assert!(!Frame::text("x").deflated(b"y").is_message());
        assert!(!Frame::fragment(Opcode::Text, false, b"x").is_message());
    }

    #[test]
    fn text_and_fragments_carry_their_opcode_and_fin() {
        assert_eq!(Frame::text("hi").0[..], [0x81, 2, b'h', b'i']);
        assert_eq!(
            Frame::fragment(Opcode::Text, false, b"h").0[..],
            [0x01, 1, b'h']
        );
        assert_eq!(
            Frame::fragment(Opcode::Continuation, true, b"i").0[..],
            [0x80, 1, b'i']
        );
        assert_eq!(Frame::ping().0[..], [0x89, 0]);
    }

    #[test]
    fn a_long_close_reason_is_cut_between_characters_to_fit_a_control_frame() {
        assert_eq!(Frame::close(1000, "").0[..], [0x88, 2, 0x03, 0xE8]);
        let long = Frame::close(1008, &"é".repeat(100));
        // The code, and 61 of the two-byte characters: the 62nd would end after 124 bytes.
        assert_eq!(long.0[1], 2 + 122);
        assert!(str::from_utf8(&long.0[4..]).is_ok());
    }
}
