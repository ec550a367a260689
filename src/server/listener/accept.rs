//! The acceptor: takes each socket that comes, and outlives running out of descriptors.
//!
//! It runs on the first shard, so that with one shard nobody has to be woken for a connection.

use std::{
    fmt,
    future::poll_fn,
    io,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use rustix::io::Errno;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::spawn_local,
    time::sleep,
};
use tracing::warn;

use crate::{
    hub::bounds::budget::ShortOfMemory,
    server::{brief, listener::reserve::Reserve, site::Site},
};

/// Accepts for ever. An error never ends it: one of a connection concerns only that connection, one
/// at a time is turned away with the `reserve` when there are no descriptors, some at a time when
/// memory is full, and what else the system lacks is waited for.
pub(super) async fn accept(
    listener: TcpListener,
    site: &Arc<Site>,
    mut reserve: Reserve,
    mut take: impl FnMut(TcpStream),
) {
    let mut back_off = BackOff::default();
    let mut warning = Warning::default();
    let places = Arc::new(Semaphore::new(TURNED_AWAY_AT_ONCE));
    loop {
        // Before anybody else gets it.
        reserve.take_back();
        match listener.accept().await {
            Ok((socket, _)) if site.hub.budget().is_full() => {
                let counts = &site.hub.budget().counts;
                counts.refused_connections.increment();
                turn_away(socket, site, &places).await;
            }
            Ok((socket, _)) => {
                back_off = BackOff::default();
                take(socket);
            }
            Err(error) if is_out_of_descriptors(&error) && reserve.give_up() => {
                if let Some(accepted) = accept_now(&listener).await {
                    warning.say(&error, "a connection is turned away");
                    site.accept_errors.increment();
                    match accepted {
                        Ok(socket) => brief::serve(socket, site, "the server is full").await,
                        Err(error) => back_off.wait(&error).await,
                    }
                }
            }
            Err(error) => {
                warning.say(&error, "no connection can be accepted");
                site.accept_errors.increment();
                back_off.wait(&error).await;
            }
        }
    }
}

/// Answers a connection for which there is no memory, beside others, as soon as a place is free.
async fn turn_away(socket: TcpStream, site: &Arc<Site>, places: &Arc<Semaphore>) {
    // It is never closed; if it were, nobody would have to wait.
    let place = Arc::clone(places).acquire_owned().await;
    let site = Arc::clone(site);
    spawn_local(async move {
        brief::serve(socket, &site, &ShortOfMemory.to_string()).await;
        drop(place);
    });
}

/// Accepts the connection that has waited longest. `None` if there is none: at the limit the system
/// says so even then. Whoever comes later may find a descriptor that is not the reserve.
async fn accept_now(listener: &TcpListener) -> Option<io::Result<TcpStream>> {
    let accepted = poll_fn(|cx| Poll::Ready(listener.poll_accept(cx))).await;
    match accepted {
        Poll::Ready(accepted) => Some(accepted.map(|(socket, _)| socket)),
        Poll::Pending => None,
    }
}

/// Says what is wrong at most once a second: at the limit, connections may come and go often.
#[derive(Debug, Default)]
struct Warning(Option<Instant>);

impl Warning {
    fn say(&mut self, error: &dyn fmt::Display, what: &str) {
        if self
            .0
            .is_none_or(|at| at.elapsed() >= Duration::from_secs(1))
        {
            warn!(%error, "{what}");
            self.0 = Some(Instant::now());
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
    async fn wait(&mut self, error: &io::Error) {
        if let Some(wait) = self.after(error) {
            sleep(wait).await;
        }
    }

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

/// The process, or the system, has as many descriptors as it may have.
fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::MFILE | Errno::NFILE)
    )
}

/// Connections that are answered at a time while memory is full, each for a second at most: those that
/// say nothing hold up few. They are not charged, and hold half a megabyte together.
const TURNED_AWAY_AT_ONCE: usize = 16;

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
    fn only_a_want_of_descriptors_is_one() {
        let errors = [24, 23, 12, 103].map(io::Error::from_raw_os_error);
        let wants = errors.map(|error| is_out_of_descriptors(&error));
        assert_eq!(wants, [true, true, false, false]);
    }

    #[test]
    fn a_connection_that_is_gone_costs_no_wait() {
        let aborted = io::ErrorKind::ConnectionAborted.into();
        assert_eq!(BackOff::default().after(&aborted), None);
    }
}
