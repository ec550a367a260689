//! CPU and memory that the server uses during a run, and those of the kernel for sockets, seen from outside.

use std::io;

use serde::Serialize;

use crate::{
    account::{
        report::Report,
        usage::{Cpu, resident_bytes, socket_bytes},
    },
    error::Error,
};

/// Reads what process `pid` uses at the turns of a run.
#[derive(Debug)]
pub(crate) struct Meter {
    pid: u32,
    /// Before there are connections, and at the end of the measured time.
    resident_bytes: (u64, u64),
    socket_bytes: (u64, u64),
    cpu: (Cpu, Cpu),
    is_gone: bool,
}

/// The CPU time and memory that the server used.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ServerUse {
    /// The server's process.
    pub pid: u32,
    /// CPU time in the measured time.
    pub cpu_seconds: f64,
    /// Cores in use, on average.
    pub cpu_cores: f64,
    /// CPU time for each answer or delivery, if there were any.
    pub cpu_us_per_message: Option<f64>,
    /// Resident memory at the end.
    pub resident_bytes: u64,
    /// Growth of the resident memory, for each connection.
    pub resident_bytes_per_connection: f64,
    /// Growth of the buffers of all TCP sockets of the machine, both ends.
    pub kernel_socket_bytes: i64,
}

impl Meter {
    /// Reads what the server uses before there are connections.
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

    /// Reads what the server has used at the beginning of the measured time.
    pub(crate) fn begin(&mut self) {
        match Cpu::of(self.pid) {
            Ok(cpu) => self.cpu.0 = cpu,
            Err(_) => self.is_gone = true,
        }
    }

    /// Reads what the server has used at the end of the measured time.
    pub(crate) fn end(&mut self) {
        let mut read = || -> io::Result<()> {
            self.cpu.1 = Cpu::of(self.pid)?;
            self.resident_bytes.1 = resident_bytes(self.pid)?;
            self.socket_bytes.1 = socket_bytes()?;
            Ok(())
        };
        self.is_gone |= read().is_err();
    }

    /// Returns what was used in the run of `report` with `connections`; `None` if the server has
    /// ended meanwhile.
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
