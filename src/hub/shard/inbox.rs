//! The inbox of a shard: the queue through which everything reaches the shard from other threads.
//! Publications by the shard's own connections are queued in it, too.

use std::{
    collections::VecDeque,
    fmt, mem,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use tokio::sync::Notify;

use crate::hub::{
    bounds::publisher_queue::wait_while,
    capacity,
    publication::delivery::{Delivery, Load},
};

/// An item of an inbox. `W` is the type of the closures that the shard runs.
pub(in crate::hub) enum Item<W> {
    /// Queue the messages of this delivery to their subscribers.
    Deliver(Delivery),
    /// Run this on the shard's thread, in the order of the inbox.
    Run(W),
    /// End the shard, and drop every connection.
    Stop,
}

impl<W> Item<W> {
    /// Returns true if the item is a delivery to all subscribers of one topic.
    pub(in crate::hub) fn is_for_everyone(&self) -> bool {
        matches!(self, Self::Deliver(delivery) if delivery.for_everyone().is_some())
    }

    fn load(&self) -> Load {
        match self {
            Self::Deliver(delivery) => delivery.load,
            Self::Run(_) | Self::Stop => Load::default(),
        }
    }
}

/// A shard's inbox: many writers, one reader.
///
/// It accepts every item. It is bounded by backpressure: publishers wait while an inbox [is
/// full](Self::is_full), and a connection whose publication waits is not read.
pub(in crate::hub) struct Inbox<W> {
    queue: Mutex<VecDeque<Item<W>>>,
    /// Work of the deliveries that were pushed and are not [settled](Self::settle), in nanoseconds.
    work: AtomicU64,
    /// Number of messages in these deliveries.
    messages: AtomicU64,
    /// Wakes the shard.
    arrival: Notify,
    /// Wakes publishers that wait because the inbox is full.
    room: Notify,
}

impl<W> Inbox<W> {
    /// Appends an item, and wakes the shard if it may be asleep.
    pub(in crate::hub) fn push(&self, item: Item<W>) {
        if self.append(item) {
            self.wake();
        }
    }

    /// Appends an item. Returns true if the shard may be asleep and must be [woken](Self::wake).
    #[must_use]
    pub(in crate::hub) fn append(&self, item: Item<W>) -> bool {
        let mut queue = self.lock();
        // If the inbox is not empty, the shard was woken for an earlier item.
        let may_be_asleep = queue.is_empty();
        let load = item.load();
        self.work.fetch_add(load.work, Relaxed);
        self.messages.fetch_add(load.messages, Relaxed);
        queue.push_back(item);
        may_be_asleep
    }

    /// Swaps the queue with the empty `spare`, which then has all items. The next call swaps them
    /// back, so a steady stream of items allocates nothing.
    pub(in crate::hub) fn swap(&self, spare: &mut VecDeque<Item<W>>) {
        debug_assert!(
            spare.is_empty(),
            "the items that were taken before are processed"
        );
        mem::swap(&mut *self.lock(), spare);
    }

    /// Takes all items, and settles their loads and those of all items that were taken before.
    /// Wakes waiting publishers, because the inbox is not full any more.
    pub(in crate::hub) fn take_and_settle_all(&self) -> VecDeque<Item<W>> {
        let mut queue = self.lock();
        self.work.store(0, Relaxed);
        self.messages.store(0, Relaxed);
        let items = mem::take(&mut *queue);
        drop(queue);
        self.room.notify_waiters();
        items
    }

    /// Settles the load of deliveries that are done. If the inbox was full, wakes the publishers
    /// that wait for it: they check again.
    pub(in crate::hub) fn settle(&self, load: Load) {
        if load == Load::default() {
            return;
        }
        let was_full = self.is_full();
        self.work.fetch_sub(load.work, Relaxed);
        self.messages.fetch_sub(load.messages, Relaxed);
        if was_full {
            self.room.notify_waiters();
        }
    }

    /// Shrinks the queue if a burst has left it mostly empty. The shard has a second queue, which
    /// the next [`swap`](Self::swap) brings here, so that a later call can shrink it.
    pub(in crate::hub) fn shrink(&self) {
        let mut queue = self.lock();
        if let Some(kept) = capacity::excess(queue.len(), queue.capacity()) {
            queue.shrink_to(kept);
        }
    }

    pub(in crate::hub) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Wakes the shard, which then runs a step of its tick, even if the inbox is empty.
    pub(in crate::hub) fn wake(&self) {
        self.arrival.notify_one();
    }

    /// Waits until the shard is woken. A wake-up before the call is not lost.
    pub(in crate::hub) async fn woken(&self) {
        self.arrival.notified().await;
    }

    /// Returns true if publishers must wait: the work exceeds [`MAX_WORK`] and the messages are
    /// more than a [`BATCH`], or the work exceeds [`MAX_WORK_OF_BATCH`].
    pub(in crate::hub) fn is_full(&self) -> bool {
        let work = self.work.load(Relaxed);
        let exceeds_batch = self.messages.load(Relaxed) > BATCH;
        work > MAX_WORK && (exceeds_batch || work > MAX_WORK_OF_BATCH)
    }

    /// Waits until the inbox is not full.
    pub(in crate::hub) async fn wait_for_room(&self) {
        wait_while(&self.room, || self.is_full()).await;
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Item<W>>> {
        // Nothing that runs under the lock leaves the queue half-changed.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<W> Default for Inbox<W> {
    fn default() -> Self {
        Self {
            queue: Mutex::default(),
            work: AtomicU64::new(0),
            messages: AtomicU64::new(0),
            arrival: Notify::new(),
            room: Notify::new(),
        }
    }
}

impl<W> fmt::Debug for Inbox<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox")
            .field("work", &self.work)
            .finish_non_exhaustive()
    }
}

/// Work of a shard, in nanoseconds, beyond which publishers wait. A message that is published then
/// takes about this long to reach its last subscriber. 8 MiB of messages count as this much work,
/// so the bound is one of memory, too.
const MAX_WORK: u64 = 40_000_000;

/// Number of messages that may be under way even if they are more work than [`MAX_WORK`], because
/// messages that are delivered together cost less. Measured with `load fanout --subscribers 9000
/// --size 1024 --in-flight 16`: a write to a socket has 26 messages on average, and 13 without this
/// exception.
const BATCH: u64 = 64;

/// Work, in nanoseconds, beyond which publishers wait even if no more than [`BATCH`] messages are
/// under way.
const MAX_WORK_OF_BATCH: u64 = 4 * MAX_WORK;

#[cfg(test)]
impl<W> Inbox<W> {
    /// Returns the number of items that the queue has memory for.
    pub(in crate::hub) fn capacity(&self) -> usize {
        self.lock().capacity()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::FutureExt;

    use super::*;
    use crate::{
        config::HubConfig,
        hub::{
            publication::{Publication, compression::Forms, delivery::Targets},
            shard::shared::Shared,
        },
        message::Message,
    };

    /// Returns a delivery of one message, which has a payload of so many bytes.
    fn delivery(bytes: usize) -> Delivery {
        let shared = Shared::new(&HubConfig::default());
        let publication = Publication::new(shared.encode(Message::binary(&vec![0; bytes])));
        let nowhere = Targets::Several(Vec::new());
        Delivery::new(&Arc::new(publication), nowhere, 1, Forms::default())
    }

    #[tokio::test]
    async fn publishers_wait_for_a_full_inbox_until_its_deliveries_are_settled() {
        let inbox = Inbox::<()>::default();
        let delivery = delivery(40 * 1024 * 1024);
        let load = delivery.load;
        inbox.push(Item::Deliver(delivery));
        assert!(inbox.is_full());
        let mut publisher = Box::pin(inbox.wait_for_room());
        assert_eq!((&mut publisher).now_or_never(), None);
        // The shard takes the delivery.
        inbox.swap(&mut VecDeque::new());
        assert_eq!((&mut publisher).now_or_never(), None, "taken, not settled");
        inbox.settle(load);
        publisher.await;
    }

    #[test]
    fn an_inbox_is_full_by_the_work_of_many_messages_or_four_times_that_of_few() {
        let is_full_with = |messages: usize, bytes: usize| {
            let inbox = Inbox::<()>::default();
            (0..messages).for_each(|_| inbox.push(Item::Deliver(delivery(bytes))));
            inbox.is_full()
        };
        assert!(!is_full_with(1_000, 1), "many messages, little work");
        // 8 MiB are a little more than `MAX_WORK`, and 64 MiB more than `MAX_WORK_OF_BATCH`.
        assert!(is_full_with(65, 128 * 1024), "one more than a batch");
        assert!(!is_full_with(64, 128 * 1024), "a batch");
        assert!(is_full_with(64, 1024 * 1024), "a batch of large messages");
    }

    #[tokio::test]
    async fn a_wake_up_before_the_wait_is_not_lost() {
        let inbox = Inbox::<()>::default();
        inbox.push(Item::Stop);
        inbox.woken().await;
        assert!(!inbox.is_empty());
    }
}
