//! The metrics of one shard. Each shard has its own, so that counting causes no contention.

use crate::metrics::{
    counter::{Counter, Gauge},
    ends::Ends,
};

/// The metrics of one shard. [`Metrics`](crate::Metrics) describes each of them.
#[derive(Debug, Default)]
pub(crate) struct ShardMetrics {
    pub(crate) connections: Gauge,
    pub(crate) deliveries: Counter,
    pub(crate) writes: Counter,
    pub(crate) ticks: Counter,
    pub(crate) ended: Ends<Counter>,
}
