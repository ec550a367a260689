//! The queue in which publishers wait for a permit while the hub has too much to deliver.

use std::sync::Arc;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// The queue of waiting publishers: first come, first served, as [`Semaphore`] promises.
#[derive(Debug)]
pub(in crate::hub) struct PublisherQueue(Arc<Semaphore>);

/// The right to publish now. No more than [`PERMITS`] publishers have it at a time, so a holder
/// should drop its permit soon.
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
    /// Returns true if no permit is left. Then other publishers may be waiting, so a new one must
    /// queue behind them.
    pub(in crate::hub) fn has_waiting(&self) -> bool {
        self.0.available_permits() == 0
    }

    /// Waits for a permit. Callers get their permits in the order in which each has first polled
    /// its future.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe, but a caller that drops the future loses its place in the queue.
    pub(in crate::hub) async fn acquire(&self) -> PublishPermit {
        // The semaphore is never closed. If it were, all publishers would be let through.
        let permit = Arc::clone(&self.0).acquire_owned().await;
        PublishPermit {
            _permit: permit.ok(),
        }
    }
}

/// Waits while `must_wait` returns true. Code that makes `must_wait` return false must notify
/// `change`.
///
/// # Cancel safety
///
/// Cancel safe.
pub(in crate::hub) async fn wait_while(change: &Notify, must_wait: impl Fn() -> bool) {
    while must_wait() {
        let changed = change.notified();
        // Checked again, because `changed` notices only changes after it was made.
        if must_wait() {
            changed.await;
        }
    }
}

/// Number of publishers that may hold a permit at a time. A publisher is given its permit before
/// its task is woken, and can publish only when the task runs. With few permits, all of them would
/// often be held by tasks that do not run yet, while no publisher publishes.
const PERMITS: usize = 64;

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn the_publisher_that_has_waited_longest_gets_the_next_permit() {
        let queue = PublisherQueue::default();
        let mut permits: Vec<_> = (0..PERMITS)
            .map(|_| queue.acquire().now_or_never())
            .collect();
        assert!(permits.iter().all(Option::is_some));
        assert!(queue.has_waiting());
        let (mut first, mut second) = (Box::pin(queue.acquire()), Box::pin(queue.acquire()));
        assert!((&mut first).now_or_never().is_none());
        assert!((&mut second).now_or_never().is_none());
        drop(permits.pop());
        // The permit is for `first`, although `second` is polled before it.
        assert!((&mut second).now_or_never().is_none());
        assert!((&mut first).now_or_never().is_some());
    }
}
