//! The acceptor: hands sockets to the shards in turn, and outlives running out of descriptors.
//!
//! It runs on the first shard, so that with one shard nobody has to be woken for a connection.

use std::{
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use socket2::{Domain, Socket, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    time::sleep,
};
use tracing::warn;

use super::socket;
use crate::metrics::Counter;

/// Listens on `address`, for clients that take their answers within `request_timeout`.
pub(super) fn listen(
    address: SocketAddr,
    request_timeout: Duration,
) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // A restart need not wait for the connections of the last run to time out.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    // What is accepted inherits this: nobody pays for it in each handshake.
    socket::tune(&socket)?;
    // hyper waits for ever for a client that does not take its answer; the kernel does not.
    socket.set_tcp_user_timeout(Some(request_timeout))?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Accepts for ever, but while there `is_room`. An error never ends it: one of a connection concerns only that connection,
/// and one of the system (no descriptors, no memory) is waited out.
pub(super) async fn accept(
    listener: TcpListener,
    errors: &Counter,
    is_room: impl Fn() -> bool,
    mut take: impl FnMut(TcpStream),
) {
    let mut back_off = BackOff::default();
    let mut warned: Option<Instant> = None;
    loop {
        while !is_room() {
            sleep(BETWEEN_LOOKS).await;
        }
        match listener.accept().await {
            Ok((socket, _)) => {
                back_off = BackOff::default();
                take(socket);
            }
            Err(error) => {
                errors.increment();
                if let Some(wait) = back_off.after(&error) {
                    // At the limit, connections may come and go many times a second.
                    if warned.is_none_or(|at| at.elapsed() >= Duration::from_secs(1)) {
                        warn!(%error, ?wait, "no connection can be accepted");
                        warned = Some(Instant::now());
                    }
                    sleep(wait).await;
                }
            }
        }
    }
}

/// How long to wait after an error: twice as long each time.
#[derive(Debug)]
struct BackOff(Duration);

impl Default for BackOff {
    fn default() -> Self {
        Self(Duration::from_millis(10))
    }
}

impl BackOff {
    fn after(&mut self, error: &io::Error) -> Option<Duration> {
        if is_of_one_connection(error) {
            return None;
        }
        let wait = self.0;
        self.0 = (2 * wait).min(Duration::from_secs(1));
        Some(wait)
    }
}

/// The connection was gone before it was accepted, or broken; the next one may be fine.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::NetworkUnreachable
    )
}

/// How often is looked whether there is room for connections again.
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// Connections that wait to be accepted; the kernel cuts it to its own limit.
const BACKLOG: i32 = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_the_limit_the_acceptor_backs_off_further_each_time_up_to_a_second() {
        let no_descriptors = io::Error::from_raw_os_error(24);
        let mut back_off = BackOff::default();
        let waits: Vec<_> = (0..9)
            .filter_map(|_| back_off.after(&no_descriptors))
            .map(|wait| wait.as_millis())
            .collect();
        assert_eq!(waits, [10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
    }

    #[test]
    fn what_is_accepted_inherits_what_it_needs() {
        let listener = listen(([127, 0, 0, 1], 0).into(), Duration::from_secs(7)).unwrap();
        let _near = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        listener.set_nonblocking(false).unwrap();
        let accepted = Socket::from(listener.accept().unwrap().0);
        assert!(accepted.tcp_nodelay().unwrap());
        assert_eq!(accepted.tcp_notsent_lowat().unwrap(), 64 * 1024);
        let timeout = accepted.tcp_user_timeout().unwrap();
        assert_eq!(timeout, Some(Duration::from_secs(7)));
    }

    #[test]
    fn a_connection_that_is_gone_costs_no_wait() {
        let aborted = io::ErrorKind::ConnectionAborted.into();
        assert_eq!(BackOff::default().after(&aborted), None);
    }
}
