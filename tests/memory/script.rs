//! What clients do in a script.

use crate::{clients::Offer, performance::Performance};

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
    /// Requests one after the other whose answers are not read, and behind them one that never ends.
    Pipelines {
        connections: usize,
        requests: usize,
        asked: Asked,
        last: Last,
    },
    /// Registrations that nobody connects to.
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
    /// Subscribers that never read, and what is published to them.
    Readers {
        subscribers: usize,
        messages: usize,
        bytes: usize,
    },
    /// The same, of subscribers that take it compressed.
    CompressedReaders {
        offers: Vec<Offer>,
        messages: usize,
        bytes: usize,
        noise_percent: usize,
    },
    /// Clients that are answered and do not read.
    Echoes { connections: usize, bytes: usize },
    /// The same, of clients that are answered fragment by fragment.
    RawEchoes {
        connections: usize,
        fragments: usize,
        bytes: usize,
    },
    /// The same, of clients that are answered compressed.
    CompressedEchoes {
        connections: usize,
        window: u8,
        bytes: usize,
        noise_percent: usize,
    },
}

/// What is asked for, in a request that ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asked {
    Health,
    Nothing,
    Page,
    /// Of a message of so many bytes.
    Publication(usize),
}

/// A request that does not end, of which so many bytes come.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Last {
    Body(usize),
    Chunks(usize),
    Head(usize),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Unfinished {
    Compressed,
    Fragments,
    Frame,
    /// Of `/echo/raw`.
    RawFragments,
    RawFrame,
}

#[derive(Clone, Debug)]
pub(crate) struct Relays {
    pub(crate) connections: usize,
    /// Names in a list, each time others.
    pub(crate) topics: usize,
    pub(crate) name_bytes: usize,
    pub(crate) changes: usize,
    /// Names in the last list.
    pub(crate) kept: usize,
    /// They read what they are answered.
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
