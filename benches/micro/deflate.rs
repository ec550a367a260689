//! Measures compressing a message once for all subscribers that take it compressed, and delivering
//! it.

use criterion::{BenchmarkId, Criterion, Throughput};
use framecast::Message;

use crate::subscribers::{SIZES, Subscribers};

pub(crate) fn measure(criterion: &mut Criterion) {
    let record = r#"{"user":"alice","text":"cats are awesome","at":1700000000}"#;
    let message = Message::text(&record.repeat(1024 / record.len()));
    let offer = "permessage-deflate; server_no_context_takeover";
    let mut group = criterion.benchmark_group("deflate");
    for (name, offer) in [("compressed", Some(offer)), ("plain", None)] {
        for size in SIZES {
            let subscribers = Subscribers::new(size, offer);
            group.throughput(Throughput::Elements(size as u64));
            group.bench_function(BenchmarkId::new(name, size), |bencher| {
                bencher.iter(|| subscribers.publish(std::slice::from_ref(&message)));
            });
        }
    }
    group.finish();
}
