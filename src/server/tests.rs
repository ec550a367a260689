//! Publishing over HTTP while a shard stands still; and what becomes of those that stand still
//! (`standing`) or panic (`panicking`), and of requests while memory is short (`short_of_memory`).
//! `served` is a server to ask.

mod panicking;
mod served;
mod short_of_memory;
mod standing;

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::mpsc,
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::sync::oneshot;

use crate::{message::Message, server::*, topic::TopicName, user::UserId};

/// A server with a subscriber of `t` on its first shard, and a client of its HTTP interface on its
/// second.
struct Scene {
    hub: Hub,
    subscriber: TcpStream,
    client: TcpStream,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Scene {
    fn new() -> Self {
        let mut config = Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            ..Config::default()
        };
        config.hub.shards = 2.try_into().unwrap();
        // Short for waiting it out, long for what is to come in it.
        config.hub.timeouts.request = Duration::from_secs(2);
        let server = Server::bind(&config).unwrap();
        let (address, hub) = (server.local_addr(), server.hub());
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(server.serve(stopped)).unwrap();
        });
        // Handed to the shards in turn.
        let mut subscriber = dial(address);
        let handshake = "GET /ws?topic=t HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Version: 13\r\n\r\n";
        subscriber.write_all(handshake.as_bytes()).unwrap();
        assert!(read_head(&mut subscriber).starts_with("HTTP/1.1 101 "));
        let mut scene = Self {
            hub,
            subscriber,
            client: dial(address),
            stop: Some(stop),
            thread: Some(thread),
        };
        // It has arrived, and is kept.
        scene.publish_freely("first");
        assert_eq!(scene.received(), "first");
        scene
    }

    /// Holds the subscriber's shard up, until what is returned is dropped.
    fn hold_up(&self) -> mpsc::Sender<()> {
        let (release, released) = mpsc::channel::<()>();
        let (held, is_held) = mpsc::channel();
        self.hub.run_on(0, move |_| {
            held.send(()).unwrap();
            let _ = released.recv();
        });
        is_held.recv_timeout(TIMEOUT).unwrap();
        release
    }

    /// Publishes over HTTP: status and body of the answer.
    fn publish(&mut self, message: &str) -> String {
        let body = format!(r#"{{"topic": "t", "message": "{message}"}}"#);
        let length = body.len();
        let request = format!(
            "POST /publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        self.client.write_all(request.as_bytes()).unwrap();
        let head = read_head(&mut self.client);
        let (_, length) = head.split_once("content-length: ").unwrap();
        let length = length.split_once("\r\n").unwrap().0.parse().unwrap();
        let mut body = vec![0; length];
        self.client.read_exact(&mut body).unwrap();
        format!("{} {}", &head[9..12], String::from_utf8(body).unwrap())
    }

    /// The same, while nothing stands still; whether the count is in time is not asserted.
    fn publish_freely(&mut self, message: &str) {
        let answer = self.publish(message);
        assert!(answer.starts_with("20"), "{answer}");
    }

    /// The next short message at the subscriber.
    fn received(&mut self) -> String {
        let mut header = [0; 2];
        self.subscriber.read_exact(&mut header).unwrap();
        assert_eq!(header[0], 0x81);
        let mut payload = vec![0; header[1].into()];
        self.subscriber.read_exact(&mut payload).unwrap();
        String::from_utf8(payload).unwrap()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().map(JoinHandle::join);
        if !thread::panicking() {
            ended.unwrap().unwrap();
        }
    }
}

fn dial(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream
}

fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    String::from_utf8(head).unwrap()
}

/// What has not come by then does not come.
const TIMEOUT: Duration = Duration::from_secs(10);

// It was answered 503 and delivered all the same: whoever tried again doubled it.
#[test]
fn what_was_sent_off_is_published_though_nobody_has_counted_yet() {
    let mut scene = Scene::new();
    let release = scene.hold_up();
    assert_eq!(scene.publish("late"), "202 {\"queued\":null}\n");
    drop(release);
    scene.publish_freely("next");
    assert_eq!(scene.received(), "late");
    assert_eq!(scene.received(), "next");
}

#[test]
fn what_there_is_no_room_for_is_answered_503_and_never_published() {
    let mut scene = Scene::new();
    let release = scene.hold_up();
    // For a user who has no connection: it takes room, and reaches nobody.
    let filler = Message::binary(&vec![0; 40 * 1024 * 1024]);
    let topic = TopicName::new("t").unwrap();
    let filled = scene
        .hub
        .send_off(&topic, filler, Some(UserId::from(1_u64)));
    assert_eq!(
        scene.publish("never"),
        "503 {\"error\":\"too much is to be delivered; not published\"}\n"
    );
    drop(release);
    assert_eq!(filled.blocking_recv(), Ok(0));
    scene.publish_freely("after");
    assert_eq!(scene.received(), "after");
}
