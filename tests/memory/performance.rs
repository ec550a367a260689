//! Performs a script, and adds up the bytes that `docs/memory.md` allows the server to hold for the
//! clients of the script. The actions are in `http`, `lists`, `messages` (without compression),
//! `compressed` and `relays`.

mod compressed;
mod http;
mod lists;
mod messages;
mod relays;

use std::{io::Write, net::TcpStream};

use crate::{
    clients::{self, Offer, chat},
    server::Server,
};

/// Bytes that the server may hold for each connection, whatever it does.
const CONNECTION: usize = 32 * 1024;

/// Bytes that the server may hold for a connection, besides [`CONNECTION`], once a long head came
/// behind another request.
const GROWN: usize = 18 * 1024;

/// Bytes that the server may hold for a request that is being answered, besides its headers.
const REQUEST: usize = 16 * 1024;

/// Bytes that the server may hold for each header of a request that is being answered, besides the
/// name.
const HEADER: usize = 400;

/// Bytes that the server may hold for a request whose body comes in chunks, besides [`REQUEST`].
const CHUNKS: usize = 16 * 1024;

/// Bytes that the server may hold for the page until the client has taken it.
const PAGE: usize = 32 * 1024;

/// Bytes that the server may hold for each byte that a client has sent.
const SENT: usize = 4;

/// Bytes that the server, which compresses messages, may hold for each message that is being
/// delivered, besides the payload.
const MESSAGE: usize = 600;

/// Bytes that the server may hold for each pair of a message and a subscriber to which the message
/// is queued.
const DELIVERY: usize = 96;

/// Bytes that the server may hold for each topic, besides its name.
const TOPIC: usize = 560;

/// Bytes that the server may hold for each registration, besides its topics.
const REGISTRATION: usize = 512;

/// Bytes that the server may hold for each topic of a registration, besides its name.
const REGISTERED_TOPIC: usize = 48;

/// The clients of a script so far, and the bytes that the server may hold for them.
pub(crate) struct Performance<'a> {
    server: &'a Server,
    /// Bytes that the server may hold for the actions so far.
    pub(crate) allowed: u64,
    sockets: Vec<TcpStream>,
    /// Ids of registrations, which outlive their connections.
    ids: Vec<String>,
    /// Number of topic names made so far. The next name is this number, with zeros before it.
    names: usize,
}

impl<'a> Performance<'a> {
    pub(crate) fn new(server: &'a Server) -> Self {
        Self {
            server,
            allowed: 0,
            // With capacity for all, because the allocator counts the memory of these lists, too.
            sockets: Vec::with_capacity(1000),
            ids: Vec::with_capacity(1000),
            names: 0,
        }
    }

    /// Ends all connections and registrations, and waits until the server holds no memory for them.
    pub(crate) fn end(mut self) {
        self.sockets.clear();
        for id in &self.ids {
            self.ask(&format!("DELETE /register/{id}"), "");
        }
        self.server.wait_until_all_are_gone();
    }

    /// Allows the server to hold `bytes` bytes more from now on.
    fn allow(&mut self, bytes: usize) {
        self.allowed += bytes as u64;
    }

    /// Connects, and sends `bytes`. Adds the memory of the connection to `allowed`, but not that of
    /// `bytes`.
    fn dial_and_send(&mut self, bytes: &[u8]) -> TcpStream {
        self.allow(CONNECTION);
        let mut socket = self.server.dial();
        socket.write_all(bytes).unwrap();
        socket
    }

    fn upgrade(&mut self, target: &str, offer: Offer) -> TcpStream {
        self.allow(CONNECTION);
        clients::upgrade(self.server, target, offer)
    }

    /// Connects to the chat with these topics. Adds to `allowed` the memory of the connection and
    /// of the topics, which may have no other subscriber.
    fn join(&mut self, topics: &[String], offer: Offer) -> TcpStream {
        self.allow_topics(topics);
        self.upgrade(&chat(topics), offer)
    }

    /// Adds to `allowed` the memory of topics that have a subscriber.
    fn allow_topics(&mut self, topics: &[String]) {
        let names = topics.iter().map(|topic| TOPIC + topic.len());
        self.allow(names.sum());
    }

    /// Returns `count` names that were never used, of at least `bytes` bytes each.
    fn new_names(&mut self, count: usize, bytes: usize) -> Vec<String> {
        let first = self.names;
        self.names += count;
        (first..self.names)
            .map(|number| format!("{number:0bytes$}"))
            .collect()
    }
}
