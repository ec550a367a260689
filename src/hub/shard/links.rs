//! What every shard knows of the others, and the way of a publication to those that it is for.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
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
        publication::{Publication, Route, compression::Contexts, home::Home, message::Message},
        shard::{
            attendance::Attendance,
            inbox::{Inbox, Item},
        },
    },
    metrics::ShardMetrics,
    topic::TopicName,
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
    /// Of each shard: how far behind a connection was at its last [look](crate::hub::shard::relief), in
    /// milliseconds.
    pub(in crate::hub) furthest: Vec<AtomicU64>,
    pub(in crate::hub) contexts: Contexts,
    /// Of each shard: in how many windows its connections want what is compressed for all.
    pub(in crate::hub) windows: Vec<AtomicUsize>,
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
            windows: shards.clone().map(|_| AtomicUsize::new(0)).collect(),
            furthest: shards.map(|_| AtomicU64::new(0)).collect(),
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
    pub(in crate::hub) fn publish(&self, topics: &[TopicName], publication: &Publication) {
        match topics {
            [] => {}
            [topic] => self.publish_to_one(topic, publication),
            several => self.publish_to_several(several, publication),
        }
    }

    fn publish_to_one(&self, topic: &TopicName, publication: &Publication) {
        let mut asleep = Vec::new();
        let mut home = self.home(topic);
        let (number, interested) = home.pass(topic);
        for interest in interested {
            // Pushed while the home is held: in the same order to all shards.
            let route = Route::One(topic.clone(), number);
            let subscribers = interest.subscribers();
            let forms = self.forms(interest.shard, subscribers);
            let delivery = publication.delivery(route, subscribers, forms);
            if self.inboxes[interest.shard].append(Item::Deliver(delivery)) {
                asleep.push(interest.shard);
            }
        }
        drop(home);
        self.wake(asleep);
    }

    /// All the homes are held together, so that each shard gets the publication once, in a place
    /// that is the right one in the order of every topic.
    fn publish_to_several(&self, topics: &[TopicName], publication: &Publication) {
        let homes_of: Vec<usize> = topics.iter().map(|topic| self.home_of(topic)).collect();
        let mut sorted = homes_of.clone();
        // In one order for all publishers, so that no two wait for each other.
        sorted.sort_unstable();
        sorted.dedup();
        let mut homes: Vec<_> = sorted.iter().map(|&home| self.lock(home)).collect();
        let mut subscribers = vec![None; self.inboxes.len()];
        let mut route = Vec::with_capacity(topics.len());
        for (topic, home) in topics.iter().zip(homes_of) {
            let held = sorted.binary_search(&home).unwrap_or_default();
            let (number, interested) = homes[held].pass(topic);
            route.push((topic.clone(), number));
            for interest in interested {
                *subscribers[interest.shard].get_or_insert(0) += interest.subscribers();
            }
        }
        let route = Route::Several(route.into());
        let mut asleep = Vec::new();
        for (shard, subscribers) in subscribers.into_iter().enumerate() {
            let Some(subscribers) = subscribers else {
                continue;
            };
            let forms = self.forms(shard, subscribers);
            let delivery = publication.delivery(route.clone(), subscribers, forms);
            if self.inboxes[shard].append(Item::Deliver(delivery)) {
                asleep.push(shard);
            }
        }
        drop(homes);
        self.wake(asleep);
    }

    /// Returns how many subscribers a topic has.
    pub(in crate::hub) fn subscribers(&self, topic: &TopicName) -> usize {
        self.home(topic).subscribers(topic)
    }

    /// Returns in how many forms a shard compresses a message for so many subscribers, at most.
    pub(in crate::hub) fn forms(&self, shard: usize, subscribers: usize) -> usize {
        if !self.config.deflate.enabled {
            return 0;
        }
        self.windows[shard].load(Relaxed) + self.contexts.granted().min(subscribers)
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
    /// For how many elements there is memory.
    pub(in crate::hub) fn room(&self) -> usize {
        let homes = 0..self.homes.len();
        homes.map(|home| self.lock(home).room()).sum()
    }
}
