//! Counts of the connections of a run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::account::latencies::Latencies;

/// Counts of the connections of a run, and the times of their handshakes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Connections {
    /// Number of connections that were opened.
    pub opened: u64,
    /// Times from the scheduled connect of a connection until it was open. A WebSocket is open when
    /// the 101 has arrived, a connection for plain HTTP when TCP has connected.
    pub handshakes: Latencies,
    /// Number of connections that failed before they were open.
    pub failed: u64,
    /// Number of open connections that the server ended, or that broke.
    pub disconnected: u64,
    /// Number of connections that the server closed with each close code.
    pub close_codes: BTreeMap<u16, u64>,
    /// Number of closing handshakes that the generator began, and that the server did not answer in
    /// time.
    pub unclosed: u64,
    /// Number of publications over HTTP that were sent again, because the server had ended the
    /// connection before it answered them. One that was sent three times counts twice.
    pub resent: u64,
}

impl Connections {
    /// Adds the counts of another process of the same run.
    pub(super) fn add(&mut self, other: &Self) {
        self.opened += other.opened;
        self.handshakes.add(&other.handshakes);
        self.failed += other.failed;
        self.disconnected += other.disconnected;
        for (code, count) in &other.close_codes {
            *self.close_codes.entry(*code).or_default() += count;
        }
        self.unclosed += other.unclosed;
        self.resent += other.resent;
    }
}
