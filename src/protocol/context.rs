//! Everything that a protocol may do while it is called.

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

/// The connection that a [protocol](crate::Protocol) is called for, and what it may do with it.
///
/// Replies of a turn are written at its end, in one write; publications go off then, too, in their order.
/// Once the connection has ended, only publishing still has an effect.
#[derive(Debug)]
pub struct Context<'a> {
    handle: &'a HandleRef,
    publications: &'a mut Publications,
    /// Replies may be compressed.
    may_compress: bool,
    is_ended: bool,
    /// Something was charged since the turn was last looked at.
    has_spent: bool,
}

/// The error of topics that can't be subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The connection has ended, and follows nothing any more.
    #[error("the connection has ended")]
    Ended,
    /// The server is short of memory: the connection was ended, with 1013.
    #[error("the server is short of memory")]
    ShortOfMemory,
    /// The connection follows as many topics as it may.
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

    /// Sends a message back, which is copied and need not be kept.
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

    /// Sends text back.
    pub fn reply_text(&mut self, text: &str) {
        self.reply(Kind::Text, text.as_bytes());
    }

    /// Sends a frame back as it came. The client sees a message if it gets all of its fragments, in their
    /// order and nothing in between.
    pub fn reply_fragment(&mut self, fragment: Fragment<'_>) {
        self.reply_frame(fragment.to_frame());
    }

    pub(crate) fn reply_frame(&mut self, frame: Frame) {
        if !self.is_ended {
            self.has_spent = true;
            self.handle.reply(frame);
        }
    }

    /// Publishes a message to all who follow any of `topics`: to this connection, too, if it does.
    pub fn publish(&mut self, topics: &Topics, message: Message) {
        self.publish_to(topics, Audience::Everyone, message);
    }

    /// Publishes a message to all others who follow any of `topics`, but not to this connection.
    pub fn publish_to_others(&mut self, topics: &Topics, message: Message) {
        self.publish_to(topics, Audience::AllBut(self.handle.id()), message);
    }

    /// Publishes a message to those who follow any of `topics` and are connections of `user`.
    pub fn publish_to_user(&mut self, topics: &Topics, user: &UserId, message: Message) {
        self.publish_to(topics, Audience::User(user.clone()), message);
    }

    fn publish_to(&mut self, topics: &Topics, audience: Audience, message: Message) {
        self.has_spent = true;
        self.publications
            .add(self.handle, topics, audience, message);
    }

    /// Follows `topic` from now on, too.
    ///
    /// # Errors
    ///
    /// If the connection has ended, 128 topics are followed already, or memory is short.
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

    /// Follows `topic` no longer.
    pub fn unsubscribe(&mut self, topic: &TopicName) {
        self.has_spent = true;
        self.handle.unsubscribe(topic);
    }

    /// Follows exactly `topics` from now on.
    ///
    /// # Errors
    ///
    /// If the connection has ended, or memory is short.
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

    /// Returns the user whose connection it is, if it is somebody's.
    #[must_use]
    pub fn user(&self) -> Option<UserId> {
        self.handle.user()
    }

    /// Closes the connection, behind what was replied. Of `reason` the client gets as much as a Close holds,
    /// which is 123 bytes. Codes from 4000 on are for applications: by framecast's own, 4000 to 4499 invite
    /// the client to connect again, and 4500 to 4999 tell it not to.
    pub fn close(&mut self, code: CloseCode, reason: &str) {
        self.handle.close(code, reason);
        self.is_ended = true;
    }

    /// Ends the connection for a reason of the server's.
    pub(crate) fn end(&mut self, reason: Disconnect) {
        self.handle.end(reason);
        self.is_ended = true;
    }

    pub(crate) fn connection(&self) -> ConnectionId {
        self.handle.id()
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// Returns true if something was published since the turn has begun.
    pub(crate) fn has_published(&self) -> bool {
        !self.publications.is_empty()
    }

    /// Charges the call that has just come back, by the clock if it `is_timed`. Returns true if the turn is
    /// over.
    pub(crate) fn settle(&mut self, is_timed: bool) -> bool {
        let shard = self.handle.shard();
        let has_spent = mem::take(&mut self.has_spent);
        if is_timed {
            shard.look_at_clock();
        }
        (has_spent || is_timed) && shard.is_turn_over()
    }
}
