//! What every shard knows of the others, and the way of a publication to those that it is for.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
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
            router::Home,
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
    homes: Vec<Mutex<Home>>,
    turnstile: Turnstile,
    /// Seeded: names come from clients.
    hasher: RandomState,
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
            homes: (0..HOMES).map(|_| Mutex::default()).collect(),
            turnstile: Turnstile::default(),
            hasher: RandomState::new(),
            is_broken: watch::Sender::new(false),
        }
    }

    /// The home of a topic. Nothing waits while it is held, and it is held for a step.
    pub(in crate::hub) fn home(&self, topic: &TopicName) -> MutexGuard<'_, Home> {
        self.lock(self.home_of(topic))
    }

    fn home_of(&self, topic: &TopicName) -> usize {
        (self.hasher.hash_one(topic) % HOMES) as usize
    }

    fn lock(&self, home: usize) -> MutexGuard<'_, Home> {
        // Nothing that runs under the lock leaves a home half-changed.
        self.homes[home]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a message of a frame that is to be published.
    pub(in crate::hub) fn message(&self, frame: Frame) -> Message {
        Message::new(frame, &self.config.deflate, &self.budget)
    }

    /// Lets a publication pass the homes of `topics`, to the shards that it is for.
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
        let mut home = self.home(topic);
        let (number, interested) = home.pass(topic);
        for interest in interested {
            // Pushed while the home is held: in the same order to all shards.
            let targets = Targets::One(interest.target(number));
            let subscribers = interest.subscriber_count();
            if self.deliver(publication, interest.shard, targets, subscribers) {
                asleep.push(interest.shard);
            }
        }
        drop(home);
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

    /// All the homes are held together, so that each shard gets the publication once, in a place
    /// that is the right one in the order of every topic.
    fn publish_to_several(&self, topics: &[TopicName], publication: &Arc<Publication>) {
        let homes_of: Vec<usize> = topics.iter().map(|topic| self.home_of(topic)).collect();
        let mut sorted = homes_of.clone();
        // In one order for all publishers, so that no two wait for each other.
        sorted.sort_unstable();
        sorted.dedup();
        let mut homes: Vec<_> = sorted.iter().map(|&home| self.lock(home)).collect();
        // Of each shard: the topics that it has subscribers of, and how many.
        let mut shares = vec![(Vec::new(), 0); self.inboxes.len()];
        for (topic, home) in topics.iter().zip(homes_of) {
            let held = sorted.binary_search(&home).unwrap_or_default();
            let (number, interested) = homes[held].pass(topic);
            for interest in interested {
                let (targets, subscribers) = &mut shares[interest.shard];
                targets.push(interest.target(number));
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
        drop(homes);
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

/// Many, so that two shards that publish to two topics seldom want the same one, and so that each is
/// moved in half a millisecond when it grows, with a million topics.
const HOMES: u64 = 256;

#[cfg(test)]
impl Links {
    /// Lets a publication pass the homes of `topics`. Returns what it is on the shards that get it.
    pub(in crate::hub) fn targets(
        &self,
        topics: &[TopicName],
    ) -> Vec<crate::hub::publication::delivery::Target> {
        let mut targets = Vec::new();
        for topic in topics {
            let mut home = self.home(topic);
            let (number, interested) = home.pass(topic);
            targets.extend(interested.iter().map(|interest| interest.target(number)));
        }
        targets
    }

    /// For how many elements there is memory.
    pub(in crate::hub) fn room(&self) -> usize {
        let homes = 0..self.homes.len();
        homes.map(|home| self.lock(home).room()).sum()
    }
}
