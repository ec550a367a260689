//! Results of a run: [`report`] holds all of them, and gathers them while the run goes on.
//!
//! [`sequence`] finds the missing, duplicate and late messages of one numbered stream at one
//! receiver. [`spread`] measures the time between the first and the last delivery of a publication,
//! and [`latencies`] is a histogram of times. [`meter`] measures CPU time and memory of the server,
//! which [`usage`] reads from `/proc`.

pub(crate) mod latencies;
pub(crate) mod meter;
pub(crate) mod report;
pub(crate) mod sequence;
pub(crate) mod spread;
pub(crate) mod usage;
