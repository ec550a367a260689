//! Measures subscribing and unsubscribing.

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
        // The shard must tell the router of the first subscription and of the last unsubscription.
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

fn numbered(number: usize) -> TopicName {
    TopicName::new(&format!("topic {number}")).unwrap()
}

/// Number of topics that the connection subscribes to.
const MANY: usize = 100;
