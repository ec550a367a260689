//! A socket for tests that records the bytes written to it.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use zlib_rs::{Inflate, InflateFlush};

/// A socket that takes all bytes, in pieces of at most five, and from which nothing is ever read.
#[derive(Clone, Default)]
pub(super) struct Recorder(Arc<Mutex<Vec<u8>>>);

impl Recorder {
    /// Returns the payloads of the text messages that were written, in order. Panics if a message
    /// is compressed and `may_be_compressed` is false.
    pub(super) fn messages(&self, may_be_compressed: bool) -> Vec<String> {
        let wire = self.0.lock().unwrap();
        let mut rest = &wire[..];
        let mut messages = Vec::new();
        // One context inflates all messages, whether they refer to earlier ones or not.
        let mut context = Inflate::new(false, 15);
        // A text in one frame, plain (0x81) or compressed (0xC1), of at most 125 bytes.
        while let [first @ (0x81 | 0xC1), len, tail @ ..] = rest {
            let (payload, next) = tail.split_at(usize::from(*len));
            let message = if *first == 0x81 {
                payload.to_vec()
            } else {
                assert!(may_be_compressed, "RSV1 without permessage-deflate");
                inflate(&mut context, payload)
            };
            messages.push(String::from_utf8(message).unwrap());
            rest = next;
        }
        assert!(rest.is_empty(), "an incomplete frame at the end");
        messages
    }
}

/// Inflates a message. `context` has inflated the messages before it.
fn inflate(context: &mut Inflate, payload: &[u8]) -> Vec<u8> {
    // The sender has removed these four bytes (RFC 7692 §7.2.1).
    let wire = [payload, &[0x00, 0x00, 0xFF, 0xFF]].concat();
    let before = context.total_out();
    // No message of the test is longer.
    let mut message = vec![0; 1000];
    let inflated = context.decompress(&wire, &mut message, InflateFlush::SyncFlush);
    inflated.expect("the message is compressed correctly");
    message.truncate(usize::try_from(context.total_out() - before).unwrap());
    message
}

impl AsyncRead for Recorder {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Recorder {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let taken = bytes.len().min(5);
        self.0.lock().unwrap().extend(&bytes[..taken]);
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
