//! tokio-tungstenite as a client: an implementation that shares no code with the server.

use framecast_test_support::{PATIENCE, TestServer, limits::MESSAGE_BYTES};
use futures_util::{SinkExt, StreamExt};
use tokio::{net::TcpStream, task::block_in_place, time::timeout};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn connect(server: &str, path: &str) -> Socket {
    connect_async(format!("ws://{server}{path}"))
        .await
        .unwrap()
        .0
}

async fn receives(socket: &mut Socket, message: Message) {
    let received = timeout(PATIENCE, socket.next()).await.expect("in time");
    assert_eq!(received.expect("a message").unwrap(), message);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokio_tungstenite_is_served_on_every_path() {
    let server = TestServer::start();
    let address = server.address.to_string();
    let relay = server.register(r#"{"user_id": 1}"#);
    for path in ["/echo", "/echo/raw", "/ws"] {
        let mut socket = connect(&address, path).await;
        for message in [
            Message::text("héllo"),
            Message::binary(vec![0, 255]),
            Message::text(""),
            Message::binary(vec![7; MESSAGE_BYTES]),
        ] {
            socket.send(message.clone()).await.unwrap();
            receives(&mut socket, message).await;
        }
        let ping = Message::Ping("are you there".into());
        socket.send(ping).await.unwrap();
        receives(&mut socket, Message::Pong("are you there".into())).await;
        socket.close(None).await.unwrap();
        assert!(
            matches!(socket.next().await, Some(Ok(Message::Close(_)))),
            "{path}"
        );
        assert!(socket.next().await.is_none(), "{path}");
    }
    let mut socket = connect(&address, &relay).await;
    let topics = Message::text(r#"{"topics":["cats"]}"#);
    socket.send(topics.clone()).await.unwrap();
    receives(&mut socket, topics).await;
    let published = r#"{"topic":"cats","message":"are awesome","user_id":"1"}"#;
    assert_eq!(
        block_in_place(|| server.post("/publish", published)),
        "{\"queued\":1}\n"
    );
    receives(&mut socket, Message::text("are awesome")).await;
}
