//! What the server uses during a run, seen from outside: CPU, memory, and the kernel's for sockets.

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
    /// Before the connections, with them at the end of the measured time.
    resident_bytes: (u64, u64),
    socket_bytes: (u64, u64),
    cpu: (Cpu, Cpu),
    is_gone: bool,
}

/// What the server used.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ServerUse {
    /// The server's process.
    pub pid: u32,
    /// In the measured time.
    pub cpu_seconds: f64,
    /// Cores in use, on average.
    pub cpu_cores: f64,
    /// For each answer or delivery, if there were any.
    pub cpu_us_per_message: Option<f64>,
    /// At the end.
    pub resident_bytes: u64,
    /// What it has grown by, for each connection.
    pub resident_bytes_per_connection: f64,
    /// What the buffers of all TCP sockets of the machine, both ends, have grown by.
    pub kernel_socket_bytes: i64,
}

impl Meter {
    /// Before the connections.
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

    /// The measured time begins.
    pub(crate) fn opens(&mut self) {
        match Cpu::of(self.pid) {
            Ok(cpu) => self.cpu.0 = cpu,
            Err(_) => self.is_gone = true,
        }
    }

    /// The measured time has ended.
    pub(crate) fn closes(&mut self) {
        let mut read = || -> io::Result<()> {
            self.cpu.1 = Cpu::of(self.pid)?;
            self.resident_bytes.1 = resident_bytes(self.pid)?;
            self.socket_bytes.1 = socket_bytes()?;
            Ok(())
        };
        self.is_gone |= read().is_err();
    }

    /// What was used in the run of `report` with `connections`; nothing is known of a server that
    /// has ended meanwhile.
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
