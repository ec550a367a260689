//! A framecast hub behind an axum router. `GET /chat/{topic}` upgrades to a WebSocket in a chat
//! room, and `POST /say/{topic}` publishes its body to that room. axum's threads accept sockets and
//! answer requests. When a request was upgraded, its socket is handed to one of the hub's shards,
//! which serves it from then on.
//!
//! ```sh
//! cargo run --example axum [ADDRESS:PORT]
//! ```

#![expect(clippy::print_stdout, reason = "says where it listens")]

use std::{env, error::Error};

use axum::{
    Router,
    extract::{Path, Request, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use framecast::{Chat, Hub, HubConfig, InvalidTopicName, Message, TopicName, upgrade};
use tokio::net::TcpListener;

#[tokio::main(flavor = "multi_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:8080")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let app = Router::new()
        .route("/chat/{topic}", get(chat))
        .route("/say/{topic}", post(say))
        .with_state(Hub::start(&HubConfig::default())?);
    Ok(axum::serve(listener, app).await?)
}

async fn chat(State(hub): State<Hub>, Path(topic): Path<String>, mut request: Request) -> Response {
    match TopicName::new(&topic) {
        Ok(topic) => upgrade(&hub, &mut request, Chat::from(topic))
            .await
            .into_response(),
        Err(error) => refusal(error).into_response(),
    }
}

async fn say(
    State(hub): State<Hub>,
    Path(topic): Path<String>,
    text: String,
) -> Result<String, (StatusCode, String)> {
    let topic = TopicName::new(&topic).map_err(refusal)?;
    let queued = hub.publish(&topic, Message::text(&text)).await;
    Ok(format!("queued to {queued}\n"))
}

fn refusal(error: InvalidTopicName) -> (StatusCode, String) {
    (StatusCode::BAD_REQUEST, format!("{error}\n"))
}
