//! A hyper service of your own with a framecast hub inside. `GET /chat` upgrades to a WebSocket in
//! a chat room, `POST /say` publishes its body to that room, and all other paths are yours.
//!
//! ```sh
//! cargo run --example embed [ADDRESS:PORT]
//! ```

#![expect(clippy::print_stdout, reason = "says where it listens")]

use std::{convert::Infallible, env, error::Error};

use framecast::{Chat, Hub, HubConfig, Message, Response, TopicName, upgrade};
use http_body_util::{BodyExt as _, Limited};
use hyper::{
    Method, Request, StatusCode, body::Incoming, server::conn::http1, service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:8080")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let hub = Hub::start(&HubConfig::default())?;
    let room = TopicName::new("room")?;
    loop {
        let (socket, _) = listener.accept().await?;
        let (hub, room) = (hub.clone(), room.clone());
        let service = service_fn(move |request| {
            let (hub, room) = (hub.clone(), room.clone());
            async move { Ok::<_, Infallible>(answer(&hub, room, request).await) }
        });
        let connection = http1::Builder::new().serve_connection(TokioIo::new(socket), service);
        tokio::spawn(connection.with_upgrades());
    }
}

async fn answer(hub: &Hub, room: TopicName, mut request: Request<Incoming>) -> Response {
    let (status, text) = match (request.method(), request.uri().path()) {
        (_, "/chat") => return upgrade(hub, &mut request, Chat::from(room)).await,
        (&Method::POST, "/say") => match text(request).await {
            Some(text) => {
                let queued = hub.publish(&room, Message::text(&text)).await;
                (StatusCode::OK, format!("queued to {queued}\n"))
            }
            None => (StatusCode::BAD_REQUEST, "up to 64 KiB of text\n".into()),
        },
        _ => (StatusCode::NOT_FOUND, "try /chat or /say\n".into()),
    };
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    response
}

async fn text(request: Request<Incoming>) -> Option<String> {
    let body = Limited::new(request, 64 * 1024).collect().await.ok()?;
    String::from_utf8(body.to_bytes().into()).ok()
}
