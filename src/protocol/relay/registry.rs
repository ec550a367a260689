//! Registrations: connections that an application has announced before they are made. Each has an
//! unguessable id, a user and topics.
//!
//! No message passes through here, so one lock for all registrations is enough. Time is an
//! argument, except when a claim is dropped.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use uuid::Uuid;

use crate::{
    hub::{
        bounds::budget::{Budget, Charge, ShortOfMemory},
        ids::ConnectionId,
    },
    topic::{TopicName, list::Topics},
    user::UserId,
};

/// All registrations, by id.
#[derive(Debug)]
pub(crate) struct Registry {
    registrations: Mutex<RegistryState>,
    /// Time for which a registration without a connection is kept.
    lifetime: Duration,
    limit: usize,
    budget: Arc<Budget>,
}

/// The registrations, and the order in which they expire.
///
/// Invariant: `expiries` has exactly the registrations that wait for a connection, each with the
/// time at which it expires.
#[derive(Debug, Default)]
struct RegistryState {
    /// A tree, because a hash table of 100,000 registrations held a shard up for 10 ms when it grew
    /// or shrank.
    table: BTreeMap<Uuid, Registration>,
    expiries: BTreeSet<(Instant, Uuid)>,
}

#[derive(Debug)]
struct Registration {
    user: UserId,
    topics: Topics,
    presence: Presence,
    charge: Charge,
}

/// The presence of a registration's connection.
#[derive(Clone, Copy, Debug)]
enum Presence {
    /// Not connected. The registration expires at this time.
    Waiting(Instant),
    /// An opening handshake is under way.
    Arriving,
    Connected(ConnectionId),
}

/// The reason why a registration could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Full {
    #[error("too many registrations")]
    Registrations,
    #[error(transparent)]
    Memory(#[from] ShortOfMemory),
}

/// The reason why a registration could not be claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unclaimable {
    /// Another connection has claimed it.
    Taken,
    Unknown,
}

impl Registry {
    pub(crate) fn new(lifetime: Duration, limit: usize, budget: Arc<Budget>) -> Arc<Self> {
        Arc::new(Self {
            budget,
            registrations: Mutex::default(),
            lifetime,
            limit,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().table.len()
    }

    /// Registers a connection that is to be made. Returns the id of the registration.
    pub(crate) fn register(
        &self,
        user: UserId,
        topics: Topics,
        now: Instant,
    ) -> Result<Uuid, Full> {
        let mut registrations = self.lock();
        if registrations.table.len() >= self.limit {
            return Err(Full::Registrations);
        }
        self.budget.admit(|counts| &counts.refused_registrations)?;
        let id = Uuid::new_v4();
        let end = now + self.lifetime;
        let registration = Registration {
            charge: self.budget.charge(held_bytes(&user, &topics)),
            user,
            topics,
            presence: Presence::Waiting(end),
        };
        registrations.table.insert(id, registration);
        registrations.expiries.insert((end, id));
        Ok(id)
    }

    /// Claims a registration for a connection whose opening handshake is under way.
    pub(crate) fn claim(self: &Arc<Self>, id: Uuid) -> Result<Claim, Unclaimable> {
        let RegistryState { table, expiries } = &mut *self.lock();
        let registration = table.get_mut(&id).ok_or(Unclaimable::Unknown)?;
        let Presence::Waiting(end) = registration.presence else {
            return Err(Unclaimable::Taken);
        };
        expiries.remove(&(end, id));
        registration.presence = Presence::Arriving;
        Ok(Claim {
            registry: Arc::clone(self),
            id,
            user: registration.user.clone(),
        })
    }

    /// Deletes a registration. Returns `None` if there was none, or else its connection, if it has
    /// one.
    pub(crate) fn delete(&self, id: Uuid) -> Option<Option<ConnectionId>> {
        let RegistryState { table, expiries } = &mut *self.lock();
        let presence = table.remove(&id)?.presence;
        match presence {
            Presence::Connected(connection) => Some(Some(connection)),
            Presence::Arriving => Some(None),
            Presence::Waiting(end) => {
                expiries.remove(&(end, id));
                Some(None)
            }
        }
    }

    /// Deletes some of the expired registrations. Returns true if there may be more: the caller is
    /// to wait before the next call, so that the shards can have the lock.
    pub(crate) fn expire(&self, now: Instant) -> bool {
        // Dropped when the lock is free again: each may have 128 topics.
        let mut expired = Vec::new();
        let RegistryState { table, expiries } = &mut *self.lock();
        while expired.len() < EXPIRED_AT_ONCE
            && let Some(&(end, id)) = expiries.first()
            && end <= now
        {
            expiries.pop_first();
            expired.push(table.remove(&id));
        }
        expired.len() == EXPIRED_AT_ONCE
    }

    fn lock(&self) -> MutexGuard<'_, RegistryState> {
        // A panic can't have left the table half-changed.
        self.registrations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns how many bytes of memory a registration holds.
fn held_bytes(user: &UserId, topics: &[TopicName]) -> usize {
    let names = topics.iter().map(|topic| NAME_BYTES + topic.as_str().len());
    REGISTRATION_BYTES + user.as_str().len() + names.sum::<usize>()
}

/// Bytes of memory that a registration takes in the tables of the registry.
const REGISTRATION_BYTES: usize = 512;

/// Bytes of memory that a topic's name takes besides its text.
const NAME_BYTES: usize = 48;

/// Number of registrations that are deleted under one lock. Deleting them takes some 50 us.
const EXPIRED_AT_ONCE: usize = 64;

/// A connection's claim to a registration, which no other connection can claim meanwhile. When the
/// claim is dropped, the registration waits for a connection again.
#[derive(Debug)]
pub(crate) struct Claim {
    registry: Arc<Registry>,
    id: Uuid,
    pub(crate) user: UserId,
}

impl Claim {
    /// Marks the registration as connected. Returns its topics, or `None` if the registration was
    /// deleted meanwhile. The claim keeps no copy: topics that the connection leaves later would
    /// stay in memory.
    #[must_use]
    pub(crate) fn connected(&self, connection: ConnectionId) -> Option<Topics> {
        self.change(|registration| {
            registration.presence = Presence::Connected(connection);
            registration.topics.clone()
        })
    }

    /// Stores the topics for the next connection with this id.
    pub(crate) fn set_topics(&self, topics: &Topics) {
        self.change(|registration| {
            let held = held_bytes(&registration.user, topics);
            registration.charge.set(held);
            registration.topics = topics.clone();
        });
    }

    fn change<T>(&self, change: impl FnOnce(&mut Registration) -> T) -> Option<T> {
        self.registry.lock().table.get_mut(&self.id).map(change)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let RegistryState { table, expiries } = &mut *self.registry.lock();
        if let Some(registration) = table.get_mut(&self.id) {
            let end = Instant::now() + self.registry.lifetime;
            registration.presence = Presence::Waiting(end);
            expiries.insert((end, self.id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFETIME: Duration = Duration::from_secs(300);

    fn registry(limit: usize) -> Arc<Registry> {
        Registry::new(LIFETIME, limit, Budget::new(u64::MAX))
    }

    fn register(registry: &Registry, now: Instant) -> Uuid {
        registry
            .register(
                UserId::from(1_u64),
                Topics::from(TopicName::new("cats").unwrap()),
                now,
            )
            .unwrap()
    }

    #[test]
    fn a_registration_that_nobody_connects_to_expires() {
        let registry = registry(10);
        let now = Instant::now();
        let id = register(&registry, now);
        registry.expire(now + LIFETIME / 2);
        assert_eq!(registry.len(), 1);
        registry.expire(now + LIFETIME);
        assert_eq!(registry.claim(id).unwrap_err(), Unclaimable::Unknown);
    }

    #[test]
    fn a_claimed_registration_cannot_be_claimed_again_and_does_not_expire() {
        let registry = registry(10);
        let now = Instant::now();
        let id = register(&registry, now);
        let claim = registry.claim(id).unwrap();
        assert_eq!(registry.claim(id).unwrap_err(), Unclaimable::Taken);
        registry.expire(now + 2 * LIFETIME);
        assert_eq!(registry.len(), 1);
        drop(claim);
        assert!(registry.claim(id).is_ok());
    }

    #[test]
    fn after_a_connection_a_registration_waits_for_its_lifetime_again_and_keeps_its_topics() {
        let registry = registry(10);
        let id = register(&registry, Instant::now());
        let dogs = Topics::from(TopicName::new("dogs").unwrap());
        let claim = registry.claim(id).unwrap();
        claim.set_topics(&dogs);
        drop(claim);
        let claim = registry.claim(id).unwrap();
        assert_eq!(claim.connected(ConnectionId::of_nobody()), Some(dogs));
        drop(claim);
        registry.expire(Instant::now() + 2 * LIFETIME);
        assert_eq!(registry.len(), 0);
    }

    #[test]
    fn a_deleted_registration_stays_deleted_when_its_claim_ends() {
        let registry = registry(10);
        let id = register(&registry, Instant::now());
        let claim = registry.claim(id).unwrap();
        assert!(registry.delete(id).is_some());
        drop(claim);
        assert_eq!(registry.len(), 0);
        assert!(registry.delete(id).is_none());
    }

    #[test]
    fn a_registration_above_the_limit_is_refused() {
        let registry = registry(1);
        register(&registry, Instant::now());
        let refused =
            registry.register(UserId::from(1_u64), Topics::of_distinct([]), Instant::now());
        assert_eq!(refused.unwrap_err(), Full::Registrations);
    }

    #[test]
    fn registrations_are_charged_and_refused_while_memory_is_short() {
        let budget = Budget::new(64 * 1024);
        let registry = Registry::new(LIFETIME, 100_000, Arc::clone(&budget));
        let topics = (0..128).map(|n| TopicName::new(&format!("{n:0255}")).unwrap());
        let topics = Topics::new(topics).unwrap();
        let now = Instant::now();
        let first = registry
            .register(UserId::from(1_u64), topics.clone(), now)
            .unwrap();
        assert!(budget.held() > 128 * 255);
        registry.register(UserId::from(1_u64), topics, now).unwrap();
        let refused = registry.register(UserId::from(1_u64), Topics::of_distinct([]), now);
        assert_eq!(refused.unwrap_err(), Full::Memory(ShortOfMemory));
        registry.delete(first);
        assert!(
            registry
                .register(UserId::from(1_u64), Topics::of_distinct([]), now)
                .is_ok()
        );
    }
}
