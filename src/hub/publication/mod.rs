//! Messages on their way from a publisher to the subscribers.
//!
//! A [`message`] is encoded once, and once more for each form of [`compression`]. The topic's [`home`]
//! gives a publication its place in the topic's order. A shard joins the messages of a topic into
//! [`segments`], each a [`segment`] that all outboxes share.

pub(in crate::hub) mod compression;
pub(in crate::hub) mod home;
pub(in crate::hub) mod message;
pub(in crate::hub) mod segment;
pub(in crate::hub) mod segments;

use std::{
    ops::AddAssign,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use tokio::sync::oneshot;

use crate::{
    hub::{ids::ConnectionId, publication::message::Message},
    topic::TopicName,
    user::UserId,
};

/// Messages published together.
#[derive(Clone, Debug)]
pub(super) struct Publication {
    /// One or more, in the publisher's order.
    pub(super) messages: Arc<[Message]>,
    /// Only connections of this user.
    pub(super) user: Option<UserId>,
    /// Not this connection.
    pub(super) except: Option<ConnectionId>,
    pub(super) receipt: Option<Receipt>,
    held_bytes: usize,
    wire_bytes: usize,
    /// What it may take to compress them once, in nanoseconds.
    cost_of_form: u64,
}

/// A publication on its way to one shard.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) publication: Publication,
    pub(super) route: Route,
    pub(super) load: Load,
}

/// What deliveries mean for a shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Load {
    /// What it takes to make them, in nanoseconds.
    pub(super) work: u64,
    pub(super) messages: u64,
}

impl AddAssign for Load {
    fn add_assign(&mut self, other: Self) {
        self.work += other.work;
        self.messages += other.messages;
    }
}

/// The topics that a publication goes to, each with its number among all that have passed the
/// topic's home.
#[derive(Clone, Debug)]
pub(super) enum Route {
    One(TopicName, u64),
    Several(Arc<[(TopicName, u64)]>),
}

impl Publication {
    /// Makes one for everybody who follows any of the topics that it is published to.
    pub(super) fn new(messages: impl IntoIterator<Item = Message>) -> Self {
        let messages: Arc<[Message]> = messages.into_iter().collect();
        let wire_lens = messages.iter().map(|message| message.plain().wire_len());
        Self {
            user: None,
            except: None,
            receipt: None,
            held_bytes: messages.iter().map(Message::held_bytes).sum(),
            wire_bytes: wire_lens.sum(),
            cost_of_form: messages.iter().map(Message::cost_of_form).sum(),
            messages,
        }
    }

    /// Makes it one for the connections of a user, or of everybody, that is counted.
    pub(super) fn counted(self, user: Option<UserId>, receipt: Receipt) -> Self {
        Self {
            user,
            receipt: Some(receipt),
            ..self
        }
    }

    /// Makes it one for the connections of a user.
    pub(super) fn only_to(self, user: UserId) -> Self {
        Self {
            user: Some(user),
            ..self
        }
    }

    /// Makes it one for all but a connection.
    pub(super) fn not_to(self, connection: ConnectionId) -> Self {
        Self {
            except: Some(connection),
            ..self
        }
    }

    /// Returns true if every subscriber is to have it.
    fn is_for_everyone(&self) -> bool {
        self.user.is_none() && self.except.is_none()
    }

    /// Returns what its messages hold, in bytes, before they are compressed.
    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Returns what it may take to compress them once, in nanoseconds.
    pub(super) fn cost_of_form(&self) -> u64 {
        self.cost_of_form
    }

    /// Returns what is to be delivered by a shard with so many subscribers, which compresses it in
    /// so many `forms`.
    pub(super) fn delivery(&self, route: Route, subscribers: usize, forms: usize) -> Delivery {
        let delivered = delivered(subscribers, self.messages.len(), self.wire_bytes);
        let compressed = forms as u64 * self.cost_of_form * NOT_CHEAPER_TOGETHER;
        Delivery {
            publication: self.clone(),
            route,
            load: Load {
                work: self.held_bytes as u64 * HELD_BYTE + delivered + compressed,
                messages: self.messages.len() as u64,
            },
        }
    }
}

impl Delivery {
    /// Returns the topic, if no subscriber of it is to be left out.
    pub(super) fn for_everyone(&self) -> Option<(&TopicName, u64)> {
        match &self.route {
            Route::One(topic, number) if self.publication.is_for_everyone() => {
                Some((topic, *number))
            }
            _ => None,
        }
    }

    /// Returns the topics, each with its number.
    pub(super) fn topics(&self) -> impl Iterator<Item = (&TopicName, u64)> {
        let (one, several) = match &self.route {
            Route::One(topic, number) => (Some((topic, *number)), &[][..]),
            Route::Several(several) => (None, &several[..]),
        };
        let several = several.iter().map(|(topic, number)| (topic, *number));
        one.into_iter().chain(several)
    }
}

/// Returns what it takes to deliver so many messages of so many bytes in all, in nanoseconds.
pub(super) fn delivered(subscribers: usize, messages: usize, bytes: usize) -> u64 {
    let each = DELIVERY * messages as u64 + bytes as u64 / BYTES_PER_NANOSECOND;
    subscribers as u64 * each
}

/// What a message costs for each subscriber in a batch, in nanoseconds, besides its bytes.
/// Measured: 30 with 64 bytes, 2,500 where each has a write of its own.
const DELIVERY: u64 = 30;

/// Bytes that the kernel takes for a subscriber in a nanosecond. Measured: 3 to 6.
const BYTES_PER_NANOSECOND: u64 = 4;

/// What a byte counts for while it is held, in nanoseconds: the bound of an inbox is one of memory,
/// too.
const HELD_BYTE: u64 = 5;

/// A few messages may be four times the work of many, because what goes together costs less.
/// Compressing does not, and is reckoned by so much more, and half as much again: what does not get
/// smaller has to be written, too.
const NOT_CHEAPER_TOGETHER: u64 = 6;

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
    use crate::{config, hub::bounds::budget::Budget, wire::frame::Frame};

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

    #[test]
    fn a_publication_weighs_what_it_costs_to_deliver() {
        let publication = |bytes: usize, count: usize| {
            let frames = vec![Frame::binary(&vec![0; bytes]); count].into_iter();
            let (config, budget) = (config::Deflate::default(), Budget::new(u64::MAX));
            Publication::new(frames.map(|frame| Message::new(frame, &config, &budget)))
        };
        let work = |bytes, count, subscribers| {
            publication(bytes, count)
                .delivery(Route::Several([].into()), subscribers, 0)
                .load
                .work
        };
        assert!(work(1, 1, 1_000) >= 1_000 * DELIVERY);
        assert!(work(1, 10, 1_000) > 9 * work(1, 1, 1_000));
        assert!(work(64 * 1024, 1, 1_000) > 100 * work(1, 1, 1_000));
        assert!(
            work(1 << 20, 1, 1) > (1 << 20) * HELD_BYTE,
            "memory counts, too"
        );
    }

    #[test]
    fn a_publication_weighs_what_it_costs_to_compress_if_it_is_compressed() {
        let deflate = config::Deflate {
            enabled: true,
            min_bytes: 64,
            contexts: 0,
        };
        let work = |bytes: usize, forms| {
            let frame = Frame::binary(&vec![0; bytes]);
            let message = Message::new(frame, &deflate, &Budget::new(u64::MAX));
            let publication = Publication::new([message]);
            let delivery = publication.delivery(Route::Several([].into()), 1, forms);
            delivery.load.work
        };
        let seven_forms = work(1000, 7) - work(1000, 0);
        assert!(seven_forms >= 7 * 13_000, "{seven_forms}");
        assert_eq!(work(63, 7), work(63, 0));
    }
}
