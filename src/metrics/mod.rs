//! Metrics: counters and gauges that the server keeps about itself.
//!
//! [`counter`] has the types of counters and gauges, [`shard`] the metrics of one shard, [`ends`]
//! the ended connections by reason, and [`snapshot`] the table of all metrics. [`incidents`] has what
//! the server logs, and [`drained`] the outcome of a drain.

mod counter;
mod drained;
mod ends;
pub(crate) mod incidents;
mod shard;
mod snapshot;

pub(crate) use self::{
    counter::SharedCounter,
    drained::{Drained, DrainedCounts},
    shard::ShardMetrics,
};
pub use self::{
    ends::Ends,
    snapshot::{MemoryMetrics, Metrics},
};
