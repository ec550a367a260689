//! Runs every example, and checks over real sockets what its first lines say.

use std::{env, net::SocketAddr, path::Path, process::Command, thread};

use axum::{Router, extract::Request, routing::get};
use framecast::{Chat, Hub, HubConfig, TopicName, upgrade};
use framecast_test_support::{
    Answer, Client, PATIENCE,
    frames::{masked, text},
    handshake,
    limits::MESSAGE_BYTES,
    program::Program,
};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Runtime,
    time::timeout,
};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

/// A running example.
struct Example {
    _program: Program,
    address: SocketAddr,
}

impl Example {
    /// Starts an example, and waits until it listens.
    fn run(name: &str) -> Self {
        // `cargo test` builds the examples, but `cargo test --test it` does not. The tests are in
        // `deps`, beside `examples`.
        let tests = env::current_exe().unwrap();
        let built = tests.parent().and_then(Path::parent).unwrap();
        let program = built.join("examples").join(name);
        assert!(program.exists(), "run `cargo build --examples` first");
        let program = Program::start(Command::new(program).arg("127.0.0.1:0"));
        let address = program.printed("where it listens", |line| {
            line.strip_prefix("listening on http://")?.parse().ok()
        });
        Self {
            _program: program,
            address,
        }
    }

    fn dial(&self) -> Client {
        Client::dial(self.address)
    }

    fn http(&self, method: &str, path: &str, body: &str) -> Answer {
        let mut client = self.dial();
        let length = body.len();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n");
        client.send(format!("{head}Content-Length: {length}\r\n\r\n{body}").as_bytes());
        client.read_answer()
    }
}

/// A client of tokio-tungstenite.
struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    async fn open(address: SocketAddr, path: &str) -> Self {
        let opened = timeout(PATIENCE, connect_async(format!("ws://{address}{path}"))).await;
        Self(opened.expect("an answer in time").unwrap().0)
    }

    async fn send(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    async fn receive(&mut self) -> String {
        let message = timeout(PATIENCE, self.0.next()).await;
        let message = message.expect("a message in time").expect("a message");
        message.unwrap().into_text().unwrap().to_string()
    }
}

#[tokio::test]
async fn embed_has_a_chat_and_publishes_to_it() {
    let example = Example::run("embed");
    let mut one = Socket::open(example.address, "/chat").await;
    let mut other = Socket::open(example.address, "/chat").await;
    one.send("hello").await;
    assert_eq!(one.receive().await, "hello");
    assert_eq!(other.receive().await, "hello");
    let answer = example.http("POST", "/say", "from outside");
    assert_eq!((answer.status, &*answer.body), (200, "queued to 2\n"));
    assert_eq!(one.receive().await, "from outside");
    assert_eq!(other.receive().await, "from outside");
    assert_eq!(example.http("GET", "/else", "").status, 404);
    let too_long = "x".repeat(MESSAGE_BYTES + 1);
    assert_eq!(example.http("POST", "/say", &too_long).status, 400);
    assert_eq!(example.http("POST", "/chat", "").status, 405);
}

#[tokio::test]
async fn axum_has_chats_and_publishes_to_them() {
    let example = Example::run("axum");
    let mut cat = Socket::open(example.address, "/chat/cats").await;
    let mut other_cat = Socket::open(example.address, "/chat/cats").await;
    let mut dog = Socket::open(example.address, "/chat/dogs").await;
    cat.send("meow").await;
    assert_eq!(cat.receive().await, "meow");
    assert_eq!(other_cat.receive().await, "meow");
    let answer = example.http("POST", "/say/dogs", "sit");
    assert_eq!((answer.status, &*answer.body), (200, "queued to 1\n"));
    assert_eq!(dog.receive().await, "sit", "and no meow before it");
    assert_eq!(example.http("POST", "/say/%0A", "").status, 400);
    assert_eq!(example.http("GET", "/chat/%0A", "").status, 400);
}

#[test]
fn frames_sent_along_with_the_handshake_reach_a_hub_behind_axum() {
    let example = Example::run("axum");
    let mut client = example.dial();
    let early = text("early");
    let wire = [handshake("/chat/a").as_bytes(), &masked([early.clone()])].concat();
    client.send(&wire);
    assert!(client.read_head().starts_with("HTTP/1.1 101 "));
    client.receives(early);
    client.close();
}

#[tokio::test]
async fn ticker_tells_every_subscriber_the_time() {
    let example = Example::run("ticker");
    let mut one = Socket::open(example.address, "/ws?topic=clock").await;
    let mut other = Socket::open(example.address, "/ws?topic=clock").await;
    let seconds = |text: String| -> u64 {
        let seconds = text.strip_prefix("up for ").unwrap().strip_suffix(" s");
        seconds.unwrap().parse().unwrap()
    };
    let time = seconds(other.receive().await);
    assert_eq!(seconds(other.receive().await), time + 1);
    let earlier = async |socket: &mut Socket| seconds(socket.receive().await) < time;
    while earlier(&mut one).await {}
    assert_eq!(seconds(one.receive().await), time + 1);
}

#[tokio::test]
async fn lobby_pairs_players_that_receive_only_each_others_moves() {
    let example = Example::run("lobby");
    let mut one = Socket::open(example.address, "/").await;
    assert_eq!(one.receive().await, "waiting for an opponent");
    let mut two = Socket::open(example.address, "/").await;
    let mut three = Socket::open(example.address, "/").await;
    assert_eq!(one.receive().await, "the game begins");
    assert_eq!(two.receive().await, "the game begins");
    one.send("e4").await;
    assert_eq!(two.receive().await, "move 1: e4");
    two.send("e5").await;
    assert_eq!(one.receive().await, "move 1: e5", "and not its own");
    drop(two);
    assert_eq!(one.receive().await, "your opponent has gone");
    assert_eq!(three.receive().await, "waiting for an opponent");
    drop(three);
    // A player who has left is nobody's opponent. A new one may be paired with `three` until the
    // example has noticed that `three` has left.
    let mut four = Socket::open(example.address, "/").await;
    while four.receive().await != "waiting for an opponent" {
        four = Socket::open(example.address, "/").await;
    }
}

#[tokio::test]
async fn feed_has_subscribers_that_only_receive() {
    let example = Example::run("feed");
    let mut one = Socket::open(example.address, "/feed/news").await;
    let mut other = Socket::open(example.address, "/feed/news").await;
    one.send("hello").await;
    assert_eq!(one.receive().await, "nothing is to be said here");
    let answer = example.http("POST", "/feed/news", "first");
    assert_eq!((answer.status, &*answer.body), (200, "queued to 2\n"));
    assert_eq!(one.receive().await, "first");
    assert_eq!(other.receive().await, "first", "and no hello before it");
    one.send("hello?").await;
    let message = timeout(PATIENCE, one.0.next()).await.unwrap().unwrap();
    let Message::Close(Some(close)) = message.unwrap() else {
        panic!("a message instead of a Close");
    };
    assert_eq!(u16::from(close.code), 1008);
    assert_eq!(example.http("GET", "/feed/%0A", "").status, 400);
}

/// The reader, the writer and the timers of a socket belong to its shard. Nothing of them stays on
/// the runtime that accepted the socket.
#[test]
fn an_upgraded_socket_outlives_the_runtime_that_has_accepted_it() {
    let hub = Hub::start(&HubConfig::default()).unwrap();
    let chat = Chat::from(TopicName::new("a").unwrap());
    let routed = hub.clone();
    let app = Router::new().route(
        "/",
        get(async move |mut request: Request| upgrade(&routed, &mut request, chat.clone()).await),
    );
    let accepting = Runtime::new().unwrap();
    let listener = accepting.block_on(TcpListener::bind("127.0.0.1:0"));
    let listener = listener.unwrap();
    let address = listener.local_addr().unwrap();
    accepting.spawn(async { axum::serve(listener, app).await });
    let client = Runtime::new().unwrap();
    let mut socket = client.block_on(Socket::open(address, "/"));
    client.block_on(async {
        socket.send("before").await;
        assert_eq!(socket.receive().await, "before");
    });
    thread::spawn(|| drop(accepting)).join().unwrap();
    client.block_on(async {
        socket.send("after").await;
        assert_eq!(socket.receive().await, "after");
    });
    drop(hub);
}
