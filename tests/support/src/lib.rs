//! Support for tests: a server on a free port, clients ([`client`]) with their frames ([`frames`])
//! and compressed messages ([`deflate`]), programs ([`program`]), the machine's [`tools`] with the
//! list of [`skipped`] tests, and the server's [`limits`].
#![expect(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "a test that can't go on has failed"
)]

pub mod client;
pub mod deflate;
pub mod frames;
pub mod limits;
pub mod program;
pub mod skipped;
pub mod tools;

use std::{
    net::SocketAddr,
    sync::mpsc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use framecast::{Config, Error, Server};
use tokio::sync::oneshot;

pub use crate::client::Client;

/// Longest wait of a test for a single event. A test that has waited for so long fails.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A timeout of the server that is longer than any test waits. If the server waits for this timeout
/// where it must not, the test fails, because the test itself waits for only [`PATIENCE`].
pub const NEVER: Duration = Duration::from_secs(6 * PATIENCE.as_secs());

/// A server in this process that stops when it is dropped.
#[derive(Debug)]
pub struct TestServer {
    /// The address that the server listens on.
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<(), Error>>>,
}

impl TestServer {
    /// Starts a server with two shards and otherwise the defaults.
    pub fn start() -> Self {
        Self::with(|_| {})
    }

    /// Starts a server with two shards and otherwise the defaults, after `change` has changed its
    /// configuration.
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

    /// Connects, and sends nothing.
    pub fn dial(&self) -> Client {
        Client::dial(self.address)
    }

    /// Sends an HTTP request on a connection of its own. Returns the response.
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

    /// Posts JSON, and asserts that the status is 200. Returns the body of the response.
    pub fn post(&self, path: &str, body: &str) -> String {
        let answer = self.http("POST", path, "", body);
        assert_eq!(answer.status, 200, "{path} {body}: {}", answer.body);
        answer.body
    }

    /// Posts to `/register`. Returns the path of the registration's WebSocket.
    pub fn register(&self, body: &str) -> String {
        let answer: serde_json::Value =
            serde_json::from_str(&self.post("/register", body)).unwrap();
        let url = answer["url"].as_str().unwrap();
        url.strip_prefix("ws://a.localhost").unwrap().to_owned()
    }

    /// Returns the JSON of `/health`.
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

/// An HTTP response.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The status line and the headers, with the empty line after them.
    pub head: String,
    /// The body.
    pub body: String,
}

impl Answer {
    /// Returns the value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// Returns the request of a correct opening handshake.
pub fn handshake(path: &str) -> String {
    handshake_with(path, "")
}

/// Returns the request of a correct opening handshake with additional headers, each with its CRLF.
pub fn handshake_with(path: &str, headers: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: a.localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n"
    )
}

/// Polls `condition` until it is true. If it is still false after [`PATIENCE`], panics with `what`,
/// which describes the condition.
#[track_caller]
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "never: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}
