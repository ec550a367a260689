//! Code that is shared by those peers that are written in Rust: their address and their runtime.
//!
//! The runtime has one thread, because each peer gets one core. A scheduler for several threads
//! would only cost CPU time.

pub mod bare;

use std::{env, future::Future, io, net::SocketAddr};

use tokio::{net::TcpListener, runtime::Builder};

/// Returns the address that a peer must listen on: the loopback address, with the port from the
/// first argument of the program.
pub fn address() -> SocketAddr {
    let port = env::args().nth(1).and_then(|port| port.parse().ok());
    let port: u16 = port.expect("usage: PEER PORT");
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// Runs `peer` on tokio, with its listening socket.
pub fn serve<F>(peer: impl FnOnce(TcpListener) -> F) -> io::Result<()>
where
    F: Future<Output = io::Result<()>>,
{
    let runtime = Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async { peer(TcpListener::bind(address()).await?).await })
}
