//! Subscriptions of the process that runs the hub: a topic as a stream of messages.

use std::time::Duration;

use framecast::{Disconnect, Hub, HubConfig, Kind, Message, Subscription, TopicName};
use framecast_test_support::PATIENCE;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::{task::yield_now, time::timeout};

/// Number of messages that are published before a drain, which must still deliver them.
const MESSAGES: usize = 100;

fn topic(name: &str) -> TopicName {
    TopicName::new(name).unwrap()
}

async fn next(subscription: &mut Subscription) -> Option<Result<Message, Disconnect>> {
    timeout(PATIENCE, subscription.next())
        .await
        .expect("in time")
}

#[tokio::test]
async fn a_subscription_gets_every_message_of_its_topic_in_order_and_no_others() {
    let hub = Hub::start(&HubConfig::default()).unwrap();
    let cats = topic("cats");
    let mut subscription = hub.subscribe(&cats).await.unwrap();
    assert!(subscription.next().now_or_never().is_none());
    // Both sides of each bound between two forms of a length, and more than a client may send.
    let sent = [0, 1, 125, 126, 65_535, 65_536, 200_000].map(|len| vec![b'x'; len]);
    for payload in &sent {
        hub.publish(&topic("dogs"), Message::text("woof")).await;
        assert_eq!(hub.publish(&cats, Message::binary(payload)).await, 1);
    }
    assert_eq!(hub.publish(&cats, Message::text("the last")).await, 1);
    for payload in sent {
        assert_eq!(
            next(&mut subscription).await,
            Some(Ok(Message::binary(&payload)))
        );
    }
    let last = next(&mut subscription).await.unwrap().unwrap();
    assert_eq!(
        (last.kind(), last.payload()),
        (Kind::Text, &b"the last"[..])
    );
}

#[tokio::test]
async fn a_drain_delivers_all_published_messages_and_then_the_reason() {
    let hub = Hub::start(&HubConfig::default()).unwrap();
    let cats = topic("cats");
    let mut subscription = hub.subscribe(&cats).await.unwrap();
    for number in 0..MESSAGES {
        hub.publish(&cats, Message::text(&number.to_string())).await;
    }
    let drained = tokio::spawn({
        let hub = hub.clone();
        async move { hub.drain(PATIENCE).await }
    });
    for number in 0..MESSAGES {
        let expected = Message::text(&number.to_string());
        assert_eq!(next(&mut subscription).await, Some(Ok(expected)));
    }
    let reason = next(&mut subscription).await;
    assert_eq!(reason, Some(Err(Disconnect::Restarting)));
    assert_eq!(next(&mut subscription).await, None);
    assert_eq!(drained.await.unwrap(), Ok(()), "no connection is left");
    let refused = hub.subscribe(&cats).await.map(drop);
    assert_eq!(refused, Err(Disconnect::Restarting));
}

#[tokio::test]
async fn a_slow_subscription_gets_messages_without_a_gap_and_then_the_reason() {
    let mut config = HubConfig::default();
    config.timeouts.blocked = Duration::from_millis(20);
    let hub = Hub::start(&config).unwrap();
    let cats = topic("cats");
    let mut subscription = hub.subscribe(&cats).await.unwrap();
    let message = |number: u32| {
        let mut payload = vec![0; 60_000];
        payload[..4].copy_from_slice(&number.to_be_bytes());
        Message::binary(&payload)
    };
    let mut number = 0;
    timeout(PATIENCE, async {
        while hub.metrics().ended.slow_consumer == 0 {
            hub.publish(&cats, message(number)).await;
            number += 1;
        }
    })
    .await
    .expect("its outbox is bounded");
    let mut expected = 0;
    let reason = loop {
        match next(&mut subscription).await.unwrap() {
            Ok(taken) => assert_eq!(taken, message(expected)),
            Err(reason) => break reason,
        }
        expected += 1;
    };
    assert_eq!(reason, Disconnect::SlowConsumer);
    assert!(expected < number);
    assert_eq!(next(&mut subscription).await, None);
}

#[tokio::test]
async fn a_drain_may_take_the_longest_duration() {
    let hub = Hub::start(&HubConfig::default()).unwrap();
    let mut subscription = hub.subscribe(&topic("cats")).await.unwrap();
    let draining = hub.drain(Duration::MAX);
    let (drained, last) = tokio::join!(draining, next(&mut subscription));
    assert_eq!((drained, last), (Ok(()), Some(Err(Disconnect::Restarting))));
}

#[tokio::test]
async fn a_dropped_subscription_leaves_its_topic() {
    let hub = Hub::start(&HubConfig::default()).unwrap();
    let subscription = hub.subscribe(&topic("cats")).await.unwrap();
    assert_eq!(hub.metrics().topics, 1);
    drop(subscription);
    timeout(PATIENCE, async {
        while hub.metrics().connections > 0 {
            yield_now().await;
        }
    })
    .await
    .expect("its connection ends");
    assert_eq!(hub.metrics().topics, 0);
}

#[tokio::test]
async fn a_subscription_that_outlives_its_hub_ends() {
    let hub = Hub::start(&HubConfig::default()).unwrap();
    let mut subscription = hub.subscribe(&topic("cats")).await.unwrap();
    drop(hub);
    assert!(matches!(next(&mut subscription).await, Some(Err(_))));
    assert_eq!(next(&mut subscription).await, None);
}
