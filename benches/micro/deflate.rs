//! A message is compressed once for all who want it so, and delivered to them.

use criterion::{BenchmarkId, Criterion, Throughput};
use framecast::Message;

use crate::crowd::{Crowd, SIZES};

pub(crate) fn measure(criterion: &mut Criterion) {
    let record = r#"{"user":"alice","text":"cats are awesome","at":1700000000}"#;
    let message = Message::text(&record.repeat(1024 / record.len()));
    let offer = "permessage-deflate; server_no_context_takeover";
    let mut group = criterion.benchmark_group("deflate");
    for (name, offer) in [("compressed", Some(offer)), ("plain", None)] {
        for size in SIZES {
            let crowd = Crowd::new(size, offer);
            group.throughput(Throughput::Elements(size as u64));
            group.bench_function(BenchmarkId::new(name, size), |bencher| {
                bencher.iter(|| crowd.publish(std::slice::from_ref(&message)));
            });
        }
    }
    group.finish();
}
