//! Errors: reasons why a run fails. Messages that the server loses are no error: the report counts
//! them.

use std::{io, net::SocketAddr, time::Duration};

use crate::client::{http::Rejection, messages::ProtocolError};

/// The reason why a run could not start, or could not be finished.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A connection broke while messages were expected on it.
    #[error("the connection broke while messages were expected")]
    Broken(#[source] io::Error),
    /// The server closed a connection before the run could start. The text is a part of the error
    /// message: ` with `, the close code, and the reason in brackets if there is one; or empty if the
    /// server sent no close code.
    #[error("the server has closed a connection{0} before the run could start")]
    Closed(String),
    /// A connection to this address could not be opened.
    #[error("cannot connect to {0}")]
    Connect(SocketAddr, #[source] io::Error),
    /// The run was interrupted before its measured time.
    #[error("interrupted before anything was measured")]
    Interrupted,
    /// The response to `POST /register` is not that of a framecast server.
    #[error("the server's answer is not that of a framecast relay")]
    NotARelay,
    /// The CPU time or memory of the process with this id can't be read.
    #[error("cannot read what process {0} uses")]
    Pid(u32, #[source] io::Error),
    /// Waiting for sockets failed.
    #[error("cannot wait for sockets")]
    Poll(#[source] io::Error),
    /// A server broke RFC 6455.
    #[error("the server has broken RFC 6455: {0}")]
    Protocol(ProtocolError),
    /// The server refused a publication over HTTP.
    #[error("cannot publish: {0}")]
    Publish(Rejection),
    /// The system has no random bytes for the key of a handshake.
    #[error("cannot read random bytes")]
    Random(#[source] io::Error),
    /// The server refused an opening handshake or a registration.
    #[error(transparent)]
    Rejected(Rejection),
    /// The connection for registrations over HTTP broke, or the response took too long.
    #[error("cannot register a connection")]
    Register(#[source] io::Error),
    /// No more connections could be opened.
    #[error("{open} of {wanted} connections are open, and no more for {} s; the server may be out of descriptors", .after.as_secs())]
    Stuck {
        /// Number of connections that are open.
        open: usize,
        /// Number of connections that the run needs.
        wanted: usize,
        /// Time for which no further connection was opened.
        after: Duration,
    },
    /// The server did not confirm all subscriptions within this time.
    #[error("the server has not confirmed all subscriptions within {} s", .0.as_secs())]
    Unconfirmed(Duration),
    /// A worker process failed with this error.
    #[error("a worker process has failed: {0}")]
    Worker(String),
    /// A worker process could not be started, or its pipes failed.
    #[error("cannot run a worker process")]
    WorkerIo(#[source] io::Error),
}
