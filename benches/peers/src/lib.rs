//! What the peers written in Rust have in common: where they listen, and what drives them.
//!
//! One thread, as all of them get one core: a scheduler for several would only cost them.

pub mod bare;

use std::{env, future::Future, io, net::SocketAddr};

use tokio::{net::TcpListener, runtime::Builder};

/// The port that is the first argument, on the loopback interface.
pub fn address() -> SocketAddr {
    let port = env::args().nth(1).and_then(|port| port.parse().ok());
    let port: u16 = port.expect("usage: PEER PORT");
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// Runs a peer on tokio, with the socket that it listens on.
pub fn serve<F>(peer: impl FnOnce(TcpListener) -> F) -> io::Result<()>
where
    F: Future<Output = io::Result<()>>,
{
    let runtime = Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async { peer(TcpListener::bind(address()).await?).await })
}
