//! Sockets of connections: TCP, a pipe in this process, or any other stream.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr},
    pin::Pin,
    task::{Context, Waker},
};

use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream},
    net::TcpStream,
};

/// Any byte stream that can be read and written.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

/// The byte stream of a connection.
pub(crate) enum Socket {
    Tcp(TcpStream),
    /// A pipe in this process, for a subscription of the process itself. It needs no heartbeat.
    Pipe(DuplexStream),
    Other(Box<dyn Stream>),
}

impl Socket {
    pub(in crate::hub) fn stream(&mut self) -> Pin<&mut dyn Stream> {
        match self {
            Self::Tcp(tcp) => Pin::new(tcp),
            Self::Pipe(pipe) => Pin::new(pipe),
            Self::Other(other) => Pin::new(&mut **other),
        }
    }

    /// Returns the address of the client, or `None` if it is not known: the stream is not TCP, or
    /// the client has reset the connection.
    pub(in crate::hub) fn peer_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(tcp) => tcp.peer_addr().ok(),
            Self::Pipe(_) | Self::Other(_) => None,
        }
    }

    /// Corks the socket, so that a Close and the FIN share one TCP segment, which saves a tenth of
    /// the cost of a short connection. The stream must be shut down right after the Close: Linux
    /// holds corked data for up to 200 ms.
    pub(in crate::hub) fn cork(&self) {
        if let Self::Tcp(tcp) = self {
            // If this fails, the FIN takes a TCP segment of its own.
            let _ = SockRef::from(tcp).set_tcp_cork(true);
        }
    }

    /// Writes `bytes`, as far as the socket takes them in one write, and shuts the socket down.
    /// Errors are ignored, because the connection ends in any case.
    pub(in crate::hub) fn write_last(mut self, bytes: &[u8]) {
        if let Self::Tcp(tcp) = &self {
            // By a direct system call: tokio may not know yet that the socket can be written.
            let socket = SockRef::from(tcp);
            let _ = (&*socket).write(bytes);
            let _ = socket.shutdown(Shutdown::Write);
            // If received bytes were left unread, the kernel would reset the connection, and the
            // peer might lose bytes that it has not read yet.
            let mut unread = [0; 4096];
            for _ in 0..MAX_DISCARDING_READS {
                if !matches!((&*socket).read(&mut unread), Ok(1..)) {
                    break;
                }
            }
            return;
        }
        let mut cx = Context::from_waker(Waker::noop());
        let _ = self.stream().poll_write(&mut cx, bytes);
        let _ = self.stream().poll_shutdown(&mut cx);
    }
}

/// Greatest number of reads, of 4 KiB each, that discard unread bytes when a socket is closed. If
/// more than these 256 KiB are unread, the kernel resets the connection, and the peer may lose the
/// Close.
const MAX_DISCARDING_READS: usize = 64;

#[cfg(test)]
pub(in crate::hub) mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// Returns a TCP socket and the other end of it.
    pub(in crate::hub) async fn pair() -> (Socket, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let far = TcpStream::connect(listener.local_addr().unwrap());
        let (far, accepted) = tokio::join!(far, listener.accept());
        (Socket::Tcp(accepted.unwrap().0), far.unwrap())
    }

    pub(in crate::hub) fn is_corked(socket: &Socket) -> bool {
        match socket {
            Socket::Tcp(tcp) => SockRef::from(tcp).tcp_cork().unwrap(),
            Socket::Pipe(_) | Socket::Other(_) => false,
        }
    }

    #[tokio::test]
    async fn corked_bytes_are_sent_when_the_stream_is_shut_down() {
        let (mut near, mut far) = pair().await;
        near.cork();
        assert!(is_corked(&near));
        near.stream().write_all(b"last").await.unwrap();
        near.stream().shutdown().await.unwrap();
        let mut received = Vec::new();
        far.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, b"last");
    }
}
