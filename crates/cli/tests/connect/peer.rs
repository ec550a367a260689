//! The server's end of a connection, by tungstenite.

use futures_util::StreamExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{
    WebSocketStream, accept_async,
    tungstenite::{
        Message,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

use crate::client::within;

pub(crate) type Peer = WebSocketStream<TcpStream>;

/// Accepts a connection, and performs the opening handshake as its server.
pub(crate) async fn accept(listener: &TcpListener) -> Peer {
    let accepted = async {
        let (socket, _) = listener.accept().await.unwrap();
        accept_async(socket).await.unwrap()
    };
    within("a connection", accepted).await
}

/// Receives the next message or control frame from the client.
pub(crate) async fn received(peer: &mut Peer) -> Message {
    within("a message", peer.next()).await.unwrap().unwrap()
}

/// Begins the closing handshake, with a code after which the client does not connect again.
pub(crate) async fn close_for_good(peer: &mut Peer) {
    let close = CloseFrame {
        code: CloseCode::from(4500),
        reason: "bye".into(),
    };
    peer.close(Some(close)).await.unwrap();
}

/// Waits for the client's Close, and completes the closing handshake. Returns the code and the
/// reason of the Close.
pub(crate) async fn closed_with(peer: &mut Peer) -> (u16, String) {
    let message = received(peer).await;
    let Message::Close(Some(CloseFrame { code, reason })) = message else {
        panic!("expected a Close frame with a code, not {message:?}");
    };
    while within("the end", peer.next())
        .await
        .is_some_and(|next| next.is_ok())
    {}
    (code.into(), reason.to_string())
}
