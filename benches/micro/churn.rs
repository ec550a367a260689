//! A connection subscribes and unsubscribes.

use std::slice;

use criterion::{BenchmarkId, Criterion};
use framecast::TopicName;

use crate::crowd::{Crowd, SIZES, connect};

pub(crate) fn measure(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("churn");
    for size in SIZES {
        let crowd = Crowd::new(size, None);
        let handle = connect(&crowd.shards, None);
        let topic = slice::from_ref(&crowd.topic);
        group.bench_function(BenchmarkId::new("joins and leaves", size), |bencher| {
            bencher.iter(|| {
                handle.set_topics(topic);
                handle.set_topics(&[]);
            });
        });
    }
    let crowd = Crowd::new(0, None);
    let handle = connect(&crowd.shards, None);
    group.bench_function("a topic comes and goes", |bencher| {
        // The router is told of both.
        bencher.iter(|| {
            handle.set_topics(slice::from_ref(&crowd.topic));
            handle.set_topics(&[]);
        });
    });
    let topics: Vec<_> = (0..=MANY).map(numbered).collect();
    group.bench_function(BenchmarkId::new("one of many changes", MANY), |bencher| {
        bencher.iter(|| {
            handle.set_topics(&topics[1..]);
            handle.set_topics(&topics[..MANY]);
        });
    });
    group.finish();
}

fn numbered(number: usize) -> TopicName {
    TopicName::new(&format!("topic {number}")).unwrap()
}

/// Topics that one connection follows.
const MANY: usize = 100;
