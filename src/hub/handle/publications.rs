//! Publications of one turn of a connection, gathered so that the hub is asked once for all.

use crate::{
    hub::{
        handle::HandleRef,
        publication::{Audience, Publication, encoded_message::EncodedMessage},
    },
    message::Message,
    topic::list::Topics,
};

/// Messages that are to be published, in their order. Those that come one after the other and are for the
/// same subscribers go off together.
#[derive(Debug, Default)]
pub(crate) struct Publications {
    /// Nearly always empty: most connections only ever publish to one list of topics.
    before: Vec<Group>,
    last: Option<Group>,
}

/// Messages to the same topics, and for the same subscribers.
#[derive(Debug)]
struct Group {
    topics: Topics,
    audience: Audience,
    messages: Vec<EncodedMessage>,
    /// About how many connections each of them goes to.
    connections: usize,
}

impl Publications {
    /// Takes a message, and charges the turn for its delivery.
    pub(crate) fn add(
        &mut self,
        handle: &HandleRef,
        topics: &Topics,
        audience: Audience,
        message: Message,
    ) {
        let message = handle.encode(message);
        let last = self
            .last
            .take_if(|last| last.audience != audience || last.topics != *topics);
        self.before.extend(last);
        handle.spend(GATHER);
        let group = self.last.get_or_insert_with(|| {
            // To count its connections, and when it is published.
            handle.spend(2 * topics.len() as u64 * LOOK_UP);
            Group {
                topics: topics.clone(),
                audience,
                messages: Vec::new(),
                connections: handle.reach(topics),
            }
        });
        handle.charge_delivery(group.connections, &message);
        group.messages.push(message);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.last.is_none()
    }

    /// Returns what the messages hold, in bytes.
    pub(crate) fn held_bytes(&self) -> usize {
        let groups = self.before.iter().chain(&self.last);
        let messages = groups.flat_map(|group| &group.messages);
        messages.map(EncodedMessage::held_bytes).sum()
    }
}

/// The cost of making a message and keeping it, in nanoseconds, besides its bytes.
const GATHER: u64 = 100;

/// The cost of a look at the record of a topic, in nanoseconds.
const LOOK_UP: u64 = 150;

impl HandleRef {
    /// Publishes what was gathered: in its order, after what this connection published before. Who has
    /// to [wait](Self::must_wait_to_publish) must have a permit.
    pub(crate) fn publish_all(&self, publications: Publications) {
        let Publications { before, last } = publications;
        for group in before.into_iter().chain(last) {
            let publication = Publication::new(group.messages).to(group.audience);
            self.publish(&group.topics, publication);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        config::HubConfig,
        hub::{
            handle::Handle,
            shard::{Shard, links::Links},
        },
        topic::TopicName,
    };

    #[test]
    fn what_comes_one_after_the_other_for_the_same_subscribers_goes_off_together() {
        let shard = Shard::new(0, Arc::new(Links::new(&HubConfig::default())));
        let handle = Handle::new(&shard, None, None);
        let topics = |name| Topics::from(TopicName::new(name).unwrap());
        let (cats, dogs) = (topics("cats"), topics("dogs"));
        let mut publications = Publications::default();
        for (topics, audience) in [
            (&cats, Audience::Everyone),
            (&cats.clone(), Audience::Everyone),
            (&topics("cats"), Audience::Everyone),
            (&dogs, Audience::Everyone),
            (&dogs, Audience::AllBut(handle.id())),
            (&cats, Audience::User(1_u64.into())),
            (&cats, Audience::User(1_u64.into())),
        ] {
            publications.add(&handle, topics, audience, Message::text("x"));
        }
        let held = handle.encode(Message::text("x")).held_bytes();
        assert_eq!(publications.held_bytes(), 7 * held);
        let groups = publications.before.iter().chain(&publications.last);
        let groups: Vec<_> = groups.map(|group| group.messages.len()).collect();
        assert_eq!(groups, [3, 1, 1, 2]);
    }

    #[test]
    fn a_message_is_charged_by_all_that_follow_its_topics_though_its_publisher_does_not() {
        let links = Arc::new(Links::new(&HubConfig {
            shards: 2.try_into().unwrap(),
            ..HubConfig::default()
        }));
        let shards = [0, 1].map(|index| Shard::new(index, Arc::clone(&links)));
        let cats = TopicName::new("cats").unwrap();
        let handles = [0, 1, 1].map(|index: usize| Handle::new(&shards[index], None, None));
        for handle in &handles {
            handle.set_topics(std::slice::from_ref(&cats));
        }
        let publisher = Handle::new(&shards[0], None, None);
        assert_eq!(publisher.reach(std::slice::from_ref(&cats)), 3);
    }
}
