//! Measures a fan-out, from a shard's inbox to the sockets of all subscribers.

use criterion::{BenchmarkId, Criterion, Throughput};
use framecast::Message;

use crate::{
    subscribers::{SIZES, Subscribers},
    wire::payload,
};

pub(crate) fn measure(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tick");
    for (name, in_flight) in [("one message", 1), ("16 messages", 16)] {
        let messages = vec![Message::binary(&payload(MESSAGE_BYTES)); in_flight];
        for size in SIZES {
            let subscribers = Subscribers::new(size, None);
            group.throughput(Throughput::Elements((size * in_flight) as u64));
            group.bench_function(BenchmarkId::new(name, size), |bencher| {
                bencher.iter(|| subscribers.publish(&messages));
            });
        }
    }
    group.finish();
}

const MESSAGE_BYTES: usize = 64;
