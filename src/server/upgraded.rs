//! The socket behind a 101: how it gets from HTTP to a connection, on whichever runtime.

use std::io;

use bytes::Bytes;
use fastwebsockets::upgrade::UpgradeFut;
use hyper::upgrade::Upgraded;
use hyper_util::{rt::TokioIo, server::conn::auto};
use socket2::SockRef;
use tokio::{net::TcpStream, task::spawn_local};

use crate::{connection::Connection, hub::Socket};

/// A socket whose 101 is on its way.
pub(crate) struct Upgrading(pub(super) UpgradeFut);

impl Upgrading {
    /// Takes the socket back when the 101 is out.
    pub(crate) async fn arrived(self) -> io::Result<Arrived> {
        let web_socket = self.0.await.map_err(io::Error::other)?;
        // Its buffer is empty: what hyper has read of the frames comes with the socket.
        let upgraded = web_socket.into_inner().into_inner();
        let (transport, read) = match take_tcp(upgraded) {
            Ok((tcp, read)) => {
                // That was for HTTP; how long a subscriber may be blocked is its outbox's to say.
                SockRef::from(&tcp).set_tcp_user_timeout(None)?;
                (Transport::Tcp(tcp), read)
            }
            Err(other) => (Transport::Other(TokioIo::new(other)), Bytes::new()),
        };
        Ok(Arrived {
            transport,
            // Copied, because even an empty part of it would keep hyper's whole buffer.
            leftover: read.to_vec(),
        })
    }
}

/// The TCP socket inside, and what was read of it already: as hyper holds it, or as hyper-util's
/// `auto` server, and with it axum, has wrapped it.
fn take_tcp(upgraded: Upgraded) -> Result<(TcpStream, Bytes), Upgraded> {
    match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => Ok((parts.io.into_inner(), parts.read_buf)),
        Err(other) => auto::upgrade::downcast::<TokioIo<TcpStream>>(other)
            .map(|parts| (parts.io.into_inner(), parts.read_buf)),
    }
}

/// A connection that waits for its socket, on one and the same shard.
pub(super) struct Upcoming {
    pub(super) connection: Connection,
    pub(super) socket: Upgrading,
}

impl Upcoming {
    pub(super) async fn start(self) -> io::Result<()> {
        let (socket, leftover) = self.socket.arrived().await?.into_parts();
        // A task of its own, which does not carry what HTTP needed.
        spawn_local(self.connection.start(socket, leftover));
        Ok(())
    }
}

/// A socket after its opening handshake, on a runtime.
pub(crate) struct Arrived {
    transport: Transport<TcpStream>,
    /// Bytes that the client has sent behind its request.
    leftover: Vec<u8>,
}

/// A socket between two runtimes.
pub(super) struct Detached {
    transport: Transport<std::net::TcpStream>,
    leftover: Vec<u8>,
}

/// The stream that carries the frames.
enum Transport<Tcp> {
    Tcp(Tcp),
    /// TLS, or whatever else a server has accepted on.
    Other(TokioIo<Upgraded>),
}

impl Arrived {
    /// As a connection wants it; and what the client has sent behind its request.
    pub(crate) fn into_parts(self) -> (Socket, Vec<u8>) {
        let socket = match self.transport {
            Transport::Tcp(tcp) => Socket::Tcp(tcp),
            Transport::Other(other) => Socket::Other(Box::new(other)),
        };
        (socket, self.leftover)
    }

    pub(super) fn detach(self) -> io::Result<Detached> {
        let transport = match self.transport {
            Transport::Tcp(tcp) => {
                tune(&SockRef::from(&tcp))?;
                Transport::Tcp(tcp.into_std()?)
            }
            Transport::Other(other) => Transport::Other(other),
        };
        Ok(Detached {
            transport,
            leftover: self.leftover,
        })
    }
}

impl Detached {
    /// On the runtime that is to have the socket.
    pub(super) fn attach(self) -> io::Result<Arrived> {
        let transport = match self.transport {
            Transport::Tcp(tcp) => Transport::Tcp(TcpStream::from_std(tcp)?),
            Transport::Other(other) => Transport::Other(other),
        };
        Ok(Arrived {
            transport,
            leftover: self.leftover,
        })
    }
}

/// Sets the options of TCP for a socket that carries frames.
pub(super) fn tune(socket: &socket2::Socket) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_notsent_lowat(UNSENT_BYTES)
}

/// Bytes that the kernel takes for a peer beyond what it has sent. Without it each stalled peer costs
/// 4 to 5 MiB of kernel memory before it is noticed; with less, healthy ones are blocked.
const UNSENT_BYTES: u32 = 64 * 1024;
