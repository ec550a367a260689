//! A memory cgroup: a container that has only so much, where this process may make one.

use std::{
    fs::{self, read_to_string},
    io,
    path::{Path, PathBuf},
    process::{self, Command},
    thread,
    time::Duration,
};

/// A cgroup of the test's own; removed when it is dropped, by when nobody must live in it.
#[derive(Debug)]
pub(crate) struct Cgroup {
    directory: PathBuf,
    files: &'static Files,
}

/// What the two versions call what they have in common.
#[derive(Debug)]
struct Files {
    limit: &'static str,
    peak: &'static str,
    /// Has a line `oom_kill N`.
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
    /// One with so much memory; none where that is not permitted.
    pub(crate) fn make(bytes: u64) -> Option<Self> {
        let mounts = read_to_string("/proc/self/mounts").ok()?;
        let own = read_to_string("/proc/self/cgroup").ok()?;
        let mut parents = parents(&mounts, &own).into_iter();
        parents.find_map(|(parent, files)| Self::make_in(&parent, files, bytes).ok())
    }

    fn make_in(parent: &Path, files: &'static Files, bytes: u64) -> io::Result<Self> {
        let directory = parent.join(format!("framecast-attacks-{}", process::id()));
        fs::create_dir(&directory)?;
        let made = Self { directory, files };
        // Without the controller there is no such file, and what was made is removed again.
        fs::metadata(made.directory.join(files.limit))?;
        fs::write(made.directory.join(files.limit), bytes.to_string())?;
        Ok(made)
    }

    /// A command that runs `program` in it, from its first instruction on.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("sh");
        command
            .args(["-c", r#"echo $$ > "$0" && exec "$@""#])
            .arg(self.directory.join("cgroup.procs"))
            .arg(program);
        command
    }

    /// How many were killed in it for want of memory.
    pub(crate) fn kills(&self) -> u64 {
        let kills = read_to_string(self.directory.join(self.files.kills)).unwrap_or_default();
        let line = kills
            .lines()
            .find_map(|line| line.strip_prefix("oom_kill "));
        line.and_then(|kills| kills.trim().parse().ok())
            .unwrap_or(0)
    }

    /// The most that was charged to it, the kernel's part included, in KiB.
    pub(crate) fn peak_kib(&self) -> Option<u64> {
        let peak = read_to_string(self.directory.join(self.files.peak)).ok()?;
        Some(peak.trim().parse::<u64>().ok()? / 1024)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Who has just ended may still be counted for a moment.
        for _ in 0..100 {
            match fs::remove_dir(&self.directory) {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {}
                _ => return,
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Where one could be made: below this process's own.
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
