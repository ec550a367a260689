//! What a connection publishes in a turn, gathered so that the hub is asked once for all.

use crate::{
    hub::{publication::message::Message, seat::SeatRef},
    topic::list::Topics,
    wire::frame::Frame,
};

/// What is to be published, in the order in which it came. What comes one after the other and goes to the
/// same topics goes off together.
#[derive(Debug, Default)]
pub(crate) struct Publications {
    /// Nearly always empty: most connections only ever publish to one list of topics.
    before: Vec<Group>,
    last: Option<Group>,
}

#[derive(Debug)]
struct Group {
    topics: Topics,
    messages: Vec<Message>,
    /// To how many connections each of them goes.
    audience: usize,
}

impl Publications {
    /// Takes a message, and charges the turn for its delivery.
    pub(crate) fn add(&mut self, seat: &SeatRef, topics: &Topics, frame: Frame) {
        let message = seat.message(frame);
        let last = self.last.take_if(|last| last.topics != *topics);
        self.before.extend(last);
        let group = self.last.get_or_insert_with(|| Group {
            topics: topics.clone(),
            messages: Vec::new(),
            audience: seat.audience(topics),
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

impl SeatRef {
    /// Publishes what was gathered: in its order, after what this connection published before. Who has
    /// to [wait](Self::must_wait_to_publish) must have a pass.
    pub(crate) fn publish_all(&self, publications: Publications) {
        let Publications { before, last } = publications;
        for Group {
            topics, messages, ..
        } in before.into_iter().chain(last)
        {
            self.publish(&topics, messages);
        }
    }
}
