//! The actions of which a script consists. Each is performed by some number of clients.

use crate::{clients::Offer, performance::Performance};

/// An action of a script. `topics` is the number of topics of each connection or registration,
/// `name_bytes` the length of each topic's name, and `bytes`, if nothing else is said, the size of
/// each message.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    /// Request heads that never end. `bytes` is the length of the last header of each.
    Heads { connections: usize, bytes: usize },
    /// Connections that have got the answer to one request, and send nothing more.
    Idle { connections: usize },
    /// Request bodies that never end. Of each body at most `sent` bytes are sent, which include the
    /// framing of chunks.
    Bodies {
        connections: usize,
        sent: usize,
        is_chunked: bool,
    },
    /// Pipelined requests whose responses are not read, and a last request that never ends.
    Pipelines {
        connections: usize,
        requests: usize,
        asked: Asked,
        last: Last,
    },
    /// Requests whose bytes are sent in these parts. The server has read each part before the next
    /// one is sent. No response is read.
    Parts {
        connections: usize,
        parts: Vec<String>,
    },
    /// Lists of publications whose answers are not read. Each list has `items` items.
    Lists {
        connections: usize,
        lists: usize,
        items: usize,
    },
    /// Registrations without a connection.
    Registrations {
        count: usize,
        topics: usize,
        name_bytes: usize,
    },
    /// Registered connections that change their topics.
    Relays(Relays),
    /// Subscribers of the chat. If `are_shared` is true, all have the same topics, otherwise each
    /// has topics of its own.
    Followers {
        connections: usize,
        topics: usize,
        name_bytes: usize,
        are_shared: bool,
    },
    /// Messages that never end. The header of an unfinished frame announces `promised` bytes of
    /// payload, of which at most `sent` are sent. Of an unfinished message in fragments, at most
    /// `sent` fragments of one byte follow the first.
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
    /// Subscribers that never read and get compressed messages. `bytes` is the size of each message
    /// before it is compressed.
    CompressedReaders {
        offers: Vec<Offer>,
        messages: usize,
        bytes: usize,
        noise_percent: usize,
    },
    /// Clients of the echo that do not read its replies.
    Echoes { connections: usize, bytes: usize },
    /// Clients of `/echo/raw`, which echoes each frame by itself, that do not read its replies.
    /// Each message has `fragments` fragments between the first and the last one, all of `bytes`
    /// bytes.
    RawEchoes {
        connections: usize,
        fragments: usize,
        bytes: usize,
    },
    /// Clients of the echo that do not read its compressed replies. `bytes` is the size of each
    /// message before it is compressed.
    CompressedEchoes {
        connections: usize,
        window: u8,
        bytes: usize,
        noise_percent: usize,
    },
}

/// A request that is sent whole.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asked {
    /// `GET /health`.
    Health,
    /// `GET` of a path that the server does not have.
    Nothing,
    /// `GET /`, the page of the chat.
    Page,
    /// `POST /publish` of a message of this many bytes.
    Publication(usize),
}

/// A request that never ends. Each variant says which part of the request is unfinished, and has
/// the largest number of bytes that are sent: of the body, of the body in chunks with their
/// framing, or of the last header.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Last {
    Body(usize),
    Chunks(usize),
    Head(usize),
}

/// A message that never ends. If nothing else is said, it is sent to the chat.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unfinished {
    Compressed,
    Fragments,
    Frame,
    /// Fragments of a message to `/echo/raw`.
    RawFragments,
    /// A message in a single frame to `/echo/raw`.
    RawFrame,
}

/// Registered connections, each of which sends lists of topics.
#[derive(Clone, Debug)]
pub(crate) struct Relays {
    pub(crate) connections: usize,
    /// Number of topics of the registration, and of each list but the last. Each list has new
    /// names.
    pub(crate) topics: usize,
    pub(crate) name_bytes: usize,
    /// Number of lists that each connection sends. Each list replaces all topics that the
    /// connection had before.
    pub(crate) changes: usize,
    /// Number of topics in the last list.
    pub(crate) kept: usize,
    /// True if the clients read the server's reply to each list of topics that they send. False if
    /// they read no reply.
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
            Self::Parts {
                connections,
                ref parts,
            } => performance.parts(connections, parts),
            Self::Lists {
                connections,
                lists,
                items,
            } => performance.lists(connections, lists, items),
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
