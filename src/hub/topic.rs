//! Topics as one shard sees them: who follows which, and what was published and not yet fanned out.
//!
//! Pure. A topic exists here while it has a subscriber on this shard. What had passed its home
//! before that is not for these subscribers: some of it may come, left over from earlier ones, but
//! not all, and a subscriber gets what is published without a gap or not at all.

use std::collections::HashMap;

use slotmap::{SlotMap, new_key_type};

use super::{message::Message, peer::PeerKey};
use crate::topic_name::TopicName;

new_key_type! {
    /// A topic with subscribers on this shard.
    pub(super) struct TopicKey;
}

/// A subscriber's place in a topic: what makes leaving it O(1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) topic: TopicKey,
    /// Index in [`Topic::subscribers`].
    pub(super) index: usize,
}

#[derive(Debug)]
pub(super) struct Topic {
    pub(super) name: TopicName,
    pub(super) subscribers: Vec<PeerKey>,
    /// The number of the first publication that is for them.
    pub(super) first: u64,
    /// Messages for every subscriber, to be fanned out when this drain of the inbox ends.
    pending: Vec<Message>,
}

/// Invariant: every topic has a subscriber, and `names` leads to each exactly once.
#[derive(Debug, Default)]
pub(super) struct Topics {
    names: HashMap<TopicName, TopicKey>,
    topics: SlotMap<TopicKey, Topic>,
    /// Topics with pending messages, in the order of their first one.
    touched: Vec<TopicKey>,
}

/// What follows from a subscriber's departure.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Departure {
    /// It was the topic's last one here: its home must be told.
    Last(TopicName),
    /// This one took its place: its own record must follow.
    Moved(PeerKey),
    /// Nothing.
    Unnoticed,
}

impl Topics {
    pub(super) fn len(&self) -> usize {
        self.topics.len()
    }

    pub(super) fn find(&self, name: &TopicName) -> Option<TopicKey> {
        self.names.get(name).copied()
    }

    pub(super) fn get(&self, key: TopicKey) -> Option<&Topic> {
        self.topics.get(key)
    }

    /// Adds a subscriber that is not one yet. If it is the topic's first, `tell_home` tells the
    /// home, which says what the number of the first publication for it is.
    pub(super) fn subscribe(
        &mut self,
        name: &TopicName,
        peer: PeerKey,
        tell_home: impl FnOnce() -> u64,
    ) -> Place {
        let topics = &mut self.topics;
        let topic = *self.names.entry(name.clone()).or_insert_with(|| {
            topics.insert(Topic {
                name: name.clone(),
                subscribers: Vec::new(),
                first: tell_home(),
                pending: Vec::new(),
            })
        });
        let subscribers = &mut self.topics[topic].subscribers;
        subscribers.push(peer);
        let index = subscribers.len() - 1;
        Place { topic, index }
    }

    /// Removes the subscriber at `place`; the topic's last subscriber takes its place.
    pub(super) fn unsubscribe(&mut self, place: Place) -> Departure {
        let Some(topic) = self.topics.get_mut(place.topic) else {
            return Departure::Unnoticed;
        };
        topic.subscribers.swap_remove(place.index);
        if topic.subscribers.is_empty() {
            let name = topic.name.clone();
            self.names.remove(&name);
            self.topics.remove(place.topic);
            return Departure::Last(name);
        }
        match topic.subscribers.get(place.index) {
            Some(&peer) => Departure::Moved(peer),
            None => Departure::Unnoticed,
        }
    }

    /// Adds messages for every subscriber of a topic.
    pub(super) fn append(&mut self, key: TopicKey, messages: &[Message]) {
        let pending = &mut self.topics[key].pending;
        if pending.is_empty() {
            self.touched.push(key);
        }
        pending.extend_from_slice(messages);
    }

    /// Takes the topics with pending messages, each with its subscribers and the messages.
    pub(super) fn take_pending(&mut self, mut fan_out: impl FnMut(&[PeerKey], &[Message])) {
        for key in self.touched.drain(..) {
            if let Some(topic) = self.topics.get_mut(key) {
                fan_out(&topic.subscribers, &topic.pending);
                topic.pending.clear();
                topic.pending.shrink_to(KEPT_PENDING);
            }
        }
    }
}

/// Room for this many messages stays with a topic between two drains, so that a steady stream
/// allocates nothing; more is given back.
const KEPT_PENDING: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Config, wire::frame::Frame};

    fn peers(count: usize) -> Vec<PeerKey> {
        let mut keys = SlotMap::<PeerKey, ()>::with_key();
        (0..count).map(|_| keys.insert(())).collect()
    }

    #[test]
    fn the_home_is_told_of_the_first_subscriber_and_of_the_departure_of_the_last() {
        let mut topics = Topics::default();
        let name = TopicName::new("cats").unwrap();
        let [a, b] = peers(2)[..] else { unreachable!() };
        let place_a = topics.subscribe(&name, a, || 7);
        let place_b = topics.subscribe(&name, b, || panic!("told twice"));
        assert_eq!(topics.unsubscribe(place_a), Departure::Moved(b));
        let moved = Place {
            index: 0,
            ..place_b
        };
        assert_eq!(topics.unsubscribe(moved), Departure::Last(name));
        assert_eq!(topics.len(), 0);
    }

    #[test]
    fn pending_messages_of_a_topic_are_taken_once_and_together() {
        let mut topics = Topics::default();
        let name = TopicName::new("cats").unwrap();
        let peer = peers(1)[0];
        let place = topics.subscribe(&name, peer, || 0);
        let message = |text| Message::new(Frame::text(text), &Config::default().deflate);
        topics.append(place.topic, &[message("a")]);
        topics.append(place.topic, &[message("b")]);
        let mut taken = Vec::new();
        topics.take_pending(|to, messages| {
            let plain = messages.iter().map(|message| message.plain().clone());
            taken.push((to.to_vec(), plain.collect::<Vec<_>>()));
        });
        topics.take_pending(|_, _| panic!("taken twice"));
        let both = vec![Frame::text("a"), Frame::text("b")];
        assert_eq!(taken, [(vec![peer], both)]);
    }
}
