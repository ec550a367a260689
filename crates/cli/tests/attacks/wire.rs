//! Encodes what the clients send, and parses what the server sends. Shares no code with the server,
//! so that no fault hides on both sides.

/// First byte of an unfragmented text message: FIN and opcode.
pub(crate) const TEXT: u8 = 0x81;
pub(crate) const BINARY: u8 = 0x82;
pub(crate) const CLOSE: u8 = 0x88;
pub(crate) const PING: u8 = 0x89;
pub(crate) const PONG: u8 = 0x8A;
/// FIN bit.
pub(crate) const FINAL: u8 = 0x80;
/// RSV1 bit: the message is compressed (RFC 7692).
pub(crate) const COMPRESSED: u8 = 0x40;

/// Masking key of all client frames.
pub(crate) const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// Encodes a masked frame of a client.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut wire = head(first, payload.len() as u64);
    let masked = payload.iter().zip(KEY.iter().cycle());
    wire.extend(masked.map(|(byte, key)| byte ^ key));
    wire
}

/// Encodes a masked frame of `len` times the same byte, quickly even for large ones.
pub(crate) fn frame_of(first: u8, byte: u8, len: usize) -> Vec<u8> {
    let mut wire = head(first, len as u64);
    let start = wire.len();
    wire.extend(KEY.map(|key| key ^ byte).repeat(len.div_ceil(4)));
    wire.truncate(start + len);
    wire
}

/// Encodes the header of a client's frame; its payload may never follow.
pub(crate) fn head(first: u8, len: u64) -> Vec<u8> {
    let mut wire = vec![first];
    match (u8::try_from(len), u16::try_from(len)) {
        (Ok(len @ 0..=125), _) => wire.push(0x80 | len),
        (_, Ok(len)) => {
            wire.push(0x80 | 126);
            wire.extend(len.to_be_bytes());
        }
        _ => {
            wire.push(0x80 | 127);
            wire.extend(len.to_be_bytes());
        }
    }
    wire.extend(KEY);
    wire
}

/// Encodes a message in fragments with these payloads. `first` is the first byte that the message
/// would have in one frame.
pub(crate) fn fragments(first: u8, payloads: &[&[u8]]) -> Vec<u8> {
    let last = payloads.len() - 1;
    let each = payloads.iter().enumerate().map(|(index, payload)| {
        let opcode = if index == 0 { first & !FINAL } else { 0 };
        let end = if index == last { FINAL } else { 0 };
        frame(opcode | end, payload)
    });
    each.collect::<Vec<_>>().concat()
}

/// Encodes a masked Close with a code.
pub(crate) fn close(code: u16) -> Vec<u8> {
    frame(CLOSE, &code.to_be_bytes())
}

/// Encodes the opening handshake; `headers` are whole lines.
pub(crate) fn upgrade(path: &str, headers: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
    )
    .into_bytes()
}

/// Encodes an HTTP request with a body.
pub(crate) fn request(method: &str, path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}

/// Returns the path of a chat connection with a topic for each of `numbers`, in their order:
/// `prefix` and the number.
pub(crate) fn chat(prefix: &str, numbers: impl IntoIterator<Item = usize>) -> String {
    let topics = numbers
        .into_iter()
        .map(|number| format!("topic={prefix}{number}"));
    format!("/ws?{}", topics.collect::<Vec<_>>().join("&"))
}

/// Encodes the JSON `{"topics": [names]}`, a relay's message.
pub(crate) fn topics_message(names: &[String]) -> String {
    format!("{{\"topics\":[\"{}\"]}}", names.join("\",\""))
}

/// Bytes that the server has sent, which are taken out frame by frame.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    bytes: Vec<u8>,
    /// Number of bytes at the start that were taken out already.
    start: usize,
}

impl Frames {
    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.start);
        self.start = 0;
        self.bytes.extend(bytes);
    }

    /// Returns the first byte and the payload of the next whole frame.
    pub(crate) fn next(&mut self) -> Option<(u8, &[u8])> {
        let bytes = &self.bytes[self.start..];
        let (&first, &second) = (bytes.first()?, bytes.get(1)?);
        let (header, len) = match second & 0x7F {
            126 => (4, u64::from(u16::from_be_bytes(array(bytes, 2)?))),
            127 => (10, u64::from_be_bytes(array(bytes, 2)?)),
            len => (2, u64::from(len)),
        };
        let len = usize::try_from(len).ok()?;
        let payload = bytes.get(header..header + len)?;
        self.start += header + len;
        Some((first, payload))
    }
}

/// Returns the `N` bytes from `start` on.
pub(crate) fn array<const N: usize>(bytes: &[u8], start: usize) -> Option<[u8; N]> {
    bytes.get(start..start + N)?.try_into().ok()
}

/// Pseudo-random numbers, the same in every run (xorshift).
#[derive(Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Returns `len` bytes that do not compress.
    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next().to_be_bytes()[0]).collect()
    }
}
