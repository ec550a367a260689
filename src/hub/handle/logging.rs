//! The log of a connection: its begin, its end, and the counts that the end is logged with.

use tracing::{Level, enabled};

use crate::hub::{
    handle::HandleRef,
    peer::{
        Peer,
        connection_log::{ConnectionLog, ShownTopics, TARGET},
    },
};

impl HandleRef {
    /// Gives the connection a log if its begin and end are to be logged.
    pub(super) fn add_log(&self) {
        if enabled!(target: TARGET, Level::DEBUG) {
            self.with(|peer| peer.log = Some(Box::default()));
        }
    }

    /// Notes the pattern of the path that the client has requested.
    pub(crate) fn note_path(&self, path: &'static str) {
        self.change_log(|log| log.path = Some(path));
    }

    /// Logs the begin of the connection, which has its socket now. `leftover_bytes` were received
    /// right behind its request.
    pub(crate) fn log_begin(&self, leftover_bytes: usize) {
        if !self.is_logged() {
            return;
        }
        let mut state = self.shard.state.borrow_mut();
        let topics = ShownTopics::new(state.topics_of(self.key).map(|topic| &topic.name));
        let begin = state.peers.get_mut(self.key).and_then(Peer::begin_log);
        // Whoever receives the line may call the hub.
        drop(state);
        if let Some(begin) = begin {
            begin.log(self.id(), &topics);
        }
        self.change_log(|log| log.received.bytes += leftover_bytes as u64);
    }

    /// Returns true if the messages of the connection are counted for the log.
    pub(crate) fn is_logged(&self) -> bool {
        self.with(|peer| peer.log.is_some()).unwrap_or(false)
    }

    /// Counts messages that the protocol got.
    pub(crate) fn count_received(&self, messages: u64) {
        self.change_log(|log| log.received.messages += messages);
    }

    /// Notes the outcome of the closing handshake: `is_orderly` if it was complete in time.
    pub(crate) fn note_closed(&self, is_orderly: bool) {
        let drained = self.shard.draining().map(|_| &self.shard.shared.drained);
        self.with(|peer| {
            if let Some(drained) = drained {
                drained.count(is_orderly, peer.outbox.content().messages.into());
            }
            peer.log_undelivered();
            if let Some(log) = &mut peer.log {
                log.is_orderly = is_orderly;
            }
        });
    }

    /// Changes the log of the connection, if it has one.
    fn change_log(&self, change: impl FnOnce(&mut ConnectionLog)) {
        let change = |peer: &mut Peer| peer.log.as_deref_mut().map(change);
        self.with(change);
    }
}
