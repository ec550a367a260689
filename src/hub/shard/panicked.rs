//! The end of a shard after a panic in one of its steps or tasks.
//!
//! A panic is a bug, and may have left the shard's data inconsistent. So none of the data is used
//! any more, except for the sockets, on which each client is sent a final Close.

use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    task::Poll,
};

use tokio::task::{JoinHandle, spawn_local};

use crate::{disconnect::Disconnect, hub::shard::Shard};

impl Shard {
    /// Spawns a task on the shard's thread. If the task panics, the shard ends. tokio alone would
    /// drop the task and go on.
    pub(crate) fn spawn(
        self: &Rc<Self>,
        task: impl Future<Output = ()> + 'static,
    ) -> JoinHandle<()> {
        let shard = Rc::clone(self);
        let mut task = Box::pin(task);
        spawn_local(poll_fn(move |cx| shard.guard(|| task.as_mut().poll(cx))))
    }

    /// Polls a task of the shard. After a panic, no task of the shard is polled any more: all of
    /// them stay pending until the runtime drops them.
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

    /// Records that a step or a task has panicked. The shard gets no new connections.
    pub(in crate::hub) fn set_panicked(&self) {
        self.has_panicked.set(true);
        self.shared.round_robin.set_panicked(self.index);
        // The other shards must not count on memory that this one was about to free.
        self.shared.relief[self.index].clear();
    }

    /// Returns true if a step or a task has panicked.
    pub(crate) fn has_panicked(&self) -> bool {
        self.has_panicked.get()
    }

    /// Sends each client a Close (1011) in a write that does not wait, and closes its socket.
    pub(in crate::hub) fn close_connections(&self) {
        let reason = Disconnect::ShardPanicked;
        let Some(close) = reason.close_frame() else {
            return;
        };
        let open = self.state.borrow_mut().peers.close_all(close.as_bytes());
        let metrics = &self.shared.metrics[self.index];
        metrics.ended.shard_panicked.add(open);
        metrics.connections.set(0);
        self.shared.router.remove_shard(self.index);
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
