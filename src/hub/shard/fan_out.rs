//! The way of messages from a shard to its subscribers' outboxes, in steps.
//!
//! One fan-out is under way at a time, and it is finished before the next one begins, so the order
//! of a topic is kept. Each subscriber is looked at once for each topic.

use std::{rc::Rc, time::Instant};

use crate::hub::{
    bounds::allowance::{Allowance, END},
    ids::{PeerKey, TopicKey},
    peer::{Offer, Offering, audience::Audience},
    publication::{Receipt, compression::Compressors, message::Message, segments::Segments},
    shard::{
        peers::Peers,
        topic::{Pending, Topic, Topics},
    },
};

/// Messages on their way to the subscribers of some topics.
#[derive(Debug)]
pub(in crate::hub) struct FanOut {
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

/// How far a step of a fan-out has come.
#[derive(Debug, Default)]
#[must_use]
pub(in crate::hub) struct Step {
    pub(in crate::hub) is_done: bool,
    /// Subscribers that the messages were queued to.
    pub(in crate::hub) queued: usize,
    /// Those that are too slow for what was offered to them.
    pub(in crate::hub) slow: Vec<PeerKey>,
}

impl FanOut {
    /// Begins one of a topic's pending messages, to all of its subscribers.
    pub(in crate::hub) fn to_everyone(pending: Pending) -> Self {
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
    pub(in crate::hub) fn to_some(
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
    pub(in crate::hub) fn finish(self) -> Option<(TopicKey, Vec<Message>)> {
        for receipt in self.receipts {
            receipt.add(self.queued);
        }
        Some((self.source?, self.segments.into_messages()))
    }

    /// Goes on until it is done or the step is over.
    pub(in crate::hub) fn step(
        &mut self,
        topics: &mut Topics,
        peers: &mut Peers,
        compressors: &mut Compressors,
        allowance: &mut Allowance,
    ) -> Step {
        let mut step = Step::default();
        let now = Instant::now();
        let ledger = Rc::clone(&peers.ledger);
        ledger.look_at_clock(now);
        let mut offering = Offering {
            segments: &mut self.segments,
            compressors,
            ledger: &ledger,
            allowance,
            now,
        };
        loop {
            let Some(topic) = self.topic.and_then(|key| topics.get_mut(key)) else {
                self.topic = self.next.take().or_else(|| self.others.pop());
                let Some(next) = self.topic else {
                    step.is_done = true;
                    break;
                };
                if let Some(topic) = topics.get_mut(next) {
                    topic.due = topic.subscribers.len();
                }
                continue;
            };
            step.visit(topic, &self.audience, peers, &mut offering);
            if topic.due > 0 {
                break;
            }
            self.topic = None;
        }
        self.queued += step.queued;
        step
    }

    /// Returns how many messages it brings to each subscriber.
    pub(in crate::hub) fn messages(&self) -> usize {
        self.segments.messages().len()
    }
}

impl Step {
    /// Offers the messages to the subscribers of a topic that are still due, until the step is over.
    fn visit(
        &mut self,
        topic: &mut Topic,
        audience: &Audience,
        peers: &mut Peers,
        offering: &mut Offering<'_>,
    ) {
        while topic.due > 0 && !offering.allowance.is_spent() {
            let key = topic.subscribers[topic.due - 1].peer;
            offering.allowance.spend(VISIT);
            match peers.offer(key, audience, offering) {
                Offer::Queued | Offer::QueuedFirst => self.queued += 1,
                Offer::NotMeant => {}
                Offer::Refused => {
                    offering.allowance.spend(END);
                    self.slow.push(key);
                }
                Offer::Unready => return,
            }
            topic.due -= 1;
        }
    }
}

/// What a look at a subscriber takes, in nanoseconds: a cache miss or three.
const VISIT: u64 = 60;
