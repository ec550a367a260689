//! Actions of HTTP clients.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use crate::{
    clients::{read_head, send_while_taken},
    performance::{
        CHUNKS, CONNECTION, GROWN, HEADER, PAGE, Performance, REGISTERED_TOPIC, REGISTRATION,
        REQUEST, SENT,
    },
    script::{Asked, Last},
};

impl Performance<'_> {
    /// Sends request heads that never end, each on a connection of its own. `bytes` is the length
    /// of the last header.
    pub(crate) fn heads(&mut self, connections: usize, bytes: usize) {
        let head = unfinished_head(bytes);
        for _ in 0..connections {
            let socket = self.dial_and_send(&head);
            self.sockets.push(socket);
        }
    }

    /// Connects clients that get the answer to one request, and send nothing more.
    pub(crate) fn idle(&mut self, connections: usize) {
        for _ in 0..connections {
            let mut socket = self.dial_and_send(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
            assert_eq!(read_head(&mut socket), *b"200");
            self.sockets.push(socket);
        }
    }

    /// Sends request bodies that never end, each on a connection of its own. Of each body at most
    /// `sent` bytes are sent, which include the framing of chunks.
    pub(crate) fn bodies(&mut self, connections: usize, sent: usize, is_chunked: bool) {
        let request = unfinished_body(sent, is_chunked);
        for _ in 0..connections {
            let socket = self.dial_and_send(&request);
            // For each byte that was sent, the server may hold `SENT` bytes.
            self.allow(SENT * request.len());
            self.allow_request(&request);
            self.sockets.push(socket);
        }
    }

    /// Sends pipelined requests, whose responses are not read, and a last request that never ends.
    /// For each connection adds to `allowed` the memory of the last request and of only one of the
    /// others, because the server must have let go of those that it has answered.
    pub(crate) fn pipelines(
        &mut self,
        connections: usize,
        requests: usize,
        asked: Asked,
        last: Last,
    ) {
        let last = match last {
            Last::Body(sent) => unfinished_body(sent, false),
            Last::Chunks(sent) => unfinished_body(sent, true),
            Last::Head(bytes) => unfinished_head(bytes),
        };
        let request = match asked {
            Asked::Health => "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
            Asked::Nothing => "GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
            Asked::Page => "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
            Asked::Publication(bytes) => {
                let message = "x".repeat(bytes);
                post(
                    "/publish",
                    &format!("{{\"topic\":\"t\",\"message\":\"{message}\"}}"),
                )
            }
        };
        for _ in 0..connections {
            let mut socket = self.server.dial();
            let sent = send_while_taken(&mut socket, request.as_bytes(), requests);
            self.allow(CONNECTION + GROWN + SENT * request.len());
            self.allow_request(&last);
            if matches!(asked, Asked::Page) {
                self.allow(PAGE);
            }
            // Otherwise the server has stopped reading inside the whole requests.
            if sent == requests * request.len() {
                let sent = send_while_taken(&mut socket, &last, 1);
                self.allow(SENT * sent);
            }
            self.sockets.push(socket);
        }
    }

    /// Sends requests in parts. The server has read each part before the next one is sent.
    pub(crate) fn parts(&mut self, connections: usize, parts: &[String]) {
        let mut sockets: Vec<_> = (0..connections).map(|_| self.server.dial()).collect();
        for part in parts {
            for socket in &mut sockets {
                let sent = send_while_taken(socket, part.as_bytes(), 1);
                self.allow(SENT * sent);
            }
            self.server.wait_until_all_is_read();
        }
        let request = parts.concat().into_bytes();
        for socket in sockets {
            self.allow(CONNECTION + GROWN + PAGE);
            self.allow_request(&request);
            self.sockets.push(socket);
        }
    }

    /// Adds to `allowed` the memory of a request that is being answered, besides the bytes that were
    /// sent. Every line of `bytes` counts as a header.
    fn allow_request(&mut self, bytes: &[u8]) {
        let lines = bytes.split(|&byte| byte == b'\n').count().min(MOST_HEADERS);
        self.allow(REQUEST + CHUNKS + lines * HEADER);
    }

    /// Makes registrations that no connection uses, all with the same topics.
    pub(crate) fn registrations(&mut self, count: usize, topics: usize, name_bytes: usize) {
        let names = self.new_names(topics, name_bytes);
        for _ in 0..count {
            let id = self.register(&names);
            self.allow_registration(&names);
            self.ids.push(id);
        }
    }

    /// Registers a relay connection for `topics`. Returns the id of the registration.
    pub(super) fn register(&self, topics: &[String]) -> String {
        let topics = topics.join("\",\"");
        let body = format!("{{\"user_id\":1,\"topics\":[\"{topics}\"]}}");
        let answer = self.ask("POST /register", &body);
        // The answer has a URL that ends with the id, of 32 characters.
        let from_id = answer.split_once("/ws/").unwrap().1;
        from_id[..32].to_owned()
    }

    /// Adds to `allowed` the memory of a registration with these topics.
    pub(super) fn allow_registration(&mut self, topics: &[String]) {
        let names = topics.iter().map(|topic| REGISTERED_TOPIC + topic.len());
        // One byte for the user.
        self.allow(REGISTRATION + names.sum::<usize>() + 1);
    }

    /// Sends a request on a connection of its own. Returns the response, with its head.
    pub(super) fn ask(&self, request: &str, body: &str) -> String {
        let length = body.len();
        let request = format!(
            "{request} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        );
        let mut socket: TcpStream = self.server.dial();
        socket.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        answer
    }
}

/// Greatest number of headers that a request may have.
const MOST_HEADERS: usize = 100;

fn post(target: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}")
}

/// Returns the start of a request head that never ends, with `bytes` bytes in its last header.
fn unfinished_head(bytes: usize) -> Vec<u8> {
    let rest = "x".repeat(bytes);
    format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {rest}").into_bytes()
}

/// Returns the head of a request, and at most the first `sent` bytes of a body that never ends.
/// They include the framing of chunks.
fn unfinished_body(sent: usize, is_chunked: bool) -> Vec<u8> {
    let head = "POST /publish HTTP/1.1\r\nHost: localhost\r\n";
    let request = if is_chunked {
        // Chunks of one byte, which take 6 bytes each.
        let chunks = "1\r\nx\r\n".repeat(sent / 6);
        format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunks}")
    } else {
        let (announced, body) = (sent + 1, "x".repeat(sent));
        format!("{head}Content-Length: {announced}\r\n\r\n{body}")
    };
    request.into_bytes()
}
