//! Feeds behind an axum router. `GET /feed/{topic}` upgrades to a WebSocket that only receives, and
//! `POST /feed/{topic}` publishes its body to that feed. Clients of a feed must not send messages:
//! after the first one the application warns the client, and after the second one it closes the
//! connection.
//!
//! ```sh
//! cargo run --example feed [ADDRESS:PORT]
//! ```

#![expect(clippy::print_stdout, reason = "says where it listens")]

use std::{env, error::Error};

use axum::{
    Router,
    extract::{Path, Request, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::get,
};
use framecast::{
    CloseCode, Context, Hub, HubConfig, Incoming, InvalidTopicName, Message, Protocol, TopicName,
    upgrade,
};
use tokio::net::TcpListener;

/// The protocol of a client that receives the messages of a topic.
struct Feed {
    topic: TopicName,
    /// Number of messages that the client has sent to this application.
    received: u32,
}

impl Protocol for Feed {
    fn on_open(&mut self, cx: &mut Context<'_>) {
        // If memory is too short to subscribe, the client gets 503.
        let _ = cx.subscribe(&self.topic);
    }

    fn on_message(&mut self, _: Incoming<'_>, cx: &mut Context<'_>) {
        self.received += 1;
        if self.received == 1 {
            cx.reply_text("nothing is to be said here");
        } else {
            // 1008: the client violates the server's policy (RFC 6455 §7.4.1).
            let code = CloseCode::new(1008).expect("1008 may be sent in a Close");
            cx.close(code, "nothing is to be said here");
        }
    }
}

#[tokio::main(flavor = "multi_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:8080")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let app = Router::new()
        .route("/feed/{topic}", get(receive).post(publish))
        .with_state(Hub::start(&HubConfig::default())?);
    Ok(axum::serve(listener, app).await?)
}

async fn receive(
    State(hub): State<Hub>,
    Path(topic): Path<String>,
    mut request: Request,
) -> Response {
    match TopicName::new(&topic) {
        Ok(topic) => upgrade(&hub, &mut request, Feed { topic, received: 0 })
            .await
            .into_response(),
        Err(error) => refusal(error).into_response(),
    }
}

async fn publish(
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
