//! Connects to a server over TCP: looks its name up, and tries its addresses one after the other.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};

/// Longest time for the connect to one address, if the name has others. A lost first packet is sent
/// again after 1 s (RFC 6298 §2), so an address that works answers in this time even then.
pub(crate) const ADDRESS_TIMEOUT: Duration = Duration::from_secs(2);

/// Connects to port `port` of `host`, a name or an address. The caller bounds the whole time by
/// `within`. An address that does not answer takes only a part of that time, so that the other
/// addresses of the name are tried, too.
///
/// # Errors
///
/// The name has no address, or none of its addresses accepts a connection. Then the error is that
/// of the last address.
pub(crate) async fn dial(host: &str, port: u16, within: Duration) -> io::Result<TcpStream> {
    let addresses: Vec<_> = lookup_host((host, port)).await?.collect();
    let each = time_for_each(addresses.len(), within);
    connect(&addresses, each).await
}

/// Returns the longest time for the connect to one of `count` addresses, if all of them together
/// may take the time `within`.
fn time_for_each(count: usize, within: Duration) -> Duration {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    let share = within.checked_div(count).unwrap_or(within);
    share.min(ADDRESS_TIMEOUT)
}

/// Connects to the first of `addresses` that accepts a connection. Each of them may take the time
/// `each`, except for the last one, whose time the caller bounds.
async fn connect(addresses: &[SocketAddr], each: Duration) -> io::Result<TcpStream> {
    let Some((last, others)) = addresses.split_last() else {
        let no_address = "the name has no address";
        return Err(io::Error::new(io::ErrorKind::NotFound, no_address));
    };
    for address in others {
        if let Ok(Ok(socket)) = timeout(each, TcpStream::connect(address)).await {
            return Ok(socket);
        }
    }
    TcpStream::connect(last).await
}

#[cfg(test)]
pub(crate) mod tests {
    use std::net::TcpListener;

    use socket2::{Domain, Socket, Type};

    use super::*;

    /// Returns an address that does not answer a connect, as long as the sockets exist: a listener
    /// whose queue of connections is full, and those connections.
    pub(crate) fn silent() -> (SocketAddr, Vec<Socket>) {
        let socket = || Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let listener = socket();
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        listener.bind(&any_port.into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let mut sockets = vec![listener];
        loop {
            let socket = socket();
            let queued = socket.connect_timeout(&address, Duration::from_millis(200));
            sockets.push(socket);
            if queued.is_err() {
                return (address.as_socket().unwrap(), sockets);
            }
        }
    }

    /// Returns an address at which nobody listens.
    fn refusing() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    }

    #[tokio::test]
    async fn an_address_that_is_silent_or_refuses_does_not_keep_the_next_one_from_being_tried() {
        let (silent, _sockets) = silent();
        let open = TcpListener::bind("127.0.0.1:0").unwrap();
        let open_address = open.local_addr().unwrap();
        let each = Duration::from_millis(20);
        for addresses in [
            &[silent, open_address][..],
            &[silent, refusing(), open_address],
            &[refusing(), silent, open_address],
            &[open_address, silent],
            &[open_address],
        ] {
            // The caller's time is longer than that of one address.
            let connected = timeout(Duration::from_secs(20), connect(addresses, each)).await;
            let socket = connected.unwrap().unwrap();
            assert_eq!(socket.peer_addr().unwrap(), open_address, "{addresses:?}");
        }
        // The last address has the caller's time.
        let addresses = [refusing(), silent];
        let connected = timeout(10 * each, connect(&addresses, each)).await;
        assert!(connected.is_err());
    }

    #[tokio::test]
    async fn the_error_is_that_of_the_last_address() {
        let (silent, _sockets) = silent();
        let each = Duration::from_millis(20);
        let error = connect(&[silent, refusing()], each).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        let error = connect(&[], each).await.unwrap_err();
        assert_eq!(error.to_string(), "the name has no address");
    }

    #[test]
    fn all_addresses_of_a_name_are_tried_in_the_time_of_the_caller() {
        let seconds = Duration::from_secs;
        assert_eq!(time_for_each(1, seconds(10)), ADDRESS_TIMEOUT);
        assert_eq!(time_for_each(2, seconds(10)), ADDRESS_TIMEOUT);
        assert_eq!(time_for_each(20, seconds(10)), Duration::from_millis(500));
        assert_eq!(time_for_each(0, seconds(1)), seconds(1));
    }
}
