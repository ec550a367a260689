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

/// Since when a connection waits for a head, if it does.
pub(super) struct Head(Cell<Option<Instant>>);

impl Head {
    /// Makes one that is waited for from now on.
    pub(super) fn awaited() -> Self {
        Self(Cell::new(Some(Instant::now())))
    }

    /// Waits for the answer to a request whose head has come. Afterwards the next one is waited for.
    pub(super) async fn answered<T>(&self, answer: impl Future<Output = T>) -> T {
        self.0.set(None);
        let answer = answer.await;
        self.0.set(Some(Instant::now()));
        answer
    }

    /// Returns when the connection is to be given up, and counts that: memory is short, and it has
    /// waited for too long.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub(super) async fn given_up(&self, shard: &Shard) {
        let patience = shard.config().timeouts.blocked;
        let budget = shard.ledger().budget();
        loop {
            let waited = self.0.get().map_or(Duration::ZERO, |since| since.elapsed());
            if waited >= patience && budget.is_crowded() {
                return budget.counts.unfinished.increment();
            }
            sleep(patience.saturating_sub(waited).max(BETWEEN_LOOKS)).await;
        }
    }
}

/// How often to look whether memory is short, at most: for some connections it costs a wake-up each.
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);
