//! The attacks. They differ in the work that the server has to do, and each has the smallest input
//! that was found to cause this work.

mod deflate;
mod departures;
mod frames;
mod http;
mod lists;
mod memory;
mod process;
mod publishing;
mod relay;

use anyhow::Result;

use crate::attack_run::AttackRun;

/// One way to delay a server, or to make it hold memory.
#[derive(Debug)]
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    /// The work or the memory that the attack costs the server, for the table.
    pub(crate) pays_for: &'static str,
    /// Options of `framecast serve`, beside the address and the number of shards.
    pub(crate) options: &'static [&'static str],
    /// Number of attackers on each shard that always have something for the shard to read.
    pub(crate) ready: u32,
    /// True if more is published than can be delivered, so that every publisher has to wait.
    pub(crate) fills_inboxes: bool,
    pub(crate) ending: Ending,
    pub(crate) aim: Aim,
    pub(crate) drive: fn(&mut AttackRun<'_>) -> Result<()>,
}

/// Expected end of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The server drains at SIGTERM: all bystanders are closed with 1012, and the exit status is 0.
    Drains,
    /// The server drains at the first SIGTERM, and ends at the second one without waiting for the
    /// drain.
    SecondSignal,
}

/// Resource that an attack is to exhaust.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aim {
    /// The attack uses up CPU time, so that the bystanders (well-behaved clients) wait.
    Time,
    /// The attack is to make the server hold more memory than the server's budget allows.
    Memory,
    /// The attack is to make the server hold more memory than the limit of its cgroup, at which the
    /// kernel would kill the server. The same as `Memory` where no cgroup can be created.
    MemoryInCgroup,
}

impl Attack {
    /// Creates an attack on CPU time, against a server with default settings that drains at
    /// SIGTERM.
    const fn new(
        name: &'static str,
        pays_for: &'static str,
        ready: u32,
        drive: fn(&mut AttackRun<'_>) -> Result<()>,
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

    /// Creates an attack on memory, against a server with default settings and a budget.
    const fn on_memory(
        name: &'static str,
        holds: &'static str,
        drive: fn(&mut AttackRun<'_>) -> Result<()>,
    ) -> Self {
        let mut attack = Self::new(name, holds, 0, drive);
        attack.aim = Aim::Memory;
        attack
    }

    pub(crate) fn is_on_memory(&self) -> bool {
        self.aim != Aim::Time
    }

    /// Sets the options of the server.
    const fn with(mut self, options: &'static [&'static str]) -> Self {
        self.options = options;
        self
    }

    const fn ending(mut self, ending: Ending) -> Self {
        self.ending = ending;
        self
    }

    /// Marks an attack that publishes more than can be delivered.
    const fn filling_inboxes(mut self) -> Self {
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
        lists::ATTACKS,
        departures::ATTACKS,
        process::ATTACKS,
    ];
    kinds.into_iter().flatten().chain(memory::all())
}
