//! What every shard knows of the others, and the way of a publication to those that it is for.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering::Relaxed},
};

use tokio::sync::watch;

use crate::{
    config::Config,
    hub::{
        bounds::{
            budget::Budget,
            turnstile::{Pass, Turnstile},
        },
        measured::LongestHold,
        publication::{
            Publication,
            compression::{Contexts, Forms, Windows},
            delivery::{Delivery, Targets},
            message::Message,
            router::Router,
        },
        shard::{
            attendance::Attendance,
            inbox::{Inbox, Item},
            relief::report::Report,
        },
    },
    metrics::ShardMetrics,
    topic_name::TopicName,
    wire::frame::Frame,
};

/// One for all shards.
#[derive(Debug)]
pub(crate) struct Links {
    pub(in crate::hub) config: Config,
    /// Of each shard.
    pub(in crate::hub) inboxes: Vec<Inbox>,
    /// Of each shard.
    pub(in crate::hub) metrics: Vec<ShardMetrics>,
    /// Of each shard.
    pub(in crate::hub) holds: Vec<LongestHold>,
    /// Of each shard: what its [relief](crate::hub::shard::relief) reports to the others.
    pub(in crate::hub) relief: Vec<Report>,
    pub(in crate::hub) contexts: Contexts,
    /// Of each shard: the windows for which its connections want what is compressed for all.
    pub(in crate::hub) windows: Vec<AtomicU8>,
    pub(in crate::hub) budget: Arc<Budget>,
    pub(in crate::hub) attendance: Attendance,
    pub(in crate::hub) router: Router,
    turnstile: Turnstile,
    /// Turns true when a shard has panicked.
    pub(in crate::hub) is_broken: watch::Sender<bool>,
}

impl Links {
    pub(in crate::hub) fn new(config: &Config) -> Self {
        let shards = 0..config.shards.get();
        Self {
            config: config.clone(),
            inboxes: shards.clone().map(|_| Inbox::default()).collect(),
            metrics: shards.clone().map(|_| ShardMetrics::default()).collect(),
            holds: shards.clone().map(|_| LongestHold::new()).collect(),
            windows: shards.clone().map(|_| AtomicU8::new(0)).collect(),
            relief: shards.map(|_| Report::default()).collect(),
            contexts: Contexts::new(&config.deflate),
            budget: Budget::new(config.limits.budget_bytes()),
            attendance: Attendance::new(config.shards.get()),
            router: Router::default(),
            turnstile: Turnstile::default(),
            is_broken: watch::Sender::new(false),
        }
    }

    /// Makes a message of a frame that is to be published.
    pub(in crate::hub) fn message(&self, frame: Frame) -> Message {
        Message::new(frame, &self.config.deflate, &self.budget)
    }

    /// Lets a publication pass the records of `topics`, to the shards that it is for.
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
        let mut part = self.router.of(topic);
        for (interest, target) in part.pass(topic) {
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
        let forms = self.forms(shard, subscribers);
        let delivery = Delivery::new(publication, targets, subscribers, forms);
        self.inboxes[shard].append(Item::Deliver(delivery))
    }

    /// All the records are held together, so that each shard gets the publication once, in a place
    /// that is the right one in the order of every topic.
    fn publish_to_several(&self, topics: &[TopicName], publication: &Arc<Publication>) {
        let parts_of = topics.iter().map(|topic| self.router.part_of(topic));
        let parts_of: Vec<usize> = parts_of.collect();
        let mut sorted = parts_of.clone();
        // In one order for all publishers, so that no two wait for each other.
        sorted.sort_unstable();
        sorted.dedup();
        let parts = sorted.iter().map(|&part| self.router.lock(part));
        let mut parts: Vec<_> = parts.collect();
        // Of each shard: the topics that it has subscribers of, and how many.
        let mut shares = vec![(Vec::new(), 0); self.inboxes.len()];
        for (topic, part) in topics.iter().zip(parts_of) {
            let held = sorted.binary_search(&part).unwrap_or_default();
            for (interest, target) in parts[held].pass(topic) {
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

    /// Returns the forms in which a shard compresses a message for so many subscribers, at most.
    pub(in crate::hub) fn forms(&self, shard: usize, subscribers: usize) -> Forms {
        if !self.config.deflate.enabled {
            return Forms::default();
        }
        Forms {
            windows: Windows(self.windows[shard].load(Relaxed)),
            contexts: self.contexts.granted().min(subscribers),
        }
    }

    fn wake(&self, shards: Vec<usize>) {
        for shard in shards {
            self.inboxes[shard].wake();
        }
    }

    /// Returns true if a publisher that comes now must [wait](Self::pass): some shard has too much
    /// to deliver, memory is short, or others wait already.
    pub(in crate::hub) fn must_wait(&self) -> bool {
        self.budget.holds_publishers()
            || self.inboxes.iter().any(Inbox::is_full)
            || self.turnstile.has_queue()
    }

    /// Waits for its turn to publish, and until there is memory and no inbox is full. A publisher
    /// can't tell for which shards its message will be, so it waits for all. The `bytes` that it has
    /// charged do not count against those who wait: only they could free them.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe; the place among those that wait is lost.
    pub(in crate::hub) async fn pass(&self, bytes: usize) -> Pass {
        let _waiting = self.budget.wait_with(bytes);
        let pass = self.turnstile.pass().await;
        self.budget.has_room().await;
        for inbox in &self.inboxes {
            inbox.has_room().await;
        }
        pass
    }
}
