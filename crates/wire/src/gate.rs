//! The gate: the stream that fastwebsockets reads from, in place of the socket.
//!
//! Through the gate fastwebsockets reads the peer's frames, unmasked. The gate rewrites text and
//! compressed messages to plain binary ones. If [`Gate::in_parts`] or [`Gate::in_frames`] was
//! called, it presents large frames to fastwebsockets as several smaller ones, the parts.
//!
//! The gate makes the checks that fastwebsockets 0.10.0 leaves out (see
//! [`validator`](super::validator)). It also does two things that only the stream below
//! fastwebsockets can do. It passes on the valid frames that precede a protocol error. And after a
//! message, before it reads any byte of the next one, it reports that it is [idle](is_idle): then
//! fastwebsockets' reader, with its buffer of 8 KiB, can be dropped without losing data.

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

/// Queue with the kind and compression of each message that has passed the gate. The reader takes
/// one entry per message.
pub type MessageInfos = Rc<RefCell<VecDeque<MessageInfo>>>;

/// Flag for readers of frames: true if the data frame that was read last is the last frame of the
/// message that the peer sent.
pub type IsFinal = Rc<Cell<bool>>;

/// A reader of the peer's frames that checks and unmasks them.
#[derive(Debug)]
pub struct Gate<R> {
    /// The socket. Each read is limited to as many bytes as the validator wants, and to
    /// [`READ_BYTES`]. A read initializes no more of the buffer than that, so a large frame takes
    /// up memory only as it arrives.
    inner: Take<R>,
    validator: Validator,
    infos: MessageInfos,
    /// True if bytes have passed since the gate last reported that it is idle.
    passed_since_idle: bool,
    /// The protocol error that was found. Every later read returns it.
    error: Option<ProtocolError>,
    /// State for splitting large frames into parts, or `None` if frames are not split.
    parts: Option<Parts>,
    is_final: IsFinal,
}

impl<R: AsyncRead> Gate<R> {
    /// Returns a gate that reads from `inner`. The next byte of `inner` must be the first of a
    /// frame, and no fragmented message may be unfinished.
    pub fn new(inner: R, rules: Rules, infos: MessageInfos) -> Self {
        Self {
            inner: inner.take(0),
            validator: Validator::new(rules),
            infos,
            passed_since_idle: false,
            error: None,
            parts: None,
            is_final: IsFinal::default(),
        }
    }

    /// Makes the gate split large frames into parts, so that fastwebsockets reserves memory for
    /// only one part at a time.
    #[must_use]
    pub fn in_parts(self) -> Self {
        Self {
            parts: Some(Parts::default()),
            ..self
        }
    }

    /// Makes the gate show each frame as a message of its own, so that fragments are read as they
    /// arrive. A large frame is shown in parts. For each data frame, the gate sets the shared flag
    /// `is_final`: true if the frame is the last one of the message that the peer sent.
    #[must_use]
    pub fn in_frames(self, is_final: IsFinal) -> Self {
        Self {
            parts: Some(Parts::of_frames()),
            is_final,
            ..self
        }
    }
}

impl<R> Gate<R> {
    /// Returns true if a Close frame was shown with another code than the peer has sent.
    pub(super) fn has_replaced_close_code(&self) -> bool {
        self.validator.has_replaced_close_code()
    }
}

impl<R: AsyncRead + Unpin> Gate<R> {
    /// Reads up to `most` bytes into `buf` and validates them. Returns how many of them are valid:
    /// all, or those before a protocol error. `buf` keeps only the valid bytes. If an error has no
    /// valid bytes before it, this call returns the error. Otherwise the next read returns the
    /// error.
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
        if let Err(found) = self.validator.validate(read, &mut self.infos.borrow_mut()) {
            self.error = Some(found.error);
            passed = found.at;
        }
        self.passed_since_idle = true;
        buf.set_filled(before + passed);
        match self.error {
            Some(error) if passed == 0 => Poll::Ready(Err(to_io_error(error))),
            _ => Poll::Ready(Ok(passed)),
        }
    }

    /// Reads the header of a frame into `parts`, from where [`show_header`](Self::show_header)
    /// copies it to fastwebsockets. Returns false at the end of the stream. This is called only if
    /// there are `parts`: without them, `poll_read` passes header bytes straight to fastwebsockets.
    fn poll_header(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<bool>> {
        let before = buf.filled().len();
        loop {
            let wanted = self.validator.wanted() as u64;
            let read = ready!(self.poll_validated(cx, buf, wanted))?;
            if let Some(error) = self.error {
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

    /// Copies the header bytes in `parts` that fastwebsockets has not read yet into `buf`. Returns
    /// false if there are no such bytes, or no `parts`.
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
    /// Reads bytes that the peer sent, up to the first protocol error. One call reads no further
    /// than to the end of a message.
    ///
    /// # Errors
    ///
    /// - Errors of the inner reader.
    /// - `InvalidData` for a [protocol error](protocol_error).
    /// - `WouldBlock` to report that the gate [is idle](is_idle), because fastwebsockets passes
    ///   nothing but an error on to its caller. The gate reports this once after each message, and
    ///   once after each control frame between messages. The call after the report reads on.
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // Header bytes that are collected already come first, even before an error.
        if this.show_header(buf) {
            return Poll::Ready(Ok(()));
        }
        if let Some(error) = this.error {
            return Poll::Ready(Err(to_io_error(error)));
        }
        if this.validator.is_between_messages() && mem::take(&mut this.passed_since_idle) {
            return Poll::Ready(Err(io::ErrorKind::WouldBlock.into()));
        }
        // With `parts`, a header is collected before fastwebsockets gets it.
        if this.parts.is_some() && this.validator.payload_left() == 0 {
            if ready!(this.poll_header(cx, buf))? {
                this.show_header(buf);
            }
            return Poll::Ready(Ok(()));
        }
        // A payload is read no further than to the end of its part.
        let part = this.parts.as_ref().map_or(u64::MAX, Parts::part);
        let wanted = this.validator.wanted().min(READ_BYTES) as u64;
        let passed = ready!(this.poll_validated(cx, buf, wanted.min(part)))?;
        if let Some(parts) = &mut this.parts {
            parts.payload_shown(passed);
        }
        Poll::Ready(Ok(()))
    }
}

/// Returns true if this error is the gate's report that it is idle: a message has passed and no
/// other one has begun, so the reader may be dropped.
#[must_use]
pub fn is_idle(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

/// Returns the protocol error that the gate has put into this error, and that fastwebsockets has
/// passed on. Returns `None` for any other error.
#[must_use]
pub fn protocol_error(error: &io::Error) -> Option<ProtocolError> {
    error.get_ref()?.downcast_ref().copied()
}

fn to_io_error(error: ProtocolError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Largest number of bytes in one read. fastwebsockets doubles its buffer when a read fills it, and
/// never shrinks it.
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
    async fn the_gate_is_idle_once_after_each_message_before_it_reads_of_the_next() {
        // A text in two fragments with a Ping in between, and a binary message. Each frame has 7
        // bytes.
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
    async fn a_large_frame_is_shown_in_parts_as_it_arrives() {
        let mut rules = RULES;
        rules.limits.message_bytes = 10_000;
        let (mut peer, socket) = tokio::io::duplex(20_000);
        let mut gate = Gate::new(socket, rules, MessageInfos::default()).in_parts();
        // 0x2710 is 10,000.
        let header = [0x81, 0xFE, 0x27, 0x10, 0, 0, 0, 0];
        peer.write_all(&[&header[..], &[b'x'; 9_000]].concat())
            .await
            .unwrap();
        // The first part, of 8,192 bytes (0x2000), and what has arrived of the second one, of 1,808
        // bytes (0x0710). Each has a header of 8 bytes.
        let mut read = vec![0; 8 + 8_192 + 8 + 808];
        gate.read_exact(&mut read).await.unwrap();
        assert_eq!(read[..8], [0x02, 0xFE, 0x20, 0, 0, 0, 0, 0]);
        assert_eq!(read[8 + 8_192..][..8], [0x80, 0xFE, 0x07, 0x10, 0, 0, 0, 0]);
        peer.write_all(&[b'x'; 1_000]).await.unwrap();
        peer.write_all(&[0x89, 0x80, 0, 0, 0, 0]).await.unwrap();
        let mut rest = Vec::new();
        assert!(is_idle(&gate.read_to_end(&mut rest).await.unwrap_err()));
        // The gate is idle after the message, before it reads the Ping behind it.
        assert_eq!(rest, [b'x'; 1_000]);
        rest.clear();
        assert!(is_idle(&gate.read_to_end(&mut rest).await.unwrap_err()));
        assert_eq!(rest, [0x89, 0x80, 0, 0, 0, 0]);
    }

    #[tokio::test]
    async fn a_reader_of_frames_sees_each_as_a_message_and_is_told_which_one_is_final() {
        // A text in two fragments, with a Ping in between.
        let frame = |first| [first, 0x81, 0, 0, 0, 0, b'x'];
        let wire = [frame(0x01), frame(0x89), frame(0x80)].concat();
        let is_final = IsFinal::default();
        let mut gate =
            Gate::new(&wire[..], RULES, MessageInfos::default()).in_frames(is_final.clone());
        // The first byte of each frame as fastwebsockets reads it, and the flag.
        for expected in [(0x82, false), (0x89, false), (0x82, true)] {
            let mut read = [0; 7];
            gate.read_exact(&mut read).await.unwrap();
            assert_eq!((read[0], is_final.get()), expected);
        }
        assert!(is_idle(&gate.read_u8().await.unwrap_err()));
    }

    #[tokio::test]
    async fn a_read_is_pending_while_the_socket_has_no_data() {
        let (mut peer, socket) = tokio::io::duplex(64);
        let mut gate = Gate::new(socket, RULES, MessageInfos::default());
        // The first byte of a text, which is rewritten to that of a binary message.
        peer.write_all(&[0x81]).await.unwrap();
        assert_eq!(gate.read_u8().await.unwrap(), 0x82);
        let read = std::future::poll_fn(|cx| {
            let mut byte = [0];
            Poll::Ready(Pin::new(&mut gate).poll_read(cx, &mut ReadBuf::new(&mut byte)))
        });
        assert!(read.await.is_pending());
    }
}
