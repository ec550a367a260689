//! A protocol of your own, with a state for each connection: a lobby for games of two players. The
//! first client waits, the second becomes its opponent, and so on. From then on each player of a
//! game gets the moves of the other one, and a message when the other one has gone.
//!
//! ```sh
//! cargo run --example lobby [ADDRESS:PORT]
//! ```

#![expect(clippy::print_stdout, reason = "says where it listens")]

use std::{
    env,
    error::Error,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use axum::{Router, extract::Request, routing::get};
use framecast::{
    Context, Disconnect, Hub, HubConfig, Incoming, Message, Protocol, TopicName, Topics, upgrade,
};
use tokio::net::TcpListener;

/// The topic of the game whose first player waits for the second one, if there is such a game.
type Lobby = Arc<Mutex<Option<Topics>>>;

/// The protocol of one client, a player.
struct Player {
    lobby: Lobby,
    game: Topics,
    moves: u32,
}

impl Protocol for Player {
    fn on_open(&mut self, cx: &mut Context<'_>) {
        let mut waiting = self.lobby.lock().expect("no panic while it is locked");
        let game = waiting.as_ref().unwrap_or(&self.game).clone();
        if cx.set_topics(&game).is_err() {
            return; // The server is short of memory.
        }
        self.game = game;
        if waiting.take().is_some() {
            cx.publish(&self.game, Message::text("the game begins"));
        } else {
            *waiting = Some(self.game.clone());
            cx.reply_text("waiting for an opponent");
        }
    }

    fn on_message(&mut self, message: Incoming<'_>, cx: &mut Context<'_>) {
        if let Some(text) = message.text() {
            self.moves += 1;
            let text = format!("move {}: {text}", self.moves);
            cx.publish_to_others(&self.game, Message::text(&text));
        }
    }

    fn on_close(&mut self, _: Disconnect, cx: &mut Context<'_>) {
        cx.publish(&self.game, Message::text("your opponent has gone"));
    }
}

/// Takes a waiting player out of the lobby. This is not done in `on_close`, because that is not
/// called if the client has gone before it got its 101.
impl Drop for Player {
    fn drop(&mut self) {
        let mut waiting = self.lobby.lock().expect("no panic while it is locked");
        waiting.take_if(|game| *game == self.game);
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:8080")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let (hub, lobby) = (Hub::start(&HubConfig::default())?, Lobby::default());
    let games = Arc::new(AtomicU64::new(1));
    let join = async move |mut request: Request| {
        let name = format!("game {}", games.fetch_add(1, Relaxed));
        let player = Player {
            lobby: lobby.clone(),
            game: TopicName::new(&name).expect("a short name").into(),
            moves: 0,
        };
        upgrade(&hub, &mut request, player).await
    };
    let app = Router::new().route("/", get(join));
    Ok(axum::serve(listener, app).await?)
}
