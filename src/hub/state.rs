//! What a shard owns, and each step that changes it.

use std::sync::Arc;

use super::{
    compression::Compressors,
    links::Links,
    peer::{Peer, PeerKey},
    peers::Peers,
    publication::Publication,
    replies::Replies,
    segment::Segments,
    topic::{Departure, Place, TopicKey, Topics},
};
use crate::{
    metrics::ShardMetrics,
    topic_name::TopicName,
    wire::{close::Disconnect, frame::Frame},
};

/// The state of one shard: its connections, and the topics that they follow.
pub(super) struct State {
    pub(super) peers: Peers,
    pub(super) topics: Topics,
    compressors: Compressors,
    /// Nothing new is read from peers.
    pub(super) is_draining: bool,
    index: usize,
    links: Arc<Links>,
}

impl State {
    pub(super) fn new(index: usize, links: Arc<Links>) -> Self {
        Self {
            peers: Peers::new(&links.config),
            topics: Topics::default(),
            compressors: Compressors::new(&links.config.deflate),
            is_draining: false,
            index,
            links,
        }
    }

    /// Queues a publication to this shard's subscribers of its topic.
    pub(super) fn deliver(&mut self, publication: &Publication) {
        let Some(key) = self.topics.find(publication.topic()) else {
            return;
        };
        let topic = self.topics.get(key);
        let Some(topic) = topic.filter(|topic| publication.number >= topic.first) else {
            return; // Left over from earlier subscribers.
        };
        let queued = if publication.is_for_everyone() {
            let subscribers = topic.subscribers.len();
            self.topics.append(key, &publication.messages);
            subscribers
        } else {
            self.deliver_to_some(key, publication)
        };
        if let Some(receipt) = &publication.receipt {
            receipt.add(queued);
        }
    }

    /// Queues a publication to those subscribers that it is meant for; to how many.
    fn deliver_to_some(&mut self, key: TopicKey, publication: &Publication) -> usize {
        // What came before goes first.
        self.fan_out();
        let earlier = publication.topics[..publication.position].iter();
        let earlier: Vec<TopicKey> = earlier.filter_map(|name| self.topics.find(name)).collect();
        let reached = publication.reached.as_ref();
        let mut reached = reached.map(|reached| reached.on(self.index));
        let mut is_meant = |key: PeerKey, peer: &Peer| {
            if publication.user.is_some() && publication.user != peer.user {
                return false;
            }
            // A message to several topics comes once: by the first that both have, if those are
            // the same for life, and else by the first that brings it.
            match &mut reached {
                Some(reached) if peer.may_change_topics() => reached.insert(key),
                _ => !peer
                    .places
                    .iter()
                    .any(|place| earlier.contains(&place.topic)),
            }
        };
        let subscribers = self
            .topics
            .get(key)
            .map_or(&[][..], |topic| &topic.subscribers);
        let is_meant = |key: &&PeerKey| {
            self.peers
                .get(**key)
                .is_some_and(|peer| is_meant(**key, peer))
        };
        let meant: Vec<PeerKey> = subscribers.iter().filter(is_meant).copied().collect();
        let messages = &publication.messages;
        let slow = self
            .peers
            .offer(&meant, &mut Segments::new(messages, &mut self.compressors));
        let deliveries = meant.len() * messages.len();
        self.metrics().deliveries.add(deliveries as u64);
        self.end_all(slow.into_iter().map(|key| (key, Disconnect::SlowConsumer)));
        meant.len()
    }

    /// Hands the gathered frames of every topic to its subscribers.
    pub(super) fn fan_out(&mut self) {
        let metrics = &self.links.metrics[self.index];
        let mut slow = Vec::new();
        self.topics.take_pending(|subscribers, messages| {
            let mut segments = Segments::new(messages, &mut self.compressors);
            slow.append(&mut self.peers.offer(subscribers, &mut segments));
            let deliveries = subscribers.len() * messages.len();
            metrics.deliveries.add(deliveries as u64);
        });
        self.end_all(slow.into_iter().map(|key| (key, Disconnect::SlowConsumer)));
    }

    /// Queues an answer to what a peer itself said.
    pub(super) fn reply(&mut self, key: PeerKey, message: Frame, replies: &mut Replies) {
        if let Some(peer) = self.peers.get_mut(key) {
            peer.reply(message, replies, &mut self.compressors);
        }
    }

    pub(super) fn is_all_written(&self) -> bool {
        self.ring_len() == 0
    }

    /// Peers that wait for their write.
    pub(super) fn ring_len(&self) -> usize {
        self.peers.ring_len()
    }

    /// Gives some of the peers that wait for it their write.
    pub(super) fn write_turn(&mut self) {
        let lost = self.peers.write_turn(&self.links.metrics[self.index]);
        self.end_all(lost.into_iter().map(|key| (key, Disconnect::Lost)));
    }

    /// Writes what waits for a peer and what it was answered, as far as its socket takes it.
    pub(super) fn write(&mut self, key: PeerKey, replies: &mut Replies) {
        let metrics = &self.links.metrics[self.index];
        if self.peers.write(key, replies, metrics).is_err() {
            self.end(key, Disconnect::Lost);
        }
    }

    pub(super) fn sweep(&mut self) {
        let ended = self.peers.sweep();
        self.end_all(ended);
        self.update_gauges();
    }

    fn end_all(&mut self, ended: impl IntoIterator<Item = (PeerKey, Disconnect)>) {
        for (key, reason) in ended {
            self.end(key, reason);
        }
    }

    /// Ends a connection: it leaves its topics and gets its Close; its task sees to the rest.
    /// Of several reasons the first one counts.
    pub(super) fn end(&mut self, key: PeerKey, reason: Disconnect) {
        let Some(peer) = self.peers.get_mut(key).filter(|peer| peer.ended.is_none()) else {
            return;
        };
        peer.ended = Some(reason);
        if reason.discards_outbox() {
            peer.outbox.discard();
        }
        match reason.close_frame() {
            Some(close) if reason.expects_peers_close() => peer.outbox.seal(close.into_bytes()),
            Some(close) => peer.seal_to_end(close.into_bytes()),
            None => peer.outbox.seal_silently(),
        }
        peer.wake();
        let places = std::mem::take(&mut peer.places);
        self.unsubscribe(places);
        self.count_end(reason);
    }

    fn count_end(&self, reason: Disconnect) {
        let metrics = self.metrics();
        match reason {
            Disconnect::SlowConsumer => metrics.slow_consumers.increment(),
            Disconnect::NoPong => metrics.unanswered_pings.increment(),
            Disconnect::Violation(_) => metrics.violations.increment(),
            _ => {}
        }
    }

    /// Subscribes a peer to a topic that it does not follow yet.
    pub(super) fn subscribe(&mut self, key: PeerKey, name: &TopicName) {
        let Some(peer) = self.peers.get_mut(key).filter(|peer| peer.ended.is_none()) else {
            return;
        };
        let tell_home = || self.links.home(name).add(name, self.index);
        let place = self.topics.subscribe(name, key, tell_home);
        peer.places.push(place);
        self.update_gauges();
    }

    /// Unsubscribes a peer from `places`, which are no longer among its own.
    pub(super) fn unsubscribe(&mut self, places: Vec<Place>) {
        for place in places {
            match self.topics.unsubscribe(place) {
                Departure::Unnoticed => {}
                Departure::Last(topic) => self.links.home(&topic).remove(&topic, self.index),
                Departure::Moved(peer) => self.move_place(peer, place),
            }
        }
        self.update_gauges();
    }

    /// Corrects the record of a peer that took over `place`.
    fn move_place(&mut self, key: PeerKey, place: Place) {
        let places = self.peers.get_mut(key).map(|peer| &mut peer.places);
        let own = places
            .into_iter()
            .flatten()
            .find(|own| own.topic == place.topic);
        if let Some(own) = own {
            own.index = place.index;
        }
    }

    /// Removes a connection that is gone for good.
    pub(super) fn remove(&mut self, key: PeerKey) {
        self.end(key, Disconnect::Lost);
        self.peers.remove(key);
        self.update_gauges();
    }

    pub(super) fn update_gauges(&self) {
        let metrics = self.metrics();
        metrics.connections.set(self.peers.len() as u64);
        metrics.topics.set(self.topics.len() as u64);
    }

    fn metrics(&self) -> &ShardMetrics {
        &self.links.metrics[self.index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Config,
        hub::{compression::Compression, outbox::ELEMENT_BYTES},
    };

    const HERE: usize = 0;

    fn state() -> State {
        State::new(HERE, Arc::new(Links::new(&Config::default())))
    }

    fn publication(state: &State, topic: &TopicName, text: &str) -> Publication {
        Publication::new(&state.links, [topic.clone()].into(), [Frame::text(text)])
    }

    fn deliver(state: &mut State, topic: &TopicName, number: u64) {
        state.deliver(&Publication {
            number,
            ..publication(state, topic, "x")
        });
        state.fan_out();
    }

    fn queued(state: &State, key: PeerKey) -> usize {
        state.peers.get(key).unwrap().outbox.held_bytes()
    }

    #[test]
    fn what_had_passed_the_home_before_it_heard_of_a_subscriber_is_not_for_it() {
        let mut state = state();
        let topic = TopicName::new("cats").unwrap();
        state.links.home(&topic).pass(&topic);
        let key = state.peers.insert(None, Compression::Off);
        state.subscribe(key, &topic);
        deliver(&mut state, &topic, 0);
        assert_eq!(
            queued(&state, key),
            0,
            "left over from an earlier subscriber"
        );
        deliver(&mut state, &topic, 1);
        let held = Frame::text("x").wire_len() + ELEMENT_BYTES;
        assert_eq!(queued(&state, key), held);
    }

    #[test]
    fn an_ended_connection_follows_nothing_and_gets_nothing() {
        let mut state = state();
        let topic = TopicName::new("cats").unwrap();
        let key = state.peers.insert(None, Compression::Off);
        state.subscribe(key, &topic);
        state.end(key, Disconnect::Unregistered);
        assert_eq!(state.topics.len(), 0);
        let close = queued(&state, key);
        state.subscribe(key, &topic);
        deliver(&mut state, &topic, 0);
        assert_eq!((state.topics.len(), queued(&state, key)), (0, close));
    }

    #[test]
    fn a_message_for_one_user_does_not_overtake_an_earlier_one_for_everybody() {
        let mut state = state();
        let topic = TopicName::new("cats").unwrap();
        let key = state.peers.insert(Some("1".into()), Compression::Off);
        state.subscribe(key, &topic);
        let mut publish = |text: &str, user: Option<&str>| {
            let mut publication = publication(&state, &topic, text);
            publication.user = user.map(Into::into);
            state.deliver(&publication);
        };
        publish("first", None);
        publish("second", Some("1"));
        publish("for another", Some("2"));
        publish("third", None);
        state.fan_out();
        let peer = state.peers.get(key).unwrap();
        let mut slices = [std::io::IoSlice::new(&[]); 4];
        let count = peer.outbox.fill(&mut slices);
        let wire: Vec<u8> = slices[..count]
            .iter()
            .flat_map(|slice| slice.to_vec())
            .collect();
        assert_eq!(wire, b"\x81\x05first\x81\x06second\x81\x05third");
    }
}
