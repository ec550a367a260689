//! Actions of clients, of which a script consists.

use crate::{clients::Offer, performance::Performance};

#[derive(Clone, Debug)]
pub(crate) enum Action {
    /// Request heads that never end.
    Heads { connections: usize, bytes: usize },
    /// Connections whose request was answered, and that send no other one.
    Idle { connections: usize },
    /// Request bodies that never end.
    Bodies {
        connections: usize,
        sent: usize,
        is_chunked: bool,
    },
    /// Pipelined requests whose responses are not read, and a last one that never ends.
    Pipelines {
        connections: usize,
        requests: usize,
        asked: Asked,
        last: Last,
    },
    /// Registrations without a connection.
    Registrations {
        count: usize,
        topics: usize,
        name_bytes: usize,
    },
    /// Registered connections that change their topics.
    Relays(Relays),
    /// Connections that follow topics.
    Followers {
        connections: usize,
        topics: usize,
        name_bytes: usize,
        are_shared: bool,
    },
    /// Messages that never end.
    Unfinished {
        connections: usize,
        what: Unfinished,
        promised: usize,
        sent: usize,
    },
    /// Subscribers that never read, and messages that are published to them.
    Readers {
        subscribers: usize,
        messages: usize,
        bytes: usize,
    },
    /// Subscribers that never read and get compressed messages.
    CompressedReaders {
        offers: Vec<Offer>,
        messages: usize,
        bytes: usize,
        noise_percent: usize,
    },
    /// Clients of the echo that do not read its answers.
    Echoes { connections: usize, bytes: usize },
    /// Clients of the raw echo that do not read its fragments.
    RawEchoes {
        connections: usize,
        fragments: usize,
        bytes: usize,
    },
    /// Clients of the echo that do not read its compressed answers.
    CompressedEchoes {
        connections: usize,
        window: u8,
        bytes: usize,
        noise_percent: usize,
    },
}

/// Request that is sent whole.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asked {
    Health,
    Nothing,
    Page,
    /// `POST /publish` of a message of so many bytes.
    Publication(usize),
}

/// Request of which so many bytes are sent, and that never ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Last {
    Body(usize),
    Chunks(usize),
    Head(usize),
}

/// Message that never ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unfinished {
    Compressed,
    Fragments,
    Frame,
    /// Fragments to `/echo/raw`.
    RawFragments,
    /// A frame to `/echo/raw`.
    RawFrame,
}

#[derive(Clone, Debug)]
pub(crate) struct Relays {
    pub(crate) connections: usize,
    /// Topics of each list but the last. Each list has new names.
    pub(crate) topics: usize,
    pub(crate) name_bytes: usize,
    pub(crate) changes: usize,
    /// Topics of the last list.
    pub(crate) kept: usize,
    /// The clients read the answers.
    pub(crate) is_reading: bool,
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
            Self::Pipelines {
                connections,
                requests,
                asked,
                last,
            } => performance.pipelines(connections, requests, asked, last),
            Self::Registrations {
                count,
                topics,
                name_bytes,
            } => performance.registrations(count, topics, name_bytes),
            Self::Relays(ref relays) => performance.relays(relays),
            Self::Followers {
                connections,
                topics,
                name_bytes,
                are_shared,
            } => performance.followers(connections, topics, name_bytes, are_shared),
            Self::Unfinished {
                connections,
                what,
                promised,
                sent,
            } => performance.unfinished(connections, what, promised, sent),
            Self::Readers {
                subscribers,
                messages,
                bytes,
            } => performance.readers(subscribers, messages, bytes),
            Self::CompressedReaders {
                ref offers,
                messages,
                bytes,
                noise_percent,
            } => performance.compressed_readers(offers, messages, bytes, noise_percent),
            Self::Echoes { connections, bytes } => performance.echoes(connections, bytes),
            Self::RawEchoes {
                connections,
                fragments,
                bytes,
            } => performance.raw_echoes(connections, fragments, bytes),
            Self::CompressedEchoes {
                connections,
                window,
                bytes,
                noise_percent,
            } => performance.compressed_echoes(connections, window, bytes, noise_percent),
        }
    }
}
