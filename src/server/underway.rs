//! The requests that are under way: a drain waits for those that are complete and not yet answered.
//!
//! It does not wait for a request of which a part is missing. When that is complete and the drain
//! goes on already, the request is refused.

use std::convert::Infallible;

use tokio::sync::mpsc;

/// Counts the requests that are being answered, until the drain goes on.
#[derive(Clone, Debug)]
pub(super) struct Requests(mpsc::WeakSender<Infallible>);

/// A request that is being answered. Nothing is sent on the channel: the drain sees that all of its
/// senders are dropped.
#[derive(Clone, Debug)]
pub(super) struct Underway(mpsc::Sender<Infallible>);

/// Returns the requests, the first of them, which stands for the running server, and a receiver
/// that is closed when none is under way.
pub(super) fn requests() -> (Requests, Underway, mpsc::Receiver<Infallible>) {
    let (sender, all_answered) = mpsc::channel(1);
    let running = Underway(sender);
    (running.clone().pause(), running, all_answered)
}

impl Requests {
    /// Begins to answer a request. Returns `None` if none was under way, and so the drain goes on.
    pub(super) fn begin(&self) -> Option<Underway> {
        self.0.upgrade().map(Underway)
    }
}

impl Underway {
    /// Lets the drain go on while the rest of the request is awaited.
    pub(super) fn pause(self) -> Requests {
        Requests(self.0.downgrade())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_drain_goes_on_when_no_request_is_under_way_and_no_other_one_begins() {
        let (requests, running, mut all_answered) = requests();
        let first = requests.begin().unwrap();
        drop(running);
        let second = requests.begin().unwrap();
        drop(first);
        assert!(all_answered.try_recv() == Err(mpsc::error::TryRecvError::Empty));
        let paused = second.pause();
        assert!(all_answered.recv().await.is_none());
        assert!(paused.begin().is_none() && requests.begin().is_none());
    }
}
