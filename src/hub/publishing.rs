//! Publishing by code outside of connections: by the application, and by `POST /publish`.

use tokio::sync::oneshot;

use crate::{
    hub::{
        Hub,
        bounds::publisher_queue::PublishPermit,
        publication::{
            Publication, Receipt, delivery::cost_of_delivery, encoded_message::EncodedMessage,
        },
        shard::Shard,
    },
    message::Message,
    topic::TopicName,
    user::UserId,
};

impl Hub {
    /// Waits for a permit to [publish](Self::publish_now) messages, if some shard has too much to
    /// deliver or memory is short. Returns `None` if no permit is needed.
    ///
    /// The caller has charged `bytes` for the messages. While the caller waits, these bytes do not
    /// count toward the level of memory at which publishers must wait, because they are freed only
    /// by publishing.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub(crate) async fn acquire_permit(&self, bytes: usize) -> Option<PublishPermit> {
        let links = &self.0.links;
        if links.must_wait() {
            return Some(links.acquire_permit(bytes).await);
        }
        None
    }

    /// Encodes a message that is to be published. From then on it is charged to the budget.
    pub(crate) fn encode(&self, message: Message) -> EncodedMessage {
        self.0.links.shared.encode(message)
    }

    /// Publishes a message without waiting, to the subscribers of `topics`, or only to those that
    /// are connections of `user`. Each topic is named once. A subscriber of several topics gets the
    /// message once. When every shard has queued the message, the returned receiver gets the number
    /// of subscribers that it was queued to.
    pub(crate) fn publish_now(
        &self,
        topics: &[TopicName],
        message: EncodedMessage,
        user: Option<UserId>,
    ) -> oneshot::Receiver<usize> {
        let (receipt, queued) = Receipt::new();
        let publication = Publication::new(message).to(user).counted(receipt);
        self.0.links.publish(topics, publication);
        queued
    }

    /// Returns the estimated cost, in nanoseconds, of delivering a message that is published to
    /// `topics` by code on `shard`.
    pub(crate) fn delivery_cost(
        &self,
        shard: &Shard,
        topics: &[TopicName],
        message: &EncodedMessage,
    ) -> u64 {
        let links = &self.0.links;
        let subscribers = topics.iter().map(|topic| links.subscribers(topic)).sum();
        let forms = links.shared.forms(shard.index, subscribers);
        let compression = message.compression_cost().in_forms(forms);
        cost_of_delivery(subscribers, 1, message.plain().wire_len()) + compression
    }
}
