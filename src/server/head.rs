//! The wait of an HTTP connection for the head of its next request.
//!
//! A connection that waits for a head holds as much memory as a connection whose head has come. So
//! while memory is short, it is closed when it has waited for as long as a slow consumer may be
//! blocked.

use std::{
    cell::Cell,
    future::Future,
    time::{Duration, Instant},
};

use tokio::time::sleep;

use crate::hub::shard::Shard;

/// The head that a connection waits for.
pub(super) struct AwaitedHead {
    /// The moment at which the wait began. `None` while a request is being answered.
    since: Cell<Option<Instant>>,
    /// True until the first head has come.
    is_first: Cell<bool>,
}

impl AwaitedHead {
    /// Begins to wait for the first head.
    pub(super) fn awaited() -> Self {
        Self {
            since: Cell::new(Some(Instant::now())),
            is_first: Cell::new(true),
        }
    }

    /// Awaits `answer`, the answer to a request whose head has come. When it is ready, the wait for
    /// the next head begins.
    pub(super) async fn answered<T>(&self, answer: impl Future<Output = T>) -> T {
        self.since.set(None);
        self.is_first.set(false);
        let answer = answer.await;
        self.since.set(Some(Instant::now()));
        answer
    }

    /// Returns when memory is short and the connection has waited for a head for too long: then it
    /// must be closed. If it has waited for its first head, it is counted as an unfinished request.
    /// It is not counted after an answer, because its client may have nothing more to ask.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub(super) async fn given_up(&self, shard: &Shard) {
        let longest = shard.config().timeouts.blocked;
        let budget = shard.ledger().budget();
        loop {
            let waited = self
                .since
                .get()
                .map_or(Duration::ZERO, |since| since.elapsed());
            if waited >= longest && budget.is_crowded() {
                if self.is_first.get() {
                    budget.counts.unfinished.increment();
                }
                return;
            }
            sleep(longest.saturating_sub(waited).max(CHECK_INTERVAL)).await;
        }
    }
}

/// Shortest time between two checks whether memory is short. Each check costs a wake-up of the
/// connection's task.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);
