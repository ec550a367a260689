//! The attacks. They differ in what the server pays for, and each has the smallest input that was
//! found for it.

mod deflate;
mod departures;
mod frames;
mod http;
mod memory;
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
    pub(crate) aim: Aim,
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

/// What is to be exhausted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aim {
    /// The bystanders are to wait.
    Time,
    /// The server is to hold more than its budget.
    Memory,
    /// The same, in a memory cgroup that would kill it, where there can be one.
    MemoryInCgroup,
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
            aim: Aim::Time,
            drive,
        }
    }

    /// One that makes the server hold what it should not.
    const fn on_memory(
        name: &'static str,
        holds: &'static str,
        drive: fn(&mut Field<'_>) -> Result<()>,
    ) -> Self {
        let mut attack = Self::new(name, holds, 0, drive);
        attack.aim = Aim::Memory;
        attack
    }

    pub(crate) fn is_on_memory(&self) -> bool {
        self.aim != Aim::Time
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
    kinds.into_iter().flatten().chain(memory::all())
}
