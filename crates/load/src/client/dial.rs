//! Sockets to the server: nonblocking, and from sources of their own if there are many sockets.

use std::{
    fs, io,
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use rustix::io::Errno;
use socket2::{Domain, Socket, Type};

use crate::client::sources::{DEFAULT_RANGE, Ports, Source, any_address, port_range};

/// Opens the sockets of one process.
#[derive(Debug)]
pub(super) struct Dialer {
    address: SocketAddr,
    /// Index of this process's first connection among the connections of all processes.
    offset: usize,
    ports: Ports,
}

impl Dialer {
    /// Returns a dialer for the server at `address`. `offset` is the number of connections that the
    /// processes with a lower index have open at the same time.
    pub(super) fn new(address: SocketAddr, offset: usize) -> Self {
        let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
        let range = range.ok().as_deref().and_then(port_range);
        Self {
            address,
            offset,
            ports: Ports::new(range.unwrap_or(DEFAULT_RANGE), offset),
        }
    }

    /// Begins to connect to the server. `open` is the number of connections that this process has
    /// open.
    pub(super) fn dial(&mut self, open: usize) -> io::Result<TcpStream> {
        let source = match Source::of(self.address.ip(), self.offset + open) {
            Source::Any => None,
            Source::Loopback(source) => Some(SocketAddr::from((source, 0))),
            Source::NextPort => return self.dial_from_next_port(),
        };
        let socket = self.socket()?;
        if let Some(source) = source {
            socket.bind(&source.into())?;
        }
        connect(socket, self.address)
    }

    /// Connects from the next port that no other socket has. `SO_REUSEADDR` is not set, so that
    /// `bind` refuses a port in use, and not `connect`.
    fn dial_from_next_port(&mut self) -> io::Result<TcpStream> {
        for _ in 0..self.ports.count() {
            let socket = self.socket()?;
            let source = any_address(self.address, self.ports.take());
            match socket.bind(&source.into()) {
                Ok(()) => return connect(socket, self.address),
                Err(error) if Errno::from_io_error(&error) == Some(Errno::ADDRINUSE) => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::new(io::ErrorKind::AddrNotAvailable, NO_PORT))
    }

    fn socket(&self) -> io::Result<Socket> {
        let domain = Domain::for_address(self.address);
        let socket = Socket::new(domain, Type::STREAM.nonblocking(), None)?;
        socket.set_tcp_nodelay(true)?;
        // A drop then sends a reset. Thousands of sockets in TIME_WAIT would leave no ports for the
        // next run. A closing handshake takes the setting back.
        socket.set_linger(Some(Duration::ZERO))?;
        Ok(socket)
    }
}

fn connect(socket: Socket, address: SocketAddr) -> io::Result<TcpStream> {
    match socket.connect(&address.into()) {
        Err(error) if Errno::from_io_error(&error) != Some(Errno::INPROGRESS) => Err(error),
        _ => Ok(socket.into()),
    }
}

/// The error if the local range has no port left.
const NO_PORT: &str = "no local port is left (net.ipv4.ip_local_port_range)";

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, TcpListener};

    use super::*;

    #[test]
    fn a_socket_is_bound_to_the_source_address_of_its_number() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut dialer = Dialer::new(listener.local_addr().unwrap(), 5_000);
        for (open, source) in [(4_999, [127, 0, 0, 1]), (5_000, [127, 0, 0, 2])] {
            let socket = dialer.dial(open).unwrap();
            let (_, peer) = listener.accept().unwrap();
            assert_eq!(peer.ip(), IpAddr::from(source));
            assert_eq!(socket.local_addr().unwrap(), peer);
        }
    }

    #[test]
    fn ports_that_are_bound_by_their_number_skip_those_in_use() {
        // The loopback address of IPv6 stands for a host with one address. Without IPv6 there is
        // nothing to test.
        let Ok(listener) = TcpListener::bind("[::1]:0") else {
            return;
        };
        let mut dialer = Dialer::new(listener.local_addr().unwrap(), 0);
        let range = dialer.ports;
        let first = dialer.dial(10_000).unwrap();
        // The next socket tries the same port first.
        dialer.ports = range;
        let second = dialer.dial(10_001).unwrap();
        let port = |socket: &TcpStream| socket.local_addr().unwrap().port();
        assert_ne!(port(&first), port(&second));
        for socket in [&first, &second] {
            assert_eq!(port(socket), listener.accept().unwrap().1.port());
        }
    }
}
