//! The sharded broadcast core: topics, subscribers, and the way of a message between them.
//!
//! A publication passes the router, which gives it its place in its topic's order, into the
//! inboxes of the shards that have subscribers; each of those queues it to its subscribers'
//! outboxes and writes to their sockets in its tick. Nothing else passes between shards. There is
//! no HTTP in here and no fastwebsockets: a connection is a socket, an outbox and the topics that
//! it follows.
//!
//! ```text
//!  what one read brought ──────► router: the topic's ─────► inboxes of its shards, ──► outboxes
//!  a shard's first subscriber ─►  record numbers it, and     all in the same order
//!  the departure of its last ──►  knows the shards; a lock
//! ```
//!
//! From the outside in: [`handle`] is what a connection's task sees, [`shard`] a
//! thread with its connections and topics, [`peer`] one connection's bytes out, [`publication`] what is
//! published, in every form, and [`bounds`] what work and memory are charged to. [`ids`] names
//! connections and topics, [`capacity`] decides when tables give memory back,
//! [`drain`] ends everything in good order, [`watching`] is for those who look after single shards,
//! [`measured`] counts for tests, and `internals` opens what `fuzz/` and `benches/` need. `model` is the
//! hub in its simplest form, for a test.

pub(crate) mod bounds;
mod capacity;
mod drain;
pub(crate) mod handle;
pub(crate) mod ids;
#[cfg(feature = "internals")]
pub(crate) mod internals;
#[cfg(feature = "internals")]
mod measured;
#[cfg(not(feature = "internals"))]
#[path = "unmeasured.rs"]
mod measured;
#[cfg(test)]
mod model;
mod peer;
mod publication;
pub(crate) mod shard;
mod watching;

use std::{rc::Rc, sync::Arc};

use tokio::sync::oneshot;

use self::{
    ids::ConnectionId,
    measured::LongestHold,
    publication::{Publication, Receipt},
    shard::Shard,
};
pub(crate) use crate::hub::{
    bounds::{ledger::Held, publisher_queue::PublishPermit},
    peer::socket::Socket,
    publication::{Audience, compression::Agreed},
    shard::rounds::Ticket,
};
use crate::{
    config::HubConfig,
    disconnect::Disconnect,
    error::Error,
    hub::{
        bounds::budget::Budget,
        shard::{Item, Links},
    },
    message::Message,
    metrics::Metrics,
    topic::TopicName,
    user::UserId,
    wire::extension::Agreement,
};

/// A handle to the broadcast core: publish through it, hand connections to it.
///
/// Cloning is a reference-count increment. When the last handle is dropped the shards end and
/// with them every connection, without a Close; [`drain`](Self::drain) first.
#[derive(Clone, Debug)]
pub struct Hub(Arc<Running>);

/// Stops the shards when the last handle is gone.
#[derive(Debug)]
struct Running {
    links: Arc<Links>,
}

impl Hub {
    /// Starts a thread for each of `config.shards`.
    ///
    /// # Errors
    ///
    /// A setting that can't be started with, or a thread or event loop that can't be started.
    pub fn start(config: &HubConfig) -> Result<Self, Error> {
        config.check()?;
        let shards = config.shards.get();
        let links = Arc::new(Links::new(config));
        let hub = Self(Arc::new(Running { links }));
        for index in 0..shards {
            shard::thread::start(index, Arc::clone(&hub.0.links)).map_err(Error::Shard)?;
        }
        Ok(hub)
    }

    /// Publishes one message to every subscriber of `topic`; to how many it was queued.
    ///
    /// Waits while a shard has more to deliver than it should, and until every shard with
    /// subscribers has queued the message; never for a subscriber's socket.
    ///
    /// # Ordering
    ///
    /// Every subscriber of a topic gets its messages in one order: those that come by this topic,
    /// for a message to several comes by one of them. Messages published one after the other are
    /// delivered in that order. Between topics nothing is promised.
    ///
    /// # Cancel safety
    ///
    /// Before the message is sent off it is not published; after that it is, and only the count
    /// is lost. Poll it to its end or drop it: while it is kept and not polled, other publishers may
    /// have to wait for it.
    pub async fn publish(&self, topic: &TopicName, message: Message) -> usize {
        self.publish_to(topic, message, None).await
    }

    /// Publishes one message to those subscribers of `topic` that are connections of `user`, as
    /// [`publish`](Self::publish) does to all. Returns to how many it was queued.
    ///
    /// # Cancel safety
    ///
    /// As of `publish`.
    pub async fn publish_to_user(
        &self,
        topic: &TopicName,
        user: &UserId,
        message: Message,
    ) -> usize {
        self.publish_to(topic, message, Some(user.clone())).await
    }

    /// Publishes to the connections of one user, or of everybody.
    pub(crate) async fn publish_to(
        &self,
        topic: &TopicName,
        message: Message,
        user: Option<UserId>,
    ) -> usize {
        let permit = self.acquire_permit(0).await;
        let queued = self.send_off(topic, message, user);
        drop(permit);
        queued.await.unwrap_or(0)
    }

    /// Waits until a message may be [sent off](Self::send_off), if some shard has too much to
    /// deliver or memory is short. The caller has charged `bytes` for it, which do not count against
    /// those who wait.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub(crate) async fn acquire_permit(&self, bytes: usize) -> Option<PublishPermit> {
        let links = &self.0.links;
        if links.must_wait() {
            return Some(links.acquire_permit(bytes).await);
        }
        None
    }

    /// Publishes a message now, to the connections of one user, or of everybody. The receiver gets
    /// to how many it was queued, when that is known.
    pub(crate) fn send_off(
        &self,
        topic: &TopicName,
        message: Message,
        user: Option<UserId>,
    ) -> oneshot::Receiver<usize> {
        let (receipt, queued) = Receipt::new();
        let publication = Publication::new(self.0.links.shared.encode(message));
        let publication = publication.to(user).counted(receipt);
        let topics = std::slice::from_ref(topic);
        self.0.links.publish(topics, publication);
        queued
    }

    /// Runs `work` on every shard; returns when all have dropped the token they were given.
    pub(in crate::hub) async fn on_every_shard(
        &self,
        work: impl Fn(&Rc<Shard>, oneshot::Sender<()>) + Copy + Send + 'static,
    ) {
        let mut pending = Vec::new();
        for index in 0..self.shards() {
            let (done, wait) = oneshot::channel();
            self.run_on(index, move |shard| work(shard, done));
            pending.push(wait);
        }
        for wait in pending {
            // The sender is dropped, never used: this is how it says that it is done.
            let _ = wait.await;
        }
    }

    /// Runs `work` on the thread of shard `index`, in its turn.
    pub(crate) fn run_on(&self, index: usize, work: impl FnOnce(&Rc<Shard>) + Send + 'static) {
        self.0.links.inboxes[index].push(Item::Run(Box::new(work)));
    }

    /// Grants a connection that agreed on permessage-deflate a context of its own, if it agreed to
    /// one and one is left.
    pub(crate) fn grant(&self, agreement: Agreement) -> Agreed {
        self.0.links.shared.contexts.grant(agreement)
    }

    /// Ends a connection, if it is still there.
    pub(crate) fn end(&self, connection: ConnectionId, reason: Disconnect) {
        self.run_on(connection.shard, move |shard| {
            shard.end_connection(connection.key, reason);
        });
    }

    /// Completes when a shard has panicked, which is a bug: its connections were closed with 1011,
    /// what it had to deliver is lost, and the process had better be restarted. The other shards go
    /// on until they are [drained](Self::drain).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn shard_panicked(&self) {
        let mut has_panicked = self.0.links.shared.has_panicked.subscribe();
        // The sender lives as long as this handle.
        let _ = has_panicked.wait_for(|&has_panicked| has_panicked).await;
    }

    /// Returns true if a shard has panicked.
    pub(crate) fn has_panicked(&self) -> bool {
        *self.0.links.shared.has_panicked.borrow()
    }

    /// The longest that a step has held a shard, in microseconds of CPU time, if that is measured.
    pub(crate) fn longest_hold(&self) -> Option<u64> {
        let holds = self.0.links.shared.holds.iter();
        holds.filter_map(LongestHold::microseconds).max()
    }

    pub(crate) fn budget(&self) -> &Arc<Budget> {
        &self.0.links.shared.budget
    }

    /// The configuration that the hub was started with.
    #[must_use]
    pub fn config(&self) -> &HubConfig {
        &self.0.links.shared.config
    }

    /// The number of shards.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.0.links.inboxes.len()
    }

    /// Returns everything that is counted, as it stands now.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        let mut metrics = Metrics::default();
        for shard in &self.0.links.shared.metrics {
            metrics.add(shard);
        }
        metrics.memory = self.budget().metrics();
        metrics
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for inbox in &self.links.inboxes {
            inbox.push(Item::Stop);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, io::Write, task::Poll, time::Duration};

    use tokio::{
        io::AsyncReadExt,
        task::{spawn_local, yield_now},
    };

    use super::*;

    #[tokio::test]
    async fn a_socket_is_looked_at_though_a_task_always_wants_another_turn() {
        let hub = Hub::start(&HubConfig::default()).unwrap();
        let (done, waited) = oneshot::channel();
        hub.run_on(0, |shard| {
            let shard = Rc::clone(shard);
            spawn_local(async move {
                let (mut near, far) = tokio::net::UnixStream::pair().unwrap();
                let mut far = far.into_std().unwrap();
                let reading = spawn_local(async move { near.read_u8().await });
                // It waits for its byte when that is written.
                yield_now().await;
                far.write_all(b"x").unwrap();
                let (mut turns, mut ticket) = (0, Ticket::default());
                poll_fn(|cx| {
                    shard.queue(&mut ticket, cx, Duration::from_millis(5));
                    turns += 1;
                    if reading.is_finished() {
                        Poll::Ready(())
                    } else {
                        Poll::Pending
                    }
                })
                .await;
                let _ = done.send(turns);
            });
        });
        let turns: u32 = waited.await.unwrap();
        assert!(turns <= 3, "{turns}");
    }

    #[test]
    fn a_hub_is_not_started_with_settings_that_it_cannot_keep() {
        let mut config = HubConfig::default();
        config.limits.message_bytes = usize::MAX;
        assert!(matches!(Hub::start(&config), Err(Error::Setting(_))));
    }
}
