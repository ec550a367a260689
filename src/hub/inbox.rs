//! The queue through which everything reaches a shard from outside its thread, and a publication
//! also from inside it: there is one path for both.

use std::{
    collections::VecDeque,
    fmt, mem,
    rc::Rc,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use tokio::sync::Notify;

use super::{publication::Publication, shard::Shard};

/// Work to be done on a shard's own thread, in its turn.
pub(crate) type Work = Box<dyn FnOnce(&Rc<Shard>) + Send>;

/// What can be asked of a shard.
pub(super) enum Item {
    /// Hand this to your subscribers.
    Deliver(Publication),
    /// Do this.
    Run(Work),
    /// End, dropping every connection.
    Stop,
}

impl Item {
    fn held_bytes(&self) -> usize {
        match self {
            Self::Deliver(publication) => publication.held_bytes(),
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
    /// Memory held by the frames in `queue`.
    bytes: AtomicUsize,
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
        self.bytes.fetch_add(item.held_bytes(), Relaxed);
        queue.push_back(item);
        may_be_asleep
    }

    /// Takes everything, leaving `spare` in its place: no allocation in a steady stream.
    pub(super) fn swap(&self, spare: &mut VecDeque<Item>) {
        debug_assert!(
            spare.is_empty(),
            "what was taken before has been worked off"
        );
        let mut queue = self.lock();
        mem::swap(&mut *queue, spare);
        let bytes = self.bytes.swap(0, Relaxed);
        drop(queue);
        if bytes > MAX_BYTES {
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
        self.bytes.load(Relaxed) > MAX_BYTES
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
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

/// Memory of frames beyond which publishers are held back: milliseconds of work for a shard, and far
/// more than one read of a publisher brings.
const MAX_BYTES: usize = 8 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Config, hub::links::Links, topic_name::TopicName, wire::frame::Frame};
    use futures_util::FutureExt;

    fn deliver(bytes: usize) -> Item {
        let topics = [TopicName::new("t").unwrap()].into();
        let frames = [Frame::binary(&vec![0; bytes])];
        let links = Links::new(&Config::default());
        Item::Deliver(Publication::new(&links, topics, frames))
    }

    #[tokio::test]
    async fn a_full_inbox_holds_publishers_back_until_it_is_drained() {
        let inbox = Inbox::default();
        inbox.push(deliver(MAX_BYTES));
        assert!(inbox.is_full());
        let mut held_back = Box::pin(inbox.has_room());
        assert_eq!((&mut held_back).now_or_never(), None);
        inbox.swap(&mut VecDeque::new());
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
