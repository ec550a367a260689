//! What was measured, and how it is put together.
//!
//! Pure.

use std::collections::HashMap;

use crate::{calls::Calls, cells::Cell, load::Outcome, peers::Peer, stalled::Stalled};

/// All that was found.
#[derive(Debug, Default)]
pub struct Results {
    samples: HashMap<(&'static str, Peer), Vec<Sample>>,
    calls: HashMap<(&'static str, Peer), Calls>,
    /// What could not be measured, and why.
    pub remarks: Vec<String>,
}

/// One run.
#[derive(Clone, Debug)]
pub struct Sample {
    pub round: usize,
    pub outcome: Outcome,
    /// Buffers of the kernel for all TCP sockets while it went on.
    pub socket_bytes: f64,
    pub stalled: Stalled,
}

/// A number out of a run.
pub type Figure = fn(&Sample) -> Option<f64>;

impl Results {
    pub fn add(&mut self, cell: &Cell, peer: Peer, sample: Sample) {
        self.samples
            .entry((cell.name, peer))
            .or_default()
            .push(sample);
    }

    pub fn add_calls(&mut self, cell: &Cell, peer: Peer, calls: Calls) {
        self.calls.insert((cell.name, peer), calls);
    }

    /// Says why something is missing, once.
    pub fn remark(&mut self, remark: String) {
        if !self.remarks.contains(&remark) {
            self.remarks.push(remark);
        }
    }

    pub fn samples(&self, cell: &Cell, peer: Peer) -> &[Sample] {
        self.samples
            .get(&(cell.name, peer))
            .map_or(&[], Vec::as_slice)
    }

    pub fn calls(&self, cell: &Cell, peer: Peer) -> Option<Calls> {
        self.calls.get(&(cell.name, peer)).copied()
    }

    /// The median over all rounds.
    pub fn median(&self, cell: &Cell, peer: Peer, figure: Figure) -> Option<f64> {
        median(self.samples(cell, peer).iter().filter_map(figure).collect())
    }

    /// The median of what `figure` is for `one`, divided by what it is for `other` in the same
    /// round.
    pub fn ratio(&self, one: (&Cell, Peer), other: (&Cell, Peer), figure: Figure) -> Option<f64> {
        let others = self.samples(other.0, other.1);
        let pair = |sample: &Sample| {
            let other = others.iter().find(|other| other.round == sample.round)?;
            Some(figure(sample)? / figure(other)?)
        };
        median(self.samples(one.0, one.1).iter().filter_map(pair).collect())
    }

    /// In how many runs the load had to wait for its core, and how many there were.
    pub fn starved(&self) -> (usize, usize) {
        let all = || self.samples.values().flatten();
        let starved = all().filter(|sample| sample.outcome.generator.is_starved);
        (starved.count(), all().count())
    }

    /// Whether the load was at its own limit in most runs, so that it may have measured itself.
    pub fn is_load_bound(&self, cell: &Cell, peer: Peer) -> bool {
        let samples = self.samples(cell, peer);
        let bound = samples
            .iter()
            .filter(|sample| sample.outcome.generator.is_bottleneck);
        bound.count() * 2 > samples.len()
    }
}

/// CPU time of the server for a message, in microseconds.
pub fn cpu(sample: &Sample) -> Option<f64> {
    sample.outcome.server.as_ref()?.cpu_us_per_message
}

/// 99th percentile of the latency, in milliseconds.
pub fn p99(sample: &Sample) -> Option<f64> {
    Some(sample.outcome.latency_us.as_ref()?.p99 / 1e3)
}

/// Resident memory that a connection has added, in bytes.
pub fn memory(sample: &Sample) -> Option<f64> {
    Some(
        sample
            .outcome
            .server
            .as_ref()?
            .resident_bytes_per_connection,
    )
}

/// Resident memory of the server, in bytes.
pub fn resident(sample: &Sample) -> Option<f64> {
    Some(sample.outcome.server.as_ref()?.resident_bytes as f64)
}

/// The one in the middle, or between the two.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = values[(values.len() - 1) / 2];
    Some((lower + upper) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }
}
