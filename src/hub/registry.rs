//! Connections announced before they come: each has an unguessable id, a user and topics.
//!
//! Off the way of a message, so one lock will do. Time is an argument.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use uuid::Uuid;

use super::{ConnectionId, inbox::UserId};
use crate::topic_name::TopicName;

/// Registrations by id.
#[derive(Debug)]
pub(crate) struct Registry {
    registrations: Mutex<Registrations>,
    /// How long a registration without a connection is kept.
    lifetime: Duration,
    limit: usize,
}

/// Invariant: every registration that waits has an entry in `expiries` at or before its end.
#[derive(Debug, Default)]
struct Registrations {
    table: HashMap<Uuid, Registration>,
    /// When to look at which; in order, because all live equally long.
    expiries: VecDeque<(Instant, Uuid)>,
}

#[derive(Debug)]
struct Registration {
    user: UserId,
    topics: Vec<TopicName>,
    presence: Presence,
}

#[derive(Clone, Copy, Debug)]
enum Presence {
    /// Not connected; forgotten at that time.
    Waiting(Instant),
    /// An opening handshake is under way.
    Arriving,
    Connected(ConnectionId),
}

/// Why a registration could not be made: there are as many as may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many registrations")]
pub(crate) struct Full;

/// Why a registration could not be claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unclaimable {
    /// Another connection has it.
    Taken,
    Unknown,
}

impl Registry {
    pub(crate) fn new(lifetime: Duration, limit: usize) -> Arc<Self> {
        Arc::new(Self {
            registrations: Mutex::default(),
            lifetime,
            limit,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().table.len()
    }

    /// Registers a connection to come; its id.
    pub(crate) fn register(
        &self,
        user: UserId,
        topics: Vec<TopicName>,
        now: Instant,
    ) -> Result<Uuid, Full> {
        let mut registrations = self.lock();
        if registrations.table.len() >= self.limit {
            return Err(Full);
        }
        let id = Uuid::new_v4();
        let presence = Presence::Waiting(now + self.lifetime);
        registrations.table.insert(
            id,
            Registration {
                user,
                topics,
                presence,
            },
        );
        registrations.expiries.push_back((now + self.lifetime, id));
        Ok(id)
    }

    /// Claims a registration for a connection that arrives.
    pub(crate) fn claim(self: &Arc<Self>, id: Uuid) -> Result<Claim, Unclaimable> {
        let mut registrations = self.lock();
        let registration = registrations
            .table
            .get_mut(&id)
            .ok_or(Unclaimable::Unknown)?;
        if !matches!(registration.presence, Presence::Waiting(_)) {
            return Err(Unclaimable::Taken);
        }
        registration.presence = Presence::Arriving;
        Ok(Claim {
            registry: Arc::clone(self),
            id,
            user: Arc::clone(&registration.user),
            topics: registration.topics.clone(),
        })
    }

    /// Deletes a registration; whether there was one, and its connection.
    pub(crate) fn delete(&self, id: Uuid) -> Option<Option<ConnectionId>> {
        let registration = self.lock().table.remove(&id)?;
        Some(match registration.presence {
            Presence::Connected(connection) => Some(connection),
            Presence::Arriving | Presence::Waiting(_) => None,
        })
    }

    /// Forgets the registrations whose time has come.
    pub(crate) fn expire(&self, now: Instant) {
        let Registrations { table, expiries } = &mut *self.lock();
        while let Some((_, id)) = expiries.pop_front_if(|(at, _)| *at <= now) {
            let is_due = |registration: &Registration| match registration.presence {
                Presence::Waiting(end) => end <= now,
                Presence::Arriving | Presence::Connected(_) => false,
            };
            if table.get(&id).is_some_and(is_due) {
                table.remove(&id);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Registrations> {
        // No step leaves the table half-changed.
        self.registrations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to be a registered connection. Dropping it lets the registration wait again.
#[derive(Debug)]
pub(crate) struct Claim {
    registry: Arc<Registry>,
    id: Uuid,
    pub(crate) user: UserId,
    /// The topics in force when it was claimed.
    pub(crate) topics: Vec<TopicName>,
}

impl Claim {
    /// The connection is there. False if the registration was deleted meanwhile.
    #[must_use]
    pub(crate) fn connected(&self, connection: ConnectionId) -> bool {
        self.change(|registration| registration.presence = Presence::Connected(connection))
    }

    /// Remembers the topics for the next connection with this id.
    pub(crate) fn set_topics(&self, topics: &[TopicName]) {
        self.change(|registration| registration.topics = topics.to_vec());
    }

    fn change(&self, change: impl FnOnce(&mut Registration)) -> bool {
        self.registry
            .lock()
            .table
            .get_mut(&self.id)
            .map(change)
            .is_some()
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let end = Instant::now() + self.registry.lifetime;
        if self.change(|registration| registration.presence = Presence::Waiting(end)) {
            self.registry.lock().expiries.push_back((end, self.id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFETIME: Duration = Duration::from_secs(300);

    fn register(registry: &Registry, now: Instant) -> Uuid {
        registry
            .register("1".into(), vec![TopicName::new("cats").unwrap()], now)
            .unwrap()
    }

    #[test]
    fn a_registration_that_nobody_connects_to_expires() {
        let registry = Registry::new(LIFETIME, 10);
        let now = Instant::now();
        let id = register(&registry, now);
        registry.expire(now + LIFETIME / 2);
        assert_eq!(registry.len(), 1);
        registry.expire(now + LIFETIME);
        assert_eq!(registry.claim(id).unwrap_err(), Unclaimable::Unknown);
    }

    #[test]
    fn a_claimed_registration_is_taken_and_does_not_expire() {
        let registry = Registry::new(LIFETIME, 10);
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
    fn after_a_connection_the_registration_waits_as_long_again_and_remembers_its_topics() {
        let registry = Registry::new(LIFETIME, 10);
        let id = register(&registry, Instant::now());
        let dogs = [TopicName::new("dogs").unwrap()];
        let claim = registry.claim(id).unwrap();
        claim.set_topics(&dogs);
        drop(claim);
        assert_eq!(registry.claim(id).unwrap().topics, dogs);
        registry.expire(Instant::now() + 2 * LIFETIME);
        assert_eq!(registry.len(), 0);
    }

    #[test]
    fn a_deleted_registration_stays_deleted_when_its_claim_ends() {
        let registry = Registry::new(LIFETIME, 10);
        let id = register(&registry, Instant::now());
        let claim = registry.claim(id).unwrap();
        assert!(registry.delete(id).is_some());
        drop(claim);
        assert_eq!(registry.len(), 0);
        assert!(registry.delete(id).is_none());
    }

    #[test]
    fn one_registration_more_than_allowed_is_refused() {
        let registry = Registry::new(LIFETIME, 1);
        register(&registry, Instant::now());
        let refused = registry.register("1".into(), Vec::new(), Instant::now());
        assert_eq!(refused.unwrap_err(), Full);
    }
}
