//! Incidents: events that an operator should know of, for the log of the server.
//!
//! Whoever notices an incident notes it here, with the address of its client. The server takes the
//! notes from time to time and logs them. So a client that causes many incidents fills no log.

use std::{
    collections::BTreeMap,
    fmt, mem,
    net::SocketAddr,
    sync::{Mutex, PoisonError},
};

use crate::disconnect::Disconnect;

/// A kind of incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Incident {
    /// No connection could be accepted, for lack of a descriptor or another reason of the system.
    AcceptFailed,
    /// A connection was turned away at the limit of descriptors.
    TurnedAway,
    /// A connection that was furthest behind was ended, because memory was short.
    Evicted,
    /// An unfinished message, body or head was given up, because memory was short.
    Unfinished,
    /// A connection was refused, because memory was short.
    RefusedConnection,
    /// A registration was refused, because memory was short.
    RefusedRegistration,
    /// A connection that wanted more topics was ended, because memory was short.
    RefusedTopics,
    /// A connection was ended because its socket took nothing for too long.
    SlowConsumer,
    /// A connection was ended because its oldest message had waited for too long.
    TooFarBehind,
    /// A connection was ended with this close code, because its client broke the protocol.
    ProtocolError(u16),
    /// A request was refused with this status.
    Refused(u16),
}

/// The notes about one kind of incident that nobody has taken yet.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Notes {
    /// Number of incidents.
    pub(crate) count: u64,
    /// The client of the latest incident, or `None` if its address is not known.
    pub(crate) peer: Option<SocketAddr>,
    /// The reason of the latest incident, or nothing if its kind says it all.
    pub(crate) reason: String,
}

/// The incidents that nobody has taken yet, by kind.
#[derive(Debug, Default)]
pub(crate) struct Incidents(Mutex<BTreeMap<Incident, Notes>>);

impl Incident {
    /// Returns the incident that the end of a connection is, or `None` if it is none. A shortage of
    /// memory is noted where it is noticed.
    fn of(end: Disconnect) -> Option<Self> {
        match end {
            Disconnect::ProtocolError(error) => Some(Self::ProtocolError(error.close_code())),
            Disconnect::SlowConsumer => Some(Self::SlowConsumer),
            Disconnect::TooFarBehind => Some(Self::TooFarBehind),
            _ => None,
        }
    }
}

impl Incidents {
    /// Notes an incident.
    pub(crate) fn note(
        &self,
        incident: Incident,
        peer: Option<SocketAddr>,
        reason: &(impl fmt::Display + ?Sized),
    ) {
        self.change(incident, |notes| {
            notes.count += 1;
            notes.peer = peer;
            // The latest reason replaces that of the one before, in its memory.
            notes.reason.clear();
            let _ = fmt::Write::write_fmt(&mut notes.reason, format_args!("{reason}"));
        });
    }

    /// Notes the end of a connection, if it is an incident. Calls `peer` only then.
    pub(crate) fn note_end(&self, end: Disconnect, peer: impl FnOnce() -> Option<SocketAddr>) {
        match Incident::of(end) {
            Some(incident @ Incident::ProtocolError(_)) => self.note(incident, peer(), &end),
            Some(incident) => self.note(incident, peer(), ""),
            None => {}
        }
    }

    /// Notes the client of an incident that a metric counts. The caller increments the metric only
    /// after that.
    pub(crate) fn note_peer(&self, incident: Incident, peer: Option<SocketAddr>) {
        self.change(incident, |notes| notes.peer = peer);
    }

    /// Takes the notes.
    pub(crate) fn take(&self) -> BTreeMap<Incident, Notes> {
        mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn change(&self, incident: Incident, change: impl FnOnce(&mut Notes)) {
        // A poisoned map is whole: a panic while it was locked can only have left a reason halfway.
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(notes.entry(incident).or_default());
    }
}

impl Notes {
    /// Adds later notes about the same kind.
    pub(crate) fn add(&mut self, later: Self) {
        let count = self.count + later.count;
        *self = Self { count, ..later };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::protocol_error::ProtocolError;

    #[test]
    fn incidents_are_counted_by_kind_with_the_latest_client_and_reason() {
        let incidents = Incidents::default();
        let peer = |port| Some(SocketAddr::from(([127, 0, 0, 1], port)));
        for (error, port) in [
            (ProtocolError::Unmasked, 1),
            (ProtocolError::InvalidUtf8, 2),
            (ProtocolError::UnknownOpcode, 3),
        ] {
            incidents.note_end(Disconnect::ProtocolError(error), || peer(port));
        }
        incidents.note_end(Disconnect::ByPeer, || unreachable!("this is no incident"));
        let notes = |count, port, reason: &str| Notes {
            count,
            peer: peer(port),
            reason: reason.into(),
        };
        let expected = [
            (Incident::ProtocolError(1002), notes(2, 3, "unknown opcode")),
            (Incident::ProtocolError(1007), notes(1, 2, "invalid UTF-8")),
        ];
        assert_eq!(incidents.take(), BTreeMap::from(expected));
        assert_eq!(incidents.take(), BTreeMap::new());
    }
}
