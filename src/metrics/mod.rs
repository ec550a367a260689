//! Metrics: counters and gauges that the server keeps about itself.
//!
//! [`counter`] has the types of counters and gauges, [`shard`] the metrics of one shard, [`ends`]
//! the ended connections by reason, and [`snapshot`] the table of all metrics.

mod counter;
mod ends;
mod shard;
mod snapshot;

pub(crate) use self::{counter::SharedCounter, shard::ShardMetrics};
pub use self::{
    ends::Ends,
    snapshot::{MemoryMetrics, Metrics},
};
