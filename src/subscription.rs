//! Subscriptions of the process itself: a topic's messages as a stream, without a WebSocket client.
//!
//! A subscription is a connection like any other, with an outbox, limits and a reason for its end.
//! In place of a socket it has a pipe in memory. The shard writes frames to the pipe, and they are
//! decoded here.

use std::{
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use bytes::BytesMut;
use futures_core::Stream;
use tokio::{
    io::{AsyncReadExt, DuplexStream, duplex},
    sync::oneshot,
    task::spawn_local,
};

use crate::{
    connection::Connection,
    disconnect::Disconnect,
    hub::{Hub, Socket},
    message::Message,
    protocol,
    protocol::{Incoming, Protocol},
    topic::TopicName,
    user::Identity,
    wire::frame::{Frame, Opcode},
};

/// The messages of a topic, in the topic's order.
///
/// Messages that were not taken from the stream yet wait in an outbox with the same limits as a
/// client's. If too few messages are taken for too long, the subscription ends with
/// [`Disconnect::SlowConsumer`] or [`Disconnect::TooFarBehind`]. No message is lost silently: the
/// last item is an error with the reason for the end. Dropping the subscription ends it.
#[derive(Debug)]
pub struct Subscription {
    /// The end of the pipe that is read here. `None` after the Close frame, or the end of the pipe.
    pipe: Option<DuplexStream>,
    /// Bytes read from the pipe: whole frames, and perhaps the beginning of another one.
    received: BytesMut,
    /// Gets the reason for the end from the connection's task.
    ended: oneshot::Receiver<Disconnect>,
    /// True if the reason for the end was returned as the last item.
    is_over: bool,
}

impl Hub {
    /// Subscribes the process itself to `topic`. The subscription yields every message that is
    /// published to the topic after this function has returned. It counts as a connection.
    ///
    /// # Errors
    ///
    /// [`Disconnect::Restarting`] if the hub drains or has stopped, [`Disconnect::Overloaded`] if
    /// memory is short, [`Disconnect::ShardPanicked`] if a shard has panicked.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: if the future is dropped, no subscription is made.
    pub async fn subscribe(&self, topic: &TopicName) -> Result<Subscription, Disconnect> {
        let admitted = self.budget().admit(|counts| &counts.refused_connections);
        admitted.map_err(|_| Disconnect::Overloaded)?;
        let (opened, is_open) = oneshot::channel();
        let topic = topic.clone();
        self.run_on(self.next_shard(), move |shard| {
            let (end, ended) = oneshot::channel();
            let feed = Box::new(Feed {
                topic,
                end: Some(end),
            });
            let connection = Connection::open(shard, Identity::anonymous(), feed, None);
            let subscription = connection.map(|connection| {
                let (near, far) = duplex(PIPE_BYTES);
                spawn_local(connection.start(Socket::Pipe(near), Vec::new()));
                Subscription {
                    pipe: Some(far),
                    received: BytesMut::new(),
                    ended,
                    is_over: false,
                }
            });
            // If the caller no longer waits, the subscription is dropped here, and so ended.
            let _ = opened.send(subscription);
        });
        is_open.await.unwrap_or_else(|_| {
            let has_panicked = self.has_panicked();
            Err(if has_panicked {
                Disconnect::ShardPanicked
            } else {
                Disconnect::Restarting
            })
        })
    }
}

impl Subscription {
    /// Returns the next message among the bytes that were read from the pipe, or `None` if they
    /// have no whole message. Drops the pipe if a Close is among them.
    fn next_message(&mut self) -> Option<Message> {
        while let Some(frame) = Frame::split_off(&mut self.received) {
            if frame.opcode() == Some(Opcode::Close) {
                // The connection's task waits for this end of the pipe to close.
                self.pipe = None;
            } else if let Some(message) = Message::from_frame(frame) {
                return Some(message);
            }
        }
        None
    }

    /// Reads the next message. Ready with the message, or with `None` at the end of the pipe.
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        loop {
            if let Some(message) = self.next_message() {
                return Poll::Ready(Some(message));
            }
            let Some(pipe) = &mut self.pipe else {
                return Poll::Ready(None);
            };
            self.received.reserve(READ_BYTES);
            let read = ready!(pin!(pipe.read_buf(&mut self.received)).poll(cx));
            if !matches!(read, Ok(1..)) {
                self.pipe = None;
            }
        }
    }
}

impl Stream for Subscription {
    type Item = Result<Message, Disconnect>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        if let Some(message) = ready!(self.poll_message(cx)) {
            return Poll::Ready(Some(Ok(message)));
        }
        // If the sender was dropped without a reason, the shard has panicked, or it has stopped
        // because the last handle of its hub was dropped.
        let reason =
            ready!(Pin::new(&mut self.ended).poll(cx)).unwrap_or(Disconnect::ShardPanicked);
        self.is_over = true;
        Poll::Ready(Some(Err(reason)))
    }
}

/// The protocol of a subscription, on the shard's side of the pipe. It only subscribes to the
/// topic, and reports the end of the connection to the subscription.
struct Feed {
    topic: TopicName,
    end: Option<oneshot::Sender<Disconnect>>,
}

impl Protocol for Feed {
    fn on_open(&mut self, cx: &mut protocol::Context<'_>) {
        // An error needs no handling: if memory is short, `subscribe` has ended the connection.
        let _ = cx.subscribe(&self.topic);
    }

    fn on_message(&mut self, _: Incoming<'_>, _: &mut protocol::Context<'_>) {}

    fn on_close(&mut self, reason: Disconnect, _: &mut protocol::Context<'_>) {
        if let Some(end) = self.end.take() {
            let _ = end.send(reason);
        }
    }
}

/// Bytes that the pipe holds before the outbox begins to fill, like the send buffer of a socket.
const PIPE_BYTES: usize = 64 * 1024;

/// Space that is made for each read from the pipe, in bytes.
const READ_BYTES: usize = 16 * 1024;
