//! The memory that this process may use: that of the machine, or less if a cgroup has a limit.
//!
//! The limit of a container is that of its cgroup or of a cgroup above that. Cgroups of version 1
//! and of version 2 are read. If no limit is found, the machine's memory counts.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Returns the memory that this process may use, in bytes: the smallest of the machine's memory,
/// the limit of the process's cgroup, and the limits of the cgroups above that. If none of them can
/// be read, it is 1 GiB.
#[must_use]
pub(super) fn available() -> u64 {
    let read = |path: &Path| fs::read_to_string(path).ok();
    available_to(&read).unwrap_or(UNKNOWN)
}

/// Returns the same as [`available`], with `read` in place of the file system, or `None` if nothing
/// can be read.
fn available_to(read: &impl Fn(&Path) -> Option<String>) -> Option<u64> {
    let machine = read(Path::new("/proc/meminfo")).and_then(|info| total(&info));
    let groups = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let limits = limit_files(&groups).into_iter();
    let limits = limits.filter_map(|file| read(&file)?.trim().parse::<u64>().ok());
    // A limit of 0 is ignored: this process could not run under it, so the group does not limit
    // memory.
    limits.filter(|&limit| limit > 0).chain(machine).min()
}

/// Returns the memory of the machine, in bytes: `MemTotal` of `/proc/meminfo`.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

/// Returns the files that may hold a limit of memory: those of the process's cgroup, and those of
/// all cgroups above it. `groups` is the text of `/proc/self/cgroup`. In a container the paths in
/// it may be those outside of the container, under which no file is found. The topmost cgroup that
/// the container sees is then its own.
fn limit_files(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    // The lines are ID:CONTROLLERS:PATH. In version 2 there are no controllers.
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else {
            continue;
        };
        let (root, name) = if controllers.is_empty() {
            ("/sys/fs/cgroup", "memory.max")
        } else if controllers.split(',').any(|each| each == "memory") {
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
        } else {
            continue;
        };
        let below = Path::new(path.trim_start_matches('/'));
        files.extend(
            below
                .ancestors()
                .map(|group| Path::new(root).join(group).join(name)),
        );
    }
    files
}

/// Bytes of memory that are assumed if the machine does not say how much it has.
const UNKNOWN: u64 = 1 << 30;

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: &str = "MemTotal:       16384 kB\nMemFree:         1 kB\n";

    /// Returns the memory that a process may use if the system has only these files: paths and
    /// texts.
    fn available(files: &[(&str, &str)]) -> Option<u64> {
        available_to(&|path| {
            let file = files.iter().find(|(name, _)| Path::new(name) == path);
            file.map(|(_, text)| (*text).to_owned())
        })
    }

    #[test]
    fn the_machines_memory_or_the_smallest_limit_of_the_cgroups_counts() {
        let machine = ("/proc/meminfo", MEMINFO);
        assert_eq!(available(&[machine]), Some(16 << 20));
        let group = ("/proc/self/cgroup", "0::/a/b\n");
        let own = ("/sys/fs/cgroup/a/b/memory.max", "max\n");
        let above = ("/sys/fs/cgroup/a/memory.max", "1048576\n");
        assert_eq!(available(&[machine, group, own, above]), Some(1 << 20));
        let own = ("/sys/fs/cgroup/a/b/memory.max", "4096\n");
        assert_eq!(available(&[machine, group, own, above]), Some(4096));
        assert_eq!(available(&[]), None);
    }

    #[test]
    fn limits_of_cgroup_version_1_are_found_and_its_number_for_no_limit_is_ignored() {
        let files = [
            ("/proc/meminfo", MEMINFO),
            (
                "/proc/self/cgroup",
                "5:cpu,cpuacct:/x\n4:memory:/docker/1f\n1:name=systemd:/\n",
            ),
            // No file of the group `/docker/1f` exists: the container sees its own group as the
            // topmost one.
            ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "8388608\n"),
        ];
        assert_eq!(available(&files), Some(8 << 20));
        let unlimited = (
            "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            "9223372036854771712\n",
        );
        assert_eq!(available(&[files[0], files[1], unlimited]), Some(16 << 20));
    }
}
