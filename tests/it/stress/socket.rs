//! A WebSocket client that costs so little that millions of messages can be received on the machine
//! of the server.

use std::{net::SocketAddr, ops::Range, time::Duration};

use framecast_test_support::{
    deflate::Inflater,
    frames::{RSV1, close, masked},
    handshake_with,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::timeout,
};

/// Bytes of the receive buffer: more than the longest message.
const BUFFER_BYTES: usize = 64 * 1024;

/// Longest wait for a byte. In a run that makes progress, waits are shorter even on a busy machine.
const STALLED: Duration = Duration::from_secs(60);

/// A connection.
pub(super) struct Socket {
    pub(super) frames: Frames,
    pub(super) writer: OwnedWriteHalf,
}

/// The frames that the server sends.
pub(super) struct Frames {
    reader: OwnedReadHalf,
    buffer: Vec<u8>,
    unread: Range<usize>,
    /// Created for the first compressed message.
    inflater: Option<Inflater>,
    /// Payload of the last compressed message.
    inflated: Vec<u8>,
}

impl Socket {
    /// Connects, and sends nothing.
    pub(super) async fn dial(server: SocketAddr) -> Self {
        let stream = TcpStream::connect(server).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (reader, writer) = stream.into_split();
        let frames = Frames {
            reader,
            buffer: vec![0; BUFFER_BYTES],
            unread: 0..0,
            inflater: None,
            inflated: Vec::new(),
        };
        Self { frames, writer }
    }

    /// Connects, and sends an opening handshake. The response is not read yet.
    pub(super) async fn ask(server: SocketAddr, path: &str, headers: &str) -> Self {
        let mut socket = Self::dial(server).await;
        let handshake = handshake_with(path, headers);
        socket.send(handshake.as_bytes()).await;
        socket
    }

    pub(super) async fn connect(server: SocketAddr, path: &str, headers: &str) -> Self {
        let mut socket = Self::ask(server, path, headers).await;
        let head = socket.frames.head().await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{path}: {head}");
        socket
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) {
        self.writer.write_all(bytes).await.unwrap();
    }

    /// Sends a Close.
    pub(super) async fn begin_close(&mut self) {
        self.send(&masked([close(1000, "")])).await;
    }

    /// Does the closing handshake, and asserts that no message arrives before the server's Close.
    pub(super) async fn close(mut self) {
        self.begin_close().await;
        let (first, payload) = self.frames.next().await;
        assert_eq!(
            (first, payload),
            // A Close with code 1000.
            (0x88, &[0x03, 0xE8][..]),
            "{:?} after the end",
            String::from_utf8_lossy(payload)
        );
    }

    /// Ends the connection with a reset instead of a FIN.
    pub(super) fn reset(self) {
        let stream: &TcpStream = self.frames.reader.as_ref();
        let stream = socket2::SockRef::from(stream);
        stream.set_linger(Some(Duration::ZERO)).unwrap();
        // Dropping the writer would send a FIN first.
        self.writer.forget();
    }
}

impl Frames {
    /// Waits for the next frame: its first byte and its payload, inflated if it is compressed.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub(super) async fn next(&mut self) -> (u8, &[u8]) {
        loop {
            if let Some((first, payload)) = self.parse() {
                let payload = &self.buffer[payload];
                if first & RSV1 == 0 {
                    return (first, payload);
                }
                let inflater = self.inflater.get_or_insert_default();
                let (first, inflated) = inflater.inflate((first, payload.to_vec()));
                self.inflated = inflated;
                return (first, &self.inflated);
            }
            assert!(self.fill().await > 0, "the server ends the connection");
        }
    }

    /// Waits for the next text message.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub(super) async fn text(&mut self) -> &[u8] {
        let (first, payload) = self.next().await;
        assert_eq!(first, 0x81, "{:?}", String::from_utf8_lossy(payload));
        payload
    }

    /// Waits for the head of an HTTP response.
    pub(super) async fn head(&mut self) -> String {
        loop {
            let unread = &self.buffer[self.unread.clone()];
            if let Some(end) = unread.windows(4).position(|four| four == b"\r\n\r\n") {
                return String::from_utf8(self.take(end + 4).to_vec()).unwrap();
            }
            assert!(self.fill().await > 0, "no response");
        }
    }

    /// Waits for the body of an HTTP response.
    pub(super) async fn body(&mut self, len: usize) -> &[u8] {
        while self.unread.len() < len {
            assert!(self.fill().await > 0, "no body");
        }
        self.take(len)
    }

    /// Takes `len` bytes from the received ones.
    fn take(&mut self, len: usize) -> &[u8] {
        let start = self.unread.start;
        self.unread.start += len;
        &self.buffer[start..start + len]
    }

    /// Takes a frame from the received bytes, if they have a whole one. Returns its first byte, and
    /// the place of its payload in the buffer.
    fn parse(&mut self) -> Option<(u8, Range<usize>)> {
        let unread = &self.buffer[self.unread.clone()];
        let (header, len) = match unread {
            [_, len @ 0..=125, ..] => (2, usize::from(*len)),
            [_, 126, high, low, ..] => (4, usize::from(u16::from_be_bytes([*high, *low]))),
            [_, 127, ..] => panic!("longer than any message of the plan"),
            _ => return None,
        };
        if unread.len() < header + len {
            return None;
        }
        let first = unread[0];
        let start = self.unread.start + header;
        self.unread.start = start + len;
        Some((first, start..start + len))
    }

    /// Receives more bytes. Returns how many, which is 0 at the end of the stream.
    async fn fill(&mut self) -> usize {
        self.buffer.copy_within(self.unread.clone(), 0);
        self.unread = 0..self.unread.len();
        let space = &mut self.buffer[self.unread.end..];
        let read = timeout(STALLED, self.reader.read(space)).await;
        let read = read.expect("bytes in time").unwrap();
        self.unread.end += read;
        read
    }
}
