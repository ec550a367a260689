//! The way of messages from a shard to its subscribers' outboxes, in steps.
//!
//! One fan-out is under way at a time, and it is finished before the next one begins, so the order
//! of a topic is kept. Each subscriber is looked at once for each topic.

use std::time::Instant;

use super::{
    allowance::{Allowance, END},
    compression::Compressors,
    message::Message,
    peer::{Offer, Offering, Peer, PeerKey},
    peers::Peers,
    publication::{Receipt, UserId},
    segment::Segments,
    topic::{Pending, TopicKey, Topics},
};

/// Messages on their way to the subscribers of some topics.
#[derive(Debug)]
pub(super) struct FanOut {
    segments: Segments,
    /// The topic that is to be visited next, and those after it, the next one last.
    next: Option<TopicKey>,
    others: Vec<TopicKey>,
    /// The topic that is being visited.
    topic: Option<TopicKey>,
    audience: Audience,
    queued: usize,
    receipts: Vec<Receipt>,
    /// The topic whose pending messages these were.
    source: Option<TopicKey>,
}

/// Whom of the subscribers messages are for.
#[derive(Debug)]
pub(super) enum Audience {
    /// All of them.
    Everyone,
    /// Those of this user, or of any, each once, by whichever topic comes first: they are marked
    /// with this number of the fan-out.
    Once(Option<UserId>, u64),
}

/// How far a step of a fan-out has come.
#[derive(Debug)]
#[must_use]
pub(super) struct Step {
    pub(super) is_done: bool,
    /// Frames queued.
    pub(super) deliveries: usize,
    /// Those that are too slow for what was offered to them.
    pub(super) slow: Vec<PeerKey>,
}

impl FanOut {
    /// Begins one of a topic's pending messages, to all of its subscribers.
    pub(super) fn to_everyone(pending: Pending) -> Self {
        let Pending {
            topic,
            messages,
            receipts,
        } = pending;
        Self {
            segments: Segments::new(messages),
            next: Some(topic),
            others: Vec::new(),
            topic: None,
            audience: Audience::Everyone,
            queued: 0,
            receipts,
            source: Some(topic),
        }
    }

    /// Begins one to those subscribers of `topics`, in this order, that are in the audience.
    pub(super) fn to_some(
        segments: Segments,
        mut topics: Vec<TopicKey>,
        audience: Audience,
        receipt: Option<Receipt>,
    ) -> Self {
        topics.reverse();
        Self {
            segments,
            next: None,
            others: topics,
            topic: None,
            audience,
            queued: 0,
            receipts: receipt.into_iter().collect(),
            source: None,
        }
    }

    /// Tells how many it was queued to. Returns the topic whose pending messages these were, and
    /// the room that they have had.
    pub(super) fn finish(self) -> Option<(TopicKey, Vec<Message>)> {
        for receipt in self.receipts {
            receipt.add(self.queued);
        }
        Some((self.source?, self.segments.into_messages()))
    }

    /// Goes on until it is done or the step is over.
    pub(super) fn step(
        &mut self,
        topics: &mut Topics,
        peers: &mut Peers,
        compressors: &mut Compressors,
        allowance: &mut Allowance,
    ) -> Step {
        let mut offering = Offering {
            segments: &mut self.segments,
            compressors,
            allowance,
            now: Instant::now(),
        };
        let mut queued = 0;
        let mut slow = Vec::new();
        let is_done = loop {
            let Some(topic) = self.topic.and_then(|key| topics.get_mut(key)) else {
                self.topic = self.next.take().or_else(|| self.others.pop());
                let Some(next) = self.topic else {
                    break true;
                };
                if let Some(topic) = topics.get_mut(next) {
                    topic.due = topic.subscribers.len();
                }
                continue;
            };
            while topic.due > 0 && !offering.allowance.is_spent() {
                let key = topic.subscribers[topic.due - 1].peer;
                offering.allowance.spend(VISIT);
                match peers.offer(key, &self.audience, &mut offering) {
                    Offer::Queued | Offer::QueuedFirst => queued += 1,
                    Offer::NotMeant => {}
                    Offer::Refused => {
                        offering.allowance.spend(END);
                        slow.push(key);
                    }
                    Offer::Unready => break,
                }
                topic.due -= 1;
            }
            if topic.due > 0 {
                break false;
            }
            self.topic = None;
        };
        self.queued += queued;
        Step {
            is_done,
            deliveries: queued * self.segments.messages().len(),
            slow,
        }
    }
}

impl Audience {
    /// Returns true if the messages are for this subscriber and it does not have them yet.
    pub(super) fn has(&self, peer: &Peer) -> bool {
        match self {
            Self::Everyone => true,
            Self::Once(user, number) => {
                peer.reached_by != *number && (user.is_none() || *user == peer.user)
            }
        }
    }

    /// Takes note that a subscriber has them.
    pub(super) fn reached(&self, peer: &mut Peer) {
        if let Self::Once(_, number) = self {
            peer.reached_by = *number;
        }
    }
}

/// What a look at a subscriber takes, in nanoseconds: a cache miss or three.
const VISIT: u64 = 60;
