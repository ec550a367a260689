//! The acceptor: accepts every socket, and goes on if the process runs out of file descriptors.
//!
//! It runs on the first shard, so that with one shard no other thread has to be woken for a
//! connection.

use std::{future::poll_fn, io, net::SocketAddr, sync::Arc, task::Poll, time::Duration};

use rustix::io::Errno;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::spawn_local,
    time::sleep,
};

use crate::{
    hub::bounds::budget::ShortOfMemory,
    metrics::incidents::Incident,
    server::{brief, listener::reserve::Reserve, site::Site},
};

/// Accepts sockets for ever, and passes each to `take`. No error ends the loop. After an error of
/// one connection the next one is accepted. If no descriptors are left, clients are turned away one
/// after the other, with the `reserve`. While memory is full, clients are turned away, up to 16 of
/// them simultaneously. After any other error of the system, the loop waits before it accepts
/// again.
pub(super) async fn accept(
    listener: TcpListener,
    site: &Arc<Site>,
    mut reserve: Reserve,
    mut take: impl FnMut(TcpStream, SocketAddr),
) {
    let mut back_off = BackOff::default();
    let incidents = site.hub.incidents();
    let places = Arc::new(Semaphore::new(TURNED_AWAY_AT_ONCE));
    loop {
        // The reserve is opened again as early as possible, before another thread takes the last
        // descriptor.
        reserve.take_back();
        match listener.accept().await {
            Ok((socket, peer)) if site.hub.budget().is_full() => {
                incidents.note_peer(Incident::RefusedConnection, Some(peer));
                let counts = &site.hub.budget().counts;
                counts.refused_connections.increment();
                turn_away(socket, peer, site, &places).await;
            }
            Ok((socket, peer)) => {
                back_off = BackOff::default();
                take(socket, peer);
            }
            Err(error) if is_out_of_descriptors(&error) && reserve.give_up() => {
                if let Some(accepted) = accept_now(&listener).await {
                    let peer = accepted.as_ref().map(|(_, peer)| *peer).ok();
                    incidents.note(Incident::TurnedAway, peer, &error);
                    site.accept_errors.increment();
                    match accepted {
                        Ok((socket, peer)) => {
                            brief::serve(socket, peer, site, "the server is full").await;
                        }
                        Err(error) => back_off.wait(&error).await,
                    }
                }
            }
            Err(error) => {
                incidents.note(Incident::AcceptFailed, None, &error);
                site.accept_errors.increment();
                back_off.wait(&error).await;
            }
        }
    }
}

/// Answers 503 to a client for which there is no memory, as soon as one of the `places` for such
/// clients is free. Returns when the answer has begun, and not when it is written.
async fn turn_away(socket: TcpStream, peer: SocketAddr, site: &Arc<Site>, places: &Arc<Semaphore>) {
    // The semaphore is never closed, so this is never an error.
    let place = Arc::clone(places).acquire_owned().await;
    let site = Arc::clone(site);
    spawn_local(async move {
        brief::serve(socket, peer, &site, &ShortOfMemory.to_string()).await;
        drop(place);
    });
}

/// Accepts the connection that has waited longest. If no connection waits, this returns `None`
/// immediately: at the limit of descriptors, `accept` fails even if there is no connection to turn
/// away. A connection that comes later may find a free descriptor.
async fn accept_now(listener: &TcpListener) -> Option<io::Result<(TcpStream, SocketAddr)>> {
    let accepted = poll_fn(|cx| Poll::Ready(listener.poll_accept(cx))).await;
    match accepted {
        Poll::Ready(accepted) => Some(accepted),
        Poll::Pending => None,
    }
}

/// The time to wait after an error of the system before accepting again. It doubles with each
/// further error of this kind, up to a second, until a socket is accepted.
#[derive(Debug)]
struct BackOff(Duration);

impl Default for BackOff {
    fn default() -> Self {
        Self(Duration::from_millis(10))
    }
}

impl BackOff {
    async fn wait(&mut self, error: &io::Error) {
        if let Some(wait) = self.after(error) {
            sleep(wait).await;
        }
    }

    /// Returns the time to wait after this error, and doubles it for the next one. Returns `None`
    /// if no wait is needed.
    fn after(&mut self, error: &io::Error) -> Option<Duration> {
        if is_of_one_connection(error) {
            return None;
        }
        let wait = self.0;
        self.0 = (2 * wait).min(Duration::from_secs(1));
        Some(wait)
    }
}

/// Returns true if the error is of one connection that has failed before it was accepted, so that
/// the next connection can be accepted immediately.
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

/// Returns true if the process or the system has reached its limit of descriptors.
fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::MFILE | Errno::NFILE)
    )
}

/// Greatest number of clients that are answered simultaneously while memory is full, each within a
/// second. With fewer, a few silent clients would hold up all others. These clients are not charged
/// to the budget. Together they hold about 1 MiB.
const TURNED_AWAY_AT_ONCE: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_the_limit_of_descriptors_the_wait_doubles_up_to_a_second() {
        let no_descriptors = io::Error::from(Errno::MFILE);
        let mut back_off = BackOff::default();
        let waits: Vec<_> = (0..9)
            .filter_map(|_| back_off.after(&no_descriptors))
            .map(|wait| wait.as_millis())
            .collect();
        assert_eq!(waits, [10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
    }

    #[test]
    fn only_errors_of_the_two_limits_of_descriptors_count_as_such() {
        let errors = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::CONNABORTED];
        let errors = errors.map(io::Error::from);
        let are_limits = errors.map(|error| is_out_of_descriptors(&error));
        assert_eq!(are_limits, [true, true, false, false]);
    }

    #[test]
    fn after_a_connection_that_was_aborted_there_is_no_wait() {
        let aborted = io::ErrorKind::ConnectionAborted.into();
        assert_eq!(BackOff::default().after(&aborted), None);
    }
}
