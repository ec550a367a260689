//! A publication on its way to one shard, and the work that it makes there.

use std::{
    ops::{AddAssign, Deref},
    slice,
    sync::Arc,
};

use crate::hub::{
    ids::TopicKey,
    publication::{Audience, Publication, compression::Forms},
};

/// A publication on its way to one shard.
#[derive(Debug)]
pub(in crate::hub) struct Delivery {
    pub(in crate::hub) publication: Arc<Publication>,
    pub(in crate::hub) targets: Targets,
    pub(in crate::hub) load: Load,
}

/// The topics on the shard that a publication is for, in the publisher's order.
#[derive(Debug)]
pub(in crate::hub) enum Targets {
    One(Target),
    Several(Vec<Target>),
}

/// A topic on a shard, and the place of a publication in the topic's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::hub) struct Target {
    pub(in crate::hub) topic: TopicKey,
    pub(in crate::hub) number: u64,
}

/// What deliveries mean for a shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::hub) struct Load {
    /// What it takes to make them, in nanoseconds.
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
    /// Makes one to a shard where the topics have so many subscribers, and which compresses it in
    /// these `forms`.
    pub(in crate::hub) fn new(
        publication: &Arc<Publication>,
        targets: Targets,
        subscribers: usize,
        forms: Forms,
    ) -> Self {
        let messages = publication.messages.len();
        let delivered = delivered(subscribers, messages, publication.wire_bytes);
        let compressed = publication.cost_of_form.in_forms(forms) * NOT_CHEAPER_TOGETHER;
        let load = Load {
            work: publication.held_bytes as u64 * HELD_BYTE + delivered + compressed,
            messages: messages as u64,
        };
        Self {
            publication: Arc::clone(publication),
            targets,
            load,
        }
    }

    /// Returns the topic, if no subscriber of it is to be left out.
    pub(in crate::hub) fn for_everyone(&self) -> Option<Target> {
        match (&self.targets, &self.publication.audience) {
            (Targets::One(target), Audience::Everyone) => Some(*target),
            _ => None,
        }
    }
}

/// Returns what it takes to deliver so many messages of so many bytes in all, in nanoseconds.
pub(in crate::hub) fn delivered(subscribers: usize, messages: usize, bytes: usize) -> u64 {
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

    fn work(publication: Publication, subscribers: usize, forms: Forms) -> u64 {
        let publication = Arc::new(publication);
        let nowhere = Targets::Several(Vec::new());
        let delivery = Delivery::new(&publication, nowhere, subscribers, forms);
        delivery.load.work
    }

    #[test]
    fn a_delivery_weighs_what_it_costs() {
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
            "memory counts, too"
        );
    }

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
    fn a_delivery_weighs_what_it_costs_to_compress_if_it_is_compressed() {
        let seven_forms = work_in(windows(0b1111_1110), 1000) - work_in(windows(0), 1000);
        assert!(seven_forms >= 7 * 13_000, "{seven_forms}");
        assert_eq!(work_in(windows(0b1111_1111), 63), work_in(windows(0), 63));
    }

    #[test]
    fn compressing_weighs_nothing_where_a_message_is_sent_as_it_is() {
        let compressing = |forms, bytes| work_in(forms, bytes) - work_in(windows(0), bytes);
        assert!(compressing(contexts(7), 64 * 1024) > 0);
        assert_eq!(compressing(contexts(7), 64 * 1024 + 1), 0);
        assert!(compressing(windows(0b1000_0000), 64 * 1024 + 1) > 0);
        assert!(compressing(windows(1), 256) > 0);
        assert_eq!(compressing(windows(1), 257), 0);
    }

    #[test]
    fn a_delivery_to_one_topic_takes_less_than_a_cache_line() {
        assert!(size_of::<Delivery>() <= 48, "{}", size_of::<Delivery>());
    }
}
