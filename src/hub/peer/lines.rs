//! The lines of the log about the begin and the end of a connection, and the address of its client.

use std::{net::SocketAddr, time::Instant};

use tracing::debug;

use crate::{
    disconnect::Disconnect,
    hub::{
        ids::ConnectionId,
        peer::{
            Peer,
            connection_log::{ShownTopics, TARGET},
            socket::Socket,
        },
    },
    topic::TopicName,
    user::UserId,
};

/// The begin of a connection, as it is logged.
#[derive(Debug)]
pub(in crate::hub) struct Begin {
    address: Option<SocketAddr>,
    path: Option<&'static str>,
    user: Option<UserId>,
}

impl Begin {
    /// Logs the begin of the connection `id`, which follows these `topics`.
    pub(in crate::hub) fn log(&self, id: ConnectionId, topics: &ShownTopics) {
        debug!(
            target: TARGET,
            peer = self.address.map(display),
            path = self.path.map(display),
            user = self.user.as_ref().map(|user| user.as_str()),
            ?topics,
            topic_count = topics.count,
            connection = %id,
            "connection began"
        );
    }
}

impl Peer {
    /// Returns the address of the client, if it is known.
    pub(in crate::hub) fn address(&self) -> Option<SocketAddr> {
        let logged = || self.log.as_ref().and_then(|log| log.address());
        let address = self.socket.as_ref().and_then(Socket::peer_addr);
        address.or_else(logged)
    }

    /// Drops what waits for the peer, because its socket has failed or it must not wait any longer.
    /// Wakes its task, which may be waiting until the outbox is written.
    pub(in crate::hub) fn abandon(&mut self) {
        self.log_undelivered();
        self.outbox.abandon();
        self.wake();
    }

    /// Adds the published messages in the outbox to those that were dropped, for the log: they will
    /// not be written.
    pub(in crate::hub) fn log_undelivered(&mut self) {
        if let Some(log) = &mut self.log {
            log.dropped += u64::from(self.outbox.content().messages);
        }
    }

    /// Notes that the connection begins, if it has a log. Returns what is to be logged.
    pub(in crate::hub) fn begin_log(&mut self) -> Option<Begin> {
        let address = self.address();
        let log = self.log.as_mut()?;
        log.begun = Some((Instant::now(), address));
        Some(Begin {
            address,
            path: log.path,
            user: self.user.clone(),
        })
    }

    /// Logs the end of the connection, if the connection has a log and its begin was logged.
    pub(in crate::hub) fn log_end(&self, id: ConnectionId) {
        let Some(log) = &self.log else {
            return;
        };
        let Some((begun, address)) = log.begun else {
            return;
        };
        let reason = self.ended.unwrap_or(Disconnect::Lost);
        debug!(
            target: TARGET,
            peer = address.map(display),
            path = log.path.map(display),
            user = self.user.as_ref().map(|user| user.as_str()),
            topics = ?log.topics,
            topic_count = log.topics.count,
            connection = %id,
            duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            messages_in = log.received.messages,
            bytes_in = log.received.bytes,
            messages_out = log.sent.messages,
            bytes_out = log.sent.bytes,
            dropped = log.dropped,
            dropped_topic = log.dropped_topic.as_ref().map(TopicName::as_str),
            code = reason.close_code(),
            reason = reason.to_string(),
            orderly = log.is_orderly,
            "connection ended"
        );
    }
}
