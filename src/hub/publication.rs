//! Messages on their way from a publisher to the subscribers.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use tokio::sync::oneshot;

use super::{links::Links, message::Message, peer::PeerKey};
use crate::{topic_name::TopicName, wire::frame::Frame};

/// Who a registered connection belongs to.
pub(crate) type UserId = Arc<str>;

/// Messages published to topics, on their way to the subscribers.
#[derive(Clone, Debug)]
pub(super) struct Publication {
    /// The topics published to; this item is on its way through `topics[position]`.
    pub(super) topics: Arc<[TopicName]>,
    pub(super) position: usize,
    /// Which of all that pass this topic's home it is.
    pub(super) number: u64,
    /// One or more, in the publisher's order.
    pub(super) messages: Arc<[Message]>,
    /// Only connections of this user.
    pub(super) user: Option<UserId>,
    pub(super) receipt: Option<Receipt>,
    /// Kept if there are several topics.
    pub(super) reached: Option<Reached>,
}

impl Publication {
    /// Frames for everybody who follows any of the topics.
    pub(super) fn new(
        links: &Links,
        topics: Arc<[TopicName]>,
        frames: impl IntoIterator<Item = Frame>,
    ) -> Self {
        let deflate = &links.config.deflate;
        let messages = frames.into_iter();
        let messages = messages.map(|frame| Message::new(frame, deflate)).collect();
        Self {
            position: 0,
            number: 0,
            messages,
            user: None,
            receipt: None,
            reached: (topics.len() > 1).then(|| Reached::new(links.inboxes.len())),
            topics,
        }
    }

    pub(super) fn topic(&self) -> &TopicName {
        &self.topics[self.position]
    }

    /// No subscriber of the topic is to be left out.
    pub(super) fn is_for_everyone(&self) -> bool {
        self.topics.len() == 1 && self.user.is_none()
    }

    /// Memory that its messages hold, in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        self.messages.iter().map(Message::held_bytes).sum()
    }
}

/// Which of the connections that may change their topics a publication has reached, by shard.
///
/// Each shard looks only at its own part, so nobody ever waits for one of the locks.
#[derive(Clone, Debug)]
pub(super) struct Reached(Arc<[Mutex<HashSet<PeerKey>>]>);

impl Reached {
    fn new(shards: usize) -> Self {
        Self((0..shards).map(|_| Mutex::default()).collect())
    }

    pub(super) fn on(&self, shard: usize) -> MutexGuard<'_, HashSet<PeerKey>> {
        // A set is whole between any two operations on it.
        self.0[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts the connections that a publication was queued to; reports when its last clone is gone.
#[derive(Clone, Debug)]
pub(super) struct Receipt(Arc<Tally>);

#[derive(Debug)]
struct Tally {
    queued: AtomicUsize,
    report: Option<oneshot::Sender<usize>>,
}

impl Receipt {
    pub(super) fn new() -> (Self, oneshot::Receiver<usize>) {
        let (report, total) = oneshot::channel();
        (
            Self(Arc::new(Tally {
                queued: AtomicUsize::new(0),
                report: Some(report),
            })),
            total,
        )
    }

    pub(super) fn add(&self, queued: usize) {
        self.0.queued.fetch_add(queued, Relaxed);
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        if let Some(report) = self.report.take() {
            // Nobody may be waiting any more.
            let _ = report.send(*self.queued.get_mut());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_receipt_reports_the_sum_when_its_last_clone_is_gone() {
        let (receipt, total) = Receipt::new();
        let other = receipt.clone();
        receipt.add(2);
        drop(receipt);
        other.add(3);
        drop(other);
        assert_eq!(total.await, Ok(5));
    }
}
