//! The attacks. They differ in what the server pays for, and each has the smallest input that was
//! found for it.

mod deflate;
mod departures;
mod frames;
mod http;
mod process;
mod publishing;
mod relay;

use anyhow::Result;

use crate::field::Field;

/// One way to hold a server up.
#[derive(Debug)]
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    /// What the server is made to do.
    pub(crate) pays_for: &'static str,
    /// Of `framecast serve`, beside the address and the number of shards.
    pub(crate) options: &'static [&'static str],
    /// Attackers on each shard that always have something for it.
    pub(crate) ready: u32,
    /// It publishes more than can be delivered: every publisher has to wait.
    pub(crate) fills_inboxes: bool,
    pub(crate) ending: Ending,
    pub(crate) drive: fn(&mut Field<'_>) -> Result<()>,
}

/// How the server is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// At SIGTERM, with status 0 and everybody told.
    Drains,
    /// At the second SIGTERM, at once.
    SecondSignal,
}

impl Attack {
    /// One against the default settings that ends as it should.
    const fn new(
        name: &'static str,
        pays_for: &'static str,
        ready: u32,
        drive: fn(&mut Field<'_>) -> Result<()>,
    ) -> Self {
        Self {
            name,
            pays_for,
            options: &[],
            ready,
            fills_inboxes: false,
            ending: Ending::Drains,
            drive,
        }
    }

    const fn with(mut self, options: &'static [&'static str]) -> Self {
        self.options = options;
        self
    }

    const fn ending(mut self, ending: Ending) -> Self {
        self.ending = ending;
        self
    }

    const fn filling(mut self) -> Self {
        self.fills_inboxes = true;
        self
    }
}

pub(crate) fn all() -> impl Iterator<Item = &'static Attack> {
    let kinds = [
        publishing::ATTACKS,
        relay::ATTACKS,
        frames::ATTACKS,
        deflate::ATTACKS,
        http::ATTACKS,
        departures::ATTACKS,
        process::ATTACKS,
    ];
    kinds.into_iter().flatten()
}
