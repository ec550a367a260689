//! An echo with tokio-tungstenite, after its example `echo-server`: the stream of received messages
//! is forwarded to the sink of sent ones.

use std::io;

use framecast_peers::serve;
use futures_util::{StreamExt as _, TryStreamExt as _, future};
use tokio::net::TcpStream;
use tokio_tungstenite::{accept_async, tungstenite};

fn main() -> io::Result<()> {
    serve(async |listener| {
        loop {
            let (socket, _) = listener.accept().await?;
            socket.set_nodelay(true)?;
            // An error ends this connection only.
            tokio::spawn(echo(socket));
        }
    })
}

async fn echo(socket: TcpStream) -> Result<(), tungstenite::Error> {
    let (write, read) = accept_async(socket).await?.split();
    read.try_filter(|message| future::ready(message.is_text() || message.is_binary()))
        .forward(write)
        .await
}
