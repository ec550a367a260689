//! Pins the server to one core, and the load generator to another.

use anyhow::{Context as _, bail};
use rustix::{
    process::{Resource, getrlimit, setrlimit},
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};

/// The two cores in use.
#[derive(Clone, Copy, Debug)]
pub struct Cores {
    server: usize,
    load: usize,
}

impl Cores {
    /// Chooses the first two cores that this process may use.
    pub fn choose() -> anyhow::Result<Self> {
        let allowed = sched_getaffinity(None).context("looking for cores")?;
        let mut allowed = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
        match (allowed.next(), allowed.next()) {
            (Some(server), Some(load)) => Ok(Self { server, load }),
            _ => bail!("two cores are needed, one for the server and one for the load"),
        }
    }

    /// Pins this thread, and the processes that it starts from now on, to the server's core.
    pub fn pin_to_server(self) -> anyhow::Result<()> {
        pin_to(self.server)
    }

    /// Pins this thread, and the processes that it starts from now on, to the load's core.
    pub fn pin_to_load(self) -> anyhow::Result<()> {
        pin_to(self.load)
    }
}

fn pin_to(core: usize) -> anyhow::Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None, &cores).context("pinning to a core")
}

/// Raises the limit on descriptors to its maximum, for this process and for those that it starts.
pub fn raise_descriptor_limit() -> anyhow::Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).context("raising the limit on descriptors")
}
