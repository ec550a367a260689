//! Results of a run: [`report`] holds all of them, and gathers them while the run goes on. A part of
//! it are the counts of [`connections`].
//!
//! [`sequence`] finds the missing, duplicate and late messages of one numbered stream at one
//! receiver. [`spread`] measures the time between the first and the last delivery of a publication.
//! [`latencies`] is a histogram of times, and [`timeline`] has a small one for each step of the
//! measured time. [`meter`] measures CPU time and memory of the server, which [`usage`] reads from
//! `/proc`.

pub(crate) mod connections;
pub(crate) mod latencies;
pub(crate) mod meter;
pub(crate) mod report;
pub(crate) mod sequence;
pub(crate) mod spread;
pub(crate) mod timeline;
pub(crate) mod usage;
