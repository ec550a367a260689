//! Latencies of messages, and their quantiles.

use crate::{server::SHARDS, timeline::Phase};

/// Latencies of one phase, by shard, in microseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples {
    stream: [Vec<u64>; SHARDS],
    echo: [Vec<u64>; SHARDS],
    /// Delays with which the machine woke the bystanders' own thread; no server can do better.
    machine: Vec<u64>,
}

/// Samples of the two phases whose latencies are reported.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measured {
    pub(crate) baseline: Samples,
    pub(crate) attack: Samples,
}

/// The kind of bystander whose latency is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Probe {
    Stream,
    Echo,
}

/// Median, 99th percentile and maximum, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Quantiles {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl Measured {
    /// Adds a latency in microseconds, if it is of a phase that is reported.
    pub(crate) fn add(&mut self, phase: Phase, probe: Probe, shard: usize, micros: u64) {
        if let Some(samples) = self.of(phase) {
            samples.of(probe)[shard].push(micros);
        }
    }

    /// Adds a delay of the bystanders' own thread, in microseconds.
    pub(crate) fn add_machine(&mut self, phase: Phase, micros: u64) {
        if let Some(samples) = self.of(phase) {
            samples.machine.push(micros);
        }
    }

    fn of(&mut self, phase: Phase) -> Option<&mut Samples> {
        match phase {
            Phase::Baseline => Some(&mut self.baseline),
            Phase::Attack => Some(&mut self.attack),
            Phase::Before | Phase::Pause | Phase::After => None,
        }
    }
}

impl Samples {
    fn of(&mut self, probe: Probe) -> &mut [Vec<u64>; SHARDS] {
        match probe {
            Probe::Stream => &mut self.stream,
            Probe::Echo => &mut self.echo,
        }
    }

    pub(crate) fn machine(&mut self) -> Quantiles {
        Quantiles::of(&mut self.machine)
    }

    /// Returns the quantiles of `probe` for each shard.
    pub(crate) fn quantiles(&mut self, probe: Probe) -> [Quantiles; SHARDS] {
        let samples = self.of(probe);
        let mut all = [Quantiles::default(); SHARDS];
        for (quantiles, samples) in all.iter_mut().zip(samples) {
            *quantiles = Quantiles::of(samples);
        }
        all
    }
}

impl Quantiles {
    fn of(samples: &mut [u64]) -> Self {
        samples.sort_unstable();
        let at = |thousandths: usize| {
            let index = (samples.len() * thousandths / 1000).min(samples.len().saturating_sub(1));
            millis(samples.get(index).copied().unwrap_or(0))
        };
        Self {
            p50: at(500),
            p99: at(990),
            max: at(1000),
        }
    }

    /// Returns the largest value of each quantile over several shards.
    pub(crate) fn worst(of: &[Self]) -> Self {
        of.iter().fold(Self::default(), |worst, each| Self {
            p50: worst.p50.max(each.p50),
            p99: worst.p99.max(each.p99),
            max: worst.max.max(each.max),
        })
    }
}

fn millis(micros: u64) -> f64 {
    // A run takes less than 2^32 us, which is 71 minutes.
    u32::try_from(micros).map_or(f64::INFINITY, f64::from) / 1000.0
}
