//! The queue through which everything reaches a shard from outside its thread, and a publication
//! also from inside it: there is one path for both.

use std::{
    collections::VecDeque,
    fmt, mem,
    rc::Rc,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use tokio::sync::Notify;

use super::{publication::Delivery, shard::Shard};

/// Work to be done on a shard's own thread, in its turn.
pub(crate) type Work = Box<dyn FnOnce(&Rc<Shard>) + Send>;

/// What can be asked of a shard.
pub(super) enum Item {
    /// Hand this to your subscribers.
    Deliver(Delivery),
    /// Do this.
    Run(Work),
    /// End, dropping every connection.
    Stop,
}

impl Item {
    /// What it takes the shard to do it, in nanoseconds.
    fn work(&self) -> u64 {
        match self {
            Self::Deliver(delivery) => delivery.work,
            Self::Run(_) | Self::Stop => 0,
        }
    }
}

/// A shard's inbox: many writers, one reader.
///
/// Bounded by holding its writers back: whoever reads publications from outside must not while
/// an inbox [is full](Self::is_full).
#[derive(Default)]
pub(super) struct Inbox {
    queue: Mutex<VecDeque<Item>>,
    /// What it takes to do what was pushed and is not [settled](Self::settle), in nanoseconds.
    work: AtomicU64,
    /// Wakes the shard.
    arrival: Notify,
    /// Wakes the publishers that were held back.
    room: Notify,
}

impl Inbox {
    /// Appends an item, and wakes the shard if it may be asleep.
    pub(super) fn push(&self, item: Item) {
        if self.append(item) {
            self.wake();
        }
    }

    /// Appends an item; true if the shard may be asleep and has to be [woken](Self::wake).
    #[must_use]
    pub(super) fn append(&self, item: Item) -> bool {
        let mut queue = self.lock();
        // An inbox with something in it has woken its shard already.
        let may_be_asleep = queue.is_empty();
        self.work.fetch_add(item.work(), Relaxed);
        queue.push_back(item);
        may_be_asleep
    }

    /// Takes everything, leaving `spare` in its place: no allocation in a steady stream.
    pub(super) fn swap(&self, spare: &mut VecDeque<Item>) {
        debug_assert!(
            spare.is_empty(),
            "what was taken before has been worked off"
        );
        mem::swap(&mut *self.lock(), spare);
    }

    /// Takes note that work of so many nanoseconds, of items that were taken, is done.
    pub(super) fn settle(&self, work: u64) {
        if work > 0 && self.work.fetch_sub(work, Relaxed) > MAX_WORK {
            self.room.notify_waiters();
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Makes the shard's tick look around, even if nothing was pushed.
    pub(super) fn wake(&self) {
        self.arrival.notify_one();
    }

    /// Waits for a wake-up; one that came before is not lost.
    pub(super) async fn woken(&self) {
        self.arrival.notified().await;
    }

    pub(super) fn is_full(&self) -> bool {
        self.work.load(Relaxed) > MAX_WORK
    }

    /// Waits until the inbox is not full.
    pub(super) async fn has_room(&self) {
        while self.is_full() {
            let room = self.room.notified();
            // Looked at again after the wake-up was asked for: room made in between counts.
            if self.is_full() {
                room.await;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Item>> {
        // Nothing that runs under the lock leaves the queue half-changed.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox")
            .field("work", &self.work)
            .finish_non_exhaustive()
    }
}

/// Work of a shard beyond which publishers are held back, in nanoseconds: what a polite one may have
/// to wait for besides its turn, or 8 MiB of messages. Enough that 16 messages of 1 KiB to 9,000
/// subscribers go together.
const MAX_WORK: u64 = 40_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Config,
        hub::publication::{Publication, Route},
        wire::frame::Frame,
    };
    use futures_util::FutureExt;

    fn deliver(bytes: usize) -> Delivery {
        let frames = [Frame::binary(&vec![0; bytes])];
        let publication = Publication::new(&Config::default().deflate, frames);
        publication.delivery(Route::Several([].into()), 1)
    }

    #[tokio::test]
    async fn a_full_inbox_holds_publishers_back_until_what_was_taken_is_done() {
        let inbox = Inbox::default();
        let delivery = deliver(8 * 1024 * 1024);
        let work = delivery.work;
        inbox.push(Item::Deliver(delivery));
        assert!(inbox.is_full());
        let mut held_back = Box::pin(inbox.has_room());
        assert_eq!((&mut held_back).now_or_never(), None);
        inbox.swap(&mut VecDeque::new());
        assert_eq!((&mut held_back).now_or_never(), None, "it is not done yet");
        inbox.settle(work);
        held_back.await;
    }

    #[tokio::test]
    async fn a_wake_up_before_the_wait_is_not_lost() {
        let inbox = Inbox::default();
        inbox.push(Item::Stop);
        inbox.woken().await;
        assert!(!inbox.is_empty());
    }
}
