//! The floor under every echo: what comes in goes out, with one read and one write a wake-up.
//! There is no WebSocket in it; `framecast load` drives it with a `tcp://` URL.

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    net::TcpStream,
};

use framecast_peers::bare::{Bare, Connection};
use rustix::event::epoll::EventFlags;

/// What the socket of a connection has not taken. While there is some, nothing is read.
type Rest = Vec<u8>;

fn main() -> io::Result<()> {
    // One for all connections.
    let mut buffer = vec![0; 512 << 10];
    Bare::<Rest>::listen()?.run(|bare, index| turn(bare, index, &mut buffer))
}

fn turn(bare: &mut Bare<Rest>, index: usize, buffer: &mut [u8]) -> io::Result<()> {
    let Some(Connection {
        socket,
        state: rest,
    }) = &mut bare.connections[index]
    else {
        return Ok(());
    };
    if rest.is_empty() {
        let read = match socket.read(buffer)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            read => &buffer[..read],
        };
        let written = write(socket, read)?;
        if written == read.len() {
            return Ok(());
        }
        rest.extend_from_slice(&read[written..]);
    } else {
        let written = write(socket, rest)?;
        rest.drain(..written);
    }
    let flags = if rest.is_empty() {
        EventFlags::IN
    } else {
        EventFlags::OUT
    };
    bare.wait_for(index, flags)
}

fn write(mut socket: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    match socket.write(bytes) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        written => written,
    }
}
