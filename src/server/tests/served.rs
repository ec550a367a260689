//! A running server whose shards a test can block, and its clients. The clients use blocking
//! sockets, and compare what they receive with literal bytes.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use crate::{
    config::Config,
    error::Error,
    hub::Hub,
    message::Message,
    server::{
        Server,
        site::Site,
        tests::{TIMEOUT, dial, handshake, read_head},
    },
    topic::TopicName,
};

/// A running server. Its watchdog checks the shards more often than usual, so that tests are short.
pub(super) struct Served {
    pub(super) hub: Hub,
    pub(super) site: Arc<Site>,
    pub(super) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<(), Error>>>,
}

impl Served {
    /// Starts a server with this number of shards.
    pub(super) fn start(shards: usize) -> Self {
        Self::with(shards, |_| {})
    }

    /// Starts a server with this number of shards, and with this `change` of its configuration.
    pub(super) fn with(shards: usize, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            ..Config::default()
        };
        config.hub.shards = shards.try_into().unwrap();
        change(&mut config);
        let mut server = Server::bind(&config).unwrap();
        // Checks are not more frequent than this. Else a shard would count as late when the machine
        // is busy.
        server.check_interval = Duration::from_millis(250);
        let (hub, site) = (server.hub(), Arc::clone(&server.site));
        let address = server.local_addr();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(server.serve(stopped))
        });
        Self {
            hub,
            site,
            address,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Blocks the thread of a shard until the returned sender is dropped.
    pub(super) fn hold_up(&self, shard: usize) -> mpsc::Sender<()> {
        let (release, released) = mpsc::channel::<()>();
        let (held, is_held) = mpsc::channel();
        self.hub.run_on(shard, move |_| {
            held.send(()).unwrap();
            let _ = released.recv();
        });
        is_held.recv_timeout(TIMEOUT).unwrap();
        release
    }

    /// Opens a subscriber of the topic `t` on each shard, and checks that each gets a message. Each
    /// shard gets one of the subscribers, because the server hands connections to the shards in
    /// turn.
    pub(super) fn subscribers(&self) -> Vec<TcpStream> {
        let shards = 0..self.hub.shards();
        let mut subscribers: Vec<_> = shards.map(|_| self.upgrade("/ws?topic=t")).collect();
        self.publish_to(&mut subscribers, "hello");
        subscribers
    }

    /// Publishes a message to the topic `t`, and checks that each of the subscribers gets it.
    pub(super) fn publish_to(&self, subscribers: &mut [TcpStream], message: &str) {
        let topic = TopicName::new("t").unwrap();
        let text = self.hub.encode(Message::text(message));
        let _queued = self.hub.publish_now(&[topic], text, None);
        let length = u8::try_from(message.len()).unwrap();
        // The header of a text, and the text.
        let wire = [&[0x81, length], message.as_bytes()].concat();
        for subscriber in subscribers {
            expect(subscriber, &wire);
        }
    }

    /// Opens a WebSocket connection to this path.
    pub(super) fn upgrade(&self, path: &str) -> TcpStream {
        let mut stream = dial(self.address);
        stream.write_all(handshake(path).as_bytes()).unwrap();
        let head = read_head(&mut stream);
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        stream
    }

    /// Requests a path on a new connection. Returns the head and the body of the answer.
    pub(super) fn get(&self, path: &str) -> (String, String) {
        let mut stream = dial(self.address);
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let head = read_head(&mut stream);
        let mut body = String::new();
        stream.read_to_string(&mut body).unwrap();
        (head, body)
    }

    /// Tells the server to stop. It then drains.
    pub(super) fn stop(&mut self) {
        drop(self.stop.take());
    }

    /// Waits until the server has ended. Returns its result.
    pub(super) fn ended(&mut self) -> Result<(), Error> {
        self.thread.take().unwrap().join().unwrap()
    }
}

/// Reads as many bytes as `wire` has, and checks that they are the same as `wire`.
#[track_caller]
pub(super) fn expect(stream: &mut TcpStream, wire: &[u8]) {
    let mut read = vec![0; wire.len()];
    stream.read_exact(&mut read).unwrap();
    assert_eq!(read, wire);
}

/// Checks that the server closes the stream without another byte.
#[track_caller]
pub(super) fn expect_end(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"");
}

/// Waits until `condition` holds. If it does not hold in time, panics with `what`, which describes
/// the condition.
#[track_caller]
pub(super) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + TIMEOUT;
    while !condition() {
        assert!(Instant::now() < end, "never: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}
