//! Publications of one turn of a connection, gathered so that the hub is asked once for all.

use crate::{
    hub::{
        publication::{Audience, Publication, message::Message},
        seat::SeatRef,
    },
    topic::list::Topics,
    user::UserId,
    wire::frame::Frame,
};

/// Messages that are to be published, in their order. Those that come one after the other and are for the
/// same subscribers go off together.
#[derive(Debug, Default)]
pub(crate) struct Publications {
    /// Nearly always empty: most connections only ever publish to one list of topics.
    before: Vec<Group>,
    last: Option<Group>,
}

/// The subscribers that a publication is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum To {
    Everyone,
    /// All but the connection that publishes.
    Others,
    User(UserId),
}

/// Messages to the same topics, and for the same subscribers.
#[derive(Debug)]
struct Group {
    topics: Topics,
    to: To,
    messages: Vec<Message>,
    /// To how many connections each of them goes.
    audience: usize,
}

impl Publications {
    /// Takes a message, and charges the turn for its delivery.
    pub(crate) fn add(&mut self, seat: &SeatRef, topics: &Topics, to: To, frame: Frame) {
        let message = seat.message(frame);
        let last = self
            .last
            .take_if(|last| last.to != to || last.topics != *topics);
        self.before.extend(last);
        seat.spend(GATHER);
        let group = self.last.get_or_insert_with(|| {
            // For its audience, and when it is published.
            seat.spend(2 * topics.len() as u64 * PASS);
            Group {
                topics: topics.clone(),
                to,
                messages: Vec::new(),
                audience: seat.audience(topics),
            }
        });
        seat.charge_delivery(group.audience, &message);
        group.messages.push(message);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.last.is_none()
    }

    /// Returns what the messages hold, in bytes.
    pub(crate) fn held_bytes(&self) -> usize {
        let groups = self.before.iter().chain(&self.last);
        let messages = groups.flat_map(|group| &group.messages);
        messages.map(Message::held_bytes).sum()
    }
}

/// The cost of making a message and keeping it, in nanoseconds, besides its bytes.
const GATHER: u64 = 100;

/// The cost of a look at the record of a topic, in nanoseconds.
const PASS: u64 = 150;

impl SeatRef {
    /// Publishes what was gathered: in its order, after what this connection published before. Who has
    /// to [wait](Self::must_wait_to_publish) must have a pass.
    pub(crate) fn publish_all(&self, publications: Publications) {
        let Publications { before, last } = publications;
        for group in before.into_iter().chain(last) {
            let audience = match group.to {
                To::Everyone => Audience::Everyone,
                To::Others => Audience::AllBut(self.id()),
                To::User(user) => Audience::User(user),
            };
            let publication = Publication::new(group.messages).to(audience);
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
            seat::Seat,
            shard::{Shard, links::Links},
        },
        topic::TopicName,
    };

    #[test]
    fn what_comes_one_after_the_other_for_the_same_subscribers_goes_off_together() {
        let shard = Shard::new(0, Arc::new(Links::new(&HubConfig::default())));
        let seat = Seat::take(&shard, None, None);
        let topics = |name| Topics::from(TopicName::new(name).unwrap());
        let (cats, dogs) = (topics("cats"), topics("dogs"));
        let mut publications = Publications::default();
        for (topics, to) in [
            (&cats, To::Everyone),
            (&cats.clone(), To::Everyone),
            (&topics("cats"), To::Everyone),
            (&dogs, To::Everyone),
            (&dogs, To::Others),
            (&cats, To::User(1_u64.into())),
            (&cats, To::User(1_u64.into())),
        ] {
            publications.add(&seat, topics, to, Frame::text("x"));
        }
        let held = seat.message(Frame::text("x")).held_bytes();
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
        let seats = [0, 1, 1].map(|index: usize| Seat::take(&shards[index], None, None));
        for seat in &seats {
            seat.set_topics(std::slice::from_ref(&cats));
        }
        let publisher = Seat::take(&shards[0], None, None);
        assert_eq!(publisher.audience(std::slice::from_ref(&cats)), 3);
    }
}
