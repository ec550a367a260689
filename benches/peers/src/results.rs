//! The samples of all runs, and the medians and ratios of their figures.
//!
//! This module performs no I/O.

use std::collections::HashMap;

use crate::{calls::Calls, cells::Cell, load::Outcome, peers::Peer, stalled::Stalled};

/// Everything that was measured.
#[derive(Debug, Default)]
pub struct Results {
    /// The samples by the name of their cell and by their peer.
    samples: HashMap<(&'static str, Peer), Vec<Sample>>,
    /// System calls per message, by the name of the cell and by the peer.
    calls: HashMap<(&'static str, Peer), Calls>,
    /// Reasons why something could not be measured.
    pub remarks: Vec<String>,
}

/// The results of one run.
#[derive(Clone, Debug)]
pub struct Sample {
    pub round: usize,
    pub outcome: Outcome,
    /// Size of the kernel's buffers of all TCP sockets, in bytes: the median over the time of the
    /// run.
    pub socket_bytes: f64,
    pub stalled: Stalled,
}

/// A function that takes one figure from a sample, if the sample has it.
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

    /// Adds the reason why something could not be measured, unless it is among the remarks already.
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

    /// Returns the number of all samples.
    pub fn count(&self) -> usize {
        self.samples.values().map(Vec::len).sum()
    }

    /// Returns the median of a figure over all rounds.
    pub fn median(&self, cell: &Cell, peer: Peer, figure: Figure) -> Option<f64> {
        median(self.samples(cell, peer).iter().filter_map(figure).collect())
    }

    /// Returns the figure of `one` divided by that of `other`: the median over all rounds. Each
    /// ratio is between two samples of the same round.
    pub fn ratio(&self, one: (&Cell, Peer), other: (&Cell, Peer), figure: Figure) -> Option<f64> {
        let others = self.samples(other.0, other.1);
        let pair = |sample: &Sample| {
            let other = others.iter().find(|other| other.round == sample.round)?;
            Some(figure(sample)? / figure(other)?)
        };
        median(self.samples(one.0, one.1).iter().filter_map(pair).collect())
    }

    /// Returns in how many runs the load generator had to wait for its core because of other work
    /// on the machine, and the number of all runs.
    pub fn starved(&self) -> (usize, usize) {
        let all = || self.samples.values().flatten();
        let starved = all().filter(|sample| sample.outcome.generator.is_starved);
        (starved.count(), all().count())
    }

    /// Returns true if the load generator was at its own limit in more than half of the runs of
    /// this peer in this cell. Then the figures may say more about the load generator than about
    /// the server.
    pub fn is_load_bound(&self, cell: &Cell, peer: Peer) -> bool {
        let samples = self.samples(cell, peer);
        let bound = samples
            .iter()
            .filter(|sample| sample.outcome.generator.is_bottleneck);
        bound.count() * 2 > samples.len()
    }
}

/// Returns the server's CPU time per message, in microseconds.
pub fn cpu(sample: &Sample) -> Option<f64> {
    sample.outcome.server.as_ref()?.cpu_us_per_message
}

/// Returns the 99th percentile of the latency, in milliseconds.
pub fn p99(sample: &Sample) -> Option<f64> {
    Some(sample.outcome.latency_us.as_ref()?.p99 / 1e3)
}

/// Returns the resident memory that each connection has added to the server, in bytes.
pub fn memory(sample: &Sample) -> Option<f64> {
    Some(
        sample
            .outcome
            .server
            .as_ref()?
            .resident_bytes_per_connection,
    )
}

/// Returns the resident memory of the server, in bytes.
pub fn resident(sample: &Sample) -> Option<f64> {
    Some(sample.outcome.server.as_ref()?.resident_bytes as f64)
}

/// Returns the median, or `None` if there are no values. For an even number of values it is the
/// mean of the two in the middle.
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
    fn the_median_of_an_even_number_of_values_is_between_the_two_in_the_middle() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }
}
