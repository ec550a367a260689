//! How a connection publishes, and waits with that.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
};

use crate::{
    hub::{
        bounds::turnstile::Pass,
        publication::{Publication, delivery::delivered, message::Message},
        seat::SeatRef,
    },
    topic::TopicName,
    wire::frame::Frame,
};

impl SeatRef {
    /// Makes a message of a frame that is to be published.
    pub(crate) fn message(&self, frame: Frame) -> Message {
        self.shard.shared.message(frame)
    }

    /// Publishes to every one of `topics`, after what this connection published before. Who has to
    /// [wait](Self::must_wait_to_publish) must have a pass.
    pub(in crate::hub) fn publish(&self, topics: &[TopicName], publication: Publication) {
        self.shard.links.publish(topics, publication);
    }

    /// Returns to about how many connections a message goes that is published to `topics`. If these are
    /// what this connection follows, that is as many on each shard as on this one; otherwise the router
    /// knows.
    pub(crate) fn audience(&self, topics: &[TopicName]) -> usize {
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
    pub(crate) fn charge_delivery(&self, audience: usize, message: &Message) {
        let delivered = delivered(audience, 1, message.plain().wire_len());
        let forms = self.shard.shared.forms(self.shard.index, audience);
        let compressed = message.cost_of_form().in_forms(forms);
        self.shard.cause(delivered + compressed);
    }

    /// Returns true if some shard has more to deliver than it should, or others wait to publish:
    /// whoever publishes now needs a [pass](Self::pass).
    pub(crate) fn must_wait_to_publish(&self) -> bool {
        self.shard.links.must_wait()
    }

    /// Waits until it is this connection's turn to publish; it has charged `bytes` for what it
    /// waits with. Meanwhile it is not read, and not expected to say anything. Returns `None` as
    /// soon as the connection has ended: it need not wait any more, and must not be waited for.
    ///
    /// # Cancel safety
    ///
    /// Not to be cancelled unless the connection is gone.
    pub(crate) async fn pass(&self, bytes: usize) -> Option<Pass> {
        self.with(|peer| peer.wait_for_hub(true));
        let mut pass = pin!(self.shard.links.pass(bytes));
        let pass = poll_fn(|cx| {
            if self.is_ended() {
                return Poll::Ready(None);
            }
            pass.as_mut().poll(cx).map(Some)
        });
        let pass = pass.await;
        self.with(|peer| peer.wait_for_hub(false));
        pass
    }

    /// Waits until it is this connection's turn to publish, though it has ended.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub(crate) async fn pass_at_last(&self, bytes: usize) -> Pass {
        self.shard.links.pass(bytes).await
    }
}
