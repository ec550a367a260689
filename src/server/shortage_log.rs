//! The log of shortages: at most one line a second for each kind of shortage, with the number of
//! clients or requests that were ended or refused.

use tracing::warn;

use crate::metrics::Metrics;

/// The counts of shortages at the time of the last log, in the order of [`KINDS`].
#[derive(Debug, Default)]
pub(super) struct ShortageLog {
    logged: [u64; KINDS.len()],
}

/// The kinds of shortage, as the log names them.
const KINDS: [&str; 6] = [
    "memory is short: connections that were furthest behind are ended with 4008",
    "memory is short: unfinished messages, bodies and heads are given up",
    "memory is short: connections are refused",
    "memory is short: registrations are refused",
    "memory is short: connections that want more topics are ended with 1013",
    "connections are ended with 4008: their oldest message is older than max-behind",
];

impl ShortageLog {
    /// Logs each kind of shortage whose count has increased since the last call, and by how much.
    /// The server calls this once a second.
    pub(super) fn log(&mut self, metrics: &Metrics) {
        let (held, budget) = (metrics.memory.held_bytes, metrics.memory.budget_bytes);
        for (kind, new) in self.take_new(counted(metrics)) {
            warn!(count = new, held, budget, "{kind}");
        }
    }

    /// Returns the kinds whose counts have increased since the last call, each with the increase.
    fn take_new(&mut self, counted: [u64; KINDS.len()]) -> Vec<(&'static str, u64)> {
        let before = std::mem::replace(&mut self.logged, counted);
        let new = counted.iter().zip(before).map(|(now, before)| now - before);
        let new = KINDS.into_iter().zip(new);
        new.filter(|(_, new)| *new > 0).collect()
    }
}

/// Returns the counts of all kinds, in the order of [`KINDS`].
fn counted(metrics: &Metrics) -> [u64; KINDS.len()] {
    let memory = &metrics.memory;
    [
        memory.evicted,
        memory.unfinished,
        memory.refused_connections,
        memory.refused_registrations,
        memory.refused_topics,
        metrics.ended.too_far_behind,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_logged_when_its_count_has_increased() {
        let mut shortage = ShortageLog::default();
        assert_eq!(shortage.take_new([0; 6]), []);
        assert_eq!(
            shortage.take_new([2, 0, 1, 0, 0, 0]),
            [(KINDS[0], 2), (KINDS[2], 1)]
        );
        assert_eq!(shortage.take_new([2, 0, 4, 0, 0, 0]), [(KINDS[2], 3)]);
    }
}
