//! How much memory this process may have: what the machine has, or less if a cgroup says so.
//!
//! A container's limit is that of its cgroup (or of one above it), of version 2 or 1. Where none can
//! be found there is none.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Returns the memory that this process may have, in bytes: the machine's, or the least limit of its
/// memory cgroup and of those above it. Where nothing says so it is 1 GiB.
#[must_use]
pub(super) fn available() -> u64 {
    let read = |path: &Path| fs::read_to_string(path).ok();
    available_to(&read).unwrap_or(UNKNOWN)
}

fn available_to(read: &impl Fn(&Path) -> Option<String>) -> Option<u64> {
    let machine = read(Path::new("/proc/meminfo")).and_then(|info| total(&info));
    let groups = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let limits = limit_files(&groups).into_iter();
    let limits = limits.filter_map(|file| read(&file)?.trim().parse::<u64>().ok());
    // A group that needs no memory gets none: that is no limit to reckon with.
    limits.filter(|&limit| limit > 0).chain(machine).min()
}

/// Returns `MemTotal`, in bytes.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

/// Returns the files that may hold a limit: of the group, and of all above it. In a container the
/// group's path may be that outside, which is not found there; the topmost one is then its own.
fn limit_files(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    // ID:CONTROLLERS:PATH; version 2 has no controllers.
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

/// A machine that does not say what it has.
const UNKNOWN: u64 = 1 << 30;

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: &str = "MemTotal:       16384 kB\nMemFree:         1 kB\n";

    fn available(files: &[(&str, &str)]) -> Option<u64> {
        available_to(&|path| {
            let file = files.iter().find(|(name, _)| Path::new(name) == path);
            file.map(|(_, text)| (*text).to_owned())
        })
    }

    #[test]
    fn it_is_the_machines_or_the_least_limit_of_the_group_and_those_above_it() {
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
    fn version_1_has_controllers_and_a_number_for_no_limit() {
        let files = [
            ("/proc/meminfo", MEMINFO),
            (
                "/proc/self/cgroup",
                "5:cpu,cpuacct:/x\n4:memory:/docker/1f\n1:name=systemd:/\n",
            ),
            // The container sees its own group as the topmost one.
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
