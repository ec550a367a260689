//! Turns for the task of an HTTP connection, which is not one of the hub's own tasks.
//!
//! hyper answers a few pipelined requests in one poll, and then wakes its own task to go on.
//! Without turns, that task would be polled again immediately. Here it waits for one of the shard's
//! next rounds instead, like a WebSocket connection whose turn is over. So epoll is polled in
//! between, and other connections have their turns.

use std::{
    future::{Future, poll_fn},
    mem,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
    time::Instant,
};

use crate::hub::{Ticket, shard::Shard};

/// Polls `task` in turns until it completes.
///
/// # Cancel safety
///
/// The same as that of `task`.
pub(super) async fn in_turns<T>(shard: &Shard, task: impl Future<Output = T>) -> T {
    let mut task = pin!(task);
    let turn_waker = Arc::new(TurnWaker::default());
    let waker = Waker::from(Arc::clone(&turn_waker));
    let mut ticket = Ticket::default();
    poll_fn(|cx| {
        if shard.is_queued(ticket) {
            // Something has woken the task before its turn. The shard wakes it again for the turn.
            return Poll::Pending;
        }
        turn_waker.begin_turn(cx);
        let begun = Instant::now();
        let polled = shard.measure(|| task.as_mut().poll(&mut Context::from_waker(&waker)));
        let turn = begun.elapsed();
        shard.charge_round(turn);
        if turn_waker.end_turn() && polled.is_pending() {
            shard.queue(&mut ticket, cx, turn);
        }
        polled
    })
    .await
}

/// Ends the present turn of the task that awaits this. Returns in its next turn.
///
/// # Cancel safety
///
/// Cancel safe.
pub(super) async fn next_turn() {
    let mut is_over = false;
    poll_fn(|cx| {
        if mem::replace(&mut is_over, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// The waker that a task gets in its turns. During a turn it only notes that the task was woken,
/// because the task is queued for another turn when this one ends. Between turns it wakes the task.
#[derive(Default)]
struct TurnWaker {
    /// The waker with which tokio has polled the task.
    waker: Mutex<Option<Waker>>,
    /// A combination of the bits [`IS_TURN`] and [`IS_WOKEN`].
    state: AtomicU8,
}

/// Bit of the state that is set while the task is being polled.
const IS_TURN: u8 = 1;

/// Bit of the state that is set when the task is woken.
const IS_WOKEN: u8 = 2;

impl TurnWaker {
    /// Begins a turn, in which the task is polled with the waker of `cx`. Earlier wake-ups are
    /// forgotten: this turn serves them.
    fn begin_turn(&self, cx: &Context<'_>) {
        let mut waker = self.lock();
        match &mut *waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => *waker = Some(cx.waker().clone()),
        }
        self.state.store(IS_TURN, SeqCst);
    }

    /// Ends the turn. Returns true if the task was woken during it.
    fn end_turn(&self) -> bool {
        self.state.swap(0, SeqCst) & IS_WOKEN != 0
    }

    fn lock(&self) -> MutexGuard<'_, Option<Waker>> {
        self.waker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for TurnWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // No wake-up is lost: during a turn `end_turn` will see the bit, and after that the task
        // itself is woken.
        if self.state.fetch_or(IS_WOKEN, SeqCst) & IS_TURN == 0
            && let Some(waker) = &*self.lock()
        {
            waker.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{sync::oneshot, task::spawn_local};

    use super::*;
    use crate::{config::HubConfig, hub::Hub};

    #[tokio::test]
    async fn a_task_that_wakes_itself_is_polled_again_after_other_tasks() {
        let config = HubConfig {
            shards: 1.try_into().unwrap(),
            ..HubConfig::default()
        };
        let hub = Hub::start(&config).unwrap();
        // The busy task wakes itself in every poll. In its first poll it starts another task. After
        // its third poll it is done, and reports whether the other task has run.
        let (report, other_has_run) = oneshot::channel();
        hub.run_on(0, |shard| {
            let shard = std::rc::Rc::clone(shard);
            spawn_local(async move {
                let (ran, mut has_run) = oneshot::channel::<()>();
                let (mut polls, mut ran) = (0, Some(ran));
                let busy = poll_fn(|cx| {
                    polls += 1;
                    if let Some(ran) = ran.take() {
                        spawn_local(async move { ran.send(()) });
                    }
                    cx.waker().wake_by_ref();
                    if polls < 3 {
                        Poll::Pending
                    } else {
                        Poll::Ready(())
                    }
                });
                in_turns(&shard, busy).await;
                let _ = report.send(has_run.try_recv().is_ok());
            });
        });
        assert!(other_has_run.await.unwrap());
    }

    #[tokio::test]
    async fn a_task_that_another_thread_wakes_is_polled_again() {
        let hub = Hub::start(&HubConfig::default()).unwrap();
        for _ in 0..1000 {
            let (done, wait) = oneshot::channel();
            let (send, receive) = oneshot::channel();
            hub.run_on(0, |shard| {
                let shard = std::rc::Rc::clone(shard);
                spawn_local(async move {
                    let _ = done.send(in_turns(&shard, receive).await);
                });
            });
            hub.run_on(1 % hub.shards(), |_| {
                let _ = send.send(());
            });
            wait.await.unwrap().unwrap();
        }
    }
}
