//! The floor for echoes: sends back all received bytes, with one read and one write per wake-up.
//! It does not speak WebSocket; `framecast load` drives it with a `tcp://` URL.

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    net::TcpStream,
};

use framecast_peers::bare::{Bare, Connection};
use rustix::event::epoll::EventFlags;

/// Bytes that a connection's socket has not taken yet. While there are any, the connection is not
/// read.
type Unsent = Vec<u8>;

fn main() -> io::Result<()> {
    // All connections read into the same buffer.
    let mut buffer = vec![0; 512 << 10];
    Bare::<Unsent>::listen()?.run(|bare, index| echo(bare, index, &mut buffer))
}

fn echo(bare: &mut Bare<Unsent>, index: usize, buffer: &mut [u8]) -> io::Result<()> {
    let Some(Connection {
        socket,
        state: unsent,
    }) = &mut bare.connections[index]
    else {
        return Ok(());
    };
    if unsent.is_empty() {
        let read = match socket.read(buffer)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            read => &buffer[..read],
        };
        let written = write(socket, read)?;
        if written == read.len() {
            return Ok(());
        }
        unsent.extend_from_slice(&read[written..]);
    } else {
        let written = write(socket, unsent)?;
        unsent.drain(..written);
    }
    let flags = if unsent.is_empty() {
        EventFlags::IN
    } else {
        EventFlags::OUT
    };
    bare.wait_for(index, flags)
}

/// Writes as many of the bytes as the socket takes. Returns their number.
fn write(mut socket: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    match socket.write(bytes) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        written => written,
    }
}
