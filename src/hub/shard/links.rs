//! Publishing: the queue of waiting publishers, and the way of a publication into the inboxes of
//! the shards.

use std::{fmt, sync::Arc};

use crate::{
    config::HubConfig,
    hub::{
        bounds::publisher_queue::{PublishPermit, PublisherQueue},
        publication::{
            Publication,
            delivery::{Delivery, Targets},
        },
        shard::{
            inbox::{Inbox, Item},
            shared::Shared,
        },
    },
    topic::TopicName,
};

/// The inboxes of all shards, and their common data. `W` is the type of closures that shards run.
pub(in crate::hub) struct Links<W> {
    pub(in crate::hub) shared: Arc<Shared>,
    /// The inbox of each shard.
    pub(in crate::hub) inboxes: Vec<Inbox<W>>,
    publisher_queue: PublisherQueue,
}

impl<W> Links<W> {
    pub(in crate::hub) fn new(config: &HubConfig) -> Self {
        let shards = 0..config.shards.get();
        Self {
            shared: Arc::new(Shared::new(config)),
            inboxes: shards.map(|_| Inbox::default()).collect(),
            publisher_queue: PublisherQueue::default(),
        }
    }

    /// Numbers a publication in the router's records of `topics`, and pushes it into the inboxes of
    /// the shards that have subscribers.
    pub(in crate::hub) fn publish(&self, topics: &[TopicName], publication: Publication) {
        let publication = Arc::new(publication);
        match topics {
            [] => {}
            [topic] => self.publish_to_one(topic, &publication),
            several => self.publish_to_several(several, &publication),
        }
    }

    /// Publishes to a single topic.
    fn publish_to_one(&self, topic: &TopicName, publication: &Arc<Publication>) {
        let mut asleep = Vec::new();
        let mut part = self.shared.router.of(topic);
        for (interest, target) in part.route(topic) {
            // Pushed while the record is locked, so that all inboxes have the publications of the
            // topic in the same order.
            let (targets, subscribers) = (Targets::One(target), interest.subscriber_count());
            if self.deliver(publication, interest.shard, targets, subscribers) {
                asleep.push(interest.shard);
            }
        }
        drop(part);
        self.wake(asleep);
    }

    /// Pushes a publication into the inbox of a shard, where the topics in `targets` have this
    /// number of `subscribers`. Returns true if the shard may be asleep and must be woken.
    fn deliver(
        &self,
        publication: &Arc<Publication>,
        shard: usize,
        targets: Targets,
        subscribers: usize,
    ) -> bool {
        let forms = self.shared.forms(shard, subscribers);
        let delivery = Delivery::new(publication, targets, subscribers, forms);
        self.inboxes[shard].append(Item::Deliver(delivery))
    }

    /// Publishes to several topics. Their records are locked together, so that each shard gets the
    /// publication once, and in the right place in the order of every topic.
    fn publish_to_several(&self, topics: &[TopicName], publication: &Arc<Publication>) {
        let part_of_each = topics.iter().map(|topic| self.shared.router.part_of(topic));
        let part_of_each: Vec<usize> = part_of_each.collect();
        let mut sorted = part_of_each.clone();
        // All publishers lock the parts in this order, so that no two wait for each other.
        sorted.sort_unstable();
        sorted.dedup();
        let locked = sorted.iter().map(|&part| self.shared.router.lock(part));
        let mut locked: Vec<_> = locked.collect();
        // For each shard: the topics with subscribers there, and the number of these subscribers.
        let mut of_shards = vec![(Vec::new(), 0); self.inboxes.len()];
        for (topic, part) in topics.iter().zip(part_of_each) {
            let index = sorted.binary_search(&part).unwrap_or_default();
            for (interest, target) in locked[index].route(topic) {
                let (targets, subscribers) = &mut of_shards[interest.shard];
                targets.push(target);
                *subscribers += interest.subscriber_count();
            }
        }
        let mut asleep = Vec::new();
        for (shard, (targets, subscribers)) in of_shards.into_iter().enumerate() {
            if targets.is_empty() {
                continue;
            }
            if self.deliver(publication, shard, Targets::Several(targets), subscribers) {
                asleep.push(shard);
            }
        }
        drop(locked);
        self.wake(asleep);
    }

    /// Returns the number of subscribers of a topic on all shards.
    pub(in crate::hub) fn subscribers(&self, topic: &TopicName) -> usize {
        self.shared.router.of(topic).subscribers(topic)
    }

    /// Wakes shards whose inboxes were empty before this publication.
    fn wake(&self, shards: Vec<usize>) {
        for shard in shards {
            self.inboxes[shard].wake();
        }
    }

    /// Returns true if a publisher must [wait](Self::acquire_permit): a shard has too much to
    /// deliver, memory is short, or other publishers wait already.
    pub(in crate::hub) fn must_wait(&self) -> bool {
        self.shared.budget.holds_publishers()
            || self.inboxes.iter().any(Inbox::is_full)
            || self.publisher_queue.has_waiting()
    }

    /// Waits until the publishers before this one have had their permits, memory suffices, and no
    /// inbox is full. A publisher can't know which shards its message will go to, so it waits for
    /// all inboxes.
    ///
    /// The publisher has charged `bytes` for its messages. While it waits, they do not count
    /// towards the level of memory at which publishers wait, because they are freed only by
    /// publishing.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe, but the publisher's place in the queue is lost.
    pub(in crate::hub) async fn acquire_permit(&self, bytes: usize) -> PublishPermit {
        let _waiting = self.shared.budget.wait_with(bytes);
        let permit = self.publisher_queue.acquire().await;
        self.shared.budget.wait_for_room().await;
        for inbox in &self.inboxes {
            inbox.wait_for_room().await;
        }
        permit
    }
}

impl<W> fmt::Debug for Links<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Links")
            .field("shared", &self.shared)
            .field("inboxes", &self.inboxes)
            .finish_non_exhaustive()
    }
}
