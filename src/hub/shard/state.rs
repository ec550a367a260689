//! The state of a shard, and the steps that change it.

use std::{rc::Rc, sync::Arc};

use crate::{
    disconnect::Disconnect,
    hub::{
        bounds::{allowance::Allowance, drain_time::DrainTime, ledger::Ledger},
        ids::PeerKey,
        peer::replies::Replies,
        publication::{
            compression::Compressors,
            delivery::{Delivery, Target},
            encoded_message::EncodedMessage,
        },
        shard::{
            fan_out::{FanOut, Step},
            peers::Peers,
            receivers::Receivers,
            relief::behind::Relief,
            shared::Shared,
            topic::TopicTable,
        },
    },
    metrics::ShardMetrics,
    wire::frame::Frame,
};

/// The state of one shard: its connections, and the topics that they subscribe to.
pub(in crate::hub) struct State {
    pub(in crate::hub) peers: Peers,
    pub(in crate::hub) topics: TopicTable,
    pub(in crate::hub) compressors: Compressors,
    /// Account of the memory that the shard holds for its clients.
    pub(in crate::hub) ledger: Rc<Ledger>,
    pub(in crate::hub) relief: Relief,
    pub(in crate::hub) receivers: Receivers,
    /// The fan-out that is under way. The pending messages of `topics` are fanned out afterwards.
    fan_out: Option<FanOut>,
    /// The last mark that was given to a fan-out. The fan-out marks the peers that it has reached,
    /// so that none of them gets its messages twice.
    last_mark: u64,
    /// The time that the drain may take, if one has begun. Peers are no longer read then.
    pub(in crate::hub) draining: Option<DrainTime>,
    pub(in crate::hub) index: usize,
    pub(in crate::hub) shared: Arc<Shared>,
}

impl State {
    pub(in crate::hub) fn new(index: usize, shared: Arc<Shared>) -> Self {
        let ledger = Ledger::new(Arc::clone(&shared.budget));
        Self {
            peers: Peers::new(&shared.config, Rc::clone(&ledger)),
            topics: TopicTable::default(),
            compressors: Compressors::new(&shared.config.deflate, &shared.budget),
            ledger,
            relief: Relief::default(),
            receivers: Receivers::default(),
            fan_out: None,
            last_mark: 0,
            draining: None,
            index,
            shared,
        }
    }

    /// Begins the fan-out of a delivery that is for some subscribers only, or for several topics.
    /// All earlier messages must have been fanned out.
    pub(in crate::hub) fn begin_fan_out(&mut self, delivery: Delivery) {
        debug_assert!(self.is_settled(), "earlier messages are fanned out first");
        for Target { topic, number } in delivery.targets.iter() {
            if let Some(topic) = self.topics.get_mut(*topic) {
                topic.advance(*number);
            }
        }
        self.last_mark += 1;
        self.fan_out = Some(FanOut::to_some(delivery, self.index, self.last_mark));
    }

    /// Continues the fan-out that is under way, and then fans out the pending messages, one topic
    /// after the other, until the step is over. Returns true if no message is left to fan out.
    pub(in crate::hub) fn fan_out(&mut self, allowance: &mut Allowance) -> bool {
        loop {
            let Some(fan_out) = &mut self.fan_out else {
                let Some(pending) = self.topics.take_pending() else {
                    return true;
                };
                let held_bytes = pending.messages.iter().map(EncodedMessage::held_bytes);
                allowance.spend(held_bytes.sum::<usize>() as u64 / JOINED_PER_NANOSECOND);
                self.fan_out = Some(FanOut::to_everyone(pending));
                continue;
            };
            let step = fan_out.step(
                &mut self.topics,
                &mut self.peers,
                &mut self.compressors,
                allowance,
            );
            let Step {
                is_done,
                queued,
                slow,
            } = step;
            let deliveries = queued * fan_out.messages();
            self.metrics().deliveries.add(deliveries as u64);
            self.end_all(slow.into_iter().map(|key| (key, Disconnect::SlowConsumer)));
            if !is_done {
                return false;
            }
            if let Some((topic, messages)) = self.fan_out.take().and_then(FanOut::finish) {
                self.topics.give_back(topic, messages);
            }
        }
    }

    /// Returns true if no message is pending or being fanned out.
    pub(in crate::hub) fn is_settled(&self) -> bool {
        self.fan_out.is_none() && self.topics.is_settled()
    }

    /// Adds a reply to the `replies` of a peer's turn. If the reply does not fit, queues the
    /// `replies`, and then this reply, in the peer's outbox.
    pub(in crate::hub) fn reply(&mut self, key: PeerKey, message: Frame, replies: &mut Replies) {
        if let Some(peer) = self.peers.get_mut(key) {
            peer.reply(message, replies, &mut self.compressors, &self.ledger);
        }
    }

    /// Returns the number of peers that wait for a write.
    pub(in crate::hub) fn ring_len(&self) -> usize {
        self.peers.ring_len()
    }

    /// Writes to some of the peers that wait for a write. Returns the number of writes.
    pub(in crate::hub) fn write_some(&mut self) -> usize {
        let (writes, lost) = self.peers.write_some(&self.shared.metrics[self.index]);
        self.end_all(lost.into_iter().map(|key| (key, Disconnect::Lost)));
        writes
    }

    /// Writes the outbox of a peer and, behind it, the `replies`, until the socket takes no more or
    /// the peer has had its share. Returns true in the latter case: the caller must wake the shard,
    /// so that the tick writes the rest.
    #[must_use]
    pub(in crate::hub) fn write(&mut self, key: PeerKey, replies: &mut Replies) -> bool {
        let metrics = &self.shared.metrics[self.index];
        self.peers.write(key, replies, metrics).unwrap_or_else(|_| {
            self.end(key, Disconnect::Lost);
            false
        })
    }

    /// Begins a sweep, which checks every connection.
    pub(in crate::hub) fn begin_sweep(&mut self) {
        self.count_connections();
        self.peers.begin_sweep();
    }

    /// Shrinks tables and queues that a burst of connections or messages has left mostly empty.
    pub(in crate::hub) fn shrink(&mut self) {
        self.peers.shrink();
        self.topics.shrink();
        self.receivers.shrink();
    }

    /// Updates the gauge of connections.
    pub(in crate::hub) fn count_connections(&self) {
        self.metrics().connections.set(self.peers.len() as u64);
    }

    pub(in crate::hub) fn metrics(&self) -> &ShardMetrics {
        &self.shared.metrics[self.index]
    }
}

/// The speed of joining messages and later freeing them, in bytes of the memory that they hold, per
/// nanosecond. A small message holds some 160 bytes, and so takes some 80 ns.
const JOINED_PER_NANOSECOND: u64 = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::HubConfig,
        hub::{
            bounds::allowance::{STEP, STEP_NANOSECONDS},
            ids::ConnectionId,
            peer::outbox::DELIVERY_BYTES,
            publication::{
                Audience, Publication,
                compression::{Compression, Forms},
                delivery::Targets,
            },
        },
        message::Message,
        topic::TopicName,
        user::UserId,
    };

    /// The index of the shard of which the tests have the state.
    const HERE: usize = 0;

    fn state() -> State {
        State::new(HERE, Arc::new(Shared::new(&HubConfig::default())))
    }

    fn publication(text: &str) -> Publication {
        let shared = Shared::new(&HubConfig::default());
        Publication::new(shared.encode(Message::text(text)))
    }

    /// Runs steps of the fan-out until all messages are fanned out.
    fn fan_out(state: &mut State) {
        while !state.fan_out(&mut Allowance::new(STEP)) {}
    }

    /// Numbers the next publication of a topic, for the test to deliver it later. Nothing is pushed
    /// into an inbox.
    fn next_target(state: &State, topic: &TopicName) -> Target {
        state.shared.router.targets(std::slice::from_ref(topic))[0]
    }

    /// Delivers the message `x`, as the publication that has the number of `target`.
    fn deliver(state: &mut State, target: Target) {
        state.topics.append(target, &publication("x"));
        fan_out(state);
    }

    /// Returns the number of bytes that the outbox of a peer holds.
    fn queued_bytes(state: &State, key: PeerKey) -> usize {
        state.peers.get(key).unwrap().outbox.held_bytes()
    }

    #[test]
    fn publications_left_over_from_former_subscribers_do_not_reach_later_ones() {
        let mut state = state();
        let topic = TopicName::new("cats").unwrap();
        let [earlier, later] = [(); 2].map(|()| state.peers.insert(None, Compression::Off));
        state.subscribe(earlier, &topic);
        let left_over = next_target(&state, &topic);
        state.set_topics(earlier, &[]);
        state.subscribe(later, &topic);
        let next = next_target(&state, &topic);
        deliver(&mut state, left_over);
        assert_eq!(queued_bytes(&state, later), 0);
        deliver(&mut state, next);
        let of_one = Frame::text("x").wire_len() + DELIVERY_BYTES;
        assert_eq!(queued_bytes(&state, earlier), 0);
        assert_eq!(queued_bytes(&state, later), of_one);
    }

    #[test]
    fn an_ended_connection_has_no_subscriptions_and_gets_no_messages() {
        let mut state = state();
        let topic = TopicName::new("cats").unwrap();
        let key = state.peers.insert(None, Compression::Off);
        state.subscribe(key, &topic);
        let published = next_target(&state, &topic);
        state.end(key, Disconnect::Unregistered);
        assert_eq!(state.topics.len(), 0);
        let bytes_of_close = queued_bytes(&state, key);
        state.subscribe(key, &topic);
        deliver(&mut state, published);
        assert_eq!(state.topics.len(), 0);
        assert_eq!(queued_bytes(&state, key), bytes_of_close);
    }

    /// Returns the bytes that wait in the outbox of a peer. A text message has the bytes `\x81`
    /// (FIN and the opcode), its length, and its text.
    fn wire(state: &State, key: PeerKey) -> Vec<u8> {
        let outbox = &state.peers.get(key).unwrap().outbox;
        let mut slices = [std::io::IoSlice::new(&[]); 8];
        let count = outbox.fill(&mut slices);
        let slices = slices[..count].iter();
        slices.flat_map(|slice| slice.to_vec()).collect()
    }

    #[test]
    fn a_message_for_one_user_reaches_no_other_user() {
        let mut state = state();
        let topic = TopicName::new("cats").unwrap();
        let [one, other] = [1_u64, 2].map(|user| {
            let key = state
                .peers
                .insert(Some(UserId::from(user)), Compression::Off);
            state.subscribe(key, &topic);
            key
        });
        let publication = publication("for 2").to(Audience::User(UserId::from(2_u64)));
        let targets = Targets::One(next_target(&state, &topic));
        let publication = Arc::new(publication);
        state.begin_fan_out(Delivery::new(&publication, targets, 2, Forms::default()));
        fan_out(&mut state);
        assert_eq!(wire(&state, one), b"");
        assert_eq!(wire(&state, other), b"\x81\x05for 2");
    }

    #[test]
    fn a_message_to_all_but_its_publisher_does_not_reach_the_publisher() {
        let mut state = state();
        let topic = TopicName::new("cats").unwrap();
        let [one, other] = [(); 2].map(|()| {
            let key = state.peers.insert(None, Compression::Off);
            state.subscribe(key, &topic);
            key
        });
        // Publishes `x` from the connection that has the key `one` on this shard.
        let publish_from = |state: &mut State, shard| {
            let publisher = ConnectionId { shard, key: one };
            let publication = publication("x").to(Audience::AllBut(publisher));
            let targets = Targets::One(next_target(state, &topic));
            let publication = Arc::new(publication);
            state.begin_fan_out(Delivery::new(&publication, targets, 2, Forms::default()));
            fan_out(state);
        };
        publish_from(&mut state, HERE);
        assert_eq!(wire(&state, one), b"");
        assert_eq!(wire(&state, other), b"\x81\x01x");
        publish_from(&mut state, HERE + 1);
        let received = wire(&state, one);
        assert_eq!(received, b"\x81\x01x", "the publisher is on another shard");
    }

    #[test]
    fn a_message_to_several_topics_arrives_once_at_a_subscriber_of_two_of_them() {
        let mut state = state();
        let topics = ["cats", "dogs", "fish"].map(|name| TopicName::new(name).unwrap());
        let key = state.peers.insert(None, Compression::Off);
        state.set_topics(key, &topics[..2]);
        for text in ["first", "second"] {
            let targets = Targets::Several(state.shared.router.targets(&topics));
            let publication = Arc::new(publication(text));
            state.begin_fan_out(Delivery::new(&publication, targets, 2, Forms::default()));
            fan_out(&mut state);
        }
        assert_eq!(wire(&state, key), b"\x81\x05first\x81\x06second");
    }

    #[test]
    fn a_sweep_of_many_connections_takes_several_steps() {
        let mut state = state();
        for _ in 0..20_000 {
            state.peers.insert(None, Compression::Off);
        }
        state.begin_sweep();
        let (mut next_part, mut steps) = (Some(0), 0);
        while let Some(part) = next_part {
            let mut allowance = Allowance::new(STEP);
            // 1 ns is left, so the step is over when the clock is first read: after 334 checks.
            allowance.charge_later(STEP_NANOSECONDS - 1);
            next_part = state.end_part(part, &mut allowance, Peers::sweep);
            steps += 1;
        }
        assert!((20..1000).contains(&steps), "{steps}");
    }

    #[test]
    fn a_fan_out_to_many_takes_several_steps_in_which_subscribers_may_come_and_go() {
        let mut state = state();
        let topic = TopicName::new("cats").unwrap();
        let subscribe = |state: &mut State| {
            let key = state.peers.insert(None, Compression::Off);
            state.subscribe(key, &topic);
            key
        };
        let keys: Vec<PeerKey> = (0..100).map(|_| subscribe(&mut state)).collect();
        let target = next_target(&state, &topic);
        state.topics.append(target, &publication("x"));
        let mut steps = 1;
        let mut leavers = keys.iter().step_by(7);
        loop {
            let mut allowance = Allowance::new(STEP);
            // 1 ns is left, and the clock is read as soon as 61 ns more are charged. Joining the
            // message is charged 81 ns, a visit 60 ns: the first step reaches no subscriber, each
            // later one reaches two.
            allowance.charge_later(STEP_NANOSECONDS - 1);
            allowance.spend(20_000 - 61);
            if state.fan_out(&mut allowance) {
                break;
            }
            steps += 1;
            if let Some(&leaver) = leavers.next() {
                state.end(leaver, Disconnect::Unregistered);
            }
            subscribe(&mut state);
        }
        assert!(steps > 20, "{steps}");
        let staying = keys
            .iter()
            .filter(|key| state.peers.get(**key).unwrap().ended.is_none());
        assert!(staying.clone().count() > 80);
        for &key in staying {
            assert_eq!(wire(&state, key), b"\x81\x01x");
        }
    }
}
