//! Publishing by a connection, and waiting for the permit to.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
};

use crate::{
    hub::{
        bounds::publisher_queue::PublishPermit,
        handle::HandleRef,
        publication::{Publication, delivery::delivered, encoded_message::EncodedMessage},
    },
    message::Message,
    topic::TopicName,
};

impl HandleRef {
    /// Encodes a message that is to be published.
    pub(crate) fn encode(&self, message: Message) -> EncodedMessage {
        self.shard.shared.encode(message)
    }

    /// Publishes to every one of `topics`, after what this connection published before. Who has to
    /// [wait](Self::must_wait_to_publish) must have a permit.
    pub(in crate::hub) fn publish(&self, topics: &[TopicName], publication: Publication) {
        self.shard.links.publish(topics, publication);
    }

    /// Returns to about how many connections a message goes that is published to `topics`. If these are
    /// what this connection follows, that is as many on each shard as on this one; otherwise the router
    /// knows.
    pub(crate) fn reach(&self, topics: &[TopicName]) -> usize {
        let state = self.shard.state.borrow();
        let mut followed = state.topics_of(self.key);
        let here = topics.iter().map(|name| {
            let topic = followed.next().filter(|topic| topic.name.is_clone_of(name));
            Some(topic?.subscribers.len())
        });
        let links = &self.shard.links;
        match here.sum::<Option<usize>>() {
            Some(here) => here * links.inboxes.len(),
            None => topics.iter().map(|topic| links.subscribers(topic)).sum(),
        }
    }

    /// Charges the turn for a message that will be delivered to so many.
    pub(crate) fn charge_delivery(&self, connections: usize, message: &EncodedMessage) {
        let delivered = delivered(connections, 1, message.plain().wire_len());
        let forms = self.shard.shared.forms(self.shard.index, connections);
        let compressed = message.cost_of_form().in_forms(forms);
        self.shard.cause(delivered + compressed);
    }

    /// Returns true if some shard has more to deliver than it should, or others wait to publish:
    /// whoever publishes now needs a [permit](Self::acquire_permit).
    pub(crate) fn must_wait_to_publish(&self) -> bool {
        self.shard.links.must_wait()
    }

    /// Waits for a permit to publish; the connection has charged `bytes` for what it waits with. Meanwhile it
    /// is not read, and not expected to say anything. Returns `None` as soon as the connection has ended: it
    /// need not wait any more, and must not be waited for.
    ///
    /// # Cancel safety
    ///
    /// Not to be cancelled unless the connection is gone.
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

    /// Waits for a permit to publish, though the connection has ended.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub(crate) async fn acquire_permit_after_end(&self, bytes: usize) -> PublishPermit {
        self.shard.links.acquire_permit(bytes).await
    }
}
