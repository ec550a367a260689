//! What becomes of a shard when one of its steps or tasks panics: it ends, and tells its clients.
//!
//! A panic is a bug, and may have left what the shard owns in disorder. So nothing of that is used
//! any more, but for the sockets.

use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    task::Poll,
};

use tokio::task::{JoinHandle, spawn_local};

use crate::{disconnect::Disconnect, hub::shard::Shard};

impl Shard {
    /// Spawns a task on the shard's thread. If it panics, the shard ends: by itself, tokio would drop
    /// the task and go on.
    pub(crate) fn spawn(
        self: &Rc<Self>,
        task: impl Future<Output = ()> + 'static,
    ) -> JoinHandle<()> {
        let shard = Rc::clone(self);
        let mut task = Box::pin(task);
        spawn_local(poll_fn(move |cx| shard.guard(|| task.as_mut().poll(cx))))
    }

    /// Polls a task of the shard. If that panics, no task of the shard is polled any more.
    pub(crate) fn guard(&self, poll: impl FnOnce() -> Poll<()>) -> Poll<()> {
        if self.has_panicked() {
            return Poll::Pending;
        }
        catch_unwind(AssertUnwindSafe(poll)).unwrap_or_else(|_| {
            self.set_panicked();
            self.stop();
            self.inbox().wake();
            Poll::Pending
        })
    }

    /// Takes note that a step or a task has panicked.
    pub(in crate::hub) fn set_panicked(&self) {
        self.has_panicked.set(true);
        self.shared.attendance.set_panicked(self.index);
        self.shared.relief[self.index].clear();
    }

    /// Returns true if a step or a task has panicked.
    pub(crate) fn has_panicked(&self) -> bool {
        self.has_panicked.get()
    }

    /// Tells every client so, by one write that waits for nothing, and closes its socket.
    pub(in crate::hub) fn break_off(&self) {
        let reason = Disconnect::ShardPanicked;
        let Some(close) = reason.close_frame() else {
            return;
        };
        let open = self.state.borrow_mut().peers.break_off(close.as_bytes());
        let metrics = &self.shared.metrics[self.index];
        metrics.ended.shard_panicked.add(open);
        metrics.connections.set(0);
        metrics.topics.set(0);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::{config::HubConfig, hub::Hub};

    #[test]
    fn after_a_panic_no_task_of_the_shard_is_polled() {
        let hub = Hub::start(&HubConfig::default()).unwrap();
        let (done, wait) = mpsc::channel();
        hub.run_on(0, move |shard| {
            let panicked = shard.guard(|| panic!("on purpose"));
            let next = shard.guard(|| Poll::Ready(()));
            done.send((panicked, next)).unwrap();
        });
        assert_eq!(wait.recv(), Ok((Poll::Pending, Poll::Pending)));
    }
}
