//! WebSocket servers that behave as the test says, in a thread for each connection.

use std::{
    collections::VecDeque,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

/// The behaviour of a scripted server on one connection.
pub(crate) type Script = Arc<dyn Fn(Peer) + Send + Sync>;

/// The server's side of a connection.
pub(crate) struct Peer {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Peer {
    /// Reads the request of an opening handshake, and answers it by a 101. `None` if the connection
    /// has ended before. The accept value is constant, because load clients always send the key of
    /// RFC 6455 §1.3.
    pub(crate) fn accept(stream: TcpStream) -> Option<Self> {
        stream.set_nodelay(true).ok()?;
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
        }
        let mut peer = Self { stream, reader };
        let answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
            Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        peer.write(answer);
        Some(peer)
    }

    /// Returns another handle of the same connection, for threads that write to it.
    fn duplicate(&self) -> Self {
        let stream = self.stream.try_clone().unwrap();
        let reader = BufReader::new(self.stream.try_clone().unwrap());
        Self { stream, reader }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        // Fails if the client has finished, which resets its connections.
        let _ = self.stream.write_all(bytes);
    }

    /// Reads the next text message. `None` if the connection has ended, or if another frame than a
    /// text has arrived.
    pub(crate) fn read(&mut self) -> Option<String> {
        let (first, payload) = self.read_frame()?;
        // FIN and Text.
        (first == 0x81).then(|| String::from_utf8(payload).unwrap())
    }

    /// Reads the next frame. Returns its first byte and its payload.
    pub(crate) fn read_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut header = [0; 2];
        self.reader.read_exact(&mut header).ok()?;
        assert_eq!(header[1] & 0x80, 0x80, "a frame from a client is masked");
        let len = match header[1] & 0x7F {
            126 => {
                let mut len = [0; 2];
                self.reader.read_exact(&mut len).ok()?;
                usize::from(u16::from_be_bytes(len))
            }
            len => usize::from(len),
        };
        let mut key = [0; 4];
        self.reader.read_exact(&mut key).ok()?;
        let mut payload = vec![0; len];
        self.reader.read_exact(&mut payload).ok()?;
        let key = key.iter().cycle();
        payload
            .iter_mut()
            .zip(key)
            .for_each(|(byte, key)| *byte ^= key);
        Some((header[0], payload))
    }

    /// Sends a text message of at most 125 bytes.
    pub(crate) fn send(&mut self, text: &str) {
        let mut frame = vec![0x81, u8::try_from(text.len()).unwrap()];
        frame.extend(text.as_bytes());
        self.write(&frame);
    }
}

/// Starts a server that runs `script` on each connection.
pub(crate) fn scripted(script: Script) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // The threads end with the test's process.
    thread::spawn(move || {
        for stream in listener.incoming() {
            let script = Arc::clone(&script);
            thread::spawn(move || {
                if let Some(peer) = Peer::accept(stream.unwrap()) {
                    script(peer);
                }
            });
        }
    });
    address
}

/// A function that changes a stream of publications. It returns the messages to send to each
/// subscriber now, in place of publication `number`, and may keep messages in `held` for a later
/// call.
pub(crate) type Mangle =
    fn(number: usize, message: String, held: &mut VecDeque<String>) -> Vec<String>;

/// Starts a server whose protocol is that of [`PROTOCOL`]: the message `sub …` subscribes and is
/// answered by `ok`, and `pub …` publishes. Each subscriber gets the messages that `mangle` returns
/// for a publication.
pub(crate) fn broadcaster(mangle: Mangle) -> SocketAddr {
    let subscribers: Arc<Mutex<Vec<Peer>>> = Arc::default();
    scripted(Arc::new(move |mut peer| {
        let (mut number, mut held) = (0, VecDeque::new());
        while let Some(message) = peer.read() {
            let Some(payload) = message.strip_prefix("pub ") else {
                // Replies under the lock, so that the list has the subscriber before the next
                // publication.
                let mut subscribers = subscribers.lock().unwrap();
                peer.send("ok");
                return subscribers.push(peer);
            };
            for text in mangle(number, payload.to_owned(), &mut held) {
                let mut subscribers = subscribers.lock().unwrap();
                subscribers
                    .iter_mut()
                    .for_each(|subscriber| subscriber.send(&text));
            }
            number += 1;
        }
    }))
}

/// Starts a server that sends every message to all connections except the one that it came from.
pub(crate) fn to_others() -> SocketAddr {
    let peers: Arc<Mutex<Vec<Peer>>> = Arc::default();
    scripted(Arc::new(move |mut peer| {
        let own = peer.stream.peer_addr().unwrap();
        peers.lock().unwrap().push(peer.duplicate());
        while let Some(message) = peer.read() {
            let mut peers = peers.lock().unwrap();
            let others = peers
                .iter_mut()
                .filter(|other| other.stream.peer_addr().is_ok_and(|address| address != own));
            others.for_each(|other| other.send(&message));
        }
    }))
}

/// Options of `load` that describe the protocol of [`broadcaster`].
pub(crate) const PROTOCOL: [&str; 6] = [
    "--subscribe",
    "sub {topic}",
    "--subscribed",
    "ok",
    "--publish",
    "pub {payload}",
];
