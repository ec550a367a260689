//! Clients, in literal bytes, that allocate next to nothing of their own.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use socket2::{Domain, Socket, Type};

use crate::server::Server;

/// Connects with a small receive buffer: what is not read stays with the server.
pub(crate) fn dial(address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&address.into()).unwrap();
    let socket = TcpStream::from(socket);
    socket.set_nodelay(true).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    socket
}

/// Connects to a WebSocket path, with topics.
pub(crate) fn upgrade(server: &Server, path: &str, topics: &[String]) -> TcpStream {
    let mut socket = server.dial();
    socket.write_all(&opening(path, topics)).unwrap();
    read_head(&mut socket);
    socket
}

fn opening(path: &str, topics: &[String]) -> Vec<u8> {
    let query: Vec<_> = topics
        .iter()
        .map(|topic| format!("topic={topic}"))
        .collect();
    format!(
        "GET {path}?{} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        query.join("&")
    )
    .into_bytes()
}

pub(crate) fn read_head(socket: &mut TcpStream) {
    let (mut last, mut byte) = ([0; 4], [0]);
    while last != *b"\r\n\r\n" {
        socket.read_exact(&mut byte).unwrap();
        last = [last[1], last[2], last[3], byte[0]];
    }
}

/// Publishes messages of so many bytes to the topic that the publisher follows itself, and reads
/// them: when it has them, they wait for everybody else.
pub(crate) fn publish(socket: &mut TcpStream, messages: usize, bytes: usize) {
    let frame = [&header(0x82, bytes)[..], &vec![0; bytes]].concat();
    let mut answer = vec![0; frame.len() - 4];
    for _ in 0..messages {
        socket.write_all(&frame).unwrap();
        socket.read_exact(&mut answer).unwrap();
    }
}

/// The header of a client's frame, masked with zeros.
pub(crate) fn header(first: u8, len: usize) -> Vec<u8> {
    let mut header = vec![first];
    match (u8::try_from(len), u16::try_from(len)) {
        (Ok(len @ ..126), _) => header.push(0x80 | len),
        (_, Ok(len)) => {
            header.push(0x80 | 126);
            header.extend(len.to_be_bytes());
        }
        _ => {
            header.push(0x80 | 127);
            header.extend((len as u64).to_be_bytes());
        }
    }
    header.extend([0; 4]);
    header
}
