//! The steps on the way of a message, each by itself and in memory.
//!
//!     cargo bench --features internals --bench micro
//!
//! The kernel has no part in it; whole processes over sockets are compared in `benches/peers`.
#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that can't go on has failed"
)]

mod crowd;
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
