//! Topics as one shard sees them: who follows which, and what was published and not yet fanned out.
//!
//! Pure. A topic exists here while it has a subscriber on this shard. What its home forwarded
//! before it had heard of that is not for these subscribers: some of it may come, left over from
//! earlier ones, but not all, and a subscriber gets what is published without a gap or not at all.

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
    /// Tells this incarnation of the topic from an earlier one: answers to that are stale.
    pub(super) incarnation: u64,
    /// The home has answered: all that is published from then on comes.
    pub(super) is_in_force: bool,
    /// Messages for every subscriber, to be fanned out when this drain of the inbox ends.
    pending: Vec<Message>,
}

/// Invariant: every topic has a subscriber, and `names` leads to each exactly once.
#[derive(Debug, Default)]
pub(super) struct Topics {
    names: HashMap<TopicName, TopicKey>,
    topics: SlotMap<TopicKey, Topic>,
    incarnations: u64,
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

    /// Adds a subscriber that is not one yet. The incarnation of the topic if this is its first:
    /// its home must be told.
    pub(super) fn subscribe(&mut self, name: &TopicName, peer: PeerKey) -> (Place, Option<u64>) {
        let (key, gained) = match self.find(name) {
            Some(key) => (key, None),
            None => (self.insert(name), Some(self.incarnations)),
        };
        let subscribers = &mut self.topics[key].subscribers;
        subscribers.push(peer);
        (
            Place {
                topic: key,
                index: subscribers.len() - 1,
            },
            gained,
        )
    }

    fn insert(&mut self, name: &TopicName) -> TopicKey {
        self.incarnations += 1;
        let key = self.topics.insert(Topic {
            name: name.clone(),
            subscribers: Vec::new(),
            incarnation: self.incarnations,
            is_in_force: false,
            pending: Vec::new(),
        });
        self.names.insert(name.clone(), key);
        key
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

    /// The home has answered: what comes from now on is for the subscribers.
    pub(super) fn put_in_force(&mut self, name: &TopicName, incarnation: u64) {
        if let Some(key) = self.find(name)
            && self.topics[key].incarnation == incarnation
        {
            self.topics[key].is_in_force = true;
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
    fn the_homes_are_told_of_the_first_subscriber_and_of_the_departure_of_the_last() {
        let mut topics = Topics::default();
        let name = TopicName::new("cats").unwrap();
        let [a, b] = peers(2)[..] else { unreachable!() };
        let (place_a, gained) = topics.subscribe(&name, a);
        assert_eq!(gained, Some(1));
        let (place_b, gained) = topics.subscribe(&name, b);
        assert_eq!(gained, None);
        assert_eq!(topics.unsubscribe(place_a), Departure::Moved(b));
        let moved = Place {
            index: 0,
            ..place_b
        };
        assert_eq!(topics.unsubscribe(moved), Departure::Last(name));
        assert_eq!(topics.len(), 0);
    }

    #[test]
    fn an_answer_to_an_earlier_incarnation_puts_nothing_in_force() {
        let mut topics = Topics::default();
        let name = TopicName::new("cats").unwrap();
        let peer = peers(1)[0];
        let (place, _) = topics.subscribe(&name, peer);
        let earlier = topics.get(place.topic).unwrap().incarnation;
        let _ = topics.unsubscribe(place);
        let (place, _) = topics.subscribe(&name, peer);
        topics.put_in_force(&name, earlier);
        assert!(!topics.get(place.topic).unwrap().is_in_force);
        topics.put_in_force(&name, topics.get(place.topic).unwrap().incarnation);
        assert!(topics.get(place.topic).unwrap().is_in_force);
    }

    #[test]
    fn pending_messages_of_a_topic_are_taken_once_and_together() {
        let mut topics = Topics::default();
        let name = TopicName::new("cats").unwrap();
        let peer = peers(1)[0];
        let (place, _) = topics.subscribe(&name, peer);
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
