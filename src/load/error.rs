//! Why a run could not be made. What a server does to messages is not an error but a finding.

use std::{io, net::SocketAddr, time::Duration};

use super::{messages::Violation, opening::Refusal};

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the connection broke while messages were expected")]
    Broken(#[source] io::Error),
    #[error("the server has closed a connection{0} before the run could start")]
    Closed(String),
    #[error("cannot connect to {0}")]
    Connect(SocketAddr, #[source] io::Error),
    #[error("interrupted before anything was measured")]
    Interrupted,
    #[error("the server's answer is not that of a framecast relay")]
    NotARelay,
    #[error("cannot read what process {0} uses")]
    Pid(u32, #[source] io::Error),
    #[error("cannot wait for sockets")]
    Poll(#[source] io::Error),
    #[error("cannot publish: {0}")]
    Publish(Refusal),
    #[error(transparent)]
    Refused(Refusal),
    #[error("cannot register a connection")]
    Register(#[source] io::Error),
    #[error("{open} of {wanted} connections are open, and no more for {} s; the server may be out of descriptors", .after.as_secs())]
    Stuck {
        open: usize,
        wanted: usize,
        after: Duration,
    },
    #[error("the server has not confirmed all subscriptions within {} s", .0.as_secs())]
    Unconfirmed(Duration),
    #[error("the server has broken RFC 6455: {0}")]
    Violation(Violation),
    #[error("a worker process has failed: {0}")]
    Worker(String),
    #[error("cannot run a worker process")]
    WorkerIo(#[source] io::Error),
}
