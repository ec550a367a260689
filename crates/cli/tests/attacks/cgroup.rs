//! A memory cgroup with a limit, where this process may create one.

use std::{
    fs::{self, read_to_string},
    io,
    path::{Path, PathBuf},
    process::{self, Command},
    thread,
    time::Duration,
};

/// A cgroup of this test, which is removed when this value is dropped. No process may be in the
/// cgroup then.
#[derive(Debug)]
pub(crate) struct Cgroup {
    directory: PathBuf,
    files: &'static Files,
}

/// Names of the files that both versions of cgroups have.
#[derive(Debug)]
struct Files {
    limit: &'static str,
    peak: &'static str,
    /// File with a line `oom_kill N`.
    kills: &'static str,
}

const V1: Files = Files {
    limit: "memory.limit_in_bytes",
    peak: "memory.max_usage_in_bytes",
    kills: "memory.oom_control",
};

const V2: Files = Files {
    limit: "memory.max",
    peak: "memory.peak",
    kills: "memory.events",
};

impl Cgroup {
    /// Creates a cgroup limited to `bytes` of memory; `None` where that is not permitted.
    pub(crate) fn make(bytes: u64) -> Option<Self> {
        let mounts = read_to_string("/proc/self/mounts").ok()?;
        let own = read_to_string("/proc/self/cgroup").ok()?;
        let mut parents = parents(&mounts, &own).into_iter();
        parents.find_map(|(parent, files)| Self::make_in(&parent, files, bytes).ok())
    }

    /// Creates the cgroup in the folder `parent`.
    fn make_in(parent: &Path, files: &'static Files, bytes: u64) -> io::Result<Self> {
        let directory = parent.join(format!("framecast-attacks-{}", process::id()));
        fs::create_dir(&directory)?;
        let made = Self { directory, files };
        // Without the memory controller there is no such file; dropping `made` removes the folder.
        fs::metadata(made.directory.join(files.limit))?;
        fs::write(made.directory.join(files.limit), bytes.to_string())?;
        Ok(made)
    }

    /// Returns a command that runs `program` in the cgroup, from its first instruction on.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("sh");
        command
            .args(["-c", r#"echo $$ > "$0" && exec "$@""#])
            .arg(self.directory.join("cgroup.procs"))
            .arg(program);
        command
    }

    /// Returns how many processes of the cgroup the kernel has killed for lack of memory.
    pub(crate) fn kills(&self) -> u64 {
        let kills = read_to_string(self.directory.join(self.files.kills)).unwrap_or_default();
        let line = kills
            .lines()
            .find_map(|line| line.strip_prefix("oom_kill "));
        line.and_then(|kills| kills.trim().parse().ok())
            .unwrap_or(0)
    }

    /// Returns the peak of the memory charged to the cgroup, the kernel's part included, in KiB.
    pub(crate) fn peak_kib(&self) -> Option<u64> {
        let peak = read_to_string(self.directory.join(self.files.peak)).ok()?;
        Some(peak.trim().parse::<u64>().ok()? / 1024)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // A process that has just ended may still be in it for a moment.
        for _ in 0..100 {
            match fs::remove_dir(&self.directory) {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {}
                _ => return,
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Returns the folders in which a cgroup could be created: those of this process's own cgroups.
/// `mounts` and `own` are the texts of `/proc/self/mounts` and `/proc/self/cgroup`.
fn parents(mounts: &str, own: &str) -> Vec<(PathBuf, &'static Files)> {
    let own_path = |is_mine: fn(&str) -> bool| {
        let mut lines = own.lines().filter_map(|line| line.split_once(':'));
        lines.find_map(|(_, line)| {
            let (controllers, path) = line.split_once(':')?;
            is_mine(controllers).then(|| path.trim_start_matches('/'))
        })
    };
    let all = mounts.lines().filter_map(|mount| {
        let mut fields = mount.split(' ').skip(1);
        let (top, kind, options) = (fields.next()?, fields.next()?, fields.next()?);
        let is_memory = |names: &str| names.split(',').any(|name| name == "memory");
        let (files, path) = match kind {
            "cgroup" if is_memory(options) => (&V1, own_path(is_memory)?),
            "cgroup2" => (&V2, own_path(str::is_empty)?),
            _ => return None,
        };
        Some((Path::new(top).join(path), files))
    });
    all.collect()
}
