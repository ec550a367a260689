//! What clients do in a script, and what the rule allows for it.

use std::{io::Write, net::TcpStream, time::Duration};

use proptest::prelude::*;

use crate::{
    clients::{header, publish, read_head, upgrade},
    server::Server,
};

#[derive(Clone, Debug)]
pub(crate) enum Action {
    /// Heads that never end.
    Heads { connections: usize, bytes: usize },
    /// Requests that were answered, and no more of them.
    Idle { connections: usize },
    /// Bodies that never end, in one piece or in chunks of one byte.
    Bodies {
        connections: usize,
        sent: usize,
        is_chunked: bool,
    },
    Registrations {
        count: usize,
        topics: usize,
        name_bytes: usize,
    },
    /// Connections that follow topics of their own.
    Followers { connections: usize, topics: usize },
    /// Messages that never end: one frame, or fragments of one byte.
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
    let connections = 1..30usize;
    prop_oneof![
        (connections.clone(), 0..4000usize)
            .prop_map(|(connections, bytes)| Action::Heads { connections, bytes }),
        connections
            .clone()
            .prop_map(|connections| Action::Idle { connections }),
        (connections.clone(), 0..60_000usize, any::<bool>()).prop_map(
            |(connections, sent, is_chunked)| Action::Bodies {
                connections,
                sent,
                is_chunked
            }
        ),
        (1..60usize, 1..129usize, 4..256usize).prop_map(|(count, topics, name_bytes)| {
            Action::Registrations {
                count,
                topics,
                name_bytes,
            }
        }),
        (connections.clone(), 1..129usize).prop_map(|(connections, topics)| Action::Followers {
            connections,
            topics
        }),
        (connections.clone(), 1..65_537usize, 0.0..1.0, any::<bool>()).prop_map(
            |(connections, promised, part, is_fragmented)| Action::Unfinished {
                connections,
                promised,
                sent: (promised as f64 * part) as usize,
                is_fragmented
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

/// So many messages of so many bytes fill the socket of a client that does not read.
const FILLING: usize = 80;
const FILLING_BYTES: usize = 60_000;

/// What a connection may hold, whatever it does.
const CONNECTION: usize = 32 * 1024;
const TOPIC: usize = 640;
const MESSAGE: usize = 256;
const DELIVERY: usize = 96;

impl Action {
    /// Performs it, and adds what the rule allows for it. Returns the connections that stay.
    pub(crate) fn perform(&self, server: &Server, rule: &mut u64) -> Vec<TcpStream> {
        match *self {
            Self::Heads { connections, bytes } => {
                let head = format!(
                    "GET / HTTP/1.1\r\nHost: localhost\r\nX: {}",
                    "x".repeat(bytes)
                );
                each(connections, rule, CONNECTION + 4 * head.len(), |_| {
                    say(server, head.as_bytes())
                })
            }
            Self::Idle { connections } => {
                let request = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
                each(connections, rule, CONNECTION + 4 * request.len(), |_| {
                    let mut socket = say(server, request);
                    read_head(&mut socket);
                    socket
                })
            }
            Self::Bodies {
                connections,
                sent,
                is_chunked,
            } => {
                let request = body(sent, is_chunked);
                each(connections, rule, CONNECTION + 4 * request.len(), |_| {
                    say(server, &request)
                })
            }
            Self::Registrations {
                count,
                topics,
                name_bytes,
            } => {
                let request = registration(topics, name_bytes);
                let weight = topics * (name_bytes + 64) + 1024;
                for _ in 0..count {
                    let mut socket = say(server, &request);
                    read_head(&mut socket);
                    *rule += weight as u64;
                }
                *rule += CONNECTION as u64;
                Vec::new()
            }
            Self::Followers {
                connections,
                topics,
            } => each(connections, rule, CONNECTION + topics * TOPIC, |index| {
                let names: Vec<_> = (0..topics).map(|n| format!("{index}-{n}")).collect();
                upgrade(server, "/ws", &names)
            }),
            Self::Unfinished {
                connections,
                promised,
                sent,
                is_fragmented,
            } => {
                let bytes = unfinished(promised, sent, is_fragmented);
                each(
                    connections,
                    rule,
                    CONNECTION + TOPIC + 4 * bytes.len(),
                    |_| {
                        let mut socket = upgrade(server, "/ws", &["unfinished".to_owned()]);
                        socket.write_all(&bytes).unwrap();
                        socket
                    },
                )
            }
            Self::Readers {
                subscribers,
                messages,
                bytes,
            } => {
                let topic = vec!["read".to_owned()];
                let sockets = each(
                    subscribers,
                    rule,
                    CONNECTION + TOPIC + DELIVERY * (FILLING + messages),
                    |_| upgrade(server, "/ws", &topic),
                );
                let mut publisher = upgrade(server, "/ws", &topic);
                // What the kernel takes.
                publish(&mut publisher, FILLING, FILLING_BYTES);
                publish(&mut publisher, messages, bytes);
                let sent = FILLING * FILLING_BYTES + messages * bytes;
                *rule += (CONNECTION + TOPIC + 4 * sent) as u64;
                *rule += ((FILLING + messages) * MESSAGE) as u64;
                sockets
            }
            Self::Echoes { connections, bytes } => {
                let frame = [&header(0x82, bytes)[..], &vec![0; bytes]].concat();
                let mut sent = 0;
                let sockets = each(connections, rule, CONNECTION, |_| {
                    let mut socket = upgrade(server, "/echo", &[]);
                    sent += send_until_blocked(&mut socket, &frame);
                    socket
                });
                *rule += 4 * sent as u64;
                sockets
            }
        }
    }
}

fn each(
    count: usize,
    rule: &mut u64,
    allowed: usize,
    connect: impl FnMut(usize) -> TcpStream,
) -> Vec<TcpStream> {
    *rule += (count * allowed) as u64;
    (0..count).map(connect).collect()
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

fn say(server: &Server, bytes: &[u8]) -> TcpStream {
    let mut socket = server.dial();
    socket.write_all(bytes).unwrap();
    socket
}

fn body(sent: usize, is_chunked: bool) -> Vec<u8> {
    let head = "POST /publish HTTP/1.1\r\nHost: localhost\r\n";
    if is_chunked {
        let chunks = "1\r\nx\r\n".repeat(sent / 6);
        return format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunks}").into_bytes();
    }
    let announced = sent + 1;
    format!(
        "{head}Content-Length: {announced}\r\n\r\n{}",
        "x".repeat(sent)
    )
    .into_bytes()
}

fn registration(topics: usize, name_bytes: usize) -> Vec<u8> {
    let names: Vec<_> = (0..topics)
        .map(|n| format!("\"{n:0name_bytes$}\""))
        .collect();
    let body = format!("{{\"user_id\":1,\"topics\":[{}]}}", names.join(","));
    let length = body.len();
    format!(
        "POST /register HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// A message of which the end never comes.
fn unfinished(promised: usize, sent: usize, is_fragmented: bool) -> Vec<u8> {
    if is_fragmented {
        let first = [&header(0x02, 1)[..], b"x"].concat();
        let next = [&header(0x00, 1)[..], b"x"].concat();
        return [first, next.repeat(sent.min(900))].concat();
    }
    [header(0x82, promised), vec![b'x'; sent.min(promised - 1)]].concat()
}
