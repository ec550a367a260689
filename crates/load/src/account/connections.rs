//! Counts of the connections of a run.

use std::{collections::BTreeMap, error::Error as _};

use serde::{Deserialize, Serialize};

use crate::{account::latencies::Latencies, client::event::End};

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
    /// The first reason that came with each close code, made safe to print. A code that always came
    /// without a reason has none.
    pub close_reasons: BTreeMap<u16, String>,
    /// The reason why the first connection failed that failed before it was open, made safe to
    /// print.
    pub first_failure: Option<String>,
    /// Number of closing handshakes that the generator began, and that the server did not answer in
    /// time.
    pub unclosed: u64,
    /// Number of publications over HTTP that were sent again, because the server had ended the
    /// connection before it answered them. One that was sent three times counts twice.
    pub resent: u64,
}

impl Connections {
    /// Counts a connection that failed before it was open.
    pub(crate) fn add_failure(&mut self, end: &End) {
        self.failed += 1;
        if let (None, End::Failed(error)) = (&self.first_failure, end) {
            let cause = error.source().map(|cause| format!(": {cause}"));
            self.first_failure = Some(format!("{error}{}", cause.unwrap_or_default()));
        }
    }

    /// Counts a connection that the server closed with this code and reason, which may be empty.
    pub(crate) fn add_close(&mut self, code: u16, reason: &str) {
        *self.close_codes.entry(code).or_default() += 1;
        if !reason.is_empty() {
            let first = self.close_reasons.entry(code);
            first.or_insert_with(|| reason.to_owned());
        }
    }

    /// Adds the counts of another process of the same run.
    pub(super) fn add(&mut self, other: &Self) {
        self.opened += other.opened;
        self.handshakes.add(&other.handshakes);
        self.failed += other.failed;
        self.disconnected += other.disconnected;
        for (code, count) in &other.close_codes {
            *self.close_codes.entry(*code).or_default() += count;
        }
        for (code, reason) in &other.close_reasons {
            let first = self.close_reasons.entry(*code);
            first.or_insert_with(|| reason.clone());
        }
        if self.first_failure.is_none() {
            self.first_failure.clone_from(&other.first_failure);
        }
        self.unclosed += other.unclosed;
        self.resent += other.resent;
    }
}
