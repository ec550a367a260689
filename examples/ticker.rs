//! A whole server that also publishes messages of its own. Once a second it tells every subscriber
//! of the topic `clock` for how many seconds the server has been up. Subscribe with `framecast
//! connect ws://ADDRESS:PORT/ws?topic=clock`.
//!
//! ```sh
//! cargo run --example ticker [ADDRESS:PORT]
//! ```

#![expect(clippy::print_stdout, reason = "says where it listens")]

use std::{env, error::Error, time::Duration};

use framecast::{Config, Hub, Message, Server, TopicName};
use tokio::{signal, time};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut config = Config::default();
    if let Some(address) = env::args().nth(1) {
        config.listen = address.parse()?;
    }
    let server = Server::bind(&config)?;
    println!("listening on http://{}", server.local_addr());
    tokio::spawn(tick(server.hub(), TopicName::new("clock")?));
    server.serve(signal::ctrl_c()).await?;
    Ok(())
}

async fn tick(hub: Hub, clock: TopicName) {
    let mut seconds = time::interval(Duration::from_secs(1));
    for uptime in 0.. {
        seconds.tick().await;
        hub.publish(&clock, Message::text(&format!("up for {uptime} s")))
            .await;
    }
}
