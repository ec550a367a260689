//! The account of a run: [`report`] is all that it has found, gathered while it runs.
//!
//! [`sequence`] keeps account of one numbered stream at one receiver, [`spread`] of a publication on its way to
//! all of them, and [`latencies`] is a histogram of times. [`meter`] measures what the server used, and
//! [`usage`] reads that from `/proc`.

pub(crate) mod latencies;
pub(crate) mod meter;
pub(crate) mod report;
pub(crate) mod sequence;
pub(crate) mod spread;
pub(crate) mod usage;
