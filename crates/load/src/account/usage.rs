//! CPU time and memory of processes, from `/proc`.

use std::{fs, io, time::Duration};

use serde::{Deserialize, Serialize};

/// CPU time of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cpu {
    /// Time for which the threads of the process ran on a core.
    pub ran: Duration,
    /// Time for which these threads were runnable, but had no core.
    pub waited: Duration,
}

impl Cpu {
    /// Reads the CPU time of all threads of process `pid`.
    pub(crate) fn of(pid: u32) -> io::Result<Self> {
        let mut sum = Self::default();
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            // A thread may have ended meanwhile.
            let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else {
                continue;
            };
            // The first field is the time on a core, the second one the time of waiting for a core.
            let mut nanos = text.split(' ').map_while(|field| field.parse().ok());
            sum.ran += Duration::from_nanos(nanos.next().unwrap_or(0));
            sum.waited += Duration::from_nanos(nanos.next().unwrap_or(0));
        }
        Ok(sum)
    }

    /// Returns the CPU time used since the reading `earlier`.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            ran: self.ran.saturating_sub(earlier.ran),
            waited: self.waited.saturating_sub(earlier.waited),
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
    fn this_process_uses_cpu_time_and_memory() {
        let pid = std::process::id();
        assert!(Cpu::of(pid).unwrap().ran > Duration::ZERO);
        assert!(resident_bytes(pid).unwrap() > 100_000);
        assert!(socket_bytes().is_ok());
    }
}
