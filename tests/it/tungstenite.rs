//! A client that we did not write: tokio-tungstenite.

use framecast_test_support::{PATIENCE, TestServer};
use futures_util::{SinkExt, StreamExt};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn connect(server: &str, path: &str) -> Socket {
    connect_async(format!("ws://{server}{path}"))
        .await
        .unwrap()
        .0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_is_not_ours_is_understood_on_every_path() {
    let server = TestServer::start();
    let address = server.address.to_string();
    let relay = server.register(r#"{"user_id": 1}"#);
    for path in ["/echo", "/echo/raw", "/ws"] {
        let mut socket = connect(&address, path).await;
        let large = Message::binary(vec![7; 65_536]);
        for message in [
            Message::text("héllo"),
            Message::binary(vec![0, 255]),
            Message::text(""),
            large,
        ] {
            socket.send(message.clone()).await.unwrap();
            let answer = timeout(PATIENCE, socket.next())
                .await
                .unwrap()
                .unwrap()
                .unwrap();
            assert_eq!(answer, message, "{path}");
        }
        socket
            .send(Message::Ping("are you there".into()))
            .await
            .unwrap();
        let pong = timeout(PATIENCE, socket.next())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        assert_eq!(pong, Message::Pong("are you there".into()), "{path}");
        socket.close(None).await.unwrap();
        assert!(
            matches!(socket.next().await, Some(Ok(Message::Close(_)))),
            "{path}"
        );
        assert!(socket.next().await.is_none(), "{path}");
    }
    let mut socket = connect(&address, &relay).await;
    socket
        .send(Message::text(r#"{"topics":["cats"]}"#))
        .await
        .unwrap();
    let answer = timeout(PATIENCE, socket.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(answer, Message::text(r#"{"topics":["cats"]}"#));
    let published = r#"{"topic":"cats","message":"are awesome","user_id":"1"}"#;
    assert_eq!(
        tokio::task::block_in_place(|| server.post("/publish", published)),
        "{\"queued\":1}\n"
    );
    let message = timeout(PATIENCE, socket.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(message, Message::text("are awesome"));
}
