//! CPU time and memory of the server during a run, and the kernel's memory for sockets, read from
//! `/proc`.

use std::{io, mem, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    account::{
        report::Report,
        usage::{Cpu, Threads, allowed_cores, resident_bytes, socket_bytes},
    },
    clock::Moment,
    error::Error,
};

/// Reads CPU time and memory of process `pid` before the connections are opened, and at the start
/// and the end of the measured time. It also samples the memory over the whole run.
#[derive(Debug)]
pub(crate) struct Meter {
    pid: u32,
    /// The server's resident memory in bytes, before there are connections and at the end of the
    /// measured time.
    resident_bytes: (u64, u64),
    /// The kernel's memory for TCP buffers in bytes, before there are connections and at the end of
    /// the measured time.
    socket_bytes: (u64, u64),
    /// The CPU time of the server's threads at the start and at the end of the measured time.
    threads: (Threads, Threads),
    /// The times at which these were read. A generator that falls behind its schedule reads the
    /// second one late.
    read: (Moment, Moment),
    /// Number of cores on which the server may run.
    allowed_cores: u32,
    samples: Samples,
    /// True once the CPU time or memory could not be read, because the process has ended.
    is_gone: bool,
}

/// The CPU time and memory that the server used.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ServerUse {
    /// Id of the server's process.
    pub pid: u32,
    /// CPU time used during the measured time, in seconds.
    pub cpu_seconds: f64,
    /// Number of cores that the server kept busy, on average over the measured time.
    pub cpu_cores: f64,
    /// Share of the measured time for which the busiest thread of the server ran or waited for a
    /// core.
    pub busiest_thread: f64,
    /// Number of cores on which the server may run.
    pub allowed_cores: u32,
    /// CPU time used during the measured time, in microseconds, divided by the number of replies,
    /// deliveries or handshakes in this time. `None` if that number is 0.
    pub cpu_us_per_message: Option<f64>,
    /// Resident memory at the end of the measured time, in bytes.
    pub resident_bytes: u64,
    /// Growth of the resident memory from before the first connection to the end of the measured
    /// time, in bytes, divided by the number of connections.
    pub resident_bytes_per_connection: f64,
    /// Growth of the memory that the kernel uses for the buffers of all TCP sockets of this
    /// machine, in bytes. If the server runs on this machine, too, this includes the buffers of
    /// both ends of each connection.
    pub kernel_socket_bytes: i64,
}

impl Meter {
    /// Reads the server's memory. Call it before there are connections.
    pub(crate) fn new(pid: u32) -> Result<Self, Error> {
        let resident = resident_bytes(pid).map_err(|error| Error::Pid(pid, error))?;
        let sockets = socket_bytes().map_err(|error| Error::Pid(pid, error))?;
        Ok(Self {
            pid,
            resident_bytes: (resident, resident),
            socket_bytes: (sockets, sockets),
            threads: Default::default(),
            read: Default::default(),
            allowed_cores: allowed_cores(pid).map_err(|error| Error::Pid(pid, error))?,
            samples: Samples::default(),
            is_gone: false,
        })
    }

    /// Samples the server's memory. `open` is the number of connections that are open.
    pub(crate) fn sample(&mut self, now: Moment, open: usize) {
        if self.samples.is_due(now)
            && let Ok(resident_bytes) = resident_bytes(self.pid)
        {
            self.samples.push(now, open, resident_bytes);
        }
    }

    /// Returns the samples of the server's memory.
    pub(crate) fn take_samples(&mut self) -> Vec<MemorySample> {
        mem::take(&mut self.samples.taken)
    }

    /// Reads the server's CPU time at the beginning of the measured time.
    pub(crate) fn begin(&mut self) {
        match Threads::of(self.pid) {
            Ok(threads) => (self.threads.0, self.read.0) = (threads, Moment::now()),
            Err(_) => self.is_gone = true,
        }
    }

    /// Reads the server's CPU time and memory at the end of the measured time.
    pub(crate) fn end(&mut self) {
        let mut read = || -> io::Result<()> {
            (self.threads.1, self.read.1) = (Threads::of(self.pid)?, Moment::now());
            self.resident_bytes.1 = resident_bytes(self.pid)?;
            self.socket_bytes.1 = socket_bytes()?;
            Ok(())
        };
        self.is_gone |= read().is_err();
    }

    /// Returns the server's use of CPU and memory in a run with this `report` and this number of
    /// `connections`. `None` if the server process ended before the measured time did.
    pub(crate) fn server_use(&self, report: &Report, connections: usize) -> Option<ServerUse> {
        if self.is_gone {
            return None;
        }
        let (before, after) = &self.threads;
        let elapsed = self.read.1.since(self.read.0);
        let all = after.total().since(before.total());
        let cpu_seconds = all.scaled(report.duration, elapsed).ran.as_secs_f64();
        let busiest = after.busiest_since(before);
        let Cpu { ran, waited } = busiest.scaled(report.duration, elapsed);
        let seconds = report.duration.as_secs_f64();
        let messages = report.measured;
        let grown = |(before, after): (u64, u64)| after.cast_signed() - before.cast_signed();
        Some(ServerUse {
            pid: self.pid,
            cpu_seconds,
            cpu_cores: cpu_seconds / seconds,
            busiest_thread: (ran + waited).as_secs_f64() / seconds,
            allowed_cores: self.allowed_cores,
            cpu_us_per_message: (messages > 0).then(|| cpu_seconds * 1e6 / messages as f64),
            resident_bytes: self.resident_bytes.1,
            resident_bytes_per_connection: grown(self.resident_bytes) as f64
                / connections.max(1) as f64,
            kernel_socket_bytes: grown(self.socket_bytes),
        })
    }
}

/// The memory of the server at one moment of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemorySample {
    /// Time since the first sample.
    pub after: Duration,
    /// Number of connections that were open.
    pub open: usize,
    /// The server's resident memory, in bytes.
    pub resident_bytes: u64,
}

/// Samples of the memory over a run, at most [`MOST_SAMPLES`]. A longer run has them further apart.
#[derive(Debug, Default)]
struct Samples {
    taken: Vec<MemorySample>,
    begun: Option<Moment>,
    /// Time at which the next sample is due.
    next: Moment,
    interval: Duration,
}

impl Samples {
    fn is_due(&self, now: Moment) -> bool {
        self.next <= now
    }

    /// Adds a sample. Leaves out every second one if there are too many, and doubles the interval.
    fn push(&mut self, now: Moment, open: usize, resident_bytes: u64) {
        let begun = *self.begun.get_or_insert(now);
        self.taken.push(MemorySample {
            after: now.since(begun),
            open,
            resident_bytes,
        });
        if self.taken.len() >= MOST_SAMPLES {
            let mut is_kept = false;
            self.taken.retain(|_| {
                is_kept = !is_kept;
                is_kept
            });
            self.interval = self.interval.max(LEAST_INTERVAL) * 2;
        }
        self.next = now + self.interval;
    }
}

/// Largest number of samples: more than a chart can show.
const MOST_SAMPLES: usize = 1000;

/// The interval between the first samples: that of the progress.
const LEAST_INTERVAL: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_a_long_run_are_further_apart() {
        let mut samples = Samples::default();
        let mut offered = 0;
        for tick in 0..100_000_u64 {
            let now = Moment::from_nanos(1) + LEAST_INTERVAL * u32::try_from(tick).unwrap();
            if samples.is_due(now) {
                samples.push(now, 7, tick);
                offered += 1;
            }
        }
        assert!(samples.taken.len() < MOST_SAMPLES && samples.taken.len() > MOST_SAMPLES / 4);
        assert!(offered < 10_000, "{offered}");
        assert_eq!(samples.taken[0].after, Duration::ZERO);
        assert!(samples.taken.is_sorted_by_key(|sample| sample.after));
        // The samples cover nearly the whole run of 10,000 s.
        let last = samples.taken.last().unwrap().after;
        assert!(last > Duration::from_secs(9_900), "{last:?}");
    }
}
