//! The head of a request, while a connection waits for it.
//!
//! A connection that waits for a head holds as much as one that has it. So while memory is short it is
//! given up when it has waited for as long as a slow consumer may be blocked.

use std::{
    cell::Cell,
    future::Future,
    time::{Duration, Instant},
};

use tokio::time::sleep;

use crate::hub::shard::Shard;

/// The head that a connection waits for.
pub(super) struct AwaitedHead {
    /// Since when, if it does.
    since: Cell<Option<Instant>>,
    is_first: Cell<bool>,
}

impl AwaitedHead {
    /// Makes one that is waited for from now on.
    pub(super) fn awaited() -> Self {
        Self {
            since: Cell::new(Some(Instant::now())),
            is_first: Cell::new(true),
        }
    }

    /// Waits for the answer to a request whose head has come. Afterwards the next one is waited for.
    pub(super) async fn answered<T>(&self, answer: impl Future<Output = T>) -> T {
        self.since.set(None);
        self.is_first.set(false);
        let answer = answer.await;
        self.since.set(Some(Instant::now()));
        answer
    }

    /// Returns when the connection is to be given up: memory is short, and it has waited for too long.
    /// That counts as an unfinished request if it is the first: a client that was answered may have
    /// nothing more to ask, and goes uncounted to make room.
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
            sleep(longest.saturating_sub(waited).max(BETWEEN_LOOKS)).await;
        }
    }
}

/// How often to look whether memory is short, at most: for some connections it costs a wake-up each.
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);
