//! The numbers of one shard, which it keeps by itself, so that counting costs no contention.

use crate::metrics::{
    counter::{Counter, Gauge},
    ends::Ends,
};

/// The numbers of one shard. [`Metrics`](crate::Metrics) says what each of them is.
#[derive(Debug, Default)]
pub(crate) struct ShardMetrics {
    pub(crate) connections: Gauge,
    pub(crate) topics: Gauge,
    pub(crate) deliveries: Counter,
    pub(crate) writes: Counter,
    pub(crate) ticks: Counter,
    pub(crate) ended: Ends<Counter>,
}
