//! CPU time and memory of processes, from `/proc`.

use std::{collections::BTreeMap, fs, io, time::Duration};

use serde::{Deserialize, Serialize};

/// CPU time of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cpu {
    /// Time for which the threads of the process ran on a core.
    pub ran: Duration,
    /// Time for which the threads of the process were runnable, but had no core.
    pub waited: Duration,
}

impl Cpu {
    /// Reads the CPU time of all threads of process `pid`.
    pub(crate) fn of(pid: u32) -> io::Result<Self> {
        Ok(Threads::of(pid)?.total())
    }

    /// Parses a line of `schedstat`.
    fn parse(text: &str) -> Self {
        // The first field is the time on a core, the second one the time of waiting for a core.
        let mut nanos = text.split(' ').map_while(|field| field.parse().ok());
        Self {
            ran: Duration::from_nanos(nanos.next().unwrap_or(0)),
            waited: Duration::from_nanos(nanos.next().unwrap_or(0)),
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            ran: self.ran + other.ran,
            waited: self.waited + other.waited,
        }
    }

    /// Returns the CPU time used since the reading `earlier`.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            ran: self.ran.saturating_sub(earlier.ran),
            waited: self.waited.saturating_sub(earlier.waited),
        }
    }

    /// Returns the CPU time in `time`, of a process that has used `self` in `elapsed`.
    pub(crate) fn scaled(self, time: Duration, elapsed: Duration) -> Self {
        let scale = time.as_secs_f64() / elapsed.as_secs_f64().max(f64::EPSILON);
        Self {
            ran: self.ran.mul_f64(scale),
            waited: self.waited.mul_f64(scale),
        }
    }

    /// Returns the CPU time of the busier of two processes: the one whose threads ran or waited for
    /// a core for longer.
    pub(crate) fn busier(self, other: Self) -> Self {
        if other.ran + other.waited > self.ran + self.waited {
            other
        } else {
            self
        }
    }
}

/// CPU time of each thread of a process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Threads(BTreeMap<String, Cpu>);

impl Threads {
    /// Reads the CPU time of the threads of process `pid`.
    pub(crate) fn of(pid: u32) -> io::Result<Self> {
        let mut threads = BTreeMap::new();
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            let task = task?;
            // A thread may have ended meanwhile.
            let Ok(text) = fs::read_to_string(task.path().join("schedstat")) else {
                continue;
            };
            let id = task.file_name().to_string_lossy().into_owned();
            threads.insert(id, Cpu::parse(&text));
        }
        Ok(Self(threads))
    }

    /// Returns the CPU time of all threads together.
    pub(crate) fn total(&self) -> Cpu {
        self.0.values().copied().fold(Cpu::default(), Cpu::plus)
    }

    /// Returns the CPU time of the thread that was the busiest since the reading `earlier`.
    pub(crate) fn busiest_since(&self, earlier: &Self) -> Cpu {
        let used = self.0.iter().map(|(id, cpu)| {
            let before = earlier.0.get(id).copied().unwrap_or_default();
            cpu.since(before)
        });
        used.fold(Cpu::default(), Cpu::busier)
    }
}

/// Returns on how many cores process `pid` may run.
pub(crate) fn allowed_cores(pid: u32) -> io::Result<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed:"));
    let digits = mask.unwrap_or_default().chars();
    Ok(digits
        .filter_map(|digit| digit.to_digit(16))
        .map(u32::count_ones)
        .sum())
}

/// Returns the resident memory of process `pid`, in bytes.
pub(crate) fn resident_bytes(pid: u32) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    // A zombie (ended, but its parent has not called wait yet) has no VmRSS.
    let kib = field(&status, "VmRSS:").ok_or(io::ErrorKind::NotFound)?;
    Ok(kib * 1024)
}

/// Returns the kernel's memory for the buffers of all TCP sockets of the machine, in bytes.
pub(crate) fn socket_bytes() -> io::Result<u64> {
    let sockets = fs::read_to_string("/proc/net/sockstat")?;
    let tcp = sockets.lines().find(|line| line.starts_with("TCP:"));
    let pages = tcp.and_then(|line| field(line, "mem")).unwrap_or(0);
    Ok(pages * rustix::param::page_size() as u64)
}

/// Returns the number that follows the word `name` in `text`.
fn field(text: &str, name: &str) -> Option<u64> {
    let mut words = text.split_whitespace().skip_while(|word| *word != name);
    words.nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_that_follows_a_name_is_read() {
        let text = "TCP: inuse 5 orphan 0 tw 2 alloc 6 mem 31\nVmRSS:\t  128 kB\n";
        assert_eq!(field(text, "mem"), Some(31));
        assert_eq!(field(text, "VmRSS:"), Some(128));
        assert_eq!(field(text, "VmSwap:"), None);
    }

    #[test]
    fn the_busiest_thread_is_the_one_that_ran_or_waited_for_longer_since_a_reading() {
        let threads = |used: &[(&str, u64)]| {
            let cpu =
                |&(id, nanos): &(&str, u64)| (id.to_owned(), Cpu::parse(&format!("{nanos} 0 1")));
            Threads(used.iter().map(cpu).collect())
        };
        let before = threads(&[("1", 900), ("2", 10)]);
        // Thread 3 is new.
        let after = threads(&[("1", 905), ("2", 40), ("3", 7)]);
        let busiest = after.busiest_since(&before);
        assert_eq!(busiest.ran, Duration::from_nanos(30));
        assert_eq!(after.total().ran, Duration::from_nanos(952));
    }

    #[test]
    fn the_cpu_time_of_a_longer_time_is_scaled_down() {
        let seconds = Duration::from_secs;
        let cpu = Cpu {
            ran: seconds(3),
            waited: seconds(1),
        };
        let scaled = cpu.scaled(seconds(1), seconds(4));
        assert_eq!(scaled.ran, Duration::from_millis(750));
        assert_eq!(scaled.waited, Duration::from_millis(250));
    }

    #[test]
    fn this_process_may_run_on_a_core() {
        assert!(allowed_cores(std::process::id()).unwrap() > 0);
    }

    #[test]
    fn this_process_uses_cpu_time_and_memory() {
        let pid = std::process::id();
        assert!(Cpu::of(pid).unwrap().ran > Duration::ZERO);
        assert!(resident_bytes(pid).unwrap() > 100_000);
        assert!(socket_bytes().is_ok());
    }
}
