//! The fan-out: queues messages to the outboxes of their subscribers, in steps.
//!
//! One fan-out is under way at a time, and it is finished before the next one begins, so the
//! messages of a topic stay in order. A fan-out visits each subscriber of each of its topics once.

use std::{rc::Rc, time::Instant};

use crate::hub::{
    bounds::allowance::{Allowance, END},
    ids::{PeerKey, TopicKey},
    peer::{Offer, Offering, recipients::Recipients},
    publication::{
        Receipt,
        compression::Compressors,
        delivery::{Delivery, Target, Targets},
        encoded_message::EncodedMessage,
        segments::Segments,
    },
    shard::{
        peers::Peers,
        topic::{Pending, Topic, TopicTable},
    },
};

/// Messages that are being queued to the subscribers of some topics.
#[derive(Debug)]
pub(in crate::hub) struct FanOut {
    segments: Segments,
    /// The topic whose subscribers are to be visited next.
    next: Option<TopicKey>,
    /// The topics to be visited after `next`, in reverse order.
    others: Vec<TopicKey>,
    /// The topic whose subscribers are being visited.
    topic: Option<TopicKey>,
    recipients: Recipients,
    /// Number of subscribers that the messages were queued to so far.
    queued: usize,
    receipts: Vec<Receipt>,
    /// The topic whose pending messages are fanned out. `None` if the messages are those of a
    /// single delivery ([`to_some`](Self::to_some)).
    source: Option<TopicKey>,
}

/// The outcome of one step of a fan-out.
#[derive(Debug, Default)]
#[must_use]
pub(in crate::hub) struct Step {
    /// True if all subscribers have been visited.
    pub(in crate::hub) is_done: bool,
    /// Number of subscribers that the messages were queued to in this step.
    pub(in crate::hub) queued: usize,
    /// Subscribers that are slow consumers: the messages were not queued to them, and the caller
    /// must end them.
    pub(in crate::hub) slow: Vec<PeerKey>,
}

impl FanOut {
    /// Makes a fan-out of a topic's pending messages to all of its subscribers.
    pub(in crate::hub) fn to_everyone(pending: Pending) -> Self {
        let Pending {
            topic,
            messages,
            receipts,
        } = pending;
        Self {
            segments: Segments::new(messages, Some(topic)),
            next: Some(topic),
            others: Vec::new(),
            topic: None,
            recipients: Recipients::All,
            queued: 0,
            receipts,
            source: Some(topic),
        }
    }

    /// Makes a fan-out of a publication to its audience on `shard`. The topics are visited in the
    /// order in which the publisher named them. Each peer that the fan-out reaches is marked with
    /// `mark`, so that a subscriber of several of the topics is reached once.
    pub(in crate::hub) fn to_some(delivery: Delivery, shard: usize, mark: u64) -> Self {
        let Delivery {
            publication,
            targets,
            ..
        } = delivery;
        // If there is one topic, it is `next`, and so the segments know it. If there are several
        // topics, `next` is `None`, and the segments have no topic.
        let (next, others) = match targets {
            Targets::One(target) => (Some(target.topic), Vec::new()),
            Targets::Several(targets) => {
                // In reverse order, because `step` pops the next topic from the end.
                let topics = targets.into_iter().rev();
                (None, topics.map(|Target { topic, .. }| topic).collect())
            }
        };
        Self {
            segments: Segments::new(publication.messages.to_vec(), next),
            next,
            others,
            topic: None,
            recipients: Recipients::Once {
                audience: publication.audience.clone(),
                shard,
                mark,
            },
            queued: 0,
            receipts: publication.receipt.iter().cloned().collect(),
            source: None,
        }
    }

    /// Adds the number of subscribers reached to the receipts. If the messages were the pending
    /// messages of a topic, returns the topic and the list of messages, so that the topic can reuse
    /// the memory of the list.
    pub(in crate::hub) fn finish(self) -> Option<(TopicKey, Vec<EncodedMessage>)> {
        for receipt in self.receipts {
            receipt.add(self.queued);
        }
        Some((self.source?, self.segments.into_messages()))
    }

    /// Continues the fan-out until it is done or the step is over.
    pub(in crate::hub) fn step(
        &mut self,
        topics: &mut TopicTable,
        peers: &mut Peers,
        compressors: &mut Compressors,
        allowance: &mut Allowance,
    ) -> Step {
        let mut step = Step::default();
        let now = Instant::now();
        let ledger = Rc::clone(&peers.ledger);
        ledger.set_now(now);
        let mut offering = Offering {
            segments: &mut self.segments,
            compressors,
            ledger: &ledger,
            allowance,
            now,
        };
        loop {
            // If there is no current topic, because it is done or was removed, the next one begins.
            let Some(topic) = self.topic.and_then(|key| topics.get_mut(key)) else {
                self.topic = self.next.take().or_else(|| self.others.pop());
                let Some(next) = self.topic else {
                    step.is_done = true;
                    break;
                };
                if let Some(topic) = topics.get_mut(next) {
                    topic.to_visit = topic.subscribers.len();
                }
                continue;
            };
            step.visit(topic, &self.recipients, peers, &mut offering);
            if topic.to_visit > 0 {
                break; // The allowance is used up, so the step is over.
            }
            self.topic = None;
        }
        self.queued += step.queued;
        step
    }

    /// Returns the number of messages that each subscriber gets.
    pub(in crate::hub) fn messages(&self) -> usize {
        self.segments.messages().len()
    }
}

impl Step {
    /// Offers the messages to the subscribers of `topic` that are still to be visited, from the
    /// last to the first, until the step is over.
    fn visit(
        &mut self,
        topic: &mut Topic,
        recipients: &Recipients,
        peers: &mut Peers,
        offering: &mut Offering<'_>,
    ) {
        while topic.to_visit > 0 && !offering.allowance.is_spent() {
            let key = topic.subscribers[topic.to_visit - 1].peer;
            offering.allowance.spend(VISIT);
            match peers.offer(key, recipients, offering) {
                Offer::Queued | Offer::QueuedFirst => self.queued += 1,
                Offer::NotMeant => {}
                Offer::Refused => {
                    offering.allowance.spend(END);
                    self.slow.push(key);
                }
                // The next step visits this subscriber again, and compresses the rest.
                Offer::Unready => return,
            }
            topic.to_visit -= 1;
        }
    }
}

/// The cost of visiting a subscriber, in nanoseconds: one to three cache misses.
const VISIT: u64 = 60;

#[cfg(test)]
mod tests {
    use std::{io::IoSlice, slice, sync::Arc};

    use zlib_rs::{Inflate, InflateFlush};

    use crate::{
        config::HubConfig,
        hub::{
            bounds::allowance::{Allowance, STEP, STEP_NANOSECONDS},
            ids::PeerKey,
            publication::{
                Publication,
                compression::{Compression, Forms},
                delivery::{Delivery, Targets},
            },
            shard::{shared::Shared, state::State},
        },
        message::Message,
        topic::TopicName,
        wire::extension,
    };

    /// Makes the state of a shard with deflate and a single compression context.
    fn state() -> State {
        let mut config = HubConfig::default();
        config.deflate.enabled = true;
        config.deflate.contexts = 1;
        State::new(0, Arc::new(Shared::new(&config)))
    }

    fn subscriber(state: &mut State, compression: Compression, topics: &[TopicName]) -> PeerKey {
        let key = state.insert(None, compression);
        state.set_topics(key, topics);
        key
    }

    /// Returns the compression of a peer that has a compression context of its own.
    fn own_context(state: &State) -> Compression {
        let offer = &b"permessage-deflate"[..];
        let may_keep_context = true;
        let agreement = extension::accept([offer].into_iter(), may_keep_context);
        let agreed = state.shared.contexts.grant(agreement.unwrap().unwrap());
        Compression::new(Some(agreed), &state.shared.config.deflate)
    }

    /// Returns 100 different texts of some 1,000 bytes each.
    fn texts() -> Vec<String> {
        let texts = (0..100).map(|number| format!("{number} {}", "x".repeat(1000)));
        texts.collect()
    }

    /// Makes a publication of all [`texts`].
    fn publication(state: &State) -> Publication {
        let messages = texts().into_iter().map(|text| Message::text(&text));
        let messages = messages.map(|message| state.shared.encode(message));
        Publication::new(messages.collect::<Vec<_>>())
    }

    /// Fans out in steps, each of which is over when it has compressed a message or two. After each
    /// step but the last, calls `after_step` with the count of steps so far. Returns the count of
    /// all steps.
    fn fan_out(state: &mut State, mut after_step: impl FnMut(&mut State, usize)) -> usize {
        for step in 1.. {
            let mut allowance = Allowance::new(STEP);
            // 1 ns is left, so the step is over when the clock is first read.
            allowance.charge_later(STEP_NANOSECONDS - 1);
            if state.fan_out(&mut allowance) {
                return step;
            }
            after_step(state, step);
        }
        unreachable!()
    }

    /// Returns the texts in the outbox of a peer that has a compression context of its own.
    fn inflated(state: &State, key: PeerKey) -> Vec<String> {
        let mut slices = [IoSlice::new(&[]); 128];
        let count = state.peers.get(key).unwrap().outbox.fill(&mut slices);
        // One inflater for all frames, because each refers to the earlier ones.
        let mut inflater = Inflate::new(false, 15);
        let inflate = |frame: &IoSlice<'_>| {
            assert_eq!(frame[0], 0xC1, "FIN, RSV1 and the opcode of text");
            // 2 bytes of header. A receiver puts these four bytes behind the payload (RFC 7692
            // §7.2.2).
            let deflated = [&frame[2..], b"\0\0\xFF\xFF"].concat();
            let (before, mut text) = (inflater.total_out(), vec![0; 2000]);
            let inflated = inflater.decompress(&deflated, &mut text, InflateFlush::SyncFlush);
            inflated.unwrap();
            text.truncate((inflater.total_out() - before).try_into().unwrap());
            String::from_utf8(text).unwrap()
        };
        slices[..count].iter().map(inflate).collect()
    }

    #[test]
    fn compressing_for_a_peer_that_subscribes_after_the_gathering_takes_several_steps() {
        let mut state = state();
        let topic = TopicName::new("cats").unwrap();
        subscriber(&mut state, Compression::Off, slice::from_ref(&topic));
        let publication = publication(&state);
        let target = state.shared.router.targets(slice::from_ref(&topic))[0];
        // The messages are gathered while the only subscriber takes them without compression.
        state.topics.append(target, &publication);
        let compression = own_context(&state);
        let key = subscriber(&mut state, compression, &[topic]);
        let steps = fan_out(&mut state, |_, _| {});
        assert!(steps > 20, "{steps}");
        assert!(inflated(&state, key) == texts());
    }

    #[test]
    fn a_peer_that_leaves_one_of_two_topics_amid_a_fan_out_gets_each_message_once() {
        let mut state = state();
        let topics = ["cats", "dogs"].map(|name| TopicName::new(name).unwrap());
        let compression = own_context(&state);
        let key = subscriber(&mut state, compression, &topics);
        subscriber(&mut state, Compression::Off, &topics[..1]);
        let targets = Targets::Several(state.shared.router.targets(&topics));
        let publication = Arc::new(publication(&state));
        state.begin_fan_out(Delivery::new(&publication, targets, 2, Forms::default()));
        fan_out(&mut state, |state, step| {
            if step == 10 {
                assert!(!inflated(state, key).is_empty());
                state.set_topics(key, &topics[1..]);
            }
        });
        assert!(inflated(&state, key) == texts());
    }
}
