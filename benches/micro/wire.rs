//! The bytes of a client's messages, and a socket in memory to read them from.

use std::{
    io::{self, Read, Write},
    pin::Pin,
    task::{Context, Poll},
};

use framecast_wire::{
    frame::Kind,
    validator::{MessageLimits, Role, Rules},
};
use tokio::io::{AsyncRead, ReadBuf};

/// Payload sizes to measure with, in bytes: a line of chat, a record, a page, and the largest
/// message that the server accepts by default.
pub(crate) const SIZES: [usize; 4] = [20, 1024, 16 * 1024, 64 * 1024];

pub(crate) const KINDS: [Kind; 2] = [Kind::Text, Kind::Binary];

pub(crate) const LIMITS: MessageLimits = MessageLimits {
    message_bytes: 64 * 1024,
    fragments: 1024,
};

pub(crate) const RULES: Rules = Rules {
    role: Role::Server,
    deflate: false,
    limits: LIMITS,
};

/// The masking key of every frame.
pub(crate) const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// Masked messages of one frame each: as many as fit in [`MAX_BYTES`], but not more than a client
/// might have in flight.
pub(crate) struct Messages {
    pub(crate) bytes: Vec<u8>,
    pub(crate) count: usize,
}

impl Messages {
    pub(crate) fn new(kind: Kind, size: usize) -> Self {
        let frame = frame(kind, size);
        let count = (MAX_BYTES / frame.len()).min(IN_FLIGHT);
        Self {
            bytes: frame.repeat(count),
            count,
        }
    }
}

/// Returns a payload of ASCII, for text and binary messages.
pub(crate) fn payload(size: usize) -> Vec<u8> {
    (b'a'..=b'z').cycle().take(size).collect()
}

/// Encodes a masked frame that is a whole message.
fn frame(kind: Kind, size: usize) -> Vec<u8> {
    let mut frame = vec![if kind == Kind::Text { 0x81 } else { 0x82 }];
    match size {
        0..=125 => frame.push(0x80 | u8::try_from(size).unwrap()),
        126..=0xFFFF => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(size).unwrap().to_be_bytes());
        }
        _ => {
            frame.push(0x80 | 127);
            frame.extend((size as u64).to_be_bytes());
        }
    }
    frame.extend(KEY);
    let masked = payload(size).into_iter().zip(KEY.into_iter().cycle());
    frame.extend(masked.map(|(byte, key)| byte ^ key));
    frame
}

/// A socket that brings the same bytes for ever, and takes everything that is written.
pub(crate) struct Socket {
    bytes: Vec<u8>,
    at: usize,
}

impl Socket {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        Self {
            bytes: bytes.to_vec(),
            at: 0,
        }
    }

    /// Returns the next bytes, at most `max` of them.
    fn next(&mut self, max: usize) -> &[u8] {
        let start = self.at;
        let end = self.bytes.len().min(start + max);
        self.at = end % self.bytes.len();
        &self.bytes[start..end]
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let max = buf.remaining();
        buf.put_slice(self.get_mut().next(max));
        Poll::Ready(Ok(()))
    }
}

impl Read for Socket {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let bytes = self.next(buf.len());
        buf[..bytes.len()].copy_from_slice(bytes);
        Ok(bytes.len())
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Largest size of all messages together, in bytes: about half of the server's receive buffer.
const MAX_BYTES: usize = 128 * 1024;

/// Largest number of messages that a client has in flight.
const IN_FLIGHT: usize = 64;
