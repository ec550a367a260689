//! What clients do in a script.

use proptest::prelude::*;

use crate::performance::Performance;

#[derive(Clone, Debug)]
pub(crate) enum Action {
    /// Heads that never end.
    Heads { connections: usize, bytes: usize },
    /// Requests that were answered, and no more of them.
    Idle { connections: usize },
    /// Bodies that never end.
    Bodies {
        connections: usize,
        sent: usize,
        is_chunked: bool,
    },
    /// Registrations that nobody connects to.
    Registrations {
        count: usize,
        topics: usize,
        name_bytes: usize,
    },
    /// Connections that follow topics of their own.
    Followers { connections: usize, topics: usize },
    /// Messages that never end.
    Unfinished {
        connections: usize,
        promised: usize,
        sent: usize,
        is_fragmented: bool,
    },
    /// Subscribers that never read, and what is published to them.
    Readers {
        subscribers: usize,
        messages: usize,
        bytes: usize,
    },
    /// Clients that are answered and do not read.
    Echoes { connections: usize, bytes: usize },
}

pub(crate) fn action() -> impl Strategy<Value = Action> {
    let connections = || 1..30usize;
    prop_oneof![
        (connections(), 0..4000usize)
            .prop_map(|(connections, bytes)| Action::Heads { connections, bytes }),
        connections().prop_map(|connections| Action::Idle { connections }),
        (connections(), 0..60_000usize, any::<bool>()).prop_map(
            |(connections, sent, is_chunked)| Action::Bodies {
                connections,
                sent,
                is_chunked,
            }
        ),
        (1..60usize, 1..129usize, 4..256usize).prop_map(|(count, topics, name_bytes)| {
            Action::Registrations {
                count,
                topics,
                name_bytes,
            }
        }),
        (connections(), 1..129usize).prop_map(|(connections, topics)| Action::Followers {
            connections,
            topics,
        }),
        (connections(), 1..65_537usize, 0..101usize, any::<bool>()).prop_map(
            |(connections, promised, percent, is_fragmented)| Action::Unfinished {
                connections,
                promised,
                sent: promised * percent / 100,
                is_fragmented,
            }
        ),
        (1..8usize, 1..2000usize, 0..2000usize).prop_map(|(subscribers, messages, bytes)| {
            Action::Readers {
                subscribers,
                messages,
                bytes,
            }
        }),
        (1..6usize, 1..60_000usize)
            .prop_map(|(connections, bytes)| Action::Echoes { connections, bytes }),
    ]
}

impl Action {
    pub(crate) fn perform(&self, performance: &mut Performance<'_>) {
        match *self {
            Self::Heads { connections, bytes } => performance.heads(connections, bytes),
            Self::Idle { connections } => performance.idle(connections),
            Self::Bodies {
                connections,
                sent,
                is_chunked,
            } => performance.bodies(connections, sent, is_chunked),
            Self::Registrations {
                count,
                topics,
                name_bytes,
            } => performance.registrations(count, topics, name_bytes),
            Self::Followers {
                connections,
                topics,
            } => performance.followers(connections, topics),
            Self::Unfinished {
                connections,
                promised,
                sent,
                is_fragmented: false,
            } => performance.unfinished(connections, promised, sent),
            Self::Unfinished {
                connections, sent, ..
            } => performance.unfinished_fragments(connections, sent),
            Self::Readers {
                subscribers,
                messages,
                bytes,
            } => performance.readers(subscribers, messages, bytes),
            Self::Echoes { connections, bytes } => performance.echoes(connections, bytes),
        }
    }
}
