//! The way of a publication to the shards that it is for, and where its publisher waits before that.

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

/// The inboxes of all shards, whose kind of work is `W`.
pub(in crate::hub) struct Links<W> {
    pub(in crate::hub) shared: Arc<Shared>,
    /// Of each shard.
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

    /// Numbers a publication in the records of `topics`, and puts it into the inboxes of the shards that it is for.
    pub(in crate::hub) fn publish(&self, topics: &[TopicName], publication: Publication) {
        let publication = Arc::new(publication);
        match topics {
            [] => {}
            [topic] => self.publish_to_one(topic, &publication),
            several => self.publish_to_several(several, &publication),
        }
    }

    fn publish_to_one(&self, topic: &TopicName, publication: &Arc<Publication>) {
        let mut asleep = Vec::new();
        let mut part = self.shared.router.of(topic);
        for (interest, target) in part.route(topic) {
            // Pushed while the record is held: in the same order to all shards.
            let (targets, subscribers) = (Targets::One(target), interest.subscriber_count());
            if self.deliver(publication, interest.shard, targets, subscribers) {
                asleep.push(interest.shard);
            }
        }
        drop(part);
        self.wake(asleep);
    }

    /// Puts a publication into the inbox of a shard where its topics have so many subscribers.
    /// Returns true if the shard may be asleep.
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

    /// All the records are held together, so that each shard gets the publication once, in a place
    /// that is the right one in the order of every topic.
    fn publish_to_several(&self, topics: &[TopicName], publication: &Arc<Publication>) {
        let parts_of = topics.iter().map(|topic| self.shared.router.part_of(topic));
        let parts_of: Vec<usize> = parts_of.collect();
        let mut sorted = parts_of.clone();
        // In one order for all publishers, so that no two wait for each other.
        sorted.sort_unstable();
        sorted.dedup();
        let parts = sorted.iter().map(|&part| self.shared.router.lock(part));
        let mut parts: Vec<_> = parts.collect();
        // Of each shard: the topics that it has subscribers of, and how many.
        let mut shares = vec![(Vec::new(), 0); self.inboxes.len()];
        for (topic, part) in topics.iter().zip(parts_of) {
            let held = sorted.binary_search(&part).unwrap_or_default();
            for (interest, target) in parts[held].route(topic) {
                let (targets, subscribers) = &mut shares[interest.shard];
                targets.push(target);
                *subscribers += interest.subscriber_count();
            }
        }
        let mut asleep = Vec::new();
        for (shard, (targets, subscribers)) in shares.into_iter().enumerate() {
            if targets.is_empty() {
                continue;
            }
            if self.deliver(publication, shard, Targets::Several(targets), subscribers) {
                asleep.push(shard);
            }
        }
        drop(parts);
        self.wake(asleep);
    }

    /// Returns how many subscribers a topic has.
    pub(in crate::hub) fn subscribers(&self, topic: &TopicName) -> usize {
        self.shared.router.of(topic).subscribers(topic)
    }

    fn wake(&self, shards: Vec<usize>) {
        for shard in shards {
            self.inboxes[shard].wake();
        }
    }

    /// Returns true if a publisher that comes now must [wait](Self::acquire_permit): some shard has too much
    /// to deliver, memory is short, or others wait already.
    pub(in crate::hub) fn must_wait(&self) -> bool {
        self.shared.budget.holds_publishers()
            || self.inboxes.iter().any(Inbox::is_full)
            || self.publisher_queue.has_waiting()
    }

    /// Waits for its turn to publish, and until there is memory and no inbox is full. A publisher
    /// can't tell for which shards its message will be, so it waits for all. The `bytes` that it has
    /// charged do not count against those who wait: only they could free them.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe; the place among those that wait is lost.
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
