//! The context of a call of a protocol: everything that the protocol may do with its connection.

use std::mem;

use crate::{
    disconnect::Disconnect,
    hub::{
        Audience,
        handle::{HandleRef, publications::Publications, subscribing::Subscribed},
        ids::ConnectionId,
    },
    message::Message,
    protocol::incoming::Fragment,
    topic::{
        TopicName,
        list::{MAX_TOPICS, Topics},
    },
    user::UserId,
    wire::{
        close::CloseCode,
        frame::{Frame, Kind},
    },
};

/// The connection that a [protocol](crate::Protocol) is called for, and everything that the
/// protocol may do with it.
///
/// The replies of a turn are written at the end of the turn, in one write. The messages that the
/// protocol has published in the turn are passed to the hub then, too, in their order. Once the
/// connection has ended, only publishing still has an effect.
#[derive(Debug)]
pub struct Context<'a> {
    handle: &'a HandleRef,
    publications: &'a mut Publications,
    /// True if replies may be compressed.
    may_compress: bool,
    is_ended: bool,
    /// True if the turn was charged for something that the protocol did through this context since
    /// the last call of [`settle`](Self::settle).
    has_spent: bool,
}

/// The reason why a connection could not subscribe to a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The connection has ended. It can follow no topics any more.
    #[error("the connection has ended")]
    Ended,
    /// The server is short of memory, and so the connection was ended, with 1013.
    #[error("the server is short of memory")]
    ShortOfMemory,
    /// The connection follows 128 topics already.
    #[error("more than {MAX_TOPICS} topics")]
    TooMany,
}

impl<'a> Context<'a> {
    pub(crate) fn new(handle: &'a HandleRef, publications: &'a mut Publications) -> Self {
        Self {
            may_compress: handle.may_inflate(),
            is_ended: handle.is_ended(),
            handle,
            publications,
            has_spent: false,
        }
    }

    /// Replies with a message. `payload` is copied.
    #[inline]
    pub fn reply(&mut self, kind: Kind, payload: &[u8]) {
        if self.is_ended {
            return;
        }
        if self.may_compress {
            self.reply_frame(Frame::message(kind, payload));
        } else {
            self.handle.reply_plain(kind, payload);
        }
    }

    /// Replies with a text message.
    pub fn reply_text(&mut self, text: &str) {
        self.reply(Kind::Text, text.as_bytes());
    }

    /// Replies with one fragment of a message. The protocol must send all fragments of the message,
    /// in their order and without another reply in between, or the client gets no valid message.
    pub fn reply_fragment(&mut self, fragment: Fragment<'_>) {
        self.reply_frame(fragment.to_frame());
    }

    pub(crate) fn reply_frame(&mut self, frame: Frame) {
        if !self.is_ended {
            self.has_spent = true;
            self.handle.reply(frame);
        }
    }

    /// Publishes a message to all connections that follow any of `topics`. If this connection
    /// follows one of them, it gets the message, too.
    pub fn publish(&mut self, topics: &Topics, message: Message) {
        self.publish_to(topics, Audience::Everyone, message);
    }

    /// Publishes a message to all connections that follow any of `topics`, except this one.
    pub fn publish_to_others(&mut self, topics: &Topics, message: Message) {
        self.publish_to(topics, Audience::AllBut(self.handle.id()), message);
    }

    /// Publishes a message to the connections of `user` that follow any of `topics`.
    pub fn publish_to_user(&mut self, topics: &Topics, user: &UserId, message: Message) {
        self.publish_to(topics, Audience::User(user.clone()), message);
    }

    fn publish_to(&mut self, topics: &Topics, audience: Audience, message: Message) {
        self.has_spent = true;
        self.publications
            .add(self.handle, topics, audience, message);
    }

    /// Subscribes the connection to `topic`, besides the topics that it follows already.
    ///
    /// # Errors
    ///
    /// The connection has ended, follows 128 topics already, or memory is short. In the last case
    /// the connection is ended, too.
    pub fn subscribe(&mut self, topic: &TopicName) -> Result<(), SubscribeError> {
        self.has_spent = true;
        if self.is_ended {
            return Err(SubscribeError::Ended);
        }
        match self.handle.subscribe(topic) {
            Subscribed::Yes => Ok(()),
            Subscribed::TooMany => Err(SubscribeError::TooMany),
            Subscribed::ShortOfMemory => Err(self.refuse()),
        }
    }

    /// Unsubscribes the connection from `topic`.
    pub fn unsubscribe(&mut self, topic: &TopicName) {
        self.has_spent = true;
        self.handle.unsubscribe(topic);
    }

    /// Subscribes the connection to `topics`, in place of the topics that it follows.
    ///
    /// # Errors
    ///
    /// The connection has ended, or memory is short. In the second case the connection is ended,
    /// too.
    pub fn set_topics(&mut self, topics: &Topics) -> Result<(), SubscribeError> {
        self.has_spent = true;
        if self.is_ended {
            return Err(SubscribeError::Ended);
        }
        if self.handle.is_too_much(topics) {
            return Err(self.refuse());
        }
        self.handle.set_topics(topics);
        Ok(())
    }

    /// Ends the connection because memory is too short for its topics. Returns the error that the
    /// protocol gets.
    fn refuse(&mut self) -> SubscribeError {
        self.handle.refuse();
        self.is_ended = true;
        SubscribeError::ShortOfMemory
    }

    /// Returns the topics that the connection follows.
    #[must_use]
    pub fn topics(&self) -> Topics {
        self.handle.topics()
    }

    /// Returns the user of the connection, or `None` if it is anonymous.
    #[must_use]
    pub fn user(&self) -> Option<UserId> {
        self.handle.user()
    }

    /// Closes the connection. The Close is sent behind all replies, with the first 123 bytes of
    /// `reason`, because a Close holds no more. Codes from 4000 to 4999 are for applications. Of
    /// framecast's own codes, 4000 to 4499 invite the client to connect again, and 4500 to 4999
    /// tell it not to.
    pub fn close(&mut self, code: CloseCode, reason: &str) {
        self.handle.close(code, reason);
        self.is_ended = true;
    }

    /// Ends the connection for a reason of the server's own, and not because the application closes
    /// it.
    pub(crate) fn end(&mut self, reason: Disconnect) {
        self.handle.end(reason);
        self.is_ended = true;
    }

    /// Ends another connection, if it still exists. It still gets the messages that were published
    /// before this call.
    pub(crate) fn end_other(&mut self, connection: ConnectionId, reason: Disconnect) {
        self.handle.end_other(connection, reason);
    }

    pub(crate) fn connection(&self) -> ConnectionId {
        self.handle.id()
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// Returns true if the protocol has published something in this turn.
    pub(crate) fn has_published(&self) -> bool {
        !self.publications.is_empty()
    }

    /// Charges the turn for a call of the protocol that has just returned, and returns true if the
    /// turn is over. What the call did through its context was charged during the call. If
    /// `is_timed`, the time that the call took is charged, too, by the clock.
    pub(crate) fn settle(&mut self, is_timed: bool) -> bool {
        let shard = self.handle.shard();
        let has_spent = mem::take(&mut self.has_spent);
        if is_timed {
            shard.charge_elapsed();
        }
        (has_spent || is_timed) && shard.is_turn_over()
    }
}
