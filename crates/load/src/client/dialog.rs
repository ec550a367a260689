//! A blocking connection, for requests outside the measured time.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use crate::{client::http::Rejection, error::Error};

/// A blocking connection: each request waits for its response.
#[derive(Debug)]
pub(crate) struct Dialog(TcpStream);

/// The reason why a request failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The connection ended before the first byte of a response.
    Ended(io::Error),
    /// The connection broke within a response, or the response took too long.
    Broken(io::Error),
    Rejected(Rejection),
}

impl Dialog {
    /// Connects to `address`.
    pub(crate) fn open(address: SocketAddr) -> Result<Self, Error> {
        let connect = |error| Error::Connect(address, error);
        let stream = TcpStream::connect_timeout(&address, TIMEOUT).map_err(connect)?;
        stream.set_nodelay(true).map_err(connect)?;
        stream.set_read_timeout(Some(TIMEOUT)).map_err(connect)?;
        Ok(Self(stream))
    }

    /// Sends `request`, and reads the response until `take` has parsed it. Returns the value that
    /// `take` returns. `take` is called with all bytes received so far, and returns `None` as long
    /// as the response is not complete.
    pub(crate) fn ask<T>(
        &mut self,
        request: &[u8],
        take: impl Fn(&[u8]) -> Result<Option<T>, Rejection>,
    ) -> Result<T, Failure> {
        self.0.write_all(request).map_err(Failure::Ended)?;
        let mut answer = Vec::new();
        loop {
            let mut buffer = [0; 1024];
            match self.0.read(&mut buffer) {
                Ok(0) => return Err(ended(&answer, io::ErrorKind::UnexpectedEof.into())),
                Ok(read) => answer.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(Failure::Broken(timed_out()));
                }
                Err(error) => return Err(ended(&answer, error)),
            }
            if let Some(taken) = take(&answer).map_err(Failure::Rejected)? {
                return Ok(taken);
            }
        }
    }
}

/// Returns the failure of a connection that ended with `error`, after the bytes `answer` of the
/// response.
fn ended(answer: &[u8], error: io::Error) -> Failure {
    if answer.is_empty() {
        Failure::Ended(error)
    } else {
        Failure::Broken(error)
    }
}

/// Returns the error of a read that timed out. The system's own error only says that it would
/// block.
fn timed_out() -> io::Error {
    let text = format!("no answer within {} s", TIMEOUT.as_secs());
    io::Error::new(io::ErrorKind::TimedOut, text)
}

/// The longest time for a connect, or for a read of a response. Arbitrary: a server that needs
/// longer is not worth measuring.
const TIMEOUT: Duration = Duration::from_secs(10);
