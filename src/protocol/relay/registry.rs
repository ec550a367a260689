//! Registrations: connections that an application has announced before they are made. Each has an
//! unguessable id, a user and topics.
//!
//! Messages do not pass through the registry, so one lock for all registrations is enough. Callers
//! pass the current time as an argument. Only the drop of a claim reads the clock.

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
    /// Greatest number of registrations.
    limit: usize,
    budget: Arc<Budget>,
}

/// The registrations, and the order in which they expire.
///
/// Invariant: `expiries` has exactly the registrations that wait for a connection, each with the
/// time at which it expires.
#[derive(Debug, Default)]
struct RegistryState {
    /// The registrations by their ids, in a tree: a hash table of 100,000 registrations held a
    /// shard up for 10 ms when it grew or shrank.
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

/// The presence of a registration's connections: the holder, and one that is to take over from it.
#[derive(Clone, Copy, Debug)]
enum Presence {
    /// There is no connection. The registration expires at this time.
    Waiting(Instant),
    /// An opening handshake is under way. Until its connection is made, the holder stays the same.
    Arriving(Option<ConnectionId>),
    Connected(ConnectionId),
}

impl Presence {
    /// Returns the connection that holds the registration, if there is one.
    fn holder(self) -> Option<ConnectionId> {
        match self {
            Self::Waiting(_) => None,
            Self::Arriving(holder) => holder,
            Self::Connected(holder) => Some(holder),
        }
    }
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
    /// Another opening handshake for it is under way.
    Arriving,
    /// There is no such registration, or it has expired.
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

    /// Claims a registration for a connection whose opening handshake is under way. A connection
    /// that holds the registration keeps it until the claim [takes over](Claim::take_over).
    pub(crate) fn claim(self: &Arc<Self>, id: Uuid) -> Result<Claim, Unclaimable> {
        let RegistryState { table, expiries } = &mut *self.lock();
        let registration = table.get_mut(&id).ok_or(Unclaimable::Unknown)?;
        match registration.presence {
            Presence::Arriving(_) => return Err(Unclaimable::Arriving),
            Presence::Connected(_) => {}
            Presence::Waiting(end) => {
                expiries.remove(&(end, id));
            }
        }
        registration.presence = Presence::Arriving(registration.presence.holder());
        Ok(Claim {
            registry: Arc::clone(self),
            id,
            user: registration.user.clone(),
            connection: None,
        })
    }

    /// Checks that a registration could be claimed now. Unlike a claim, this changes nothing: the
    /// registration expires as if nobody had asked.
    pub(crate) fn check(&self, id: Uuid) -> Result<(), Unclaimable> {
        let registrations = self.lock();
        let registration = registrations.table.get(&id);
        let registration = registration.ok_or(Unclaimable::Unknown)?;
        match registration.presence {
            Presence::Arriving(_) => Err(Unclaimable::Arriving),
            Presence::Connected(_) | Presence::Waiting(_) => Ok(()),
        }
    }

    /// Deletes a registration. Returns `None` if there was none with this id, `Some(None)` if there
    /// was one that no connection held, and otherwise `Some` with the holder, which the caller must
    /// end. A claim whose handshake is under way can't take over any more.
    pub(crate) fn delete(&self, id: Uuid) -> Option<Option<ConnectionId>> {
        let RegistryState { table, expiries } = &mut *self.lock();
        let presence = table.remove(&id)?.presence;
        if let Presence::Waiting(end) = presence {
            expiries.remove(&(end, id));
        }
        Some(presence.holder())
    }

    /// Deletes up to [`EXPIRED_AT_ONCE`] expired registrations. Returns true if more of them may
    /// have expired: then the caller should wait before the next call, so that the shards can take
    /// the lock.
    pub(crate) fn expire(&self, now: Instant) -> bool {
        // Declared before the lock is taken, so that the expired registrations are dropped after
        // the lock is released: each may have 128 topics, which takes time.
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

    /// Returns the presence of a registration that waits for a connection from now on.
    fn waiting(&self) -> Presence {
        Presence::Waiting(Instant::now() + self.lifetime)
    }

    fn lock(&self) -> MutexGuard<'_, RegistryState> {
        // The lock is also taken after a panic, because a panic cannot have left the table
        // half-changed.
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

/// Greatest number of expired registrations that are deleted while the lock is held. Deleting so
/// many takes some 50 us.
const EXPIRED_AT_ONCE: usize = 64;

/// A connection's claim to a registration. The newest claim that has [taken
/// over](Self::take_over) counts: its connection holds the registration. All others change nothing
/// any more. When the holder's claim is dropped, the registration waits for a connection again.
#[derive(Debug)]
pub(crate) struct Claim {
    registry: Arc<Registry>,
    id: Uuid,
    pub(crate) user: UserId,
    /// The connection that has taken over. `None` while its opening handshake is under way.
    connection: Option<ConnectionId>,
}

/// A registration that a connection has taken over.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TakenOver {
    /// The topics of the registration. No other connection can change them any more.
    pub(crate) topics: Topics,
    /// The connection that held the registration until now, and is to be ended.
    pub(crate) previous: Option<ConnectionId>,
}

impl Claim {
    /// Returns the topics of the registration, or `None` if it was deleted since it was claimed.
    /// The claim itself keeps no topics: topics that the connection leaves later would stay in
    /// memory.
    #[must_use]
    pub(crate) fn topics(&self) -> Option<Topics> {
        self.change(|registration| registration.topics.clone())
    }

    /// Makes `connection` the holder of the registration, in place of the present one. Returns
    /// `None` if the registration was deleted meanwhile.
    #[must_use]
    pub(crate) fn take_over(&mut self, connection: ConnectionId) -> Option<TakenOver> {
        let taken_over = self.change(|registration| {
            let previous = registration.presence.holder();
            registration.presence = Presence::Connected(connection);
            TakenOver {
                topics: registration.topics.clone(),
                previous,
            }
        })?;
        self.connection = Some(connection);
        Some(taken_over)
    }

    /// Stores `topics` in the registration, if this claim's connection holds it, so that the next
    /// connection that claims it gets them.
    pub(crate) fn set_topics(&self, topics: &Topics) {
        self.change(|registration| {
            if self.is_holder(registration) {
                let held = held_bytes(&registration.user, topics);
                registration.charge.set(held);
                registration.topics = topics.clone();
            }
        });
    }

    /// Returns true if this claim's connection holds the registration.
    fn is_holder(&self, registration: &Registration) -> bool {
        self.connection.is_some() && self.connection == registration.presence.holder()
    }

    /// Changes the registration of this claim. Returns the result of `change`, or `None` if the
    /// registration was deleted.
    fn change<T>(&self, change: impl FnOnce(&mut Registration) -> T) -> Option<T> {
        self.registry.lock().table.get_mut(&self.id).map(change)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let RegistryState { table, expiries } = &mut *self.registry.lock();
        let Some(registration) = table.get_mut(&self.id) else {
            return;
        };
        registration.presence = match (self.connection, registration.presence) {
            // The handshake has failed.
            (None, Presence::Arriving(Some(holder))) => Presence::Connected(holder),
            // The holder has gone while another handshake is under way.
            (Some(own), Presence::Arriving(Some(holder))) if own == holder => {
                Presence::Arriving(None)
            }
            (None, Presence::Arriving(None)) => self.registry.waiting(),
            (Some(own), Presence::Connected(holder)) if own == holder => self.registry.waiting(),
            (_, other) => other,
        };
        if let Presence::Waiting(end) = registration.presence {
            expiries.insert((end, self.id));
        }
    }
}

#[cfg(test)]
mod tests;
