//! A script as it is performed, and what the rule allows for it.

mod compressed;
mod http;
mod messages;
mod relays;

use std::{io::Write, net::TcpStream};

use crate::{
    clients::{self, Offer, chat},
    server::Server,
};

pub(crate) struct Performance<'a> {
    server: &'a Server,
    /// Bytes that the server may hold for what was done.
    pub(crate) allowed: u64,
    sockets: Vec<TcpStream>,
    /// Of registrations, which would outlive their connections.
    ids: Vec<String>,
    /// Names of topics that were made up.
    names: usize,
}

/// What a connection may hold, whatever it does, in bytes.
const CONNECTION: usize = 32 * 1024;

/// What is allowed for each byte that was sent.
const SENT: usize = 4;

/// What a message under way may hold besides its bytes, on a server that compresses, and each delivery
/// that waits for it.
const MESSAGE: usize = 600;
const DELIVERY: usize = 96;

/// What a topic may hold, besides its name, and what a registration.
const TOPIC: usize = 560;
const REGISTRATION: usize = 512;
const REGISTERED_NAME: usize = 48;

impl<'a> Performance<'a> {
    pub(crate) fn new(server: &'a Server) -> Self {
        Self {
            server,
            allowed: 0,
            // No list of this test grows while the allocator is looked at.
            sockets: Vec::with_capacity(1000),
            ids: Vec::with_capacity(1000),
            names: 0,
        }
    }

    /// Ends it, and waits until the server has nothing left of it.
    pub(crate) fn end(mut self) {
        self.sockets.clear();
        for id in &self.ids {
            self.ask(&format!("DELETE /register/{id}"), "");
        }
        self.server.wait_until_all_are_gone();
    }

    fn allow(&mut self, bytes: usize) {
        self.allowed += bytes as u64;
    }

    /// Connects and sends bytes.
    fn say(&mut self, bytes: &[u8]) -> TcpStream {
        self.allow(CONNECTION);
        let mut socket = self.server.dial();
        socket.write_all(bytes).unwrap();
        socket
    }

    fn upgrade(&mut self, target: &str, offer: Offer) -> TcpStream {
        self.allow(CONNECTION);
        clients::upgrade(self.server, target, offer)
    }

    /// Connects to the chat of topics that nobody else may follow.
    fn join(&mut self, topics: &[String], offer: Offer) -> TcpStream {
        self.allow_topics(topics);
        self.upgrade(&chat(topics), offer)
    }

    fn allow_topics(&mut self, topics: &[String]) {
        let names = topics.iter().map(|topic| TOPIC + topic.len());
        self.allow(names.sum());
    }

    /// Makes up names that were never there, of about so many bytes.
    fn new_names(&mut self, count: usize, bytes: usize) -> Vec<String> {
        let first = self.names;
        self.names += count;
        (first..self.names)
            .map(|number| format!("{number:0bytes$}"))
            .collect()
    }
}
