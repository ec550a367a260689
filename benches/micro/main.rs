//! Measures the steps of handling a message, each by itself and in memory.
//!
//!     cargo bench --features internals --bench micro
//!
//! No system calls are made. `benches/peers` compares whole processes over sockets.
#![expect(clippy::unwrap_used, reason = "an error fails the benchmark")]

mod subscribers;
mod wire;

mod churn;
mod deflate;
mod encode;
mod read;
mod tick;
mod unmask;
mod validate;

use criterion::Criterion;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for measure in [
        encode::measure,
        unmask::measure,
        validate::measure,
        read::measure,
        deflate::measure,
        tick::measure,
        churn::measure,
    ] {
        measure(&mut criterion);
    }
    criterion.final_summary();
}
