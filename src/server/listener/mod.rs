//! A listener: an address that the server listens on, and the way of its sockets to the shards.
//!
//! [`accept`] accepts each socket, with a [`reserve`] for when no descriptors are left. [`handoff`]
//! hands the socket to a shard. If no shard can serve a client, `accept` or the watchdog answers it
//! on the bare socket, without TLS or anything else that a shard would wrap it in.

pub(super) mod accept;
pub(super) mod handoff;
mod reserve;

use std::{io, net, net::SocketAddr, time::Duration};

use socket2::{Domain, Socket, Type};

use crate::server::upgraded;

/// A socket that listens.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) socket: net::TcpListener,
    /// The address that the socket listens on, with the port that the kernel chose if port 0 was
    /// asked for.
    pub(super) address: SocketAddr,
    pub(super) entrance: Entrance,
}

/// The properties of a listener that matter for the requests on its connections.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entrance {
    /// The scheme of WebSocket URLs that lead to this listener.
    pub(super) web_socket_scheme: &'static str,
}

impl Listener {
    /// Listens on `address`. The kernel ends an accepted connection if its client does not read its
    /// answers within `request_timeout`.
    pub(super) fn bind(address: SocketAddr, request_timeout: Duration) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        // After a restart, connections of the last run may still be in TIME_WAIT on this address.
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        // Accepted sockets inherit these options, which saves system calls for each connection.
        upgraded::tune(&socket)?;
        // hyper waits for ever for a client that does not read its answer. This timeout of the
        // kernel ends such a connection.
        socket.set_tcp_user_timeout(Some(request_timeout))?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let socket = net::TcpListener::from(socket);
        Ok(Self {
            address: socket.local_addr()?,
            socket,
            entrance: Entrance {
                web_socket_scheme: "ws",
            },
        })
    }

    /// Returns a second handle to the same listener, for another thread that accepts from it.
    pub(super) fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            socket: self.socket.try_clone()?,
            ..*self
        })
    }
}

/// Greatest number of connections that wait to be accepted. The kernel may have a smaller limit.
const BACKLOG: i32 = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted_sockets_inherit_their_tcp_options() {
        let listener = Listener::bind(([127, 0, 0, 1], 0).into(), Duration::from_secs(7)).unwrap();
        let _client = net::TcpStream::connect(listener.address).unwrap();
        listener.socket.set_nonblocking(false).unwrap();
        let accepted = Socket::from(listener.socket.accept().unwrap().0);
        assert!(accepted.tcp_nodelay().unwrap());
        assert_eq!(accepted.tcp_notsent_lowat().unwrap(), 64 * 1024);
        let timeout = accepted.tcp_user_timeout().unwrap();
        assert_eq!(timeout, Some(Duration::from_secs(7)));
    }
}
