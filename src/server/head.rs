//! The wait of an HTTP connection for the head of its next request.
//!
//! The first head must arrive within the time for a request, counted from the moment at which the
//! connection was accepted. Before a later head the connection may be idle for the keep-alive time.
//! The time for that head begins with its first byte. (If that byte came together with the request
//! before, the connection counts as idle until the next byte.)
//!
//! A connection that waits for a head holds as much memory as a connection whose head has come. So
//! while memory is short, a connection is closed when it has waited for a head for as long as a
//! slow consumer may be blocked.

use std::{
    cell::Cell,
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::{Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use crate::{config::Timeouts, hub::bounds::budget::Budget, server::stream::Signals};

/// The state of a connection's wait for the head of its next request.
pub(super) struct AwaitedHead {
    signals: Arc<Signals>,
    limits: WaitLimits,
    /// The moment at which the wait began. `None` while a request is being answered.
    since: Cell<Option<Instant>>,
    /// The moment at which the first byte of the head was seen.
    begun: Cell<Option<Instant>>,
    /// True until the first head has come.
    is_first: Cell<bool>,
}

/// The limits of the wait for a head.
#[derive(Clone, Copy, Debug)]
pub(super) struct WaitLimits {
    /// Time from the first byte of a head to its last one.
    pub(super) request: Duration,
    /// Time between two requests.
    pub(super) keep_alive: Duration,
    /// Time to wait while memory is short.
    pub(super) blocked: Duration,
}

impl WaitLimits {
    pub(super) fn new(timeouts: &Timeouts, keep_alive: Duration) -> Self {
        Self {
            request: timeouts.request,
            keep_alive,
            blocked: timeouts.blocked,
        }
    }
}

impl AwaitedHead {
    /// Returns the state of a new connection, whose wait for the first head begins now. Its stream
    /// has these signals.
    pub(super) fn awaited(signals: Arc<Signals>, limits: WaitLimits) -> Self {
        Self {
            signals,
            limits,
            since: Cell::new(Some(Instant::now())),
            begun: Cell::default(),
            is_first: Cell::new(true),
        }
    }

    /// Awaits `answer`, the answer to a request whose head has come. When it is ready, the wait for
    /// the next head begins.
    pub(super) async fn answered<T>(&self, answer: impl Future<Output = T>) -> T {
        self.since.set(None);
        self.is_first.set(false);
        let answer = answer.await;
        self.begin();
        answer
    }

    /// Restarts the wait for the next head, because the body before it was read only now. Does
    /// nothing if that head has come already, and its request is being answered.
    pub(super) fn restart(&self) {
        if self.since.get().is_some() {
            self.begin();
        }
    }

    /// Begins to wait for the next head. The bytes that have come until now are of the request
    /// before.
    fn begin(&self) {
        self.signals.take_received();
        self.begun.set(None);
        self.since.set(Some(Instant::now()));
    }

    /// Returns when the connection has waited for too long: for the head, for the next request, or
    /// for either while memory is short. Then the caller must close the connection.
    ///
    /// While memory is short, a wait for the first head is counted as an unfinished request. A wait
    /// after an answer is not, because the client may have nothing more to ask.
    ///
    /// Calls `note_unfinished` before it counts one. Must be polled whenever bytes have come, which
    /// are noted here.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub(super) async fn given_up(&self, budget: &Budget, note_unfinished: impl Fn()) {
        let mut timer = pin!(sleep(self.limits.blocked));
        poll_fn(|cx| {
            loop {
                let now = Instant::now();
                let Some(deadline) = self.deadline(now) else {
                    // This is polled again when the answer is ready.
                    return Poll::Pending;
                };
                if now >= deadline {
                    return Poll::Ready(());
                }
                if self.is_in_the_way(now, budget) {
                    if self.is_first.get() {
                        note_unfinished();
                        budget.counts.unfinished.increment();
                    }
                    return Poll::Ready(());
                }
                let next = deadline.min(self.next_check(now));
                if timer.is_elapsed() || timer.deadline() > next {
                    timer.as_mut().reset(next);
                }
                ready!(timer.as_mut().poll(cx));
            }
        })
        .await;
    }

    /// Returns the time until which the head must have come, or `None` if none is awaited.
    fn deadline(&self, now: Instant) -> Option<Instant> {
        let since = self.since.get()?;
        if self.begun.get().is_none() && self.signals.take_received() {
            self.begun.set(Some(now));
        }
        let limits = &self.limits;
        Some(match self.begun.get() {
            _ if self.is_first.get() => since + limits.request,
            Some(begun) => begun + limits.request,
            None => since + limits.keep_alive,
        })
    }

    /// Returns true if memory is short and the connection has waited for too long to keep it.
    fn is_in_the_way(&self, now: Instant, budget: &Budget) -> bool {
        self.since.get().is_some_and(|since| {
            now.duration_since(since) >= self.limits.blocked && budget.is_crowded()
        })
    }

    /// Returns the time of the next check whether memory is short.
    fn next_check(&self, now: Instant) -> Instant {
        let blocked = self.since.get().map(|since| since + self.limits.blocked);
        let soonest = now + CHECK_INTERVAL;
        blocked.map_or(soonest, |blocked| blocked.max(soonest))
    }
}

/// Shortest time between two checks whether memory is short. Each check costs a wake-up of the
/// connection's task, and many connections may be idle.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncReadExt, time::timeout};

    use super::*;
    use crate::server::stream::HttpStream;

    const LIMITS: WaitLimits = WaitLimits {
        request: Duration::from_secs(5),
        keep_alive: Duration::from_secs(75),
        blocked: Duration::from_secs(1),
    };

    /// Returns after how many seconds a connection is given up. It has got `answers` at once, and a
    /// byte comes after `first_byte`.
    async fn given_up_after(answers: usize, first_byte: Option<u64>) -> u64 {
        let (signals, budget) = (Arc::new(Signals::default()), Budget::new(u64::MAX));
        let head = AwaitedHead::awaited(Arc::clone(&signals), LIMITS);
        let mut stream = HttpStream::new(&b"GG"[..], signals, Arc::clone(&budget));
        for _ in 0..answers {
            // A byte of the request that is answered.
            stream.read_u8().await.unwrap();
            head.answered(async {}).await;
        }
        let begun = Instant::now();
        let mut given_up = pin!(head.given_up(&budget, || {}));
        if let Some(seconds) = first_byte {
            let idle = timeout(Duration::from_secs(seconds), given_up.as_mut());
            assert!(idle.await.is_err());
            stream.read_u8().await.unwrap();
        }
        given_up.await;
        begun.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn no_head_is_awaited_during_an_answer_even_if_a_body_before_it_ends_then() {
        let signals = Arc::new(Signals::default());
        let head = AwaitedHead::awaited(signals, LIMITS);
        let now = Instant::now();
        head.answered(async {
            head.restart();
            assert_eq!(head.deadline(now), None);
        })
        .await;
        assert_eq!(head.deadline(now), Some(now + LIMITS.keep_alive));
        sleep(Duration::from_secs(3)).await;
        head.restart();
        let restarted = now + Duration::from_secs(3);
        assert_eq!(head.deadline(now), Some(restarted + LIMITS.keep_alive));
    }

    #[tokio::test(start_paused = true)]
    async fn a_first_head_has_its_time_from_the_beginning_of_the_connection() {
        assert_eq!(given_up_after(0, None).await, 5);
        assert_eq!(given_up_after(0, Some(4)).await, 5);
    }

    #[tokio::test(start_paused = true)]
    async fn a_later_head_has_its_time_from_its_first_byte() {
        assert_eq!(given_up_after(1, None).await, 75);
        for idle in [1, 50, 74] {
            assert_eq!(given_up_after(1, Some(idle)).await, idle + 5);
        }
    }
}
