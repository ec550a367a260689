//! The turns of a task that is not one of the hub's own: of an HTTP connection.
//!
//! hyper answers some pipelined requests at a time, and then wakes its own task. Here such a task
//! waits for one of the shard's next rounds instead, as a connection does whose turn is over, so
//! that the sockets are looked at in between, and others have their turns.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
    time::Instant,
};

use crate::hub::{Ticket, shard::Shard};

/// Polls `task` in turns.
///
/// # Cancel safety
///
/// As that of `task`.
pub(super) async fn in_turns<T>(shard: &Shard, task: impl Future<Output = T>) -> T {
    let mut task = pin!(task);
    let alarm = Arc::new(Alarm::default());
    let waker = Waker::from(Arc::clone(&alarm));
    let mut ticket = Ticket::default();
    poll_fn(|cx| {
        if shard.is_queued(ticket) {
            return Poll::Pending;
        }
        alarm.begin_turn(cx);
        let begun = Instant::now();
        let polled = shard.measure(|| task.as_mut().poll(&mut Context::from_waker(&waker)));
        let turn = begun.elapsed();
        shard.use_up(turn);
        if alarm.end_turn() && polled.is_pending() {
            shard.queue(&mut ticket, cx, turn);
        }
        polled
    })
    .await
}

/// Tells when a task is woken during its own turn.
#[derive(Default)]
struct Alarm {
    /// Wakes the task.
    waker: Mutex<Option<Waker>>,
    /// [`IS_TURN`] and [`IS_SET`].
    state: AtomicU8,
}

/// The task is being polled.
const IS_TURN: u8 = 1;

/// It was woken.
const IS_SET: u8 = 2;

impl Alarm {
    fn begin_turn(&self, cx: &Context<'_>) {
        let mut waker = self.lock();
        match &mut *waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => *waker = Some(cx.waker().clone()),
        }
        self.state.store(IS_TURN, SeqCst);
    }

    /// Returns true if the task was woken during its turn.
    fn end_turn(&self) -> bool {
        self.state.swap(0, SeqCst) & IS_SET != 0
    }

    fn lock(&self) -> MutexGuard<'_, Option<Waker>> {
        self.waker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.fetch_or(IS_SET, SeqCst) & IS_TURN == 0
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
    async fn a_task_that_wakes_itself_lets_others_come_first() {
        let config = HubConfig {
            shards: 1.try_into().unwrap(),
            ..HubConfig::default()
        };
        let hub = Hub::start(&config).unwrap();
        let (done, order) = oneshot::channel();
        hub.run_on(0, |shard| {
            let shard = std::rc::Rc::clone(shard);
            spawn_local(async move {
                let (other, has_come) = oneshot::channel();
                let (mut polls, mut other) = (0, Some(other));
                let busy = poll_fn(|cx| {
                    polls += 1;
                    if let Some(other) = other.take() {
                        spawn_local(async move { other.send(()) });
                    }
                    cx.waker().wake_by_ref();
                    if polls < 3 {
                        Poll::Pending
                    } else {
                        Poll::Ready(())
                    }
                });
                in_turns(&shard, busy).await;
                let mut has_come: oneshot::Receiver<()> = has_come;
                let _ = done.send(has_come.try_recv().is_ok());
            });
        });
        assert!(order.await.unwrap());
    }

    #[tokio::test]
    async fn a_task_that_is_woken_by_another_thread_goes_on() {
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
