//! Sockets to the server: nonblocking, and from several source addresses if there are many sockets.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

use rustix::io::Errno;
use socket2::{Domain, Socket, Type};

/// Begins to connect to `address`. `number` is how many connections of the run come before this
/// one, over all processes. It decides about the source address.
pub(crate) fn dial(address: SocketAddr, number: usize) -> io::Result<TcpStream> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking(),
        None,
    )?;
    socket.set_tcp_nodelay(true)?;
    // A drop then sends a reset. Thousands of sockets in TIME_WAIT would leave no ports for the
    // next run.
    socket.set_linger(Some(Duration::ZERO))?;
    if let Some(source) = source(address.ip(), number) {
        socket.bind(&SocketAddr::new(source, 0).into())?;
    }
    match socket.connect(&address.into()) {
        Err(error) if Errno::from_io_error(&error) != Some(Errno::INPROGRESS) => Err(error),
        _ => Ok(socket.into()),
    }
}

/// Returns the source address of connection `number`, or `None` if the kernel may choose it. From
/// one address only some 28,000 ports can connect to one server, but the loopback network has 2^24
/// addresses.
fn source(target: IpAddr, number: usize) -> Option<IpAddr> {
    if !matches!(target, IpAddr::V4(target) if target.is_loopback()) {
        return None;
    }
    match number / CONNECTIONS_PER_SOURCE {
        0 => None,
        block => {
            let last = u8::try_from(1 + block).unwrap_or(u8::MAX);
            Some(Ipv4Addr::new(127, 0, 0, last).into())
        }
    }
}

/// Connections from one source address. Fewer than the 28,232 ports of Linux's default range,
/// because other programs need some, too.
const CONNECTIONS_PER_SOURCE: usize = 20_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_bound_to_the_source_address_of_its_number() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        for (number, source) in [(0, [127, 0, 0, 1]), (20_000, [127, 0, 0, 2])] {
            let socket = dial(listener.local_addr().unwrap(), number).unwrap();
            let (_, peer) = listener.accept().unwrap();
            assert_eq!(peer.ip(), IpAddr::from(source));
            assert_eq!(socket.local_addr().unwrap(), peer);
        }
    }

    #[test]
    fn only_many_connections_to_loopback_need_further_source_addresses() {
        let loopback = IpAddr::from([127, 0, 0, 1]);
        assert_eq!(source(loopback, 19_999), None);
        assert_eq!(source(loopback, 20_000), Some(IpAddr::from([127, 0, 0, 2])));
        assert_eq!(source(loopback, 60_000), Some(IpAddr::from([127, 0, 0, 4])));
        assert_eq!(source(IpAddr::from([192, 0, 2, 1]), 60_000), None);
        assert_eq!(source("::1".parse().unwrap(), 60_000), None);
    }
}
