//! Clients that write bytes to sockets without a library and hardly allocate. They run in the
//! process of the server, and so nearly all the memory that the allocator counts is the server's.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use framecast_test_support::deflate::noise;
use socket2::{Domain, Socket, Type};
use zlib_rs::{Deflate, DeflateFlush};

use crate::server::Server;

/// Connects with a small receive buffer, so that bytes that the client does not read stay at the
/// server.
pub(crate) fn dial(address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&address.into()).unwrap();
    let socket = TcpStream::from(socket);
    socket.set_nodelay(true).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    socket
}

/// The offer of compression in a client's opening handshake.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Offer {
    /// No compression.
    Nothing,
    /// A window of this many bits, without a context. The server compresses a message once for all
    /// clients with the same window.
    Window(u8),
    /// A compression context that the server keeps for this client alone.
    Context,
}

impl Offer {
    fn header(self) -> String {
        let deflate = "Sec-WebSocket-Extensions: permessage-deflate";
        match self {
            Self::Nothing => String::new(),
            Self::Window(bits) => {
                format!("{deflate}; server_no_context_takeover; server_max_window_bits={bits}\r\n")
            }
            Self::Context => format!("{deflate}\r\n"),
        }
    }
}

/// Opens a WebSocket connection to `target`, a path that may have a query.
pub(crate) fn upgrade(server: &Server, target: &str, offer: Offer) -> TcpStream {
    let mut socket = server.dial();
    let opening = format!(
        "GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{}\r\n",
        offer.header()
    );
    socket.write_all(opening.as_bytes()).unwrap();
    assert_eq!(read_head(&mut socket), *b"101");
    socket
}

/// Returns the path and query by which a client joins the chat with these topics.
pub(crate) fn chat(topics: &[String]) -> String {
    let topics: Vec<_> = topics
        .iter()
        .map(|topic| format!("topic={topic}"))
        .collect();
    format!("/ws?{}", topics.join("&"))
}

/// Reads the head of a response. Returns its status as three ASCII digits.
pub(crate) fn read_head(socket: &mut TcpStream) -> [u8; 3] {
    let mut start = [0; 12];
    socket.read_exact(&mut start).unwrap();
    let (mut last, mut byte) = ([0; 4], [0]);
    while last != *b"\r\n\r\n" {
        socket.read_exact(&mut byte).unwrap();
        last = [last[1], last[2], last[3], byte[0]];
    }
    // The status follows the 9 bytes of "HTTP/1.1 ".
    [start[9], start[10], start[11]]
}

/// Reads a frame from the server, and throws it away.
pub(crate) fn read_frame(socket: &mut TcpStream) {
    let mut start = [0; 2];
    socket.read_exact(&mut start).unwrap();
    let mut extended = [0; 8];
    // A short length is in the second byte. Longer ones are in the 2 or 8 bytes after it.
    let (length, extended_bytes) = match start[1] {
        126 => (0, 2),
        127 => (0, 8),
        length => (u64::from(length), 0),
    };
    socket
        .read_exact(&mut extended[8 - extended_bytes..])
        .unwrap();
    let mut left = usize::try_from(length + u64::from_be_bytes(extended)).unwrap();
    let mut buffer = [0; 4096];
    while left > 0 {
        let len = left.min(buffer.len());
        socket.read_exact(&mut buffer[..len]).unwrap();
        left -= len;
    }
}

/// Publishes `frame` as many times as `messages` says. The publisher is itself a subscriber of the
/// topic, and waits for each message before it sends the next: a message that it has got is queued
/// to all other subscribers, too.
pub(crate) fn publish(socket: &mut TcpStream, messages: usize, frame: &[u8]) {
    for _ in 0..messages {
        socket.write_all(frame).unwrap();
        read_frame(socket);
    }
}

/// Sends `bytes` up to `times` times. Stops earlier if no byte could be written for 100 ms, because
/// the server reads no more. Returns the number of bytes sent.
pub(crate) fn send_while_taken(socket: &mut TcpStream, bytes: &[u8], times: usize) -> usize {
    let patience = Duration::from_millis(100);
    socket.set_write_timeout(Some(patience)).unwrap();
    let mut sent = 0;
    while sent < bytes.len() * times
        && let Ok(count) = socket.write(&bytes[sent % bytes.len()..])
    {
        sent += count;
    }
    sent
}

/// Returns a client's frame with this first byte, masked with a key of zeros.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    [&header(first, payload.len())[..], payload].concat()
}

/// Returns the header of a client's frame with this first byte, up to and including a masking key
/// of zeros. `len` is the length of the payload.
pub(crate) fn header(first: u8, len: usize) -> Vec<u8> {
    let mut header = vec![first];
    match (u8::try_from(len), u16::try_from(len)) {
        (Ok(len @ ..126), _) => header.push(0x80 | len),
        (_, Ok(len)) => {
            header.push(0x80 | 126);
            header.extend(len.to_be_bytes());
        }
        _ => {
            header.push(0x80 | 127);
            header.extend((len as u64).to_be_bytes());
        }
    }
    header.extend([0; 4]);
    header
}

/// Returns a payload of this many bytes. `noise_percent` percent of it cannot be compressed, and
/// the other bytes are zeros.
pub(crate) fn payload(bytes: usize, noise_percent: usize) -> Vec<u8> {
    let mut payload = noise(bytes * noise_percent / 100);
    payload.resize(bytes, 0);
    payload
}

/// Returns the payload of a compressed message that inflates to `payload`.
pub(crate) fn deflated(payload: &[u8]) -> Vec<u8> {
    if payload.is_empty() {
        // The compressed form of an empty payload (RFC 7692 §7.2.3.6).
        return vec![0];
    }
    // Payloads that can't be compressed get longer.
    let mut wire = vec![0; payload.len() + payload.len() / 8 + 64];
    let mut stream = Deflate::new(1, false, 15);
    stream
        .compress(payload, &mut wire, DeflateFlush::SyncFlush)
        .unwrap();
    // Without the four last bytes of a flushed block (RFC 7692 §7.2.1).
    wire.truncate(usize::try_from(stream.total_out()).unwrap() - 4);
    wire
}
