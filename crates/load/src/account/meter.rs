//! CPU time and memory of the server during a run, and the kernel's memory for sockets, read from
//! `/proc`.

use std::io;

use serde::Serialize;

use crate::{
    account::{
        report::Report,
        usage::{Cpu, resident_bytes, socket_bytes},
    },
    error::Error,
};

/// Reads CPU time and memory of process `pid` before the connections are opened, and at the start
/// and the end of the measured time.
#[derive(Debug)]
pub(crate) struct Meter {
    pid: u32,
    /// The server's resident memory before there are connections, and at the end of the measured
    /// time.
    resident_bytes: (u64, u64),
    /// The kernel's memory for TCP buffers at the same two times.
    socket_bytes: (u64, u64),
    /// The server's CPU time at the start and at the end of the measured time.
    cpu: (Cpu, Cpu),
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
    /// CPU time used during the measured time, divided by the replies, deliveries or handshakes in
    /// it, in microseconds. `None` if there were none.
    pub cpu_us_per_message: Option<f64>,
    /// Resident memory at the end of the measured time, in bytes.
    pub resident_bytes: u64,
    /// Growth of the resident memory during the run in bytes, divided by the number of connections.
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
            cpu: Default::default(),
            is_gone: false,
        })
    }

    /// Reads the server's CPU time at the beginning of the measured time.
    pub(crate) fn begin(&mut self) {
        match Cpu::of(self.pid) {
            Ok(cpu) => self.cpu.0 = cpu,
            Err(_) => self.is_gone = true,
        }
    }

    /// Reads the server's CPU time and memory at the end of the measured time.
    pub(crate) fn end(&mut self) {
        let mut read = || -> io::Result<()> {
            self.cpu.1 = Cpu::of(self.pid)?;
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
        let cpu_seconds = self.cpu.1.since(self.cpu.0).ran.as_secs_f64();
        let messages = report.measured;
        let grown = |(before, after): (u64, u64)| after.cast_signed() - before.cast_signed();
        Some(ServerUse {
            pid: self.pid,
            cpu_seconds,
            cpu_cores: cpu_seconds / report.duration.as_secs_f64(),
            cpu_us_per_message: (messages > 0).then(|| cpu_seconds * 1e6 / messages as f64),
            resident_bytes: self.resident_bytes.1,
            resident_bytes_per_connection: grown(self.resident_bytes) as f64
                / connections.max(1) as f64,
            kernel_socket_bytes: grown(self.socket_bytes),
        })
    }
}
