//! Sockets of connections: TCP, a pipe within the process, or any other stream.

use std::{
    io::{Read, Write},
    net::Shutdown,
    pin::Pin,
    task::{Context, Waker},
};

use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream},
    net::TcpStream,
};

/// Whatever reads and writes.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

/// Plain TCP, or anything else.
pub(crate) enum Socket {
    Tcp(TcpStream),
    /// To this process itself, which need not be asked whether it lives.
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

    /// Corks the socket, so that a Close and the end of the stream share one TCP segment, which saves a tenth
    /// of what a short connection costs. Only for what is followed by the end at once: Linux keeps corked
    /// data for up to 200 ms.
    pub(in crate::hub) fn cork(&self) {
        if let Self::Tcp(tcp) = self {
            // If it fails there is a segment more.
            let _ = SockRef::from(tcp).set_tcp_cork(true);
        }
    }

    /// Writes `bytes`, as far as they are taken at once, and ends the stream. Nobody is there to be
    /// told if that fails.
    pub(in crate::hub) fn say_last(mut self, bytes: &[u8]) {
        if let Self::Tcp(tcp) = &self {
            // Past the event loop, which need not know yet that the socket takes something.
            let socket = SockRef::from(tcp);
            let _ = (&*socket).write(bytes);
            let _ = socket.shutdown(Shutdown::Write);
            // What is left unread would have the kernel reset the connection, and the peer might
            // lose what it has not read.
            let mut unread = [0; 4096];
            let is_read = |_: &usize| matches!((&*socket).read(&mut unread), Ok(1..));
            let _ = (0..MAX_UNREAD_PIECES).take_while(is_read).count();
            return;
        }
        let mut cx = Context::from_waker(Waker::noop());
        let _ = self.stream().poll_write(&mut cx, bytes);
        let _ = self.stream().poll_shutdown(&mut cx);
    }
}

/// Pieces of unread bytes that are thrown away, at most: a peer that has sent more than 256 KiB meanwhile may
/// lose the last word.
const MAX_UNREAD_PIECES: usize = 64;

#[cfg(test)]
pub(in crate::hub) mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// A socket over TCP, and the other end of it.
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
    async fn what_is_corked_comes_with_the_end_of_the_stream() {
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
