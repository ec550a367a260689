//! Checks the server while many connections open and end. Subscribers that stay connected must
//! receive a numbered stream without a gap or a duplicate, and the server must keep nothing of the
//! ended connections.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use framecast_test_support::{PATIENCE, TestServer, eventually};
use futures_util::{SinkExt, Stream, StreamExt, stream::SplitSink};
use tokio::{
    io::AsyncWriteExt as _,
    net::TcpStream,
    task::{JoinSet, block_in_place},
    time::{sleep, timeout},
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message},
};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Number of subscribers that stay connected.
const STABLE: usize = 200;

/// Number of clients that connect again and again.
const CHURNING: usize = 500;

/// Number of messages of the stream.
const LENGTH: u64 = 500;

async fn connect(server: &str, path: &str) -> Socket {
    let (socket, _) = connect_async(format!("ws://{server}{path}")).await.unwrap();
    socket
}

/// Reads the stream from its start to its end, and asserts that no message is missing or repeated.
/// Returns the number of messages.
async fn follow(mut messages: impl Stream<Item = Result<Message, Error>> + Unpin) -> u64 {
    for expected in 0.. {
        let text = loop {
            let next = timeout(PATIENCE, messages.next())
                .await
                .expect("the stream goes on");
            match next.unwrap().unwrap() {
                // On a slow machine the test takes longer than the server waits until it sends one.
                Message::Ping(_) => {}
                message => break message.into_text().unwrap(),
            }
        };
        if text == "end" {
            return expected;
        }
        assert_eq!(text, expected.to_string(), "no gap and no duplicate");
    }
    unreachable!("the stream has an end")
}

/// Opens a connection and ends it in one of three ways, again and again until the stream has ended.
/// Returns how many connections it has opened.
async fn churn(server: Arc<str>, number: usize, has_ended: Arc<AtomicBool>) -> usize {
    for round in 0.. {
        if has_ended.load(Relaxed) {
            return round;
        }
        let path = format!("/ws?topic=noise-{}&topic=stream", number % 7);
        let mut socket = connect(&server, &path).await;
        match (number + round) % 3 {
            0 => {
                socket.close(None).await.unwrap();
                while let Some(Ok(_)) = timeout(PATIENCE, socket.next()).await.unwrap() {}
            }
            1 => drop(socket),
            _ => {
                // Ends inside a frame: a masked text whose length, in 16 bits, never follows.
                let MaybeTlsStream::Plain(mut tcp) = socket.into_inner() else {
                    unreachable!()
                };
                tcp.write_all(&[0x81, 0xFE]).await.unwrap();
            }
        }
    }
    unreachable!("the stream has an end")
}

/// Publishes the stream: the numbers from 0, then `end`.
async fn publish(mut stream: SplitSink<Socket, Message>) {
    for number in 0..LENGTH {
        stream
            .send(Message::text(number.to_string()))
            .await
            .unwrap();
        // Leaves time on the two cores to the clients that connect meanwhile.
        sleep(Duration::from_millis(1)).await;
    }
    stream.send(Message::text("end")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stable_subscribers_miss_nothing_while_others_connect_and_leave_and_nothing_leaks() {
    let server = TestServer::with(|config| {
        config.registrations.lifetime = Duration::from_millis(100);
        config.hub.timeouts.close = Duration::from_millis(500);
    });
    let address: Arc<str> = server.address.to_string().into();
    let mut stable = JoinSet::new();
    for _ in 0..STABLE {
        stable.spawn(follow(connect(&address, "/ws?topic=stream").await));
    }
    for number in 0..20 {
        server.register(&format!("{{\"user_id\": {number}}}"));
    }
    let (sink, messages) = connect(&address, "/ws?topic=stream").await.split();
    stable.spawn(follow(messages));
    let has_ended = Arc::new(AtomicBool::new(false));
    let mut churning = JoinSet::new();
    for number in 0..CHURNING {
        churning.spawn(churn(Arc::clone(&address), number, Arc::clone(&has_ended)));
    }
    publish(sink).await;
    while let Some(received) = stable.join_next().await {
        assert_eq!(received.unwrap(), LENGTH);
    }
    has_ended.store(true, Relaxed);
    while let Some(rounds) = churning.join_next().await {
        assert!(rounds.unwrap() > 0);
    }
    let is_empty = |health: &serde_json::Value| {
        ["connections", "topics", "registrations"]
            .iter()
            .all(|gauge| health[gauge] == 0)
    };
    block_in_place(|| {
        eventually("no connection, topic or registration is left", || {
            is_empty(&server.health())
        });
        assert_eq!(server.health()["slow_consumers"], 0);
    });
}
