//! One core for the server, another one for the load.

use anyhow::{Context as _, bail};
use rustix::{
    process::{Resource, getrlimit, setrlimit},
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};

/// The two that are used.
#[derive(Clone, Copy, Debug)]
pub struct Cores {
    server: usize,
    load: usize,
}

impl Cores {
    /// The first two of those that this process may use.
    pub fn choose() -> anyhow::Result<Self> {
        let allowed = sched_getaffinity(None).context("looking for cores")?;
        let mut allowed = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
        match (allowed.next(), allowed.next()) {
            (Some(server), Some(load)) => Ok(Self { server, load }),
            _ => bail!("two cores are needed, one for the server and one for the load"),
        }
    }

    /// What this thread starts from now on is a server.
    pub fn serve(self) -> anyhow::Result<()> {
        stay_on(self.server)
    }

    /// What this thread starts from now on is load.
    pub fn load(self) -> anyhow::Result<()> {
        stay_on(self.load)
    }
}

fn stay_on(core: usize) -> anyhow::Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None, &cores).context("choosing a core")
}

/// Allows as many descriptors as may be, to what is started, too.
pub fn allow_descriptors() -> anyhow::Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).context("allowing more descriptors")
}
