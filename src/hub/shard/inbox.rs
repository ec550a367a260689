//! The inbox of a shard: the queue through which everything reaches it from other threads.
//! Publications by its own connections take the same way.

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
    /// Queue this delivery to its subscribers.
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
        // If the inbox was not empty, the shard was woken already.
        let may_be_asleep = queue.is_empty();
        let load = item.load();
        self.work.fetch_add(load.work, Relaxed);
        self.messages.fetch_add(load.messages, Relaxed);
        queue.push_back(item);
        may_be_asleep
    }

    /// Takes all items, and leaves the empty `spare` in their place, so that a steady stream
    /// allocates nothing.
    pub(in crate::hub) fn swap(&self, spare: &mut VecDeque<Item<W>>) {
        debug_assert!(
            spare.is_empty(),
            "all items that were taken before are processed"
        );
        mem::swap(&mut *self.lock(), spare);
    }

    /// Takes all items, and settles the loads of all items, those that were taken before included.
    pub(in crate::hub) fn take_and_settle_all(&self) -> VecDeque<Item<W>> {
        let mut queue = self.lock();
        self.work.store(0, Relaxed);
        self.messages.store(0, Relaxed);
        let items = mem::take(&mut *queue);
        drop(queue);
        self.room.notify_waiters();
        items
    }

    /// Settles the load of deliveries that are done, and wakes publishers if the inbox was full.
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

    /// Shrinks the queue if a burst has left it mostly empty. The other queue, which the shard has
    /// by [`swap`](Self::swap), is here after the next swap, and is shrunk by a later call.
    pub(in crate::hub) fn shrink(&self) {
        let mut queue = self.lock();
        if let Some(kept) = capacity::excess(queue.len(), queue.capacity()) {
            queue.shrink_to(kept);
        }
    }

    pub(in crate::hub) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Wakes the shard, which runs a step of its tick then, even if nothing was pushed.
    pub(in crate::hub) fn wake(&self) {
        self.arrival.notify_one();
    }

    /// Waits until the shard is woken. A wake-up before the call is not lost.
    pub(in crate::hub) async fn woken(&self) {
        self.arrival.notified().await;
    }

    /// Returns true if publishers must wait.
    pub(in crate::hub) fn is_full(&self) -> bool {
        let work = self.work.load(Relaxed);
        let is_deep = self.messages.load(Relaxed) > BATCH;
        work > MAX_WORK && (is_deep || work > MAX_WORK_OF_BATCH)
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

/// Number of messages that may be under way even if they are more work than that, because messages
/// that are delivered together cost less. Measured with 16 messages under way to 9,000 subscribers:
/// they go in batches of 26, and in batches of 13 without this.
const BATCH: u64 = 64;

/// Work, in nanoseconds, beyond which publishers wait even if the messages are few.
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

    fn deliver(bytes: usize) -> Delivery {
        let shared = Shared::new(&HubConfig::default());
        let publication = Publication::new(shared.encode(Message::binary(&vec![0; bytes])));
        let nowhere = Targets::Several(Vec::new());
        Delivery::new(&Arc::new(publication), nowhere, 1, Forms::default())
    }

    #[tokio::test]
    async fn publishers_wait_for_a_full_inbox_until_its_deliveries_are_settled() {
        let inbox = Inbox::<()>::default();
        let delivery = deliver(40 * 1024 * 1024);
        let load = delivery.load;
        inbox.push(Item::Deliver(delivery));
        assert!(inbox.is_full());
        let mut held_back = Box::pin(inbox.wait_for_room());
        assert_eq!((&mut held_back).now_or_never(), None);
        inbox.swap(&mut VecDeque::new());
        assert_eq!((&mut held_back).now_or_never(), None, "not settled yet");
        inbox.settle(load);
        held_back.await;
    }

    #[test]
    fn an_inbox_is_full_by_the_work_of_many_messages_or_four_times_that_of_few() {
        let filled = |messages: usize, bytes: usize| {
            let inbox = Inbox::<()>::default();
            (0..messages).for_each(|_| inbox.push(Item::Deliver(deliver(bytes))));
            inbox.is_full()
        };
        assert!(!filled(1_000, 1), "little work");
        assert!(filled(65, 128 * 1024));
        assert!(!filled(64, 128 * 1024));
        assert!(filled(64, 1024 * 1024));
    }

    #[tokio::test]
    async fn a_wake_up_before_the_wait_is_not_lost() {
        let inbox = Inbox::<()>::default();
        inbox.push(Item::Stop);
        inbox.woken().await;
        assert!(!inbox.is_empty());
    }
}
