//! The queue in which publishers wait for a permit while the hub has too much to deliver.

use std::sync::Arc;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// The queue of publishers that wait: first come, first served, as [`Semaphore`] promises.
#[derive(Debug)]
pub(in crate::hub) struct PublisherQueue(Arc<Semaphore>);

/// The right to publish now; while it is held, one publisher fewer is let through.
#[derive(Debug)]
pub(crate) struct PublishPermit {
    _permit: Option<OwnedSemaphorePermit>,
}

impl Default for PublisherQueue {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(PERMITS)))
    }
}

impl PublisherQueue {
    /// Returns true if somebody waits, so that whoever comes now must not overtake.
    pub(in crate::hub) fn has_waiting(&self) -> bool {
        self.0.available_permits() == 0
    }

    /// Waits for its turn, in the order in which this was first polled.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe; the place in the queue is lost.
    pub(in crate::hub) async fn acquire(&self) -> PublishPermit {
        // It is never closed; if it were, nobody would have to wait.
        let permit = Arc::clone(&self.0).acquire_owned().await;
        PublishPermit {
            _permit: permit.ok(),
        }
    }
}

/// Waits while `must_wait` says so; whoever changes that wakes all.
///
/// # Cancel safety
///
/// Cancel safe.
pub(in crate::hub) async fn wait_while(change: &Notify, must_wait: impl Fn() -> bool) {
    while must_wait() {
        let changed = change.notified();
        // Looked at again after the wake-up was asked for: a change in between counts.
        if must_wait() {
            changed.await;
        }
    }
}

/// Publishers that are let through at a time, each for a short turn: while some of them are being
/// woken, others publish. With fewer, those who wait would wait for each other.
const PERMITS: usize = 64;

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn whoever_waits_longest_is_let_through_first() {
        let queue = PublisherQueue::default();
        let mut through: Vec<_> = (0..PERMITS)
            .map(|_| queue.acquire().now_or_never())
            .collect();
        assert!(through.iter().all(Option::is_some));
        assert!(queue.has_waiting());
        let (mut first, mut second) = (Box::pin(queue.acquire()), Box::pin(queue.acquire()));
        assert!((&mut first).now_or_never().is_none());
        assert!((&mut second).now_or_never().is_none());
        drop(through.pop());
        assert!((&mut second).now_or_never().is_none());
        assert!((&mut first).now_or_never().is_some());
    }
}
