//! Measures the validator on received bytes: it checks frames, unmasks them, and checks text for
//! UTF-8.

use std::collections::VecDeque;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use framecast_wire::validator::Validator;

use crate::wire::{KINDS, Messages, RULES, SIZES};

pub(crate) fn measure(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("validate");
    for kind in KINDS {
        for size in SIZES {
            let Messages { bytes, count } = Messages::new(kind, size);
            group.throughput(Throughput::Elements(count as u64));
            let id = BenchmarkId::new(format!("{kind:?}").to_lowercase(), size);
            let mut validator = Validator::new(RULES);
            let mut infos = VecDeque::with_capacity(count);
            group.bench_function(id, |bencher| {
                let validate = |bytes: &mut Vec<u8>| {
                    validator.validate(bytes, &mut infos).unwrap();
                    assert_eq!(infos.len(), count);
                    infos.clear();
                };
                // The validator changes the bytes, so each run gets a fresh copy.
                bencher.iter_batched_ref(|| bytes.clone(), validate, BatchSize::SmallInput);
            });
        }
    }
    group.finish();
}
