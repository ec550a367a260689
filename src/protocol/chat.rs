//! The chat room: every message goes to all who follow the same topics.

use crate::{
    protocol::{Context, Incoming, Protocol},
    topic::{
        TopicName,
        list::{InvalidTopics, Topics},
    },
};

/// A chat room of 1 to 128 topics: every message goes to every connection of the same topics, the
/// sender included; whoever has several of them in common gets it once.
#[derive(Clone, Debug)]
pub struct Chat {
    topics: Topics,
}

impl Chat {
    /// Makes one of `topics`; one named twice counts once.
    ///
    /// # Errors
    ///
    /// If there is none, or more than 128.
    pub fn new(topics: impl IntoIterator<Item = TopicName>) -> Result<Self, InvalidTopics> {
        let topics = Topics::new(topics)?;
        if topics.is_empty() {
            return Err(InvalidTopics::None);
        }
        Ok(Self::of(topics))
    }

    /// Makes one of topics of which there is one at least.
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
            // The shard's own names, which are there once for all who follow the same topics.
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
