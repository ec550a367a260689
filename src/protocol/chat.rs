//! The chat room: every message goes to all connections that follow the same topics.

use crate::{
    protocol::{Context, Incoming, Protocol},
    topic::{
        TopicName,
        list::{InvalidTopics, Topics},
    },
};

/// A chat room of 1 to 128 topics. Every message goes to all connections that follow one of its
/// topics, the sender included. A connection that follows several of them gets the message once.
#[derive(Clone, Debug)]
pub struct Chat {
    topics: Topics,
}

impl Chat {
    /// Makes a chat room of `topics`. A topic that occurs twice counts once.
    ///
    /// # Errors
    ///
    /// There is no topic, or there are more than 128.
    pub fn new(topics: impl IntoIterator<Item = TopicName>) -> Result<Self, InvalidTopics> {
        let topics = Topics::new(topics)?;
        if topics.is_empty() {
            return Err(InvalidTopics::None);
        }
        Ok(Self::of(topics))
    }

    /// Makes a chat room of `topics`, of which there must be at least one.
    pub(crate) fn of(topics: Topics) -> Self {
        Self { topics }
    }
}

/// A chat room of one topic.
impl From<TopicName> for Chat {
    fn from(topic: TopicName) -> Self {
        Self::of(topic.into())
    }
}

impl Protocol for Chat {
    fn on_open(&mut self, cx: &mut Context<'_>) {
        if cx.set_topics(&self.topics).is_ok() {
            // The chat keeps the shard's copy of the names instead of its own, because all
            // connections that follow the same topics share that copy.
            self.topics = cx.topics();
        }
    }

    fn on_message(&mut self, message: Incoming<'_>, cx: &mut Context<'_>) {
        cx.publish(&self.topics, message.into());
    }

    fn is_instant(&self) -> bool {
        true
    }
}
