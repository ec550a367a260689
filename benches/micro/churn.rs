//! Measures how long it takes to subscribe a connection to topics and to unsubscribe it.

use std::slice;

use criterion::{BenchmarkId, Criterion};
use framecast::TopicName;

use crate::subscribers::{SIZES, Subscribers, connect};

pub(crate) fn measure(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("churn");
    for size in SIZES {
        let subscribers = Subscribers::new(size, None);
        let handle = connect(&subscribers.shards, None);
        let topic = slice::from_ref(&subscribers.topic);
        group.bench_function(
            BenchmarkId::new("subscribe and unsubscribe", size),
            |bencher| {
                bencher.iter(|| {
                    handle.set_topics(topic);
                    handle.set_topics(&[]);
                });
            },
        );
    }
    let subscribers = Subscribers::new(0, None);
    let handle = connect(&subscribers.shards, None);
    group.bench_function("first subscriber of a topic", |bencher| {
        // The topic has no other subscriber. So the shard must tell the router of each subscription
        // and unsubscription.
        bencher.iter(|| {
            handle.set_topics(slice::from_ref(&subscribers.topic));
            handle.set_topics(&[]);
        });
    });
    let topics: Vec<_> = (0..=MANY).map(numbered).collect();
    group.bench_function(
        BenchmarkId::new("replace one of many topics", MANY),
        |bencher| {
            bencher.iter(|| {
                handle.set_topics(&topics[1..]);
                handle.set_topics(&topics[..MANY]);
            });
        },
    );
    group.finish();
}

/// Returns the topic with this number.
fn numbered(number: usize) -> TopicName {
    TopicName::new(&format!("topic {number}")).unwrap()
}

/// Number of topics that the connection follows in the last benchmark.
const MANY: usize = 100;
