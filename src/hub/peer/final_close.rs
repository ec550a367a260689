//! The Close that is written to each peer of a shard that has panicked.

use crate::hub::peer::Peer;

impl Peer {
    /// Writes `close`, as far as the socket takes it in one write, and closes the socket. Nothing
    /// is written if a frame is partly written, or a Close was sent already.
    pub(in crate::hub) fn close_with(&mut self, close: &[u8]) {
        let is_closed = self.outbox.is_sealed() && self.outbox.is_empty();
        if let Some(socket) = self.socket.take()
            && !is_closed
            && !self.outbox.is_front_partly_written()
        {
            socket.write_last(close);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::{
        hub::{
            peer::socket::tests::pair,
            publication::{compression::Compression, segment::tests::segment},
        },
        wire::frame::Frame,
    };

    /// Calls `close_with` for a peer that `fill` has prepared. Returns all bytes that arrive at the
    /// other end of its socket.
    async fn received(fill: impl FnOnce(&mut Peer)) -> Vec<u8> {
        let (near, mut far) = pair().await;
        let mut peer = Peer::new(None, Compression::Off, 0);
        peer.socket = Some(near);
        fill(&mut peer);
        peer.close_with(b"close");
        assert!(peer.socket.is_none());
        let mut received = Vec::new();
        far.read_to_end(&mut received).await.unwrap();
        received
    }

    #[tokio::test]
    async fn a_close_is_written_in_place_of_messages_that_wait() {
        assert_eq!(received(|_| {}).await, b"close");
        let fill = |peer: &mut Peer| peer.outbox.push(segment(b"waits"));
        assert_eq!(received(fill).await, b"close");
    }

    #[tokio::test]
    async fn nothing_is_written_inside_a_frame_or_behind_a_close() {
        let partly_written = |peer: &mut Peer| {
            peer.outbox.push(segment(b"half"));
            peer.outbox.written(2);
        };
        assert_eq!(received(partly_written).await, b"");
        let closed = |peer: &mut Peer| {
            let close = segment(Frame::close(1000, "").as_bytes());
            let len = close.len();
            peer.outbox.seal(close);
            peer.outbox.written(len);
        };
        assert_eq!(received(closed).await, b"");
    }
}
