//! Deliveries: publications on their way to one shard, and the work that they cause there.

use std::{
    ops::{AddAssign, Deref},
    slice,
    sync::Arc,
};

use crate::hub::{
    ids::TopicKey,
    publication::{Audience, Publication, compression::Forms},
};

/// A publication on its way to one shard, through the shard's inbox.
#[derive(Debug)]
pub(in crate::hub) struct Delivery {
    pub(in crate::hub) publication: Arc<Publication>,
    pub(in crate::hub) targets: Targets,
    pub(in crate::hub) load: Load,
}

/// The topics of a publication that have subscribers on the shard, in the publisher's order.
#[derive(Debug)]
pub(in crate::hub) enum Targets {
    One(Target),
    Several(Vec<Target>),
}

/// A topic on a shard, and the number of a publication in the topic's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::hub) struct Target {
    pub(in crate::hub) topic: TopicKey,
    pub(in crate::hub) number: u64,
}

/// The load of deliveries on a shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::hub) struct Load {
    /// Estimated work, in nanoseconds.
    pub(in crate::hub) work: u64,
    pub(in crate::hub) messages: u64,
}

impl Deref for Targets {
    type Target = [Target];

    fn deref(&self) -> &[Target] {
        match self {
            Self::One(target) => slice::from_ref(target),
            Self::Several(targets) => targets,
        }
    }
}

impl AddAssign for Load {
    fn add_assign(&mut self, other: Self) {
        self.work += other.work;
        self.messages += other.messages;
    }
}

impl Delivery {
    /// Makes a delivery to a shard that has `subscribers` of the topics, and that compresses the
    /// messages in `forms`.
    pub(in crate::hub) fn new(
        publication: &Arc<Publication>,
        targets: Targets,
        subscribers: usize,
        forms: Forms,
    ) -> Self {
        let messages = publication.messages.len();
        let delivery = cost_of_delivery(subscribers, messages, publication.wire_bytes);
        let compression = publication.compression_cost.in_forms(forms) * COMPRESSION_FACTOR;
        let load = Load {
            work: publication.held_bytes as u64 * HELD_BYTE + delivery + compression,
            messages: messages as u64,
        };
        Self {
            publication: Arc::clone(publication),
            targets,
            load,
        }
    }

    /// Returns the target of a delivery that is for all subscribers of a single topic, or `None`
    /// for any other delivery.
    pub(in crate::hub) fn for_everyone(&self) -> Option<Target> {
        match (&self.targets, &self.publication.audience) {
            (Targets::One(target), Audience::Everyone) => Some(*target),
            _ => None,
        }
    }
}

/// Returns the cost, in nanoseconds, of delivering so many messages, which have so many bytes
/// together, to each of so many subscribers.
pub(in crate::hub) fn cost_of_delivery(subscribers: usize, messages: usize, bytes: usize) -> u64 {
    let each = DELIVERY * messages as u64 + bytes as u64 / BYTES_PER_NANOSECOND;
    subscribers as u64 * each
}

/// The cost of delivering a message to one subscriber, in nanoseconds, besides that of its bytes.
/// Measured with messages of 64 bytes: 30 in a batch, and 2,500 if each message has a write of its
/// own.
const DELIVERY: u64 = 30;

/// Number of bytes that a subscriber's socket takes in a nanosecond. Measured: 3 to 6.
const BYTES_PER_NANOSECOND: u64 = 4;

/// Nanoseconds of work that each byte of memory of a delivery counts as. So the bound on the work
/// in an inbox also bounds its memory.
const HELD_BYTE: u64 = 5;

/// Factor by which the cost of compressing is multiplied in the work of a delivery: 4 times 1.5.
///
/// It is multiplied by 4 because an inbox may hold four times as much work while its messages are
/// few: messages that are delivered together cost less than each alone, but compressing them
/// together is not cheaper. It is multiplied by 1.5 because a message that compression does not
/// make smaller still has to be written in full.
const COMPRESSION_FACTOR: u64 = 6;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config,
        hub::{
            bounds::budget::Budget,
            publication::{compression::Windows, encoded_message::EncodedMessage},
        },
        message::Message,
    };

    /// Returns the work of delivering a publication, in nanoseconds.
    fn work(publication: Publication, subscribers: usize, forms: Forms) -> u64 {
        let publication = Arc::new(publication);
        let nowhere = Targets::Several(Vec::new());
        let delivery = Delivery::new(&publication, nowhere, subscribers, forms);
        delivery.load.work
    }

    #[test]
    fn the_work_of_a_delivery_grows_with_subscribers_messages_bytes_and_memory() {
        let publication = |bytes: usize, count: usize| {
            let messages = vec![Message::binary(&vec![0; bytes]); count].into_iter();
            let (config, budget) = (config::Deflate::default(), Budget::new(u64::MAX));
            let messages = messages.map(|message| EncodedMessage::new(message, &config, &budget));
            Publication::new(messages.collect::<Vec<_>>())
        };
        let work = |bytes, count, subscribers| {
            let publication = publication(bytes, count);
            work(publication, subscribers, Forms::default())
        };
        assert!(work(1, 1, 1_000) >= 1_000 * DELIVERY);
        assert!(work(1, 10, 1_000) > 9 * work(1, 1, 1_000));
        assert!(work(64 * 1024, 1, 1_000) > 100 * work(1, 1, 1_000));
        assert!(
            work(1 << 20, 1, 1) > (1 << 20) * HELD_BYTE,
            "held memory counts, too"
        );
    }

    /// Returns the work of delivering a message of `bytes` to one subscriber, in these forms.
    fn work_in(forms: Forms, bytes: usize) -> u64 {
        let deflate = config::Deflate {
            enabled: true,
            min_bytes: 64,
            contexts: 0,
        };
        let message = Message::binary(&vec![0; bytes]);
        let message = EncodedMessage::new(message, &deflate, &Budget::new(u64::MAX));
        work(Publication::new(message), 1, forms)
    }

    fn windows(windows: u8) -> Forms {
        Forms {
            windows: Windows(windows),
            contexts: 0,
        }
    }

    fn contexts(contexts: usize) -> Forms {
        Forms {
            contexts,
            ..Forms::default()
        }
    }

    #[test]
    fn the_work_of_a_delivery_includes_the_cost_of_compressing_it() {
        // All windows but the smallest. Compressing 1,000 bytes costs 14,000 ns.
        let seven_forms = work_in(windows(0b1111_1110), 1000) - work_in(windows(0), 1000);
        assert!(seven_forms >= 7 * 13_000, "{seven_forms}");
        // Messages of fewer than 64 bytes are not compressed.
        assert_eq!(work_in(windows(0b1111_1111), 63), work_in(windows(0), 63));
    }

    #[test]
    fn a_form_in_which_a_message_is_sent_uncompressed_adds_no_work() {
        let compressing = |forms, bytes| work_in(forms, bytes) - work_in(windows(0), bytes);
        // In contexts of connections, a message of more than 64 KiB is not compressed.
        assert!(compressing(contexts(7), 64 * 1024) > 0);
        assert_eq!(compressing(contexts(7), 64 * 1024 + 1), 0);
        // For the largest window, it is.
        assert!(compressing(windows(0b1000_0000), 64 * 1024 + 1) > 0);
        // For the smallest window, a message of more than 256 bytes is not compressed.
        assert!(compressing(windows(1), 256) > 0);
        assert_eq!(compressing(windows(1), 257), 0);
    }

    #[test]
    fn a_delivery_to_one_topic_takes_less_than_a_cache_line() {
        assert!(size_of::<Delivery>() <= 48, "{}", size_of::<Delivery>());
    }
}
