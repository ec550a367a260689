//! The floors for fan-out: a program that writes every received message to all connections, in a
//! loop. It has two modes:
//!
//!     floor_fanout PORT one-send     one write for each frame and connection
//!     floor_fanout PORT batch        one write for all frames that one read has brought
//!
//! The program has just enough of WebSocket for `framecast load`. Each handshake is answered, each
//! frame is parsed and encoded once, and nothing is checked. If a socket is full, the program waits
//! for it, and all other sockets wait, too.

use std::{
    env,
    io::{self, ErrorKind, Read as _, Write as _},
    mem,
    net::TcpStream,
    ops::Range,
};

use framecast_peers::bare::Bare;
use rustix::event::{PollFd, PollFlags, poll};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

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

/// The state of the program.
struct Floor {
    mode: Mode,
    /// Buffer into which all connections are read.
    buffer: Vec<u8>,
    /// The encoded frames that are to be written next.
    frames: Vec<u8>,
}

/// The way in which frames are written to a connection.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    /// Each frame by itself.
    OneSend,
    /// All frames of one read together.
    Batch,
}

/// The state of a connection.
#[derive(Default)]
struct Peer {
    /// True if the handshake is done.
    is_open: bool,
    /// The received part of a request or frame that has not arrived whole.
    rest: Vec<u8>,
}

impl Floor {
    /// Reads once from connection `index`. Until its handshake is done, the read bytes are a part
    /// of the request. From then on they are frames, which are written to all connections.
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
            let answer = answer(&mem::take(rest));
            *is_open = true;
            connection.socket.write_all(answer.as_bytes())?;
        }
        Ok(())
    }

    /// Writes each complete frame in `received` to all connections. Returns the bytes after the
    /// last complete frame.
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

/// Returns the 101 to `request`.
fn answer(request: &[u8]) -> String {
    let request = String::from_utf8_lossy(request);
    let mut headers = request.lines().filter_map(|line| line.split_once(": "));
    let key = headers.find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"));
    let accept = derive_accept_key(key.unwrap_or_default().1.as_bytes());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    )
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

/// Writes `frames` to all connections whose handshake is done.
fn send_to_all(bare: &Bare<Peer>, frames: &[u8]) {
    for connection in bare.connections.iter().flatten() {
        if connection.state.is_open {
            // An error is ignored here: the next read of the connection fails, too, and closes it.
            let _ = send(&connection.socket, frames);
        }
    }
}

/// Writes all bytes to a socket. If the socket is full, waits until it can be written again.
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
