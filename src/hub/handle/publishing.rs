//! Publishing by a connection, and waiting for a permit to publish.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
};

use crate::{
    hub::{
        bounds::publisher_queue::PublishPermit,
        handle::HandleRef,
        publication::{Publication, delivery::cost_of_delivery, encoded_message::EncodedMessage},
    },
    message::Message,
    topic::TopicName,
};

impl HandleRef {
    /// Encodes a message that is to be published.
    pub(crate) fn encode(&self, message: Message) -> EncodedMessage {
        self.shard.shared.encode(message)
    }

    /// Publishes to every one of `topics`, behind all messages that this connection published
    /// before. The caller must have a permit if [it needs one](Self::must_wait_to_publish).
    pub(in crate::hub) fn publish(&self, topics: &[TopicName], publication: Publication) {
        self.shard.links.publish(topics, publication);
    }

    /// Returns the approximate number of subscribers of `topics`. If these are the topics that this
    /// connection follows, in the same order, only the subscribers on its shard are counted, and
    /// every other shard is assumed to have as many, which takes no lock of the router. Otherwise
    /// the router counts the subscribers on all shards.
    pub(crate) fn reach(&self, topics: &[TopicName]) -> usize {
        let state = self.shard.state.borrow();
        let mut followed = state.topics_of(self.key);
        let on_this_shard = topics.iter().map(|name| {
            let topic = followed.next().filter(|topic| topic.name.is_clone_of(name));
            Some(topic?.subscribers.len())
        });
        let links = &self.shard.links;
        match on_this_shard.sum::<Option<usize>>() {
            Some(count) => count * links.inboxes.len(),
            None => topics.iter().map(|topic| links.subscribers(topic)).sum(),
        }
    }

    /// Charges the turn for the delivery of a message to `connections` subscribers.
    pub(crate) fn charge_delivery(&self, connections: usize, message: &EncodedMessage) {
        let delivery = cost_of_delivery(connections, 1, message.plain().wire_len());
        let forms = self.shard.shared.forms(self.shard.index, connections);
        let compression = message.compression_cost().in_forms(forms);
        self.shard.charge_later(delivery + compression);
    }

    /// Returns true if a publisher needs a [permit](Self::acquire_permit) now: some shard has too
    /// much to deliver, memory is short, or other publishers wait.
    pub(crate) fn must_wait_to_publish(&self) -> bool {
        self.shard.links.must_wait()
    }

    /// Waits for a permit to publish messages for which `bytes` are charged. While it waits, the
    /// connection is not read, and so its peer is not expected to answer a Ping. Returns `None` as
    /// soon as the connection has ended: its messages need no permit then, because its closing
    /// handshake must not be delayed.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: the connection would still count as waiting. Drop the future only together
    /// with the connection.
    pub(crate) async fn acquire_permit(&self, bytes: usize) -> Option<PublishPermit> {
        self.with(|peer| peer.wait_for_hub(true));
        let mut permit = pin!(self.shard.links.acquire_permit(bytes));
        let permit = poll_fn(|cx| {
            if self.is_ended() {
                return Poll::Ready(None);
            }
            permit.as_mut().poll(cx).map(Some)
        });
        let permit = permit.await;
        self.with(|peer| peer.wait_for_hub(false));
        permit
    }

    /// Waits for a permit to publish the messages of a connection that has ended. `bytes` are
    /// charged for the messages.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub(crate) async fn acquire_permit_after_end(&self, bytes: usize) -> PublishPermit {
        self.shard.links.acquire_permit(bytes).await
    }
}
