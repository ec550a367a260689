//! The subscriptions of connections. Changing the subscriptions of a connection takes time in
//! proportion to the number of its topics, not to the number of subscribers of these topics.

use std::collections::HashSet;

use crate::{
    hub::{
        ids::{PeerKey, Subscriber, SubscriptionKey},
        publication::router::{Added, Interest},
        shard::{
            state::State,
            topic::{Topic, Unsubscribed},
        },
    },
    topic::TopicName,
};

impl State {
    /// Subscribes a peer to exactly `topics`, of which no two may be the same, and unsubscribes it
    /// from all others.
    pub(in crate::hub) fn set_topics(&mut self, key: PeerKey, topics: &[TopicName]) {
        let mut wanted: HashSet<&TopicName> = topics.iter().collect();
        let subscribed = self
            .peers
            .get(key)
            .map_or(0, |peer| peer.subscriptions.len());
        // Backwards, because `leave` moves the last subscription, which is checked already, to the
        // index that becomes free.
        for index in (0..subscribed).rev() {
            let subscription = self.peers.get(key).map(|peer| peer.subscriptions[index]);
            let topic = subscription.and_then(|subscription| self.topics.get(subscription.topic));
            if !topic.is_some_and(|topic| wanted.remove(&topic.name)) {
                self.leave(key, index);
            }
        }
        if let Some(peer) = self.peers.get_mut(key) {
            // Exactly as many, because there are many connections, and most have one topic.
            peer.subscriptions.reserve_exact(wanted.len());
        }
        for topic in topics.iter().filter(|topic| wanted.contains(topic)) {
            self.subscribe(key, topic);
        }
        if let Some(peer) = self.peers.get_mut(key)
            && peer.subscriptions.capacity() > 2 * peer.subscriptions.len()
        {
            peer.subscriptions.shrink_to_fit();
        }
    }

    /// Returns the topics that a peer subscribes to.
    pub(in crate::hub) fn topics_of(&self, key: PeerKey) -> impl Iterator<Item = &Topic> {
        let subscriptions = self
            .peers
            .get(key)
            .map_or(&[][..], |peer| &peer.subscriptions);
        subscriptions
            .iter()
            .filter_map(|subscription| self.topics.get(subscription.topic))
    }

    /// Returns how many bytes of memory the subscriptions of a peer may hold.
    pub(in crate::hub) fn topics_bytes(&self, key: PeerKey) -> usize {
        let topics = self.topics_of(key);
        topics.map(|topic| subscription_bytes(&topic.name)).sum()
    }

    /// Subscribes a peer, unless it has ended, to a topic that it does not subscribe to yet.
    pub(in crate::hub) fn subscribe(&mut self, key: PeerKey, name: &TopicName) {
        let Some(peer) = self.peers.get_mut(key).filter(|peer| peer.ended.is_none()) else {
            return;
        };
        let subscriber = Subscriber {
            peer: key,
            subscription: u32::try_from(peer.subscriptions.len()).expect("a peer has few topics"),
        };
        self.ledger.enter(SUBSCRIPTION_BYTES);
        // Called if this is the first subscriber on this shard. Returns the number of the first
        // publication that the shard will get.
        let announce = |topic, subscribers| {
            self.ledger.enter(topic_bytes(name));
            let interest = Interest {
                shard: self.index,
                topic,
                subscribers,
            };
            let Added { next, is_first } = self.shared.router.of(name).add(name, interest);
            debug_assert!(next == 0 || !is_first, "{name:?} begins at number 0");
            next
        };
        let subscription = self.topics.subscribe(name, subscriber, announce);
        peer.subscriptions.push(subscription);
    }

    /// Unsubscribes a peer from the topic at `index` of its subscriptions.
    pub(in crate::hub) fn leave(&mut self, key: PeerKey, index: usize) {
        let Some(peer) = self.peers.get_mut(key) else {
            return;
        };
        let subscription = peer.subscriptions.swap_remove(index);
        // The last subscription has moved to `index`, which its topic must know.
        if let Some(&moved) = peer.subscriptions.get(index) {
            self.topics.subscription_moved(moved, index);
        }
        self.unsubscribe(subscription);
    }

    /// Removes a subscription from its topic. The caller has removed it from the peer's own list.
    pub(in crate::hub) fn unsubscribe(&mut self, subscription: SubscriptionKey) {
        self.ledger.remove(SUBSCRIPTION_BYTES);
        match self.topics.unsubscribe(subscription) {
            Unsubscribed::Last(topic) => {
                self.ledger.remove(topic_bytes(&topic));
                self.shared.router.of(&topic).remove(&topic, self.index);
            }
            Unsubscribed::Moved(moved) => {
                for (Subscriber { peer, subscription }, index) in moved.into_iter().flatten() {
                    let peer = self.peers.get_mut(peer);
                    let subscription =
                        peer.and_then(|peer| peer.subscriptions.get_mut(subscription as usize));
                    if let Some(subscription) = subscription {
                        subscription.index = index;
                    }
                }
            }
        }
    }
}

/// Returns how many bytes of memory a subscription to `topic` may hold. The bytes of the topic
/// itself count, too, because this may be its first subscription on the shard.
pub(in crate::hub) fn subscription_bytes(topic: &TopicName) -> usize {
    SUBSCRIPTION_BYTES + topic_bytes(topic)
}

/// Returns how many bytes of memory a topic holds on a shard that has subscribers of it.
fn topic_bytes(topic: &TopicName) -> usize {
    TOPIC_BYTES + topic.as_str().len()
}

/// Bytes of memory that a topic holds on a shard, besides its name.
const TOPIC_BYTES: usize = 512;

/// Bytes of memory that a subscription holds, in the lists of its peer and its topic.
const SUBSCRIPTION_BYTES: usize = 48;

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, sync::Arc};

    use proptest::prelude::*;

    use super::*;
    use crate::{
        config::HubConfig,
        hub::{publication::compression::Compression, shard::shared::Shared},
    };

    fn topic(number: usize) -> TopicName {
        TopicName::new(&number.to_string()).unwrap()
    }

    /// Checks that each of the `peers` subscribes to exactly the topics that are given with it,
    /// that each subscription has the index of the peer's entry in the topic's list of subscribers,
    /// and that this entry has the index of the subscription in the peer's list.
    fn check(state: &State, peers: &[(PeerKey, BTreeSet<usize>)]) {
        for (key, topics) in peers {
            let subscriptions = &state.peers.get(*key).unwrap().subscriptions;
            assert_eq!(subscriptions.len(), topics.len());
            for (index, subscription) in subscriptions.iter().enumerate() {
                let topic = state.topics.get(subscription.topic).unwrap();
                let subscriber = topic.subscribers[subscription.index as usize];
                assert_eq!(subscriber.peer, *key);
                assert_eq!(subscriber.subscription as usize, index);
                assert!(topics.contains(&topic.name.as_str().parse().unwrap()));
            }
        }
        let subscribed: BTreeSet<_> = peers.iter().flat_map(|(_, topics)| topics).collect();
        assert_eq!(state.topics.len(), subscribed.len());
    }

    proptest! {
        #[test]
        fn a_subscription_and_its_entry_in_the_topic_always_have_each_others_index(
            changes in proptest::collection::vec((0..5usize, proptest::collection::btree_set(0..8usize, 0..8)), 1..40),
        ) {
            let mut state = State::new(0, Arc::new(Shared::new(&HubConfig::default())));
            let mut peers: Vec<_> = (0..5)
                .map(|_| (state.peers.insert(None, Compression::Off), BTreeSet::new()))
                .collect();
            // Each change gives one of the five peers new topics.
            for (peer, topics) in changes {
                let names: Vec<TopicName> = topics.iter().map(|&number| topic(number)).collect();
                state.set_topics(peers[peer].0, &names);
                peers[peer].1 = topics;
                check(&state, &peers);
            }
        }
    }
}
