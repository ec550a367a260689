//! What every shard knows of the others, and the way of a publication to those that it is for.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use super::{
    compression::Contexts,
    home::Home,
    inbox::{Inbox, Item},
    publication::Publication,
};
use crate::{config::Config, metrics::ShardMetrics, topic_name::TopicName};

/// One for all shards.
#[derive(Debug)]
pub(crate) struct Links {
    pub(super) config: Config,
    /// Of each shard.
    pub(super) inboxes: Vec<Inbox>,
    /// Of each shard.
    pub(super) metrics: Vec<ShardMetrics>,
    pub(super) contexts: Contexts,
    homes: Vec<Mutex<Home>>,
    /// Seeded: names come from clients.
    hasher: RandomState,
    /// Turns true when a shard has panicked.
    pub(super) is_broken: watch::Sender<bool>,
}

impl Links {
    pub(super) fn new(config: &Config) -> Self {
        let shards = 0..config.shards.get();
        Self {
            config: config.clone(),
            inboxes: shards.clone().map(|_| Inbox::default()).collect(),
            metrics: shards.map(|_| ShardMetrics::default()).collect(),
            contexts: Contexts::new(&config.deflate),
            homes: (0..HOMES).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            is_broken: watch::Sender::new(false),
        }
    }

    /// The home of a topic. Nothing waits while it is held, and it is held for a step.
    pub(super) fn home(&self, topic: &TopicName) -> MutexGuard<'_, Home> {
        let hash = self.hasher.hash_one(topic);
        let index = (hash % HOMES) as usize;
        // Nothing that runs under the lock leaves a home half-changed.
        self.homes[index]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a publication pass the home of each of its topics, to the shards that it is for.
    pub(super) fn publish(&self, mut publication: Publication) {
        for position in 0..publication.topics.len() {
            publication.position = position;
            self.pass(&mut publication);
        }
    }

    fn pass(&self, publication: &mut Publication) {
        let mut asleep = Vec::new();
        let mut home = self.home(publication.topic());
        let (number, interested) = home.pass(publication.topic());
        publication.number = number;
        for &shard in interested {
            // Pushed while the home is held: in the same order to all shards.
            if self.inboxes[shard].append(Item::Deliver(publication.clone())) {
                asleep.push(shard);
            }
        }
        drop(home);
        for shard in asleep {
            self.inboxes[shard].wake();
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.inboxes.iter().any(Inbox::is_full)
    }

    /// Waits until no inbox is full. A publisher can't tell for which shards its message will be,
    /// so it waits for all.
    pub(super) async fn have_room(&self) {
        for inbox in &self.inboxes {
            inbox.has_room().await;
        }
    }
}

/// Many, so that two shards that publish to two topics seldom want the same one.
const HOMES: u64 = 64;
