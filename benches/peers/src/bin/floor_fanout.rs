//! The floors for fan-out: every received message is written to all connections, in a loop.
//!
//!     floor_fanout PORT one-send     one write for each frame and connection
//!     floor_fanout PORT batch        one write for all frames that one read has brought
//!
//! It has just enough of WebSocket for `framecast load`. All handshakes get the same answer,
//! because the load generator always sends the same key. Each frame is parsed and encoded once, and
//! nothing is checked. If a socket is full, the program waits for it, and all other sockets wait,
//! too.

use std::{
    env,
    io::{self, ErrorKind, Read as _, Write as _},
    mem,
    net::TcpStream,
    ops::Range,
};

use framecast_peers::bare::Bare;
use rustix::event::{PollFd, PollFlags, poll};

/// The answer to a handshake with the sample key of RFC 6455 §1.3.
const ANSWER: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

fn main() -> io::Result<()> {
    let mut floor = Floor {
        mode: match env::args().nth(2).as_deref() {
            Some("one-send") => Mode::OneSend,
            Some("batch") => Mode::Batch,
            _ => panic!("usage: floor_fanout PORT one-send|batch"),
        },
        buffer: vec![0; 1 << 20],
        frames: Vec::new(),
    };
    Bare::listen()?.run(|bare, index| floor.on_ready(bare, index))
}

struct Floor {
    mode: Mode,
    buffer: Vec<u8>,
    /// The encoded frames that are to be written next.
    frames: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    OneSend,
    Batch,
}

#[derive(Default)]
struct Peer {
    /// The handshake is done.
    is_open: bool,
    /// Received bytes that are not a whole request or frame yet.
    rest: Vec<u8>,
}

impl Floor {
    fn on_ready(&mut self, bare: &mut Bare<Peer>, index: usize) -> io::Result<()> {
        let Some(connection) = &mut bare.connections[index] else {
            return Ok(());
        };
        let read = match connection.socket.read(&mut self.buffer)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            read => &self.buffer[..read],
        };
        let Peer { is_open, rest } = &mut connection.state;
        rest.extend_from_slice(read);
        if *is_open {
            let received = mem::take(rest);
            let rest = self.publish(bare, received);
            if let Some(connection) = &mut bare.connections[index] {
                connection.state.rest = rest;
            }
        } else if rest.ends_with(b"\r\n\r\n") {
            rest.clear();
            *is_open = true;
            connection.socket.write_all(ANSWER)?;
        }
        Ok(())
    }

    /// Writes the whole frames in `received` to all connections. Returns the bytes after them.
    fn publish(&mut self, bare: &Bare<Peer>, mut received: Vec<u8>) -> Vec<u8> {
        let mut taken = 0;
        self.frames.clear();
        while let Some(payload) = payload(&mut received[taken..]) {
            append(&mut self.frames, &received[taken..][payload.clone()]);
            taken += payload.end;
            if self.mode == Mode::OneSend {
                send_to_all(bare, &self.frames);
                self.frames.clear();
            }
        }
        if !self.frames.is_empty() {
            send_to_all(bare, &self.frames);
        }
        received.drain(..taken);
        received
    }
}

/// Unmasks the frame at the beginning of `bytes`. Returns the range of its payload, or `None` if
/// the frame is not whole.
fn payload(bytes: &mut [u8]) -> Option<Range<usize>> {
    let (start, len) = match bytes.get(1)? & 0x7F {
        126 => (
            8,
            usize::from(u16::from_be_bytes(*bytes[2..].first_chunk()?)),
        ),
        127 => (
            14,
            usize::try_from(u64::from_be_bytes(*bytes[2..].first_chunk()?)).ok()?,
        ),
        len => (6, usize::from(len)),
    };
    let (header, payload) = bytes.split_at_mut_checked(start)?;
    let key: [u8; 4] = *header.last_chunk()?;
    for (byte, key) in payload.get_mut(..len)?.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
    Some(start..start + len)
}

/// Encodes a binary frame, and appends it to `frames`.
fn append(frames: &mut Vec<u8>, payload: &[u8]) {
    frames.push(0x82);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(len @ ..126), _) => frames.push(len),
        (_, Ok(len)) => {
            frames.push(126);
            frames.extend(len.to_be_bytes());
        }
        _ => {
            frames.push(127);
            frames.extend((payload.len() as u64).to_be_bytes());
        }
    }
    frames.extend_from_slice(payload);
}

fn send_to_all(bare: &Bare<Peer>, frames: &[u8]) {
    for connection in bare.connections.iter().flatten() {
        if connection.state.is_open {
            // The next read of a broken connection fails, too, and closes it.
            let _ = send(&connection.socket, frames);
        }
    }
}

/// Writes all bytes, and waits if the socket is full.
fn send(mut socket: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match socket.write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                poll(&mut [PollFd::new(&socket, PollFlags::OUT)], None)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
