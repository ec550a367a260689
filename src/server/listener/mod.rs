//! A listener: an address where the server is found, and what it does with who comes there.
//!
//! [`accept`] takes each socket, with a [`reserve`] for when there are no descriptors, and [`arrivals`]
//! hands it to a shard, where its stream can be wrapped, as TLS does. Whom no shard can serve, `accept`
//! and the watchdog answer on the bare socket.

pub(super) mod accept;
pub(super) mod arrivals;
mod reserve;

use std::{io, net, net::SocketAddr, time::Duration};

use socket2::{Domain, Socket, Type};

use crate::server::upgraded;

/// A socket that listens.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) socket: net::TcpListener,
    /// With its real port.
    pub(super) address: SocketAddr,
    pub(super) entrance: Entrance,
}

/// What requests have to know of the listener by which they came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entrance {
    /// The scheme of the WebSocket URLs that lead there.
    pub(super) web_socket_scheme: &'static str,
}

impl Listener {
    /// Listens on `address`, for clients that take their answers within `request_timeout`.
    pub(super) fn bind(address: SocketAddr, request_timeout: Duration) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        // A restart need not wait for the connections of the last run to time out.
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        // What is accepted inherits this: nobody pays for it in each handshake.
        upgraded::tune(&socket)?;
        // hyper waits for ever for a client that does not take its answer; the kernel does not.
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

    /// Returns the same listener, for somebody else who accepts from it.
    pub(super) fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            socket: self.socket.try_clone()?,
            ..*self
        })
    }
}

/// Connections that wait to be accepted; the kernel cuts it to its own limit.
const BACKLOG: i32 = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_accepted_inherits_what_it_needs() {
        let listener = Listener::bind(([127, 0, 0, 1], 0).into(), Duration::from_secs(7)).unwrap();
        let _near = net::TcpStream::connect(listener.address).unwrap();
        listener.socket.set_nonblocking(false).unwrap();
        let accepted = Socket::from(listener.socket.accept().unwrap().0);
        assert!(accepted.tcp_nodelay().unwrap());
        assert_eq!(accepted.tcp_notsent_lowat().unwrap(), 64 * 1024);
        let timeout = accepted.tcp_user_timeout().unwrap();
        assert_eq!(timeout, Some(Duration::from_secs(7)));
    }
}
