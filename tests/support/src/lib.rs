//! What tests start: a server on a free port, a client that speaks in literal bytes, and programs.
#![expect(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "a test that can't go on has failed"
)]

pub mod deflate;
pub mod program;

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::mpsc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use framecast::{Config, Error, Server};
use tokio::sync::oneshot;

/// No wait of a test takes longer: what has not come by then does not come.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A server in this process, stopped when it is dropped.
#[derive(Debug)]
pub struct TestServer {
    /// Where it listens.
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<(), Error>>>,
}

impl TestServer {
    /// Starts one with two shards and otherwise the defaults.
    pub fn start() -> Self {
        Self::with(|_| {})
    }

    /// Starts one with a changed configuration.
    pub fn with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        config.listen = SocketAddr::from(([127, 0, 0, 1], 0));
        config.hub.shards = 2.try_into().unwrap();
        change(&mut config);
        let (stop, stopped) = oneshot::channel();
        let (started, wait) = mpsc::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let server = Server::bind(&config)?;
                started.send(server.local_addr()).unwrap();
                server.serve(stopped).await
            })
        });
        let address = wait.recv_timeout(PATIENCE).expect("the server starts");
        Self {
            address,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Connects to a WebSocket path.
    pub fn connect(&self, path: &str) -> Client {
        self.dial().upgrade(path)
    }

    /// Connects, and says nothing yet.
    pub fn dial(&self) -> Client {
        Client::dial(self.address)
    }

    /// Sends one HTTP request on a connection of its own: status, head and body of the answer.
    pub fn http(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let mut client = self.dial();
        let length = body.len();
        client.send(
            format!(
                "{method} {path} HTTP/1.1\r\nHost: a.localhost\r\nConnection: close\r\n\
                 Content-Length: {length}\r\n{headers}\r\n{body}"
            )
            .as_bytes(),
        );
        client.read_answer()
    }

    /// Posts JSON; asserts that it is accepted, and returns the body of the answer.
    pub fn post(&self, path: &str, body: &str) -> String {
        let answer = self.http("POST", path, "", body);
        assert_eq!(answer.status, 200, "{path} {body}: {}", answer.body);
        answer.body
    }

    /// The path of a new registration.
    pub fn register(&self, body: &str) -> String {
        let answer: serde_json::Value =
            serde_json::from_str(&self.post("/register", body)).unwrap();
        let url = answer["url"].as_str().unwrap();
        url.strip_prefix("ws://a.localhost").unwrap().to_owned()
    }

    /// What `/health` says.
    pub fn health(&self) -> serde_json::Value {
        serde_json::from_str(&self.http("GET", "/health", "", "").body).unwrap()
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            if !thread::panicking() {
                ended
                    .expect("the server does not panic")
                    .expect("the server ends in good order");
            }
        }
    }
}

/// An answer to an HTTP request.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The status line and the headers, with the empty line behind them.
    pub head: String,
    /// What follows the head.
    pub body: String,
}

impl Answer {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// The opening handshake of a client that does everything right.
pub fn handshake(path: &str) -> String {
    handshake_with(path, "")
}

/// One with more headers, each with its line's end.
pub fn handshake_with(path: &str, headers: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: a.localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n"
    )
}

/// A masked frame: its first byte, its length in the shortest form, a key, the payload.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];
    let mut wire = vec![first];
    match payload.len() {
        len @ 0..=125 => wire.push(0x80 | u8::try_from(len).unwrap()),
        len @ 126..=0xFFFF => {
            wire.push(0x80 | 126);
            wire.extend(u16::try_from(len).unwrap().to_be_bytes());
        }
        len => {
            wire.push(0x80 | 127);
            wire.extend((len as u64).to_be_bytes());
        }
    }
    wire.extend(KEY);
    wire.extend(
        payload
            .iter()
            .zip(KEY.iter().cycle())
            .map(|(byte, key)| byte ^ key),
    );
    wire
}

/// A masked text message.
pub fn text(payload: &str) -> Vec<u8> {
    frame(0x81, payload.as_bytes())
}

/// A blocking client that sends and reads bytes.
#[derive(Debug)]
pub struct Client {
    /// The socket, whose reads and writes end after [`PATIENCE`].
    pub stream: TcpStream,
}

impl Client {
    /// Connects, and says nothing yet.
    pub fn dial(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream }
    }

    /// Does the opening handshake on a connection that has said nothing yet.
    #[track_caller]
    pub fn upgrade(self, path: &str) -> Self {
        self.upgrade_with(path, "")
    }

    /// The same with more headers, each with its line's end.
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

    /// Reads exactly these bytes.
    #[track_caller]
    pub fn expect(&mut self, bytes: &[u8]) {
        let mut read = vec![0; bytes.len()];
        if let Err(error) = self.stream.read_exact(&mut read) {
            panic!("{error} instead of {bytes:02X?}");
        }
        assert_eq!(read, bytes, "as text: {:?}", String::from_utf8_lossy(&read));
    }

    /// Reads one unmasked frame: its first byte and its payload.
    #[track_caller]
    pub fn read_frame(&mut self) -> (u8, Vec<u8>) {
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

    /// Reads a Close: its code and its reason.
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

    /// Asserts that the server has ended the stream, and that nothing came before the end.
    #[track_caller]
    pub fn expect_end(&mut self) {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => assert_eq!(rest, [0; 0]),
            // All that the server had to say was read.
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}"),
        }
    }

    /// Does the closing handshake: everything that was sent before has arrived by then.
    #[track_caller]
    pub fn close(mut self) {
        self.send(&frame(0x88, &[0x03, 0xE8]));
        self.expect(&[0x88, 0x02, 0x03, 0xE8]);
        self.expect_end();
    }

    /// Reads the head of an HTTP answer, up to its empty line.
    pub fn read_head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let byte: [u8; 1] = self.read_array();
            head.extend(byte);
        }
        String::from_utf8(head).unwrap()
    }

    /// Reads an HTTP answer whose length is announced.
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

/// Waits until `condition` holds, looking again and again.
#[track_caller]
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "never: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}
