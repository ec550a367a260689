//! Measures encoding a message as a frame, which is done once for all subscribers.

use criterion::{BenchmarkId, Criterion, Throughput};
use framecast::Message;

use crate::wire::{SIZES, payload};

pub(crate) fn measure(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    for size in SIZES {
        let payload = payload(size);
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_with_input(
            BenchmarkId::from_parameter(size),
            &payload,
            |bencher, payload| {
                bencher.iter(|| Message::binary(payload));
            },
        );
    }
    group.finish();
}
