//! WebSocket servers that behave as the test says, in a thread for each connection.

use std::{
    collections::VecDeque,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use socket2::SockRef;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// The behaviour of a scripted server on one connection.
pub(crate) type Script = Arc<dyn Fn(Peer) + Send + Sync>;

/// The server's side of a connection.
pub(crate) struct Peer {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Peer {
    fn new(stream: TcpStream) -> Option<Self> {
        stream.set_nodelay(true).ok()?;
        let reader = BufReader::new(stream.try_clone().ok()?);
        Some(Self { stream, reader })
    }

    /// Reads the request of an opening handshake, and answers it by a 101. `None` if the connection
    /// has ended before.
    pub(crate) fn accept(stream: TcpStream) -> Option<Self> {
        let mut peer = Self::new(stream)?;
        let head = peer.read_head()?;
        peer.upgrade(&head);
        Some(peer)
    }

    /// Answers the opening handshake whose request is `head`.
    pub(crate) fn upgrade(&mut self, head: &str) {
        let accept = accept(head);
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        self.write(answer.as_bytes());
    }

    /// Reads the head of a request. `None` if the connection has ended.
    pub(crate) fn read_head(&mut self) -> Option<String> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.reader.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        Some(head)
    }

    /// Reads the body of a request, which is `len` bytes of text.
    pub(crate) fn read_body(&mut self, len: usize) -> Option<String> {
        let mut body = vec![0; len];
        self.reader.read_exact(&mut body).ok()?;
        String::from_utf8(body).ok()
    }

    /// Ends the connection as servers do: the client gets all that was written, also if requests
    /// arrive that are not answered any more (RFC 9112 §9.6).
    pub(crate) fn end(mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
        let _ = io::copy(&mut self.reader, &mut io::sink());
    }

    /// Ends the connection by a reset.
    pub(crate) fn reset(self) {
        // With the time 0, a close sends a reset.
        let time = Some(Duration::ZERO);
        SockRef::from(&self.stream).set_linger(time).unwrap();
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

    /// Reads until the client ends the connection. Returns the bytes, or the error of a reset.
    pub(crate) fn read_to_end(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.reader.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Sends the end of the stream, and keeps reading.
    pub(crate) fn finish(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Sends a text message of at most 125 bytes.
    pub(crate) fn send(&mut self, text: &str) {
        self.send_frame(0x81, text.as_bytes());
    }

    /// Sends a frame of at most 125 bytes, whose first byte is `first`.
    pub(crate) fn send_frame(&mut self, first: u8, payload: &[u8]) {
        let len = u8::try_from(payload.len()).unwrap();
        let frame = [&[first, len], payload].concat();
        self.write(&frame);
    }
}

/// Returns the `Sec-WebSocket-Accept` that answers the request whose head is `head`.
pub(crate) fn accept(head: &str) -> String {
    derive_accept_key(key(head).as_bytes())
}

/// Returns the `Sec-WebSocket-Key` of a request.
pub(crate) fn key(head: &str) -> &str {
    let (_, key) = head.split_once("\r\nSec-WebSocket-Key: ").unwrap();
    key.lines().next().unwrap()
}

/// Starts a server that answers the opening handshake of each connection, and then runs `script`.
pub(crate) fn scripted(script: Script) -> SocketAddr {
    scripted_from_request(Arc::new(move |mut peer| {
        if let Some(head) = peer.read_head() {
            peer.upgrade(&head);
            script(peer);
        }
    }))
}

/// Starts a server that runs `script` on each connection, before anything is read.
pub(crate) fn scripted_from_request(script: Script) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // The threads end with the test's process.
    thread::spawn(move || {
        for stream in listener.incoming() {
            let script = Arc::clone(&script);
            thread::spawn(move || {
                if let Some(peer) = Peer::new(stream.unwrap()) {
                    script(peer);
                }
            });
        }
    });
    address
}

/// A function that changes a stream of publications. It is called with each publication `message`
/// and its `number`, and returns the messages to send to each subscriber instead. It may keep
/// messages in `held` for a later call.
pub(crate) type Mangle =
    fn(number: usize, message: String, held: &mut VecDeque<String>) -> Vec<String>;

/// Starts a server that takes the messages of [`PROTOCOL`]. A message `sub …` subscribes its
/// connection, and is answered by `ok`. A message `pub …` publishes. Each subscriber gets the
/// messages that `mangle` returns for a publication.
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

/// Answers the opening handshake of a peer and adds the peer to the others, under their lock: the
/// next message of any of them reaches it, too.
fn join(peer: &mut Peer, peers: &Mutex<Vec<Peer>>) {
    if let Some(head) = peer.read_head() {
        let mut peers = peers.lock().unwrap();
        peer.upgrade(&head);
        peers.push(peer.duplicate());
    }
}

/// Starts a server that sends every message to all connections, in a frame whose first byte is
/// `first`.
pub(crate) fn to_all(first: u8) -> SocketAddr {
    let peers: Arc<Mutex<Vec<Peer>>> = Arc::default();
    scripted_from_request(Arc::new(move |mut peer| {
        join(&mut peer, &peers);
        while let Some((sent, payload)) = peer.read_frame()
            && sent != CLOSE
        {
            let mut peers = peers.lock().unwrap();
            peers
                .iter_mut()
                .for_each(|peer| peer.send_frame(first, &payload));
        }
        // The others still have a handle of this connection.
        peer.finish();
    }))
}

/// Starts a server that sends every message to all connections except the one that it came from.
pub(crate) fn to_others() -> SocketAddr {
    let peers: Arc<Mutex<Vec<Peer>>> = Arc::default();
    scripted_from_request(Arc::new(move |mut peer| {
        let own = peer.stream.peer_addr().unwrap();
        join(&mut peer, &peers);
        while let Some(message) = peer.read() {
            let mut peers = peers.lock().unwrap();
            let others = peers
                .iter_mut()
                .filter(|other| other.stream.peer_addr().is_ok_and(|address| address != own));
            others.for_each(|other| other.send(&message));
        }
        peer.finish();
    }))
}

/// The first byte of a Close.
const CLOSE: u8 = 0x88;

/// Options of `load` that describe the protocol of [`broadcaster`].
pub(crate) const PROTOCOL: [&str; 7] = [
    "--subscribe",
    "sub {topic}",
    "--subscribed",
    "ok",
    "--publish",
    "pub {payload}",
    // The server answers no closing handshake.
    "--abort",
];
