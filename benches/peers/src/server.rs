//! The process of a peer.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

use crate::{cores::Cores, peers::Peer, places::Places};

/// A peer that listens, until it is dropped.
#[derive(Debug)]
pub struct Server {
    pub peer: Peer,
    pub port: u16,
    child: Child,
}

impl Server {
    /// Starts `peer` on the server's core, and waits until it takes connections.
    pub fn start(peer: Peer, places: &Places, cores: Cores) -> anyhow::Result<Self> {
        let port = free_port()?;
        let mut command = peer.command(places, port)?;
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        cores.serve()?;
        let child = command.spawn();
        cores.load()?;
        let child = child.context("it cannot be started")?;
        let mut server = Self { peer, port, child };
        server.wait()?;
        Ok(server)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn wait(&mut self) -> anyhow::Result<()> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("it has ended with {status}");
            }
            if begun.elapsed() > PATIENCE {
                bail!("it does not listen");
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

/// Nobody else takes it in the moment until it is used, most likely.
fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("looking for a port")?;
    Ok(listener.local_addr()?.port())
}

/// Arbitrary: on a busy machine Node takes a second.
const PATIENCE: Duration = Duration::from_secs(20);
