//! Feeds behind an axum router: `GET /feed/{topic}` upgrades into a connection that only receives, and
//! `POST /feed/{topic}` publishes its body to it. The application hears a client that speaks all the same:
//! this one warns it, and then closes.
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

/// Receives what is published to a topic.
struct Feed {
    topic: TopicName,
    /// Messages of its client so far.
    said: u32,
}

impl Protocol for Feed {
    fn on_open(&mut self, cx: &mut Context<'_>) {
        // If the server is short of memory, the client is told so.
        let _ = cx.subscribe(&self.topic);
    }

    fn on_message(&mut self, _: Incoming<'_>, cx: &mut Context<'_>) {
        self.said += 1;
        if self.said == 1 {
            cx.reply_text("nothing is to be said here");
        } else {
            // 1008: it breaks the rules of the house.
            let code = CloseCode::new(1008).expect("it may be sent");
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
        Ok(topic) => upgrade(&hub, &mut request, Feed { topic, said: 0 })
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
