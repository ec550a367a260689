//! Errors: reasons why a run could not be made. A server that loses messages is no error, but a finding.

use std::{io, net::SocketAddr, time::Duration};

use crate::client::{http::Rejection, messages::ProtocolError};

/// The reason why a run could not be made, or not be finished.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A connection broke while messages were expected on it.
    #[error("the connection broke while messages were expected")]
    Broken(#[source] io::Error),
    /// The server closed a connection before the run could start; with its reason, if it gave one.
    #[error("the server has closed a connection{0} before the run could start")]
    Closed(String),
    /// A connection to this address could not be opened.
    #[error("cannot connect to {0}")]
    Connect(SocketAddr, #[source] io::Error),
    /// The run was interrupted before its measured time.
    #[error("interrupted before anything was measured")]
    Interrupted,
    /// The answer to `POST /register` is not that of a framecast server.
    #[error("the server's answer is not that of a framecast relay")]
    NotARelay,
    /// The CPU time or memory of this process can't be read.
    #[error("cannot read what process {0} uses")]
    Pid(u32, #[source] io::Error),
    /// Waiting for sockets failed.
    #[error("cannot wait for sockets")]
    Poll(#[source] io::Error),
    /// A server broke RFC 6455.
    #[error("the server has broken RFC 6455: {0}")]
    Protocol(ProtocolError),
    /// A publication over HTTP was refused.
    #[error("cannot publish: {0}")]
    Publish(Rejection),
    /// An opening handshake was refused.
    #[error(transparent)]
    Rejected(Rejection),
    /// A registration over HTTP failed.
    #[error("cannot register a connection")]
    Register(#[source] io::Error),
    /// No more connections could be opened.
    #[error("{open} of {wanted} connections are open, and no more for {} s; the server may be out of descriptors", .after.as_secs())]
    Stuck {
        /// Connections that are open.
        open: usize,
        /// Connections that the run needs.
        wanted: usize,
        /// Time in which no further one was opened.
        after: Duration,
    },
    /// Subscriptions were not confirmed within this time.
    #[error("the server has not confirmed all subscriptions within {} s", .0.as_secs())]
    Unconfirmed(Duration),
    /// A worker process failed; with its error.
    #[error("a worker process has failed: {0}")]
    Worker(String),
    /// A worker process could not be started, or its pipes failed.
    #[error("cannot run a worker process")]
    WorkerIo(#[source] io::Error),
}
