//! Frames as a dialogue names them: `client.sends(ping("?"))`, `client.receives(pong("?"))`.
//!
//! The same constructor serves both directions. On the wire a client's frame is masked and a
//! server's is not (RFC 6455 §5.1); [`masked`] and [`unmasked`] return the bytes.

/// A frame before it is masked: its first byte (FIN, RSV1 to RSV3, opcode) and its payload.
pub type Frame = (u8, Vec<u8>);

/// RSV1, which marks the first frame of a compressed message (RFC 7692 §6).
pub const RSV1: u8 = 0x40;

/// The bit of the second byte that says that a masking key follows (RFC 6455 §5.2).
const MASK: u8 = 0x80;

/// The masking key of all clients: the one of RFC 6455 §5.7.
const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// Returns a text message in one frame.
pub fn text(payload: impl AsRef<[u8]>) -> Frame {
    (0x81, payload.as_ref().to_vec())
}

/// Returns a binary message in one frame.
pub fn binary(payload: impl AsRef<[u8]>) -> Frame {
    (0x82, payload.as_ref().to_vec())
}

/// Returns the first fragment of a text message.
pub fn first_text(payload: impl AsRef<[u8]>) -> Frame {
    (0x01, payload.as_ref().to_vec())
}

/// Returns the first fragment of a binary message.
pub fn first_binary(payload: impl AsRef<[u8]>) -> Frame {
    (0x02, payload.as_ref().to_vec())
}

/// Returns a fragment that is neither the first nor the last one of its message.
pub fn middle(payload: impl AsRef<[u8]>) -> Frame {
    (0x00, payload.as_ref().to_vec())
}

/// Returns the last fragment of a message.
pub fn last(payload: impl AsRef<[u8]>) -> Frame {
    (0x80, payload.as_ref().to_vec())
}

/// Returns a Ping.
pub fn ping(payload: impl AsRef<[u8]>) -> Frame {
    (0x89, payload.as_ref().to_vec())
}

/// Returns a Pong.
pub fn pong(payload: impl AsRef<[u8]>) -> Frame {
    (0x8A, payload.as_ref().to_vec())
}

/// Returns a Close with a code and a reason, which may be empty.
pub fn close(code: u16, reason: &str) -> Frame {
    (0x88, [&code.to_be_bytes(), reason.as_bytes()].concat())
}

/// Returns a Close without a code.
pub fn empty_close() -> Frame {
    (0x88, Vec::new())
}

/// Returns a frame with RSV1 set, as if its payload were compressed. The payload does not change.
pub fn with_rsv1((first, payload): Frame) -> Frame {
    (first | RSV1, payload)
}

/// Returns the bytes in which a client sends these frames.
pub fn masked(frames: impl IntoIterator<Item = Frame>) -> Vec<u8> {
    let frames = frames.into_iter();
    frames
        .flat_map(|(first, payload)| frame(first, &payload))
        .collect()
}

/// Returns the bytes in which a server sends these frames.
pub fn unmasked(frames: impl IntoIterator<Item = Frame>) -> Vec<u8> {
    let frames = frames.into_iter();
    frames
        .flat_map(|(first, payload)| [header(first, 0, payload.len()), payload].concat())
        .collect()
}

/// Returns the bytes of a client's frame: header, masking key, masked payload.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut wire = header(first, MASK, payload.len());
    wire.extend(KEY);
    wire.extend(
        payload
            .iter()
            .zip(KEY.iter().cycle())
            .map(|(byte, key)| byte ^ key),
    );
    wire
}

/// Returns the header of a frame up to its length, which has the shortest form. `mask` is [`MASK`]
/// or 0.
fn header(first: u8, mask: u8, len: usize) -> Vec<u8> {
    let mut header = vec![first];
    match len {
        0..=125 => header.push(mask | u8::try_from(len).unwrap()),
        126..=0xFFFF => {
            header.push(mask | 126);
            header.extend(u16::try_from(len).unwrap().to_be_bytes());
        }
        _ => {
            header.push(mask | 127);
            header.extend((len as u64).to_be_bytes());
        }
    }
    header
}
