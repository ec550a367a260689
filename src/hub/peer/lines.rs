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
};

impl Peer {
    /// Returns the address of the client, if it is known.
    pub(in crate::hub) fn address(&self) -> Option<SocketAddr> {
        let logged = || self.log.as_ref().and_then(|log| log.address());
        let address = self.socket.as_ref().and_then(Socket::peer_addr);
        address.or_else(logged)
    }

    /// Adds the published messages in the outbox to those that were dropped, for the log: they will
    /// not be written.
    pub(in crate::hub) fn log_undelivered(&mut self) {
        if let Some(log) = &mut self.log {
            log.dropped += u64::from(self.outbox.content().messages);
        }
    }

    /// Logs the begin of the connection, if the connection has a log. `topics` are those that it
    /// follows.
    pub(in crate::hub) fn log_begin(&mut self, id: ConnectionId, topics: &ShownTopics) {
        let address = self.address();
        let Some(log) = &mut self.log else {
            return;
        };
        log.begun = Some((Instant::now(), address));
        debug!(
            target: TARGET,
            peer = address.map(display),
            path = log.path.map(display),
            user = self.user.as_ref().map(|user| user.as_str()),
            ?topics,
            topic_count = topics.count,
            connection = %id,
            "connection began"
        );
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
