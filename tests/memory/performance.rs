//! A script as it is performed, and what the rule allows for it.

use std::{io::Write, net::TcpStream, time::Duration};

use crate::{
    clients::{header, publish, read_head, upgrade},
    server::Server,
};

pub(crate) struct Performance<'a> {
    server: &'a Server,
    /// Bytes that the server may hold for what was done.
    pub(crate) allowed: u64,
    sockets: Vec<TcpStream>,
}

/// What a connection may hold, whatever it does, in bytes.
const CONNECTION: usize = 32 * 1024;

/// What is allowed for each byte that was sent.
const SENT: usize = 4;

/// What a message under way may hold besides its bytes, and each delivery that waits for it.
const MESSAGE: usize = 256;
const DELIVERY: usize = 96;

/// What a topic may hold, besides its name, and what a registration.
const TOPIC: usize = 560;
const REGISTRATION: usize = 512;
const REGISTERED_NAME: usize = 48;

/// So many messages of so many bytes fill the socket of a client that does not read.
const FILLING: usize = 80;
const FILLING_BYTES: usize = 60_000;

impl<'a> Performance<'a> {
    pub(crate) fn new(server: &'a Server) -> Self {
        Self {
            server,
            allowed: 0,
            // No list of this test grows while the allocator is looked at.
            sockets: Vec::with_capacity(1000),
        }
    }

    fn allow(&mut self, bytes: usize) {
        self.allowed += bytes as u64;
    }

    /// Connects and sends bytes that are never followed by more.
    fn say(&mut self, bytes: &[u8]) -> TcpStream {
        self.allow(CONNECTION + SENT * bytes.len());
        let mut socket = self.server.dial();
        socket.write_all(bytes).unwrap();
        socket
    }

    fn upgrade(&mut self, path: &str, topics: &[String]) -> TcpStream {
        let names = topics.iter().map(String::len);
        self.allow(CONNECTION + TOPIC * topics.len() + names.sum::<usize>());
        upgrade(self.server, path, topics)
    }

    pub(crate) fn heads(&mut self, connections: usize, bytes: usize) {
        let rest = "x".repeat(bytes);
        let head = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {rest}");
        for _ in 0..connections {
            let socket = self.say(head.as_bytes());
            self.sockets.push(socket);
        }
    }

    pub(crate) fn idle(&mut self, connections: usize) {
        for _ in 0..connections {
            let mut socket = self.say(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
            read_head(&mut socket);
            self.sockets.push(socket);
        }
    }

    pub(crate) fn bodies(&mut self, connections: usize, sent: usize, is_chunked: bool) {
        let head = "POST /publish HTTP/1.1\r\nHost: localhost\r\n";
        let request = if is_chunked {
            let chunks = "1\r\nx\r\n".repeat(sent / 6);
            format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunks}")
        } else {
            let (announced, body) = (sent + 1, "x".repeat(sent));
            format!("{head}Content-Length: {announced}\r\n\r\n{body}")
        };
        for _ in 0..connections {
            let socket = self.say(request.as_bytes());
            self.sockets.push(socket);
        }
    }

    pub(crate) fn registrations(&mut self, count: usize, topics: usize, name_bytes: usize) {
        let names = (0..topics).map(|number| format!("\"{number:0name_bytes$}\""));
        let names: Vec<_> = names.collect();
        let body = format!("{{\"user_id\":1,\"topics\":[{}]}}", names.join(","));
        let length = body.len();
        let request = format!(
            "POST /register HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        );
        for _ in 0..count {
            // And the user.
            self.allow(REGISTRATION + topics * (name_bytes + REGISTERED_NAME) + 1);
            let mut socket = self.say(request.as_bytes());
            read_head(&mut socket);
        }
    }

    pub(crate) fn followers(&mut self, connections: usize, topics: usize) {
        for connection in 0..connections {
            let names = (0..topics).map(|topic| format!("{connection}-{topic}"));
            let socket = self.upgrade("/ws", &names.collect::<Vec<_>>());
            self.sockets.push(socket);
        }
    }

    /// One frame each, of which not all comes.
    pub(crate) fn unfinished(&mut self, connections: usize, promised: usize, sent: usize) {
        let bytes = [header(0x82, promised), vec![b'x'; sent.min(promised - 1)]].concat();
        self.unfinished_bytes(connections, &bytes);
    }

    /// Fragments of one byte, of which the last does not come.
    pub(crate) fn unfinished_fragments(&mut self, connections: usize, count: usize) {
        let first = [&header(0x02, 1)[..], b"x"].concat();
        let next = [&header(0x00, 1)[..], b"x"].concat();
        let bytes = [first, next.repeat(count.min(900))].concat();
        self.unfinished_bytes(connections, &bytes);
    }

    fn unfinished_bytes(&mut self, connections: usize, bytes: &[u8]) {
        for _ in 0..connections {
            let mut socket = self.upgrade("/ws", &["unfinished".to_owned()]);
            self.allow(SENT * bytes.len());
            socket.write_all(bytes).unwrap();
            self.sockets.push(socket);
        }
    }

    pub(crate) fn readers(&mut self, subscribers: usize, messages: usize, bytes: usize) {
        let topic = ["read".to_owned()];
        for _ in 0..subscribers {
            let socket = self.upgrade("/ws", &topic);
            self.sockets.push(socket);
        }
        let mut publisher = self.upgrade("/ws", &topic);
        // First what the kernel takes.
        for (count, bytes) in [(FILLING, FILLING_BYTES), (messages, bytes)] {
            publish(&mut publisher, count, bytes);
            self.allow(count * (SENT * bytes + MESSAGE + subscribers * DELIVERY));
        }
    }

    pub(crate) fn echoes(&mut self, connections: usize, bytes: usize) {
        let frame = [header(0x82, bytes), vec![0; bytes]].concat();
        for _ in 0..connections {
            let mut socket = self.upgrade("/echo", &[]);
            let sent = send_until_blocked(&mut socket, &frame);
            self.allow(SENT * sent);
            self.sockets.push(socket);
        }
    }
}

/// Sends the same again and again, until the server reads no more.
fn send_until_blocked(socket: &mut TcpStream, bytes: &[u8]) -> usize {
    let patience = Duration::from_millis(200);
    socket.set_write_timeout(Some(patience)).unwrap();
    let mut sent = 0;
    while let Ok(count) = socket.write(&bytes[sent % bytes.len()..]) {
        sent += count;
    }
    sent
}
