//! The way of an upgraded socket from HTTP to its connection, which may be on another runtime.

use std::io;

use bytes::Bytes;
use fastwebsockets::upgrade::UpgradeFut;
use hyper::upgrade::Upgraded;
use hyper_util::{rt::TokioIo, server::conn::auto};
use socket2::SockRef;
use tokio::{net::TcpStream, task::spawn_local};

use crate::{connection::Connection, hub::Socket, server::stream::HttpStream};

/// A socket whose 101 is being written.
pub(crate) struct Upgrading(pub(super) UpgradeFut);

impl Upgrading {
    /// Waits until the 101 is written, and takes the socket back from hyper.
    pub(crate) async fn finished(self) -> io::Result<UpgradedSocket> {
        let web_socket = self.0.await.map_err(io::Error::other)?;
        // fastwebsockets has read nothing yet. The bytes that hyper has read behind the request
        // come with the socket.
        let upgraded = web_socket.into_inner().into_inner();
        let (transport, read) = match take_tcp(upgraded) {
            Ok((tcp, read)) => {
                // The listener has set this timeout for HTTP. From now on the outbox limits how
                // long a peer may be blocked.
                SockRef::from(&tcp).set_tcp_user_timeout(None)?;
                (Transport::Tcp(tcp), read)
            }
            Err(other) => (Transport::Other(TokioIo::new(other)), Bytes::new()),
        };
        Ok(UpgradedSocket {
            transport,
            // Copied, because even an empty slice would keep hyper's whole buffer in memory.
            leftover: read.to_vec(),
        })
    }
}

/// Takes the TCP socket out of its wrapper, together with the bytes that were read from it already.
/// The wrapper is the stream of this crate's own server, hyper's own, or that of hyper-util's `auto`
/// server, which axum uses. Any other stream is returned as the error.
fn take_tcp(upgraded: Upgraded) -> Result<(TcpStream, Bytes), Upgraded> {
    let upgraded = match upgraded.downcast::<TokioIo<HttpStream<TcpStream>>>() {
        Ok(parts) => return Ok((parts.io.into_inner().into_inner(), parts.read_buf)),
        Err(other) => other,
    };
    match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => Ok((parts.io.into_inner(), parts.read_buf)),
        Err(other) => auto::upgrade::downcast::<TokioIo<TcpStream>>(other)
            .map(|parts| (parts.io.into_inner(), parts.read_buf)),
    }
}

/// A connection that waits until its 101 is written and hyper gives the socket back. The socket is
/// on the connection's shard already.
pub(super) struct PendingConnection {
    pub(super) connection: Connection,
    pub(super) socket: Upgrading,
}

impl PendingConnection {
    /// Waits for the socket, and starts the connection's task on it.
    pub(super) async fn start(self) -> io::Result<()> {
        let (socket, leftover) = self.socket.finished().await?.into_parts();
        // The connection gets a task of its own, so that the memory that HTTP needed is freed.
        spawn_local(self.connection.start(socket, leftover));
        Ok(())
    }
}

/// A socket after its opening handshake, registered with the tokio runtime of a thread.
pub(crate) struct UpgradedSocket {
    transport: Transport<TcpStream>,
    /// Bytes that the client has sent right behind its request.
    leftover: Vec<u8>,
}

/// A socket on its way from one tokio runtime to another. A TCP socket is registered with neither;
/// any other stream stays as it is.
pub(super) struct DetachedSocket {
    transport: Transport<std::net::TcpStream>,
    leftover: Vec<u8>,
}

/// The stream that carries the frames of a WebSocket.
enum Transport<Tcp> {
    Tcp(Tcp),
    /// Any other stream, such as TLS, as hyper hands it over after the upgrade.
    Other(TokioIo<Upgraded>),
}

impl UpgradedSocket {
    /// Returns the socket for the connection, and the bytes that the client sent right behind its
    /// request.
    pub(crate) fn into_parts(self) -> (Socket, Vec<u8>) {
        let socket = match self.transport {
            Transport::Tcp(tcp) => Socket::Tcp(tcp),
            Transport::Other(other) => Socket::Other(Box::new(other)),
        };
        (socket, self.leftover)
    }

    /// Deregisters a TCP socket from its runtime, so that [`attach`](DetachedSocket::attach) can
    /// register it with another one.
    pub(super) fn detach(self) -> io::Result<DetachedSocket> {
        let transport = match self.transport {
            Transport::Tcp(tcp) => {
                tune(&SockRef::from(&tcp))?;
                Transport::Tcp(tcp.into_std()?)
            }
            Transport::Other(other) => Transport::Other(other),
        };
        Ok(DetachedSocket {
            transport,
            leftover: self.leftover,
        })
    }
}

impl DetachedSocket {
    /// Registers the socket with the runtime of the calling thread.
    pub(super) fn attach(self) -> io::Result<UpgradedSocket> {
        let transport = match self.transport {
            Transport::Tcp(tcp) => Transport::Tcp(TcpStream::from_std(tcp)?),
            Transport::Other(other) => Transport::Other(other),
        };
        Ok(UpgradedSocket {
            transport,
            leftover: self.leftover,
        })
    }
}

/// Sets the TCP options of a socket that carries frames: no delay for small writes (`TCP_NODELAY`),
/// and a limit of unsent bytes.
pub(super) fn tune(socket: &socket2::Socket) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_notsent_lowat(UNSENT_BYTES)
}

/// Greatest number of unsent bytes that the kernel takes for a peer (`TCP_NOTSENT_LOWAT`). Without
/// this limit each stalled peer costs 4 to 5 MiB of kernel memory before it is noticed. With a
/// smaller limit, healthy peers are blocked.
const UNSENT_BYTES: u32 = 64 * 1024;
