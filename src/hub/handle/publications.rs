//! Publications of one turn of a connection, gathered so that they are published together.

use crate::{
    hub::{
        handle::HandleRef,
        publication::{Audience, Publication, encoded_message::EncodedMessage},
    },
    message::Message,
    topic::list::Topics,
};

/// Messages to be published, in order. Consecutive messages to the same topics and the same
/// audience are published together.
#[derive(Debug, Default)]
pub(crate) struct Publications {
    /// The groups before the last one. Nearly always empty: most connections only ever publish to
    /// one list of topics.
    before: Vec<Group>,
    last: Option<Group>,
}

/// Messages to the same topics and the same audience.
#[derive(Debug)]
struct Group {
    topics: Topics,
    audience: Audience,
    messages: Vec<EncodedMessage>,
    /// Approximate number of connections that each of the messages goes to.
    connections: usize,
}

impl Publications {
    /// Adds a message, and charges the turn for its delivery.
    pub(crate) fn add(
        &mut self,
        handle: &HandleRef,
        topics: &Topics,
        audience: Audience,
        message: Message,
    ) {
        let message = handle.encode(message);
        // If the message does not belong to the last group, that group is complete.
        let complete = self
            .last
            .take_if(|last| last.audience != audience || last.topics != *topics);
        self.before.extend(complete);
        handle.spend(GATHER);
        let group = self.last.get_or_insert_with(|| {
            // Each topic is looked up twice: now to count the connections, and later to publish.
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

    /// Returns how many bytes of memory the messages hold.
    pub(crate) fn held_bytes(&self) -> usize {
        let groups = self.before.iter().chain(&self.last);
        let messages = groups.flat_map(|group| &group.messages);
        messages.map(EncodedMessage::held_bytes).sum()
    }
}

/// The cost of encoding and keeping a message, in nanoseconds, besides that of its bytes.
const GATHER: u64 = 100;

/// The cost of looking up a topic's record in the router, in nanoseconds.
const LOOK_UP: u64 = 150;

impl HandleRef {
    /// Publishes the gathered messages in order, behind all messages that this connection published
    /// before.
    /// The caller must have a permit if [it needs one](Self::must_wait_to_publish).
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
    fn consecutive_messages_to_the_same_topics_and_audience_are_published_together() {
        let shard = Shard::new(0, Arc::new(Links::new(&HubConfig::default())));
        let handle = Handle::new(&shard, None, None);
        let topics = |name| Topics::from(TopicName::new(name).unwrap());
        let (cats, dogs) = (topics("cats"), topics("dogs"));
        let mut publications = Publications::default();
        for (topics, audience) in [
            // One group: a list of topics, its clone, and an equal list.
            (&cats, Audience::Everyone),
            (&cats.clone(), Audience::Everyone),
            (&topics("cats"), Audience::Everyone),
            // Another topic.
            (&dogs, Audience::Everyone),
            // Another audience.
            (&dogs, Audience::AllBut(handle.id())),
            // Another topic and another audience, twice.
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
    fn a_message_is_charged_for_all_subscribers_even_if_its_publisher_is_not_one_of_them() {
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
        // The publisher follows no topics, so the router counts the subscribers of all shards.
        let publisher = Handle::new(&shards[0], None, None);
        assert_eq!(publisher.reach(std::slice::from_ref(&cats)), 3);
    }
}
