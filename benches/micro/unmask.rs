//! Measures unmasking a payload in place, with fastwebsockets and with a plain loop for comparison.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};

use crate::wire::{KEY, SIZES, payload};

pub(crate) fn measure(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("unmask");
    for size in SIZES {
        // Behind a header, as it is received, so that the payload is not aligned.
        let mut received = [&[0; HEADER_BYTES][..], &payload(size)].concat();
        let payload = &mut received[HEADER_BYTES..];
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(BenchmarkId::new("fastwebsockets", size), |bencher| {
            bencher.iter(|| fastwebsockets::unmask(black_box(payload), black_box(KEY)));
        });
        group.bench_function(BenchmarkId::new("loop", size), |bencher| {
            bencher.iter(|| by_bytes(black_box(payload), black_box(KEY)));
        });
    }
    group.finish();
}

fn by_bytes(payload: &mut [u8], key: [u8; 4]) {
    for (index, byte) in payload.iter_mut().enumerate() {
        *byte ^= key[index % 4];
    }
}

/// Size of the header of a short masked frame, its key included.
const HEADER_BYTES: usize = 6;
