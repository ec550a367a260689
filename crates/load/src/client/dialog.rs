//! A blocking connection, for requests outside the measured time.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use socket2::SockRef;

use crate::{
    client::{
        answer::Input,
        event::NORMAL_CLOSURE,
        frame::{self, Keys, Opcode},
        http::Rejection,
    },
    clock::Moment,
    error::Error,
};

/// A blocking connection: each request waits for its response.
#[derive(Debug)]
pub(crate) struct Dialog {
    stream: TcpStream,
    timeout: Duration,
}

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
        Self::open_within(TIMEOUT, address)
    }

    fn open_within(timeout: Duration, address: SocketAddr) -> Result<Self, Error> {
        let connect = |error| Error::Connect(address, error);
        let stream = TcpStream::connect_timeout(&address, timeout).map_err(connect)?;
        stream.set_nodelay(true).map_err(connect)?;
        stream.set_read_timeout(Some(timeout)).map_err(connect)?;
        // As in `dial`: sockets in TIME_WAIT would leave no ports for the next run.
        let linger = Some(Duration::ZERO);
        SockRef::from(&stream).set_linger(linger).map_err(connect)?;
        Ok(Self { stream, timeout })
    }

    /// Returns true if another request can be sent: the server has neither ended the connection nor
    /// sent anything for which it was not asked, such as a 408 before the end.
    pub(crate) fn is_idle(&self) -> bool {
        let peek = || {
            self.stream.set_nonblocking(true)?;
            let peeked = self.stream.peek(&mut [0]);
            self.stream.set_nonblocking(false)?;
            peeked
        };
        peek().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Sends `request`, and reads the response until `take` has parsed it. Returns the value that
    /// `take` returns. `take` is called with all bytes received so far. It returns `None` as long as
    /// the response is not complete.
    pub(crate) fn ask<T>(
        &mut self,
        request: &[u8],
        take: impl Fn(&[u8], Input) -> Result<Option<T>, Rejection>,
    ) -> Result<T, Failure> {
        self.stream.write_all(request).map_err(Failure::Ended)?;
        let mut answer = Vec::new();
        loop {
            let mut buffer = [0; 1024];
            let read = match self.stream.read(&mut buffer) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(Failure::Broken(timed_out(self.timeout)));
                }
                Err(error) => return Err(ended(&answer, error)),
            };
            answer.extend_from_slice(&buffer[..read]);
            let input = if read == 0 { Input::Ended } else { Input::Open };
            if let Some(taken) = take(&answer, input).map_err(Failure::Rejected)? {
                return Ok(taken);
            }
            if input == Input::Ended {
                return Err(ended(&answer, io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// Ends a WebSocket connection by the closing handshake: waits until the server has ended it,
    /// for at most [`CLOSE_TIMEOUT`].
    pub(crate) fn leave(mut self) {
        // An error means that the server has ended the connection first.
        let _ = self.try_leave();
    }

    fn try_leave(&mut self) -> io::Result<()> {
        let end = Moment::now() + CLOSE_TIMEOUT;
        let mut wire = Vec::new();
        let mut keys = Keys::new(end.as_nanos());
        frame::append(&mut wire, Opcode::Close, &mut keys, &[&NORMAL_CLOSURE]);
        self.stream.write_all(&wire)?;
        self.stream.set_read_timeout(Some(CLOSE_TIMEOUT))?;
        // Whatever the server still sends does not count.
        while self.stream.read(&mut [0; 1024])? > 0 {
            if end <= Moment::now() {
                return Ok(());
            }
        }
        SockRef::from(&self.stream).set_linger(None)
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
fn timed_out(timeout: Duration) -> io::Error {
    let text = format!("no answer within {} s", timeout.as_secs_f32());
    io::Error::new(io::ErrorKind::TimedOut, text)
}

/// The longest time for a connect, or for one read of a part of a response. Arbitrary: a server
/// that needs longer is not worth measuring.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The longest time for a closing handshake. Arbitrary.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Returns a dialog, and the server's side of its connection.
    fn connected() -> (Dialog, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let dialog = Dialog::open_within(Duration::from_millis(20), address);
        (dialog.unwrap(), listener.accept().unwrap().0)
    }

    fn ask(dialog: &mut Dialog) -> Result<Vec<u8>, Failure> {
        let all = |bytes: &[u8], input| Ok((input == Input::Ended).then(|| bytes.to_vec()));
        dialog.ask(b"?", all)
    }

    #[test]
    fn a_silent_server_is_described_in_words() {
        let (mut dialog, _server) = connected();
        let Err(Failure::Broken(error)) = ask(&mut dialog) else {
            panic!("the server has not answered");
        };
        assert_eq!(error.to_string(), "no answer within 0.02 s");
        assert_eq!(timed_out(TIMEOUT).to_string(), "no answer within 10 s");
    }

    #[test]
    fn a_dialog_leaves_no_socket_in_time_wait() {
        let (dialog, mut server) = connected();
        drop(dialog);
        // After a reset neither side has to wait.
        let error = server.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }

    #[test]
    fn a_dialog_that_leaves_sends_a_close_and_ends_without_a_reset() {
        let (dialog, mut server) = connected();
        let peer = std::thread::spawn(move || {
            let mut close = [0; 8];
            server.read_exact(&mut close).unwrap();
            server.write_all(&[0x88, 2, 0x03, 0xE8]).unwrap();
            server.shutdown(std::net::Shutdown::Write).unwrap();
            // FIN and Close, 2 masked bytes; then the end, which would be an error after a reset.
            (close[..2].to_vec(), server.read(&mut [0]).unwrap())
        });
        dialog.leave();
        assert_eq!(peer.join().unwrap(), (vec![0x88, 0x82], 0));
    }

    #[test]
    fn a_connection_is_idle_until_the_server_sends_something_or_ends_it() {
        let (dialog, server) = connected();
        assert!(dialog.is_idle());
        drop(server);
        wait_until_readable(&dialog);
        assert!(!dialog.is_idle());

        let (dialog, mut server) = connected();
        server
            .write_all(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
            .unwrap();
        wait_until_readable(&dialog);
        assert!(!dialog.is_idle());
    }

    fn wait_until_readable(dialog: &Dialog) {
        dialog.stream.set_read_timeout(None).unwrap();
        dialog.stream.peek(&mut [0]).unwrap();
    }

    #[test]
    fn an_end_before_the_first_byte_of_a_response_is_told_from_one_after_it() {
        let none = |_: &[u8], _| Ok(None::<()>);
        for (sent, is_ended) in [(&b""[..], true), (b"HTTP", false)] {
            let (mut dialog, mut server) = connected();
            server.write_all(sent).unwrap();
            server.shutdown(std::net::Shutdown::Write).unwrap();
            let failure = dialog.ask(b"?", none).unwrap_err();
            assert_eq!(matches!(failure, Failure::Ended(_)), is_ended);
        }
    }
}
