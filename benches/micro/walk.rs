//! The gate's state machine goes over what a receive has brought: judges, unmasks, checks text.

use std::collections::VecDeque;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use framecast_wire::walk::Walk;

use crate::wire::{KINDS, Messages, RULES, SIZES};

pub(crate) fn measure(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("walk");
    for kind in KINDS {
        for size in SIZES {
            let Messages { bytes, count } = Messages::new(kind, size);
            group.throughput(Throughput::Elements(count as u64));
            let id = BenchmarkId::new(format!("{kind:?}").to_lowercase(), size);
            let mut walk = Walk::new(RULES);
            let mut marks = VecDeque::with_capacity(count);
            group.bench_function(id, |bencher| {
                let walk = |bytes: &mut Vec<u8>| {
                    walk.walk(bytes, &mut marks).unwrap();
                    assert_eq!(marks.len(), count);
                    marks.clear();
                };
                // What was walked once is no longer what was sent.
                bencher.iter_batched_ref(|| bytes.clone(), walk, BatchSize::SmallInput);
            });
        }
    }
    group.finish();
}
