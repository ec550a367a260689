//! A blocking client whose bytes a test writes and reads itself.
//!
//! `send` and `expect` take bytes, `sends` and `receives` frames.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
};

use crate::{
    Answer, PATIENCE,
    frames::{Frame, close, masked},
    handshake_with,
};

/// Bytes of a payload that a panic message shows.
const SHOWN_BYTES: usize = 80;

/// A blocking client.
#[derive(Debug)]
pub struct Client {
    /// The socket, whose reads and writes fail after [`PATIENCE`].
    pub stream: TcpStream,
}

impl Client {
    /// Connects, and sends nothing.
    pub fn dial(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream }
    }

    /// Does the opening handshake on a connection on which nothing was sent before.
    #[track_caller]
    pub fn upgrade(self, path: &str) -> Self {
        self.upgrade_with(path, "")
    }

    /// Does the opening handshake with additional headers, each with its CRLF.
    #[track_caller]
    pub fn upgrade_with(mut self, path: &str, headers: &str) -> Self {
        self.send(handshake_with(path, headers).as_bytes());
        let head = self.read_head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{path}: {head}");
        self
    }

    /// Sends these bytes.
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Sends a frame.
    pub fn sends(&mut self, frame: Frame) {
        self.sends_together([frame]);
    }

    /// Sends frames in one write.
    pub fn sends_together(&mut self, frames: impl IntoIterator<Item = Frame>) {
        self.send(&masked(frames));
    }

    /// Reads as many bytes as these, and asserts that they are the same.
    #[track_caller]
    pub fn expect(&mut self, bytes: &[u8]) {
        let mut read = vec![0; bytes.len()];
        if let Err(error) = self.stream.read_exact(&mut read) {
            panic!("{error} instead of {bytes:02X?}");
        }
        assert_eq!(read, bytes, "as text: {:?}", String::from_utf8_lossy(&read));
    }

    /// Reads the next frame, and asserts that it is this one.
    #[track_caller]
    pub fn receives(&mut self, frame: Frame) {
        self.receives_all([frame]);
    }

    /// Reads as many frames as these, and asserts that they are the same in the same order.
    #[track_caller]
    pub fn receives_all(&mut self, frames: impl IntoIterator<Item = Frame>) {
        for expected in frames {
            let received = self.read_frame();
            assert!(
                received == expected,
                "{} instead of {}",
                shown(&received),
                shown(&expected)
            );
        }
    }

    /// Reads one unmasked frame.
    #[track_caller]
    pub fn read_frame(&mut self) -> Frame {
        let mut header = [0; 2];
        self.stream.read_exact(&mut header).expect("a frame");
        let len = match header[1] {
            126 => u64::from(u16::from_be_bytes(self.read_array())),
            127 => u64::from_be_bytes(self.read_array()),
            len => u64::from(len),
        };
        let mut payload = vec![0; usize::try_from(len).unwrap()];
        self.stream.read_exact(&mut payload).expect("a payload");
        (header[0], payload)
    }

    fn read_array<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.stream.read_exact(&mut bytes).expect("a length");
        bytes
    }

    /// Reads a text message.
    #[track_caller]
    pub fn read_text(&mut self) -> String {
        let (first, payload) = self.read_frame();
        assert_eq!(first, 0x81, "a text message, not {payload:02X?}");
        String::from_utf8(payload).unwrap()
    }

    /// Reads a Close. Returns its code and its reason.
    #[track_caller]
    pub fn read_close(&mut self) -> (u16, String) {
        let (first, payload) = self.read_frame();
        assert_eq!(
            first,
            0x88,
            "a Close, not {:?}",
            String::from_utf8_lossy(&payload)
        );
        let code = u16::from_be_bytes([payload[0], payload[1]]);
        (code, String::from_utf8(payload[2..].to_vec()).unwrap())
    }

    /// Asserts that the server ends the stream, and that no byte comes before the end.
    #[track_caller]
    pub fn expect_end(&mut self) {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => assert_eq!(rest, [0; 0]),
            // A reset: the server closed its socket before it had read all that this client sent.
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}"),
        }
    }

    /// Does the closing handshake. When this returns, the server has read everything that was sent
    /// before the Close.
    #[track_caller]
    pub fn close(mut self) {
        self.sends(close(1000, ""));
        self.receives(close(1000, ""));
        self.expect_end();
    }

    /// Reads the head of an HTTP response, up to and including its empty line.
    pub fn read_head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let byte: [u8; 1] = self.read_array();
            head.extend(byte);
        }
        String::from_utf8(head).unwrap()
    }

    /// Reads an HTTP response, with the body that its `Content-Length` announces.
    pub fn read_answer(&mut self) -> Answer {
        let head = self.read_head();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut answer = Answer {
            status,
            head,
            body: String::new(),
        };
        let length = answer
            .header("content-length")
            .map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).unwrap();
        answer.body = String::from_utf8(body).unwrap();
        answer
    }
}

/// Returns a frame as a panic message shows it: with the start of its payload.
fn shown((first, payload): &Frame) -> String {
    let len = payload.len();
    let start = String::from_utf8_lossy(&payload[..len.min(SHOWN_BYTES)]);
    format!("{first:02X} {start:?} ({len} bytes)")
}
