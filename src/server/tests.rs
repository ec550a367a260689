//! Tests of publishing over HTTP while a shard is held up, and of what a list is charged with
//! meanwhile (`charged_lists`), of shards that stand still (`standing`) or panic (`panicking`), of
//! requests while memory is short (`short_of_memory`), and of responses that can't be written
//! (`unwritten`). `served` runs the server for them.

mod charged_lists;
mod panicking;
mod served;
mod short_of_memory;
mod standing;
mod unwritten;

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::mpsc,
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::sync::oneshot;

use crate::{message::Message, server::*, topic::TopicName, user::UserId};

/// A server of two shards. Its first shard has a subscriber of the topic `t`, its second one a
/// client of its HTTP API.
struct Scene {
    hub: Hub,
    address: SocketAddr,
    subscriber: TcpStream,
    client: TcpStream,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Scene {
    fn new() -> Self {
        Self::with_keep_alive(Config::default().keep_alive_timeout)
    }

    /// Starts the server with this time between two requests.
    fn with_keep_alive(keep_alive_timeout: Duration) -> Self {
        let mut config = Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            keep_alive_timeout,
            ..Config::default()
        };
        config.hub.shards = 2.try_into().unwrap();
        // Short, because a test waits for this timeout, but long enough for all other requests.
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
        // Connections go to the shards in turn: this one to the first shard, the next to the
        // second.
        let mut subscriber = dial(address);
        subscriber
            .write_all(handshake("/ws?topic=t").as_bytes())
            .unwrap();
        assert!(read_head(&mut subscriber).starts_with("HTTP/1.1 101 "));
        let mut scene = Self {
            hub,
            address,
            subscriber,
            client: dial(address),
            stop: Some(stop),
            thread: Some(thread),
        };
        // The client's HTTP connection is served, and stays open for later requests.
        scene.publish_successfully("first");
        assert_eq!(scene.received(), "first");
        scene
    }

    /// Blocks the thread of the subscriber's shard until the returned sender is dropped.
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

    /// Publishes so much that others have to wait, to a user without a connection: it counts as work
    /// to deliver, and reaches nobody. Its memory alone counts as 200 ms of work.
    fn fill(&self) -> oneshot::Receiver<usize> {
        let filler = Message::binary(&vec![0; 40 * 1024 * 1024]);
        let (topic, user) = (TopicName::new("t").unwrap(), UserId::from(1_u64));
        let filler = self.hub.encode(filler);
        self.hub.publish_now(&[topic], filler, Some(user))
    }

    /// Publishes a message to `t` over HTTP. Returns the status and the body of the response.
    fn publish(&mut self, message: &str) -> String {
        self.post(&format!(r#"{{"topic": "t", "message": "{message}"}}"#))
    }

    /// Posts to `/publish`. Returns the status and the body of the response.
    fn post(&mut self, body: &str) -> String {
        self.send_post(body);
        self.read_answer()
    }

    fn send_post(&mut self, body: &str) {
        let length = body.len();
        let request = format!(
            "POST /publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        self.client.write_all(request.as_bytes()).unwrap();
    }

    /// Returns the status and the body of the next response to the client.
    fn read_answer(&mut self) -> String {
        let head = read_head(&mut self.client);
        // hyper writes the names of headers in lower case.
        let (_, length) = head.split_once("content-length: ").unwrap();
        let length = length.split_once("\r\n").unwrap().0.parse().unwrap();
        let mut body = vec![0; length];
        self.client.read_exact(&mut body).unwrap();
        // The status is behind `HTTP/1.1 `.
        format!("{} {}", &head[9..12], String::from_utf8(body).unwrap())
    }

    /// Publishes a message to `t` over HTTP. The response must be 200, or 202 if the number of
    /// connections that the message was queued to was not known in time.
    fn publish_successfully(&mut self, message: &str) {
        let answer = self.publish(message);
        assert!(answer.starts_with("20"), "{answer}");
    }

    /// Returns the next message that the subscriber gets, which must be a short text.
    fn received(&mut self) -> String {
        let mut header = [0; 2];
        self.subscriber.read_exact(&mut header).unwrap();
        assert_eq!(header[0], 0x81, "FIN and text");
        let mut payload = vec![0; header[1].into()];
        self.subscriber.read_exact(&mut payload).unwrap();
        String::from_utf8(payload).unwrap()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().map(JoinHandle::join);
        // A second panic would abort the process.
        if !thread::panicking() {
            ended.unwrap().unwrap();
        }
    }
}

/// Returns the opening handshake for a path.
fn handshake(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Version: 13\r\n\r\n"
    )
}

/// Connects to a server. Reads from the socket fail after [`TIMEOUT`].
fn dial(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream
}

/// Reads the head of a response byte by byte, so that nothing behind it is read.
fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    String::from_utf8(head).unwrap()
}

/// Time after which a test gives up waiting.
const TIMEOUT: Duration = Duration::from_secs(10);

// A message whose count was late was once answered 503 and delivered nevertheless, so that a client
// that tried again sent it twice.
#[test]
fn a_message_that_was_sent_off_is_published_though_its_count_is_late() {
    let mut scene = Scene::new();
    let release = scene.hold_up();
    // The count is not known while the subscriber's shard is held up.
    assert_eq!(scene.publish("late"), "202 {\"queued\":null}\n");
    drop(release);
    scene.publish_successfully("next");
    assert_eq!(scene.received(), "late");
    assert_eq!(scene.received(), "next");
}

// The end of the first body restarted the wait for a head, and the connection was closed as idle
// while its second request was answered.
#[test]
fn a_request_right_behind_a_body_that_no_path_wants_has_its_whole_time() {
    // Less than the answer takes.
    let mut scene = Scene::with_keep_alive(Duration::from_secs(1));
    let release = scene.hold_up();
    let unwanted = "DELETE /register/0 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n";
    scene.client.write_all(unwanted.as_bytes()).unwrap();
    assert!(scene.read_answer().starts_with("404 "));
    let message = r#"{"topic": "t", "message": "late"}"#;
    let length = message.len();
    let head = format!("POST /publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n");
    let rest = format!("body.{head}\r\n{message}");
    scene.client.write_all(rest.as_bytes()).unwrap();
    // The count is not known while the subscriber's shard is held up.
    assert_eq!(scene.read_answer(), "202 {\"queued\":null}\n");
    drop(release);
    assert_eq!(scene.received(), "late");
}

#[test]
fn a_message_without_a_permit_in_time_is_answered_503_and_never_published() {
    let mut scene = Scene::new();
    let release = scene.hold_up();
    let filled = scene.fill();
    assert_eq!(
        scene.publish("never"),
        "503 {\"error\":\"too much is to be delivered; not published\"}\n"
    );
    drop(release);
    // The filler was delivered, to nobody. Now there are permits again.
    assert_eq!(filled.blocking_recv(), Ok(0));
    // The next message that arrives is this one: "never" was not published.
    scene.publish_successfully("after");
    assert_eq!(scene.received(), "after");
}

const LIST: &str = r#"[{"topic": "t", "message": "one"}, {}, {"topic": "t", "message": "two"}]"#;

#[test]
fn a_list_that_was_sent_off_is_published_though_its_count_is_late() {
    let mut scene = Scene::new();
    let release = scene.hold_up();
    assert_eq!(
        scene.post(LIST),
        "200 [{\"queued\":null},{\"error\":\"missing field `topic` or `topics`\"},{\"queued\":null}]\n"
    );
    drop(release);
    assert_eq!(scene.received(), "one");
    assert_eq!(scene.received(), "two");
}

#[test]
fn a_list_without_a_permit_in_time_is_answered_item_by_item_and_never_published() {
    let mut scene = Scene::new();
    let release = scene.hold_up();
    let filled = scene.fill();
    let not_published = "{\"error\":\"too much is to be delivered; not published\"}";
    let wrong = "{\"error\":\"missing field `topic` or `topics`\"}";
    assert_eq!(
        scene.post(LIST),
        format!("200 [{not_published},{wrong},{not_published}]\n")
    );
    drop(release);
    assert_eq!(filled.blocking_recv(), Ok(0));
    scene.publish_successfully("after");
    assert_eq!(scene.received(), "after");
}

#[test]
fn a_request_that_is_complete_is_answered_before_the_server_drains() {
    let mut scene = Scene::new();
    let release = scene.hold_up();
    let _filled = scene.fill();
    // Waits for a permit.
    scene.send_post(r#"{"topic": "t", "message": "late"}"#);
    // The first of these connections goes to the shard that is held up. The second shard reads what
    // the second one sends after what the client has sent.
    let (_first, mut second) = (dial(scene.address), dial(scene.address));
    second
        .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    assert!(read_head(&mut second).starts_with("HTTP/1.1 200 "));
    drop(scene.stop.take());
    // An idle connection is closed as soon as the server drains.
    second.read_to_end(&mut Vec::new()).unwrap();
    drop(release);
    let answer = scene.read_answer();
    assert!(answer.starts_with("20"), "{answer}");
    assert_eq!(scene.received(), "late");
    let mut close = [0; 4];
    scene.subscriber.read_exact(&mut close).unwrap();
    assert_eq!(close, *b"\x88\x16\x03\xF4", "1012");
    // Or the server would wait for the subscriber's Close.
    scene.subscriber.shutdown(Shutdown::Both).unwrap();
}
