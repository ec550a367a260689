//! Tests of a shard's topics, with subscribers whose peers exist only as keys.

use proptest::prelude::*;
use slotmap::SlotMap;

use super::*;
use crate::{
    config::HubConfig,
    hub::{ids::PeerKey, shard::shared::Shared},
    message::Message,
    wire::frame::Frame,
};

/// Returns so many keys of peers.
fn peers(count: usize) -> Vec<PeerKey> {
    let mut keys = SlotMap::<PeerKey, ()>::with_key();
    (0..count).map(|_| keys.insert(())).collect()
}

/// Returns a subscriber whose peer has no other subscription.
fn subscriber(peer: PeerKey) -> Subscriber {
    let subscription = 0;
    Subscriber { peer, subscription }
}

#[test]
fn the_router_is_told_of_the_first_subscriber_and_when_the_last_one_leaves() {
    let mut topics = TopicTable::default();
    let name = TopicName::new("cats").unwrap();
    let [a, b] = peers(2)[..] else { unreachable!() };
    let mut announced = SubscriberCount::default();
    let subscription_a = topics.subscribe(&name, subscriber(a), |_, count| {
        announced = count;
        7 // The number of the first publication.
    });
    let subscription_b = topics.subscribe(&name, subscriber(b), |_, _| panic!("told twice"));
    assert_eq!(announced.load(Relaxed), 2);
    // `b`, the last subscriber, moves to the index of `a`.
    let b_moved = Unsubscribed::Moved([None, Some((subscriber(b), 0))]);
    assert_eq!(topics.unsubscribe(subscription_a), b_moved);
    assert_eq!(announced.load(Relaxed), 1);
    let (topic, index) = (subscription_b.topic, 0);
    let subscription_b = SubscriptionKey { topic, index };
    let removed = topics.unsubscribe(subscription_b);
    assert_eq!(removed, Unsubscribed::Last(name));
    assert_eq!(topics.len(), 0);
}

#[test]
fn pending_messages_of_a_topic_are_taken_once_and_together() {
    let mut topics = TopicTable::default();
    let name = TopicName::new("cats").unwrap();
    let subscription = topics.subscribe(&name, subscriber(peers(1)[0]), |_, _| 7);
    let shared = Shared::new(&HubConfig::default());
    for (number, text) in [(7, "a"), (8, "b")] {
        let topic = subscription.topic;
        let publication = Publication::new(shared.encode(Message::text(text)));
        topics.append(Target { topic, number }, &publication);
    }
    let pending = topics.take_pending().unwrap();
    assert_eq!(pending.topic, subscription.topic);
    let plain = pending
        .messages
        .iter()
        .map(|message| message.plain().clone());
    assert_eq!(
        plain.collect::<Vec<_>>(),
        [Frame::text("a"), Frame::text("b")]
    );
    assert!(topics.take_pending().is_none());
}

proptest! {
    #[test]
    fn a_fan_out_visits_each_subscriber_that_stays_once_and_none_that_comes_meanwhile(
        before in 1..12usize, steps in proptest::collection::vec((0..3u8, any::<proptest::sample::Index>()), 0..40),
    ) {
        let keys = peers(60);
        let mut topics = TopicTable::default();
        let name = TopicName::new("cats").unwrap();
        // The subscription of each peer to the only topic, as the peer itself would keep it.
        let mut subscriptions = HashMap::new();
        let mut next_peer = 0;
        let mut subscribe = |topics: &mut TopicTable, subscriptions: &mut HashMap<PeerKey, SubscriptionKey>| {
            let peer = keys[next_peer];
            next_peer += 1;
            subscriptions.insert(peer, topics.subscribe(&name, subscriber(peer), |_, _| 0));
            peer
        };
        let mut unvisited: Vec<PeerKey> = (0..before).map(|_| subscribe(&mut topics, &mut subscriptions)).collect();
        let topic_key = subscriptions[&keys[0]].topic;
        topics.get_mut(topic_key).unwrap().to_visit = before;
        // Visits a subscriber as a fan-out does, and returns its peer.
        let visit = |topics: &mut TopicTable| {
            let topic = topics.get_mut(topic_key)?;
            topic.to_visit = topic.to_visit.checked_sub(1)?;
            Some(topic.subscribers[topic.to_visit].peer)
        };
        // In each step a subscriber is visited (0), comes (1) or leaves (2).
        for (step, pick) in steps {
            match step {
                0 => if let Some(visited) = visit(&mut topics) {
                    prop_assert!(unvisited.contains(&visited));
                    unvisited.retain(|&each| each != visited);
                },
                1 => { subscribe(&mut topics, &mut subscriptions); }
                _ if subscriptions.len() > 1 => {
                    let mut subscribed: Vec<_> = subscriptions.keys().copied().collect();
                    subscribed.sort();
                    let leaver = *pick.get(&subscribed);
                    let subscription = subscriptions.remove(&leaver).unwrap();
                    unvisited.retain(|&each| each != leaver);
                    if let Unsubscribed::Moved(moved) = topics.unsubscribe(subscription) {
                        for (subscriber, index) in moved.into_iter().flatten() {
                            subscriptions.get_mut(&subscriber.peer).unwrap().index = index;
                        }
                    }
                }
                _ => {}
            }
            let topic = topics.get(topic_key).unwrap();
            for (peer, subscription) in &subscriptions {
                prop_assert_eq!(topic.subscribers[subscription.index as usize].peer, *peer);
            }
        }
        // The fan-out visits all subscribers that are left.
        while let Some(visited) = visit(&mut topics) {
            prop_assert!(unvisited.contains(&visited));
            unvisited.retain(|&each| each != visited);
        }
        prop_assert_eq!(unvisited, []);
    }
}
