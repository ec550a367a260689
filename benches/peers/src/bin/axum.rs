//! axum, with an echo and a chat. The chat follows axum's example `chat`: a tokio `broadcast`
//! channel, and two tasks for each connection, as in most tutorials.

use std::io;

use axum::{
    Router,
    extract::{
        State, WebSocketUpgrade,
        ws::{Message, WebSocket},
    },
    routing::any,
    serve::ListenerExt as _,
};
use framecast_peers::serve;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::sync::broadcast;

/// Number of messages that the channel holds: enough that no subscriber misses one.
const CAPACITY: usize = 1024;

type Room = broadcast::Sender<Message>;

fn main() -> io::Result<()> {
    let router = Router::new()
        .route(
            "/echo",
            any(async |upgrade: WebSocketUpgrade| upgrade.on_upgrade(echo)),
        )
        .route("/chat", any(enter))
        .with_state(Room::new(CAPACITY));
    serve(async |listener| {
        let listener = listener.tap_io(|socket| {
            let _ = socket.set_nodelay(true);
        });
        axum::serve(listener, router).await
    })
}

async fn echo(mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        if let Message::Text(_) | Message::Binary(_) = message
            && socket.send(message).await.is_err()
        {
            return;
        }
    }
}

async fn enter(State(room): State<Room>, upgrade: WebSocketUpgrade) -> axum::response::Response {
    upgrade.on_upgrade(|socket| chat(socket, room))
}

async fn chat(socket: WebSocket, room: Room) {
    let (mut write, mut read) = socket.split();
    let mut messages = room.subscribe();
    let mut sending = tokio::spawn(async move {
        while let Ok(message) = messages.recv().await {
            if write.send(message).await.is_err() {
                return;
            }
        }
    });
    let mut receiving = tokio::spawn(async move {
        while let Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) = read.next().await {
            let _ = room.send(message);
        }
    });
    // If one of the tasks ends, the other is aborted.
    tokio::select! {
        _ = &mut sending => receiving.abort(),
        _ = &mut receiving => sending.abort(),
    }
}
