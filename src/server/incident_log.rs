//! The log of incidents: at most one line a second for each kind, with the number of new incidents
//! and the address of the latest client.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use tracing::{field::display, info, warn};

use crate::metrics::{
    MemoryMetrics,
    incidents::{Incident, Incidents, Notes},
};

/// The incidents that are not logged yet, and the time of the last line of each kind.
#[derive(Debug, Default)]
pub(super) struct IncidentLog {
    pending: BTreeMap<Incident, Notes>,
    logged: BTreeMap<Incident, Instant>,
    /// The metrics of memory at the last call.
    memory: MemoryMetrics,
}

impl IncidentLog {
    /// Logs the kinds that have new incidents, and had no line for a second. The server calls this
    /// several times a second, so that a single incident is logged early.
    pub(super) fn log(&mut self, incidents: &Incidents, memory: MemoryMetrics, now: Instant) {
        self.gather(incidents, memory);
        for (incident, notes) in self.take_due(now) {
            log_line(incident, &notes, &memory);
        }
    }

    /// Logs all incidents that are not logged yet, because the server ends.
    pub(super) fn log_rest(&mut self, incidents: &Incidents, memory: MemoryMetrics) {
        self.logged.clear();
        self.log(incidents, memory, Instant::now());
    }

    /// Adds the incidents since the last call to those that are pending.
    fn gather(&mut self, incidents: &Incidents, memory: MemoryMetrics) {
        // Read before the notes: the client of a shortage is noted before the metric counts it.
        let shortages = self.new_shortages(memory);
        for (incident, notes) in incidents.take() {
            self.pending.entry(incident).or_default().add(notes);
        }
        for (incident, count) in shortages {
            self.pending.entry(incident).or_default().count += count;
        }
    }

    /// Returns how many shortages of memory each metric has counted since the last call.
    fn new_shortages(&mut self, memory: MemoryMetrics) -> [(Incident, u64); 5] {
        let before = std::mem::replace(&mut self.memory, memory);
        [
            (Incident::Evicted, memory.evicted - before.evicted),
            (Incident::Unfinished, memory.unfinished - before.unfinished),
            (
                Incident::RefusedConnection,
                memory.refused_connections - before.refused_connections,
            ),
            (
                Incident::RefusedRegistration,
                memory.refused_registrations - before.refused_registrations,
            ),
            (
                Incident::RefusedTopics,
                memory.refused_topics - before.refused_topics,
            ),
        ]
    }

    /// Takes the incidents of all kinds that had no line for a second.
    fn take_due(&mut self, now: Instant) -> BTreeMap<Incident, Notes> {
        let logged = &mut self.logged;
        let (due, pending) =
            std::mem::take(&mut self.pending)
                .into_iter()
                .partition(|(incident, notes)| {
                    let last = logged.get(incident);
                    notes.count > 0
                        && last.is_none_or(|last| now.duration_since(*last) >= LOG_INTERVAL)
                });
        self.pending = pending;
        logged.extend(BTreeMap::keys(&due).map(|incident| (*incident, now)));
        due
    }
}

/// Logs the incidents of one kind. Shortages of the server itself are warnings. What clients do
/// wrong is information.
fn log_line(incident: Incident, notes: &Notes, memory: &MemoryMetrics) {
    let Notes { count, peer, .. } = notes;
    let peer = peer.map(display::<SocketAddr>);
    let reason = Some(notes.reason.as_str()).filter(|reason| !reason.is_empty());
    let (held, budget) = (memory.held_bytes, memory.budget_bytes);
    let text = text(incident);
    match incident {
        Incident::AcceptFailed | Incident::TurnedAway => {
            warn!(target: TARGET, count, peer, reason, "{text}");
        }
        Incident::Evicted
        | Incident::Unfinished
        | Incident::RefusedConnection
        | Incident::RefusedRegistration
        | Incident::RefusedTopics => warn!(target: TARGET, count, peer, held, budget, "{text}"),
        Incident::SlowConsumer | Incident::TooFarBehind => {
            info!(target: TARGET, count, peer, code = 4008, "{text}");
        }
        Incident::ProtocolError(code) => info!(target: TARGET, count, peer, code, reason, "{text}"),
        Incident::Refused(status) => info!(target: TARGET, count, peer, status, reason, "{text}"),
    }
}

/// Returns the text by which the log names a kind of incident.
fn text(incident: Incident) -> &'static str {
    match incident {
        Incident::AcceptFailed => "no connection can be accepted",
        Incident::TurnedAway => "connections are turned away",
        Incident::Evicted => "memory is short: connections that were furthest behind are ended",
        Incident::Unfinished => {
            "memory is short: unfinished messages, bodies and heads are given up"
        }
        Incident::RefusedConnection => "memory is short: connections are refused",
        Incident::RefusedRegistration => "memory is short: registrations are refused",
        Incident::RefusedTopics => {
            "memory is short: connections that want more topics are ended with 1013"
        }
        Incident::SlowConsumer => "slow consumers are ended",
        Incident::TooFarBehind => "connections that are too far behind are ended",
        Incident::ProtocolError(_) => "connections that break the protocol are ended",
        Incident::Refused(_) => "requests are refused",
    }
}

/// The target of the lines about incidents.
const TARGET: &str = "framecast::incidents";

/// Shortest time between two lines about the same kind of incident.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the kinds that are due at `now`, with their counts.
    fn due(log: &mut IncidentLog, now: Instant) -> Vec<(Incident, u64)> {
        let due = log.take_due(now).into_iter();
        due.map(|(incident, notes)| (incident, notes.count))
            .collect()
    }

    #[test]
    fn the_first_incident_is_logged_at_once_and_later_ones_together_after_a_second() {
        let (incidents, memory) = (Incidents::default(), MemoryMetrics::default());
        let (mut log, start) = (IncidentLog::default(), Instant::now());
        let mut after = |milliseconds, refused: u64| {
            for _ in 0..refused {
                incidents.note(Incident::Refused(404), None, "no such resource");
            }
            log.gather(&incidents, memory);
            due(&mut log, start + Duration::from_millis(milliseconds))
        };
        assert_eq!(after(0, 0), []);
        assert_eq!(after(250, 1), [(Incident::Refused(404), 1)]);
        assert_eq!(after(500, 30), []);
        assert_eq!(after(1000, 40), []);
        assert_eq!(after(1250, 0), [(Incident::Refused(404), 70)]);
        assert_eq!(after(3000, 0), []);
    }

    #[test]
    fn kinds_do_not_wait_for_each_other() {
        let (incidents, now) = (Incidents::default(), Instant::now());
        let mut log = IncidentLog::default();
        for incident in [Incident::Refused(404), Incident::Refused(403)] {
            incidents.note(incident, None, "");
            log.gather(&incidents, MemoryMetrics::default());
            assert_eq!(due(&mut log, now), [(incident, 1)]);
        }
    }

    #[test]
    fn a_shortage_is_counted_by_its_metric_and_has_the_latest_client() {
        let (incidents, mut memory) = (Incidents::default(), MemoryMetrics::default());
        let (mut log, now) = (IncidentLog::default(), Instant::now());
        let peer = Some(SocketAddr::from(([127, 0, 0, 1], 7)));
        incidents.note_peer(Incident::Evicted, peer);
        log.gather(&incidents, memory);
        assert_eq!(due(&mut log, now), [], "the metric has not counted it");
        memory.evicted = 5;
        log.gather(&incidents, memory);
        let evicted = log.take_due(now).remove(&Incident::Evicted).unwrap();
        assert_eq!((evicted.count, evicted.peer), (5, peer));
    }
}
