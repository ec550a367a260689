//! One connection before all others: what is wrong with the server is said before a run begins,
//! and what it builds for its first connection is not taken for the memory of every one.

use std::{
    io::{self, Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use crate::{
    client::handshake,
    error::Error,
    plan::{TOPIC, Target},
};

/// An open connection that nobody uses.
#[derive(Debug)]
pub(crate) struct Probe(#[expect(dead_code, reason = "it is only held open")] TcpStream);

impl Probe {
    /// Connects, and does the opening handshake.
    pub(crate) fn open(target: &Target) -> Result<Self, Error> {
        let connect = |error| Error::Connect(target.address, error);
        let socket = TcpStream::connect_timeout(&target.address, TIMEOUT).map_err(connect)?;
        socket.set_read_timeout(Some(TIMEOUT)).map_err(connect)?;
        let path = target.path.replace(TOPIC, "load-probe");
        let request = handshake::request(&target.authority, &path, &target.headers);
        (&socket).write_all(&request).map_err(Error::Broken)?;
        let mut answer = Vec::new();
        while handshake::check(target.scheme, &answer)
            .map_err(Error::Rejected)?
            .is_none()
        {
            let mut buffer = [0; 1024];
            match (&socket).read(&mut buffer).map_err(Error::Broken)? {
                0 => return Err(Error::Broken(io::ErrorKind::UnexpectedEof.into())),
                read => answer.extend_from_slice(&buffer[..read]),
            }
        }
        Ok(Self(socket))
    }
}

/// Arbitrary: a server that needs longer is not one to measure.
const TIMEOUT: Duration = Duration::from_secs(10);
