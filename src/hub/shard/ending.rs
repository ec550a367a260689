//! The end of a connection on its shard: the connection is unsubscribed from its topics, is sent a
//! Close, and is counted by the reason of its end.

use std::{mem, rc::Rc};

use crate::{
    disconnect::Disconnect,
    hub::{
        bounds::allowance::{Allowance, END},
        ids::{ConnectionId, PeerKey},
        peer::{Peer, connection_log::ShownTopics},
        publication::segment::{Content, Segment},
        shard::{Item, Links, Shard, peers::Peers, state::State},
    },
    metrics::incidents::Incident,
    wire::frame::Frame,
};

impl Links {
    /// Ends a connection, if it still exists, after all that is in the inbox of its shard now.
    pub(in crate::hub) fn end(&self, connection: ConnectionId, reason: Disconnect) {
        let ConnectionId { shard, key } = connection;
        let end = move |shard: &Rc<Shard>| shard.end_connection(key, reason);
        self.inboxes[shard].push(Item::Run(Box::new(end)));
    }
}

impl State {
    /// Ends each of these connections for the reason that is given with it.
    pub(in crate::hub) fn end_all(
        &mut self,
        ended: impl IntoIterator<Item = (PeerKey, Disconnect)>,
    ) {
        for (key, reason) in ended {
            self.end(key, reason);
        }
    }

    /// Checks the connections in this `part` of their table, and in the parts after it until the
    /// step is over. Ends those for which `check` returns a reason. Returns the part to continue
    /// with, or `None` at the end of the table.
    pub(in crate::hub) fn end_part(
        &mut self,
        mut part: usize,
        allowance: &mut Allowance,
        mut check: impl FnMut(&mut Peers, PeerKey) -> Option<Disconnect>,
    ) -> Option<usize> {
        loop {
            let peers = self.peers.part(part)?;
            let keys: Vec<PeerKey> = peers.map(|(key, _)| key).collect();
            for key in keys {
                allowance.spend(CHECK);
                if let Some(reason) = check(&mut self.peers, key) {
                    self.end(key, reason);
                    allowance.spend(END);
                }
            }
            part += 1;
            if allowance.is_spent() {
                return Some(part);
            }
        }
    }

    /// Ends a connection: removes its subscriptions, queues a Close, and wakes its task, which
    /// finishes the connection. If a connection is ended twice, the first reason counts.
    pub(in crate::hub) fn end(&mut self, key: PeerKey, reason: Disconnect) {
        if let Some(peer) = self.peers.get(key).filter(|peer| peer.ended.is_none()) {
            let incidents = &self.shared.incidents;
            incidents.note_end(reason, || peer.address());
        }
        self.end_with(key, reason, reason.close_frame());
    }

    /// Ends a connection as [`end`](Self::end) does, because memory is short. `incident` is the
    /// shortage, which the caller counts.
    pub(in crate::hub) fn end_for_memory(
        &mut self,
        key: PeerKey,
        reason: Disconnect,
        incident: Incident,
    ) {
        let address = self.peers.get(key).and_then(Peer::address);
        self.shared.incidents.note_peer(incident, address);
        self.end_with(key, reason, reason.close_frame());
    }

    /// Ends a connection as [`end`](Self::end) does, with `close` as its Close.
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
        let dropped = if reason.discards_outbox() {
            peer.outbox.discard()
        } else {
            Content::default()
        };
        let close = close.map(|close| Segment::unshared(close.into_bytes(), &self.ledger));
        match close {
            Some(close) if reason.expects_peers_close() => peer.outbox.seal(close),
            // No Close of the peer is awaited, so the FIN is sent right after this Close.
            Some(close) => peer.seal_to_end(close),
            None => peer.outbox.seal_silently(),
        }
        peer.wake();
        self.log_ended(key, dropped);
        let subscriptions = self
            .peers
            .get_mut(key)
            .map(|peer| mem::take(&mut peer.subscriptions));
        for subscription in subscriptions.unwrap_or_default() {
            self.unsubscribe(subscription);
        }
        self.metrics().ended.of(reason).increment();
    }

    /// Records the topics of a connection that ends, and the published messages that were dropped
    /// from its outbox, if the end is to be logged.
    fn log_ended(&mut self, key: PeerKey, dropped: Content) {
        if self.peers.get(key).is_none_or(|peer| peer.log.is_none()) {
            return;
        }
        let topics = ShownTopics::new(self.topics_of(key).map(|topic| &topic.name));
        let topic = dropped.topic.and_then(|topic| self.topics.get(topic));
        let dropped_topic = topic.map(|topic| topic.name.clone());
        let peer = self.peers.get_mut(key);
        if let Some(log) = peer.and_then(|peer| peer.log.as_mut()) {
            log.topics = topics;
            log.dropped += u64::from(dropped.messages);
            log.dropped_topic = dropped_topic;
        }
    }
}

/// The cost of checking a connection, in nanoseconds.
const CHECK: u64 = 60;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        config::HubConfig,
        hub::{
            bounds::allowance::{STEP, STEP_NANOSECONDS},
            publication::compression::Compression,
            shard::shared::Shared,
        },
    };

    #[test]
    fn ending_many_connections_takes_several_steps_and_reaches_each() {
        let mut state = State::new(0, Arc::new(Shared::new(&HubConfig::default())));
        let peers = (0..20_000).map(|_| state.peers.insert(None, Compression::Off));
        let peers: Vec<PeerKey> = peers.collect();
        let ended = |state: &State| {
            let all = peers.iter().filter_map(|&key| state.peers.get(key));
            all.filter(|peer| peer.ended.is_some()).count()
        };
        let (mut next_part, mut most_in_a_step) = (Some(0), 0);
        while let Some(part) = next_part {
            let before = ended(&state);
            let mut allowance = Allowance::new(STEP);
            // 1 ns is left, so the step is over when the clock is first read: after two ends.
            allowance.charge_later(STEP_NANOSECONDS - 1);
            next_part = state.end_part(part, &mut allowance, |_, _| Some(Disconnect::Restarting));
            most_in_a_step = most_in_a_step.max(ended(&state) - before);
        }
        assert_eq!(ended(&state), 20_000);
        // A step goes on to the end of a part, which has 32 connections.
        assert!(most_in_a_step <= 64, "{most_in_a_step} in a step");
    }
}
