//! The queue in which publishers wait for a permit while the hub has too much to deliver.

use std::sync::Arc;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// The queue of waiting publishers: first come, first served, as [`Semaphore`] promises.
#[derive(Debug)]
pub(in crate::hub) struct PublisherQueue(Arc<Semaphore>);

/// The right to publish now. There are [`PERMITS`] of them, so a holder should drop it soon.
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
    /// Returns true if no permit is left. A publisher that wants to publish now must queue, or it
    /// would overtake those that wait.
    pub(in crate::hub) fn has_waiting(&self) -> bool {
        self.0.available_permits() == 0
    }

    /// Waits for a permit. Callers get their permits in the order in which they have first polled
    /// the future.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe. The caller's place in the queue is lost.
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

/// Number of publishers that may publish at a time, each for a short turn. There are so many
/// because a publisher holds its permit already while its task is being woken: meanwhile others
/// publish. With few permits, publishers would wait for each other's wake-ups.
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
