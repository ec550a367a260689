//! The end of a connection, as its shard brings it about: what it leaves, gets and is counted as.

use std::mem;

use crate::{
    disconnect::Disconnect,
    hub::{ids::PeerKey, publication::segment::Segment, shard::state::State},
    wire::frame::Frame,
};

impl State {
    pub(in crate::hub) fn end_all(
        &mut self,
        ended: impl IntoIterator<Item = (PeerKey, Disconnect)>,
    ) {
        for (key, reason) in ended {
            self.end(key, reason);
        }
    }

    #[cfg(test)]
    pub(in crate::hub) fn end_every(&mut self, reason: Disconnect) {
        let keys = self.peers.keys();
        self.end_all(keys.into_iter().map(|key| (key, reason)));
    }

    /// Ends a connection: it leaves its topics and gets its Close; its task sees to the rest.
    /// Of several reasons the first one counts.
    pub(in crate::hub) fn end(&mut self, key: PeerKey, reason: Disconnect) {
        self.end_with(key, reason, reason.close_frame());
    }

    /// Ends a connection as [`end`](Self::end) does, with this Close.
    pub(in crate::hub) fn end_with(
        &mut self,
        key: PeerKey,
        reason: Disconnect,
        close: Option<Frame>,
    ) {
        let Some(peer) = self.peers.get_mut(key).filter(|peer| peer.ended.is_none()) else {
            return;
        };
        peer.ended = Some(reason);
        if reason.discards_outbox() {
            peer.outbox.discard();
        }
        let close = close.map(|close| Segment::of_its_own(close.into_bytes(), &self.ledger));
        match close {
            Some(close) if reason.expects_peers_close() => peer.outbox.seal(close),
            Some(close) => peer.seal_to_end(close),
            None => peer.outbox.seal_silently(),
        }
        peer.wake();
        for place in mem::take(&mut peer.places) {
            self.unsubscribe(place);
        }
        self.update_gauges();
        self.count_end(reason);
    }

    fn count_end(&self, reason: Disconnect) {
        let metrics = self.metrics();
        match reason {
            Disconnect::SlowConsumer => metrics.slow_consumers.increment(),
            Disconnect::TooFarBehind => {
                metrics.slow_consumers.increment();
                metrics.too_far_behind.increment();
            }
            Disconnect::NoPong => metrics.unanswered_pings.increment(),
            Disconnect::Violation(_) => metrics.violations.increment(),
            _ => {}
        }
    }
}
