//! The sharded broadcast core: it takes messages from publishers to the subscribers of a topic.
//!
//! The router numbers each publication in its topic and puts it into the inboxes of the shards that
//! have subscribers of the topic. Each of these shards queues it to its subscribers' outboxes and
//! writes to their sockets in its tick. Everything that reaches a shard from another thread comes
//! through its inbox. The hub knows neither HTTP nor fastwebsockets: a connection is a socket, an
//! outbox and the topics that it follows.
//!
//! ```text
//!  a publication ──────────────► router: numbers it under the ──► inboxes of these ──► outboxes
//!  a shard's first subscriber ─► topic's lock, and knows which    shards, all in
//!  a shard's last one leaves ──► shards have subscribers          the same order
//! ```
//!
//! From the outside in: a connection's task reaches the hub by its [`handle`]. A [`shard`] is a
//! thread with its connections and topics, and a [`peer`] is one of these connections, with its
//! outbox. [`publication`] has messages in every form in which they are sent, and [`bounds`] the
//! limits of work and memory. [`ids`] has the keys of connections and topics, and [`capacity`] the
//! tables that free memory. [`publishing`] publishes for code outside of connections, [`drain`]
//! closes all connections, and [`watching`] serves the acceptor and the watchdog. [`measured`]
//! counts for tests, and `internals` opens private parts to `fuzz/` and `benches/`. `model` tests
//! the hub against a naive model.

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
mod publishing;
pub(crate) mod shard;
mod watching;

use std::{rc::Rc, slice, sync::Arc};

use tokio::sync::oneshot;

use self::{ids::ConnectionId, measured::LongestHold, shard::Shard};
pub(crate) use crate::hub::{
    bounds::{ledger::Held, publisher_queue::PublishPermit},
    peer::socket::Socket,
    publication::{Audience, compression::Agreed, encoded_message::EncodedMessage},
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
    metrics::{Drained, Metrics, incidents::Incidents},
    topic::TopicName,
    user::UserId,
    wire::extension::Agreement,
};

/// A handle to the broadcast core, by which messages are published and connections are added.
///
/// Cloning only increments a reference count. When the last handle is dropped, the shards stop and
/// every connection ends without a Close, unless [`drain`](Self::drain) was called before.
#[derive(Clone, Debug)]
pub struct Hub(Arc<Running>);

/// The running shards, which are stopped when this is dropped with the last [`Hub`].
#[derive(Debug)]
struct Running {
    links: Arc<Links>,
}

impl Hub {
    /// Starts a hub with `config.shards` threads.
    ///
    /// # Errors
    ///
    /// A setting is outside its range, or a thread or its event loop can't be started.
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

    /// Publishes one message to every subscriber of `topic`. Returns the number of subscribers that
    /// it was queued to.
    ///
    /// Waits while a shard has too much to deliver or memory is short, and then until every shard
    /// with subscribers has queued the message. It never waits for a subscriber's socket.
    ///
    /// # Ordering
    ///
    /// All subscribers of a topic get the topic's messages in the same order. Messages that are
    /// published one after the other to a topic are delivered in that order. The order between
    /// messages of different topics is not defined. A connection, and `POST /publish`, can publish
    /// one message to several topics: a subscriber of several of them gets the message once, by one
    /// of these topics, and in the order of that topic.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped while it waits to publish, the message is not published. If it is
    /// dropped later, the message is published, and only the count is lost. Do not keep the future
    /// without polling it: other publishers may have to wait for it.
    pub async fn publish(&self, topic: &TopicName, message: Message) -> usize {
        self.publish_to(topic, message, None).await
    }

    /// Publishes one message to those subscribers of `topic` that are connections of `user`. Waits,
    /// and keeps the order, as [`publish`](Self::publish) does. Returns the number of subscribers
    /// that the message was queued to.
    ///
    /// # Cancel safety
    ///
    /// As for `publish`.
    pub async fn publish_to_user(
        &self,
        topic: &TopicName,
        user: &UserId,
        message: Message,
    ) -> usize {
        self.publish_to(topic, message, Some(user.clone())).await
    }

    /// Publishes a message to the subscribers of `topic`, or only to those that are connections of
    /// `user`.
    pub(crate) async fn publish_to(
        &self,
        topic: &TopicName,
        message: Message,
        user: Option<UserId>,
    ) -> usize {
        let charged_bytes = 0; // The message is charged when it is encoded.
        let permit = self.acquire_permit(charged_bytes).await;
        let message = self.encode(message);
        let queued = self.publish_now(slice::from_ref(topic), message, user);
        drop(permit);
        queued.await.unwrap_or(0)
    }

    /// Runs `work` on every shard. On each shard, `work` gets a sender, which it drops when it is
    /// done there. Returns when all senders are dropped.
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
            // Always an error, because the sender is dropped without a message: the shard is done.
            let _ = wait.await;
        }
    }

    /// Runs `work` on the thread of shard `index`, after everything that is in its inbox now.
    pub(crate) fn run_on(&self, index: usize, work: impl FnOnce(&Rc<Shard>) + Send + 'static) {
        self.0.links.inboxes[index].push(Item::Run(Box::new(work)));
    }

    /// Grants a connection a compression context of its own, if its `agreement` on
    /// permessage-deflate allows that and one is left. Otherwise the returned agreement says that
    /// the server keeps no context.
    pub(crate) fn grant(&self, agreement: Agreement) -> Agreed {
        self.0.links.shared.contexts.grant(agreement)
    }

    /// Ends a connection, if it still exists.
    pub(crate) fn end(&self, connection: ConnectionId, reason: Disconnect) {
        self.0.links.end(connection, reason);
    }

    /// Waits until a shard has panicked, which is a bug. The connections of that shard were closed
    /// with 1011, and messages that it had to deliver are lost. The other shards go on until they
    /// are [drained](Self::drain). The process should then be restarted.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn shard_panicked(&self) {
        let mut has_panicked = self.0.links.shared.has_panicked.subscribe();
        // Fails only if the sender is dropped, which lives as long as this handle of the hub.
        let _ = has_panicked.wait_for(|&has_panicked| has_panicked).await;
    }

    /// Returns true if a shard has panicked.
    pub(crate) fn has_panicked(&self) -> bool {
        *self.0.links.shared.has_panicked.borrow()
    }

    /// Returns the time of the longest step or turn of any shard, in microseconds of CPU time, or
    /// `None` if it is not measured (without the feature `internals`).
    pub(crate) fn longest_hold(&self) -> Option<u64> {
        let holds = self.0.links.shared.holds.iter();
        holds.filter_map(LongestHold::microseconds).max()
    }

    /// Returns the incidents of the hub's connections, and of the server around it.
    pub(crate) fn incidents(&self) -> &Incidents {
        &self.0.links.shared.incidents
    }

    /// Returns how connections have ended since a drain began.
    pub(crate) fn drained(&self) -> Drained {
        self.0.links.shared.drained.get()
    }

    pub(crate) fn budget(&self) -> &Arc<Budget> {
        &self.0.links.shared.budget
    }

    /// Returns the configuration that the hub was started with.
    #[must_use]
    pub fn config(&self) -> &HubConfig {
        &self.0.links.shared.config
    }

    /// Returns the number of shards.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.0.links.inboxes.len()
    }

    /// Returns the current values of all counters and gauges.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        let mut metrics = Metrics::default();
        for shard in &self.0.links.shared.metrics {
            metrics.add(shard);
        }
        // A topic may have subscribers on several shards, and counts once.
        metrics.topics = self.0.links.shared.router.len() as u64;
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
    async fn a_readable_socket_is_noticed_although_a_task_always_wants_another_turn() {
        let hub = Hub::start(&HubConfig::default()).unwrap();
        let (done, waited) = oneshot::channel();
        hub.run_on(0, |shard| {
            let shard = Rc::clone(shard);
            spawn_local(async move {
                let (mut near, far) = tokio::net::UnixStream::pair().unwrap();
                let mut far = far.into_std().unwrap();
                let reading = spawn_local(async move { near.read_u8().await });
                // Lets the other task run, so that it waits for the byte before this is written.
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
        // The turns that the task had until the other task's read was complete.
        let turns: u32 = waited.await.unwrap();
        assert!(turns <= 3, "{turns}");
    }

    #[test]
    fn a_hub_is_not_started_with_a_setting_outside_its_range() {
        let mut config = HubConfig::default();
        config.limits.message_bytes = usize::MAX;
        assert!(matches!(Hub::start(&config), Err(Error::Setting(_))));
    }
}
