//! Subscriptions of the process itself: the messages of a topic as a stream, with no WebSocket client.
//!
//! A subscription is a connection like any other, with an outbox, its bounds and its end. In place of a
//! socket it has a pipe in memory, and what its shard has written to that is taken apart here.

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
/// What is not taken waits in an outbox, bounded as that of a client is: one that takes too little for too
/// long ends with [`Disconnect::SlowConsumer`] or [`Disconnect::TooFarBehind`]. Nothing is dropped
/// silently: an error is the last item, and says why nothing follows. Dropping the subscription ends it.
#[derive(Debug)]
pub struct Subscription {
    /// `None` when the shard has said its last.
    pipe: Option<DuplexStream>,
    /// Taken from the pipe: whole frames, and the begin of one.
    taken: BytesMut,
    ended: oneshot::Receiver<Disconnect>,
    is_over: bool,
}

impl Hub {
    /// Subscribes the process itself to `topic`: what is published to it after this returns comes by the
    /// subscription. It counts among the connections.
    ///
    /// # Errors
    ///
    /// [`Disconnect::Restarting`] if the hub is drained, [`Disconnect::Overloaded`] if memory is short,
    /// [`Disconnect::ShardPanicked`] if a shard has panicked.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the subscription is then not made.
    pub async fn subscribe(&self, topic: &TopicName) -> Result<Subscription, Disconnect> {
        let counted = self.budget().take_in(|counts| &counts.refused_connections);
        counted.map_err(|_| Disconnect::Overloaded)?;
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
                    taken: BytesMut::new(),
                    ended,
                    is_over: false,
                }
            });
            // Dropped, and so ended, if nobody waits for it any more.
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
    /// Takes the next message out of what has come. The Close ends the pipe.
    fn next_message(&mut self) -> Option<Message> {
        while let Some(frame) = Frame::split_off(&mut self.taken) {
            if frame.opcode() == Some(Opcode::Close) {
                // Its shard waits for that.
                self.pipe = None;
            } else if let Some(message) = Message::from_frame(frame) {
                return Some(message);
            }
        }
        None
    }

    /// Ready with the next message, or with `None` when there will be no more.
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        loop {
            if let Some(message) = self.next_message() {
                return Poll::Ready(Some(message));
            }
            let Some(pipe) = &mut self.pipe else {
                return Poll::Ready(None);
            };
            self.taken.reserve(READ_BYTES);
            let read = ready!(pin!(pipe.read_buf(&mut self.taken)).poll(cx));
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
        // A shard that ends without a word has panicked, or is gone with its hub.
        let reason =
            ready!(Pin::new(&mut self.ended).poll(cx)).unwrap_or(Disconnect::ShardPanicked);
        self.is_over = true;
        Poll::Ready(Some(Err(reason)))
    }
}

/// The protocol of a subscription, at the shard's end of the pipe.
struct Feed {
    topic: TopicName,
    end: Option<oneshot::Sender<Disconnect>>,
}

impl Protocol for Feed {
    fn on_open(&mut self, cx: &mut protocol::Context<'_>) {
        // If memory is short, that has ended the connection.
        let _ = cx.subscribe(&self.topic);
    }

    fn on_message(&mut self, _: Incoming<'_>, _: &mut protocol::Context<'_>) {}

    fn on_close(&mut self, reason: Disconnect, _: &mut protocol::Context<'_>) {
        if let Some(end) = self.end.take() {
            let _ = end.send(reason);
        }
    }
}

/// What the pipe holds, as a socket's buffer does, before its outbox begins to fill.
const PIPE_BYTES: usize = 64 * 1024;

/// Room for what is taken from the pipe at a time.
const READ_BYTES: usize = 16 * 1024;
