//! The gate: the stream that fastwebsockets reads from, between it and the socket.
//!
//! It adds what fastwebsockets 0.10.0 leaves out (see [`validator`](super::validator)) and two things that
//! only the stream below can do: valid frames before a protocol error are still delivered, and between
//! two messages it says that it is [idle](is_idle), having read no byte of the next, so that the
//! reader above, with its buffer of 8 KiB, can be dropped and lose nothing.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    io, mem,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf, Take};

use super::{
    parts::Parts,
    protocol_error::ProtocolError,
    validator::{MessageInfo, Rules, Validator},
};

/// Queue of what is known of each message that has passed the gate and that the reader has not taken yet.
pub type MessageInfos = Rc<RefCell<VecDeque<MessageInfo>>>;

/// True if the frame that was shown last ends its message, where each frame is shown as a message.
pub type IsFinal = Rc<Cell<bool>>;

/// A reader of the peer's frames, judged and unmasked.
#[derive(Debug)]
pub struct Gate<R> {
    /// Limited to what the validator wants, and to [`READ_BYTES`]. It fills what it reads into, and
    /// nothing beyond: a large frame is not paid for before it comes.
    inner: Take<R>,
    validator: Validator,
    infos: MessageInfos,
    /// Something has, since it last said that it was idle.
    has_passed: bool,
    refused: Option<ProtocolError>,
    /// Where large frames are shown in parts.
    parts: Option<Parts>,
    is_final: IsFinal,
}

impl<R: AsyncRead> Gate<R> {
    /// Puts a gate before `inner`, which stands between two messages.
    pub fn new(inner: R, rules: Rules, infos: MessageInfos) -> Self {
        Self {
            inner: inner.take(0),
            validator: Validator::new(rules),
            infos,
            has_passed: false,
            refused: None,
            parts: None,
            is_final: IsFinal::default(),
        }
    }

    /// Makes it one that shows large frames in parts, so that fastwebsockets reserves no more than one.
    #[must_use]
    pub fn in_parts(self) -> Self {
        Self {
            parts: Some(Parts::default()),
            ..self
        }
    }

    /// Makes it one that shows each frame as a message, in parts if it is large, and says in `is_final`
    /// whether the one that it has shown ends the message that it was sent in.
    #[must_use]
    pub fn in_frames(self, is_final: IsFinal) -> Self {
        Self {
            parts: Some(Parts::of_frames()),
            is_final,
            ..self
        }
    }
}

impl<R: AsyncRead + Unpin> Gate<R> {
    /// Reads and judges up to `most` bytes, at the end of what `buf` has. Returns how many of them may
    /// pass; those behind a protocol error do not.
    fn poll_validated(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        most: u64,
    ) -> Poll<io::Result<usize>> {
        self.inner.set_limit(most);
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        let read = &mut buf.filled_mut()[before..];
        let mut passed = read.len();
        if let Err(refused) = self.validator.validate(read, &mut self.infos.borrow_mut()) {
            self.refused = Some(refused.error);
            passed = refused.at;
        }
        self.has_passed = true;
        buf.set_filled(before + passed);
        match self.refused {
            Some(error) if passed == 0 => Poll::Ready(Err(to_io_error(error))),
            _ => Poll::Ready(Ok(passed)),
        }
    }

    /// Reads the header of a frame, which is shown later. Ready with false at the end of the stream.
    fn poll_header(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<bool>> {
        let before = buf.filled().len();
        loop {
            let wanted = self.validator.wanted() as u64;
            let read = ready!(self.poll_validated(cx, buf, wanted))?;
            if let Some(error) = self.refused {
                return Poll::Ready(Err(to_io_error(error)));
            }
            if read == 0 {
                return Poll::Ready(Ok(false));
            }
            if let Some(parts) = &mut self.parts {
                parts.take_header(&buf.filled()[before..]);
                buf.set_filled(before);
                if !self.validator.is_in_header() {
                    if let Some(is_final) = parts.begin(self.validator.payload_left()) {
                        self.is_final.set(is_final);
                    }
                    return Poll::Ready(Ok(true));
                }
            }
        }
    }

    /// Shows what is left of a header. Returns false if nothing is.
    fn show_header(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let Some(parts) = &mut self.parts else {
            return false;
        };
        let len = parts.header().len().min(buf.remaining());
        buf.put_slice(&parts.header()[..len]);
        parts.header_shown(len);
        len > 0
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Gate<R> {
    /// Reads what the peer sent, up to the first protocol error, and no further than the end of a
    /// message.
    ///
    /// # Errors
    ///
    /// Those of the inner reader; a [protocol error](protocol_error), of kind `InvalidData`; [idle](is_idle), of
    /// kind `WouldBlock`, once after each message and each control frame between messages.
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.show_header(buf) {
            return Poll::Ready(Ok(()));
        }
        if let Some(error) = this.refused {
            return Poll::Ready(Err(to_io_error(error)));
        }
        if this.validator.is_between_messages() && mem::take(&mut this.has_passed) {
            return Poll::Ready(Err(io::ErrorKind::WouldBlock.into()));
        }
        if this.parts.is_some() && this.validator.payload_left() == 0 {
            if ready!(this.poll_header(cx, buf))? {
                this.show_header(buf);
            }
            return Poll::Ready(Ok(()));
        }
        let part = this.parts.as_ref().map_or(u64::MAX, Parts::part);
        let wanted = this.validator.wanted().min(READ_BYTES) as u64;
        let passed = ready!(this.poll_validated(cx, buf, wanted.min(part)))?;
        if let Some(parts) = &mut this.parts {
            parts.payload_shown(passed);
        }
        Poll::Ready(Ok(()))
    }
}

/// A message has passed, and no other is under way: the reader may be dropped.
#[must_use]
pub fn is_idle(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

/// Returns the protocol error behind an error that came up through fastwebsockets, if it was one.
#[must_use]
pub fn protocol_error(error: &io::Error) -> Option<ProtocolError> {
    error.get_ref()?.downcast_ref().copied()
}

fn to_io_error(error: ProtocolError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// A read, at most: fastwebsockets doubles a buffer that is filled to the brim, and never shrinks
/// it.
const READ_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;
    use crate::validator::{MessageLimits, Role};

    const RULES: Rules = Rules {
        role: Role::Server,
        deflate: false,
        limits: MessageLimits {
            message_bytes: 100,
            fragments: 10,
        },
    };

    #[tokio::test]
    async fn fragments_before_a_protocol_error_are_read_and_the_error_comes_after_them() {
        let masked_hi = [0x01, 0x82, 0, 0, 0, 0, b'h', b'i'];
        let unmasked = [0x80, 0x01, b'x'];
        let wire = [&masked_hi[..], &unmasked].concat();
        let mut gate = Gate::new(&wire[..], RULES, MessageInfos::default());
        let mut read = Vec::new();
        let error = gate.read_to_end(&mut read).await.unwrap_err();
        assert_eq!(read, [0x02, 0x82, 0, 0, 0, 0, b'h', b'i']);
        assert_eq!(protocol_error(&error), Some(ProtocolError::Unmasked));
        assert_eq!(
            protocol_error(&gate.read_u8().await.unwrap_err()),
            Some(ProtocolError::Unmasked)
        );
    }

    #[tokio::test]
    async fn it_is_idle_once_after_each_message_having_read_nothing_of_the_next() {
        let message = |first| [first, 0x81, 0, 0, 0, 0, b'x'];
        let wire = [message(0x01), message(0x89), message(0x80), message(0x82)].concat();
        let mut left = &wire[..];
        let mut gate = Gate::new(&mut left, RULES, MessageInfos::default());
        let mut read = Vec::new();
        assert!(is_idle(&gate.read_to_end(&mut read).await.unwrap_err()));
        assert_eq!(read.len(), 21, "a fragmented message, and a Ping inside it");
        assert!(is_idle(&gate.read_to_end(&mut read).await.unwrap_err()));
        assert_eq!(read.len(), wire.len());
        assert_eq!(gate.read_to_end(&mut read).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_large_frame_is_shown_in_parts_as_it_comes() {
        let mut rules = RULES;
        rules.limits.message_bytes = 10_000;
        let (mut peer, socket) = tokio::io::duplex(20_000);
        let mut gate = Gate::new(socket, rules, MessageInfos::default()).in_parts();
        let header = [0x81, 0xFE, 0x27, 0x10, 0, 0, 0, 0];
        peer.write_all(&[&header[..], &[b'x'; 9_000]].concat())
            .await
            .unwrap();
        let mut read = vec![0; 8 + 8_192 + 8 + 808];
        gate.read_exact(&mut read).await.unwrap();
        assert_eq!(read[..8], [0x02, 0xFE, 0x20, 0, 0, 0, 0, 0]);
        assert_eq!(read[8 + 8_192..][..8], [0x80, 0xFE, 0x07, 0x10, 0, 0, 0, 0]);
        peer.write_all(&[b'x'; 1_000]).await.unwrap();
        peer.write_all(&[0x89, 0x80, 0, 0, 0, 0]).await.unwrap();
        let mut rest = Vec::new();
        assert!(is_idle(&gate.read_to_end(&mut rest).await.unwrap_err()));
        assert_eq!(rest, [b'x'; 1_000]);
        rest.clear();
        assert!(is_idle(&gate.read_to_end(&mut rest).await.unwrap_err()));
        assert_eq!(rest, [0x89, 0x80, 0, 0, 0, 0]);
    }

    #[tokio::test]
    async fn a_reader_of_frames_is_shown_messages_and_told_which_frame_ends_one() {
        let frame = |first| [first, 0x81, 0, 0, 0, 0, b'x'];
        let wire = [frame(0x01), frame(0x89), frame(0x80)].concat();
        let is_final = IsFinal::default();
        let mut gate =
            Gate::new(&wire[..], RULES, MessageInfos::default()).in_frames(is_final.clone());
        let shown = [(0x82, false), (0x89, false), (0x82, true)];
        for shown in shown {
            let mut read = [0; 7];
            gate.read_exact(&mut read).await.unwrap();
            assert_eq!((read[0], is_final.get()), shown);
        }
        assert!(is_idle(&gate.read_u8().await.unwrap_err()));
    }

    #[tokio::test]
    async fn a_dry_socket_is_waited_for() {
        let (mut peer, socket) = tokio::io::duplex(64);
        let mut gate = Gate::new(socket, RULES, MessageInfos::default());
        peer.write_all(&[0x81]).await.unwrap();
        assert_eq!(gate.read_u8().await.unwrap(), 0x82);
        let read = std::future::poll_fn(|cx| {
            let mut byte = [0];
            Poll::Ready(Pin::new(&mut gate).poll_read(cx, &mut ReadBuf::new(&mut byte)))
        });
        assert!(read.await.is_pending());
    }
}
