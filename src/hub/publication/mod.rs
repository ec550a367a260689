//! Messages on their way from a publisher to the subscribers.
//!
//! An [`encoded_message`] is encoded once, and once more for each form of [`compression`]. The
//! [`router`] numbers a publication in its topic, and a [`delivery`] takes it to a shard. The shard
//! joins messages of a topic into [`segments`]. Each [`segment`] is shared by all outboxes that it
//! is queued in.

pub(in crate::hub) mod compression;
pub(in crate::hub) mod delivery;
pub(in crate::hub) mod encoded_message;
pub(in crate::hub) mod router;
pub(in crate::hub) mod segment;
pub(in crate::hub) mod segments;

use std::{
    ops::Deref,
    slice,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use tokio::sync::oneshot;

use crate::{
    hub::{
        ids::ConnectionId,
        publication::{compression::Cost, encoded_message::EncodedMessage},
    },
    user::UserId,
};

/// Messages that are published together, and their audience. All shards that deliver the
/// publication share it.
#[derive(Debug)]
pub(in crate::hub) struct Publication {
    pub(in crate::hub) messages: Messages,
    pub(in crate::hub) audience: Audience,
    pub(in crate::hub) receipt: Option<Receipt>,
    held_bytes: usize,
    wire_bytes: usize,
    compression_cost: Cost,
}

/// One or more messages, in the publisher's order. Most often it is one message, which needs no
/// allocation.
#[derive(Debug)]
pub(crate) enum Messages {
    One(EncodedMessage),
    Several(Vec<EncodedMessage>),
}

/// The part of the subscribers of its topics that a publication is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    Everyone,
    AllBut(ConnectionId),
    /// The connections of one user.
    User(UserId),
}

impl From<EncodedMessage> for Messages {
    fn from(message: EncodedMessage) -> Self {
        Self::One(message)
    }
}

impl From<Vec<EncodedMessage>> for Messages {
    fn from(mut messages: Vec<EncodedMessage>) -> Self {
        if messages.len() == 1
            && let Some(only) = messages.pop()
        {
            return Self::One(only);
        }
        Self::Several(messages)
    }
}

impl Deref for Messages {
    type Target = [EncodedMessage];

    fn deref(&self) -> &[EncodedMessage] {
        match self {
            Self::One(message) => slice::from_ref(message),
            Self::Several(messages) => messages,
        }
    }
}

impl Audience {
    /// Returns true if the connection `id`, which is one of `user` or anonymous, is in the
    /// audience.
    pub(in crate::hub) fn includes(&self, id: ConnectionId, user: Option<&UserId>) -> bool {
        match self {
            Self::Everyone => true,
            Self::AllBut(other) => id != *other,
            Self::User(one) => user == Some(one),
        }
    }
}

impl From<Option<UserId>> for Audience {
    fn from(user: Option<UserId>) -> Self {
        user.map_or(Self::Everyone, Self::User)
    }
}

impl From<EncodedMessage> for Publication {
    fn from(message: EncodedMessage) -> Self {
        Self::new(message)
    }
}

impl Publication {
    /// Makes a publication for all subscribers of the topics that it is published to.
    pub(in crate::hub) fn new(messages: impl Into<Messages>) -> Self {
        let messages = messages.into();
        let wire_lens = messages.iter().map(|message| message.plain().wire_len());
        Self {
            audience: Audience::Everyone,
            receipt: None,
            held_bytes: messages.iter().map(EncodedMessage::held_bytes).sum(),
            wire_bytes: wire_lens.sum(),
            compression_cost: messages.iter().map(EncodedMessage::compression_cost).sum(),
            messages,
        }
    }

    /// Returns the publication with this audience.
    pub(in crate::hub) fn to(self, audience: impl Into<Audience>) -> Self {
        Self {
            audience: audience.into(),
            ..self
        }
    }

    /// Returns the publication with a receipt, which counts the subscribers that it is queued to.
    pub(in crate::hub) fn counted(self, receipt: Receipt) -> Self {
        Self {
            receipt: Some(receipt),
            ..self
        }
    }

    /// Returns how many bytes of memory the messages hold before they are compressed.
    pub(in crate::hub) fn held_bytes(&self) -> usize {
        self.held_bytes
    }
}

/// A count of the subscribers that a publication was queued to. The publisher gets the count when
/// the last clone of the receipt is dropped.
#[derive(Clone, Debug)]
pub(in crate::hub) struct Receipt(Arc<Tally>);

/// The count of a receipt, and the channel to the publisher.
#[derive(Debug)]
struct Tally {
    queued: AtomicUsize,
    report: Option<oneshot::Sender<usize>>,
}

impl Receipt {
    pub(in crate::hub) fn new() -> (Self, oneshot::Receiver<usize>) {
        let (report, total) = oneshot::channel();
        (
            Self(Arc::new(Tally {
                queued: AtomicUsize::new(0),
                report: Some(report),
            })),
            total,
        )
    }

    pub(in crate::hub) fn add(&self, queued: usize) {
        self.0.queued.fetch_add(queued, Relaxed);
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        if let Some(report) = self.report.take() {
            // Fails if the publisher no longer waits for the count.
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
