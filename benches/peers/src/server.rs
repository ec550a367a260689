//! Starts and ends the process of a peer.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

use crate::{cores::Cores, paths::Paths, peers::Peer};

/// The running process of a peer. Dropping this kills the process.
#[derive(Debug)]
pub struct Server {
    pub peer: Peer,
    pub port: u16,
    child: Child,
}

impl Server {
    /// Starts `peer` on the server's core, and waits until it accepts connections.
    pub fn start(peer: Peer, paths: &Paths, cores: Cores) -> anyhow::Result<Self> {
        let port = free_port()?;
        let mut command = peer.command(paths, port)?;
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        cores.pin_to_server()?;
        let child = command.spawn();
        cores.pin_to_load()?;
        let child = child.context("its program cannot be started")?;
        let mut server = Self { peer, port, child };
        server.wait()?;
        Ok(server)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the process accepts connections.
    fn wait(&mut self) -> anyhow::Result<()> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("its program has ended with {status}");
            }
            if begun.elapsed() > START_TIMEOUT {
                bail!("its program does not listen");
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns a port that is free now. Another process could take it before the peer does, which is
/// unlikely.
fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("looking for a port")?;
    Ok(listener.local_addr()?.port())
}

/// Time within which a peer must listen. Arbitrary: on a busy machine Node takes a second.
const START_TIMEOUT: Duration = Duration::from_secs(20);
