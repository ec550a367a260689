//! The queue through which everything reaches a shard from outside its thread, and a publication
//! also from inside it: there is one path for both.

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

/// What can be asked of a shard, whose kind of work is `W`.
pub(in crate::hub) enum Item<W> {
    /// Hand this to your subscribers.
    Deliver(Delivery),
    /// Do this, on your own thread, in its turn.
    Run(W),
    /// End, dropping every connection.
    Stop,
}

impl<W> Item<W> {
    /// Returns true if no subscriber of the one topic that it goes to is to be left out.
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
/// Bounded by holding its writers back: whoever reads publications from outside must not while
/// an inbox [is full](Self::is_full).
pub(in crate::hub) struct Inbox<W> {
    queue: Mutex<VecDeque<Item<W>>>,
    /// The load of what was pushed and is not [settled](Self::settle).
    work: AtomicU64,
    messages: AtomicU64,
    /// Wakes the shard.
    arrival: Notify,
    /// Wakes the publishers that were held back.
    room: Notify,
}

impl<W> Inbox<W> {
    /// Appends an item, and wakes the shard if it may be asleep.
    pub(in crate::hub) fn push(&self, item: Item<W>) {
        if self.append(item) {
            self.wake();
        }
    }

    /// Appends an item; true if the shard may be asleep and has to be [woken](Self::wake).
    #[must_use]
    pub(in crate::hub) fn append(&self, item: Item<W>) -> bool {
        let mut queue = self.lock();
        // An inbox with something in it has woken its shard already.
        let may_be_asleep = queue.is_empty();
        let load = item.load();
        self.work.fetch_add(load.work, Relaxed);
        self.messages.fetch_add(load.messages, Relaxed);
        queue.push_back(item);
        may_be_asleep
    }

    /// Takes everything, leaving `spare` in its place: no allocation in a steady stream.
    pub(in crate::hub) fn swap(&self, spare: &mut VecDeque<Item<W>>) {
        debug_assert!(
            spare.is_empty(),
            "what was taken before has been worked off"
        );
        mem::swap(&mut *self.lock(), spare);
    }

    /// Takes everything out, and has nothing left to do: also what was taken before is settled.
    pub(in crate::hub) fn empty(&self) -> VecDeque<Item<W>> {
        let mut queue = self.lock();
        self.work.store(0, Relaxed);
        self.messages.store(0, Relaxed);
        let items = mem::take(&mut *queue);
        drop(queue);
        self.room.notify_waiters();
        items
    }

    /// Takes note that a load, of items that were taken, is settled.
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

    /// Gives back memory that only a burst needs. What the shard has taken in exchange comes here when
    /// it takes again, and has its turn next time.
    pub(in crate::hub) fn shrink(&self) {
        let mut queue = self.lock();
        if let Some(kept) = capacity::excess(queue.len(), queue.capacity()) {
            queue.shrink_to(kept);
        }
    }

    pub(in crate::hub) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Makes the shard's tick look around, even if nothing was pushed.
    pub(in crate::hub) fn wake(&self) {
        self.arrival.notify_one();
    }

    /// Waits for a wake-up; one that came before is not lost.
    pub(in crate::hub) async fn woken(&self) {
        self.arrival.notified().await;
    }

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

/// Work of a shard beyond which publishers are held back, in nanoseconds. It is about how long a
/// message that is published then takes to its last subscriber. 8 MiB of messages count as much, so
/// this bounds memory, too.
const MAX_WORK: u64 = 40_000_000;

/// So many messages may be under way though they make more work: what goes together costs less.
/// Measured: 16 messages under way to 9,000 subscribers go in batches of 26, and of 13 without this.
const BATCH: u64 = 64;

/// But no more work than this, in nanoseconds.
const MAX_WORK_OF_BATCH: u64 = 4 * MAX_WORK;

#[cfg(test)]
impl<W> Inbox<W> {
    /// For how many elements there is memory.
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
    async fn a_full_inbox_holds_publishers_back_until_what_was_taken_is_done() {
        let inbox = Inbox::<()>::default();
        let delivery = deliver(40 * 1024 * 1024);
        let load = delivery.load;
        inbox.push(Item::Deliver(delivery));
        assert!(inbox.is_full());
        let mut held_back = Box::pin(inbox.wait_for_room());
        assert_eq!((&mut held_back).now_or_never(), None);
        inbox.swap(&mut VecDeque::new());
        assert_eq!((&mut held_back).now_or_never(), None, "it is not done yet");
        inbox.settle(load);
        held_back.await;
    }

    #[test]
    fn an_inbox_is_full_by_the_work_of_many_messages_or_by_much_more_of_a_few() {
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
