//! Tests of what a protocol may do in its calls, and of the effects.

use std::{cell::Cell, io, sync::mpsc};

use super::*;
use crate::{message::Message, topic::list::Topics, wire::close::CloseCode};

/// Starts a connection whose peer sends the bytes `read`, and polls its task five times, which is
/// more than it needs. Returns the bytes that it writes to the peer.
fn written(connection: Connection, read: &[u8]) -> Vec<u8> {
    let script = Rc::new(RefCell::new(Script {
        read: read.to_vec(),
        is_once: true,
        ..Script::default()
    }));
    let socket = Socket::Other(Box::new(Scripted(Rc::clone(&script))));
    let mut task = Box::pin(connection.start(socket, Vec::new()));
    for _ in 0..5 {
        let _ = poll(&mut task);
    }
    script.borrow().written.clone()
}

fn cats() -> TopicName {
    TopicName::new("cats").unwrap()
}

/// Charges 13/16 of the budget, so that memory is short until the returned charge is dropped.
fn crowd(shard: &Shard) -> impl Drop + use<> {
    let budget = shard.ledger().budget();
    budget.charge(usize::try_from(budget.limit() / 16 * 13).unwrap())
}

/// A stream that returns these bytes at its first read. Every later read and every write fails.
struct Reset(Option<&'static [u8]>);

impl AsyncRead for Reset {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(bytes) = self.0.take() else {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        };
        buf.put_slice(bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Reset {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

// Replies to a connection that was reset once went to the next connection that was opened on the
// same shard.
#[test]
fn replies_to_a_connection_that_is_reset_go_to_no_other_connection() {
    let written = on_a_shard(|shard, _| {
        // The text "secret", masked with zeros.
        let socket = Reset(Some(b"\x81\x86\0\0\0\0secret"));
        let one = open(shard, Echo, None).start(Socket::Other(Box::new(socket)), Vec::new());
        let _ = poll(&mut Box::pin(one));
        written(open(shard, Chat::from(cats()), None), b"")
    });
    assert_eq!(written, b"");
}

/// Closes the connection at the first message, and sends the test the reason that `on_close` gets.
struct Closes(mpsc::Sender<Disconnect>);

impl Protocol for Closes {
    fn on_message(&mut self, _: Incoming<'_>, cx: &mut protocol::Context<'_>) {
        cx.close(CloseCode::new(4321).unwrap(), "x");
    }

    fn on_close(&mut self, reason: Disconnect, _: &mut protocol::Context<'_>) {
        self.0.send(reason).unwrap();
    }
}

#[test]
fn on_close_gets_the_first_of_several_reasons() {
    let (reason, written) = on_a_shard(|shard, _| {
        let (send, receive) = mpsc::channel();
        // The text "x" and an empty Close.
        let message_and_close = b"\x81\x81\0\0\0\0x\x88\x80\0\0\0\0";
        let written = written(open(shard, Closes(send), None), message_and_close);
        (receive.try_recv(), written)
    });
    assert_eq!(
        reason,
        Ok(Disconnect::Application(CloseCode::new(4321).unwrap()))
    );
    // A Close of 3 bytes: the code 4321 and the reason.
    assert_eq!(written, b"\x88\x03\x10\xE1x");
}

/// Subscribes to `cats` when it opens. At a message it subscribes to `cats` again, and to `dogs`.
struct SubscribesAgain;

impl Protocol for SubscribesAgain {
    fn on_open(&mut self, cx: &mut protocol::Context<'_>) {
        cx.subscribe(&cats()).unwrap();
    }

    fn on_message(&mut self, _: Incoming<'_>, cx: &mut protocol::Context<'_>) {
        cx.subscribe(&cats()).unwrap();
        cx.reply_text("still");
        let dogs = TopicName::new("dogs").unwrap();
        assert!(cx.subscribe(&dogs).is_err(), "memory is short");
        assert!(cx.subscribe(&cats()).is_err(), "it has ended");
    }
}

#[test]
fn while_memory_is_short_a_topic_that_is_followed_may_be_subscribed_to_and_no_other() {
    let written = on_a_shard(|shard, _| {
        let connection = open(shard, SubscribesAgain, None);
        let _short = crowd(shard);
        written(connection, b"\x81\x81\0\0\0\0x")
    });
    // A Close of 27 bytes with the code 1013. The reply "still" was dropped when the connection
    // ended.
    assert_eq!(written[..4], *b"\x88\x1B\x03\xF5");
}

/// Publishes to its two lists of topics by turns, once for each message. It counts the messages,
/// and claims that its calls are instant.
struct Alternates([Topics; 2], Rc<Cell<u32>>);

impl Protocol for Alternates {
    fn on_message(&mut self, _: Incoming<'_>, cx: &mut protocol::Context<'_>) {
        self.1.set(self.1.get() + 1);
        self.0.swap(0, 1);
        cx.publish(&self.0[0], Message::text("x"));
    }

    fn is_instant(&self) -> bool {
        true
    }
}

#[test]
fn publishing_is_charged_even_if_no_connection_follows_the_topics() {
    let calls = on_a_shard(|shard, _| {
        let topics = ["a", "b"].map(|name| {
            let names = (0..128).map(|number| TopicName::new(&format!("{name}{number}")).unwrap());
            Topics::new(names).unwrap()
        });
        let calls = Rc::new(Cell::new(0));
        let connection = open(shard, Alternates(topics, Rc::clone(&calls)), None);
        // 1,000 empty texts.
        let messages = b"\x81\x80\0\0\0\0".repeat(1000);
        let script = Script {
            read: messages,
            is_once: true,
            ..Script::default()
        };
        let socket = Socket::Other(Box::new(Scripted(Rc::new(RefCell::new(script)))));
        let _ = poll(&mut Box::pin(connection.start(socket, Vec::new())));
        calls.get()
    });
    // Each message costs two look-ups of 128 topics, 150 ns for a topic. So a turn of 500 us has
    // time for 13 messages.
    assert!((1..=30).contains(&calls), "{calls} in a turn");
}
