//! Numbers that the server keeps of itself.
//!
//! [`counter`] has the kinds of numbers, [`shard`] those of one shard, [`ends`] the ends of connections by
//! their reason, and [`snapshot`] the table of everything that is counted.

mod counter;
mod ends;
mod shard;
mod snapshot;

pub(crate) use self::{counter::SharedCounter, shard::ShardMetrics};
pub use self::{
    ends::Ends,
    snapshot::{MemoryMetrics, Metrics},
};
