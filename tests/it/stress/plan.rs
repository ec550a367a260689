//! The plan of a run: publishers with their messages and topics, and the topics of subscribers. The
//! same seed leads to the same plan.

use framecast_test_support::limits;

/// Number of topics of a run: as many as one connection may have.
pub(super) const TOPICS: usize = limits::TOPICS;

/// Number of topics from which the publishers to 2 to 8 topics choose, so that they share topics.
const BUSY: usize = 16;

/// Number of topics that have publishers to this topic alone.
const SINGLE: usize = 4;

/// Size of a run. The fields besides `messages` are numbers of clients.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    /// Number of messages of an ordinary publisher. Some send only a part of it.
    pub(super) messages: u32,
    /// Subscribers that stay.
    pub(super) stable: usize,
    /// Relays that change their topics.
    pub(super) relays: usize,
    /// Clients that connect and leave.
    pub(super) churners: usize,
}

#[derive(Debug)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) size: Size,
    pub(super) publishers: Vec<Publisher>,
}

/// The numbered messages of one publisher.
#[derive(Clone, Debug)]
pub(super) struct Publisher {
    pub(super) way: Way,
    /// Topics, in the order in which the publisher names them.
    pub(super) topics: Vec<usize>,
    pub(super) messages: u32,
    /// Number of messages that are sent together. At most two batches are under way.
    pub(super) batch: u32,
    /// Bytes of each message.
    pub(super) bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// In the chat, each message in one frame.
    Chat,
    /// In the chat, each message in three fragments.
    Fragments,
    /// `POST /publish`, one message at a time.
    Post,
}

impl Plan {
    pub(super) fn new(seed: u64, size: Size) -> Self {
        let mut random = Random::new(seed, "publishers");
        let publisher = |way, topics, divisor: u32, batch, bytes| Publisher {
            way,
            topics,
            messages: size.messages / divisor,
            batch,
            bytes,
        };
        let mut publishers = Vec::new();
        for topic in 0..SINGLE {
            publishers.push(publisher(Way::Chat, vec![topic], 1, 2, 80));
            // In batches of 32.
            publishers.push(publisher(Way::Chat, vec![topic], 1, 32, 48));
        }
        publishers.push(publisher(Way::Fragments, vec![0], 1, 2, 40));
        publishers.push(publisher(Way::Post, vec![0], 2, 1, 24));
        publishers.push(publisher(Way::Post, vec![1], 2, 1, 24));
        for count in [2, 2, 3, 3, 5, 8] {
            publishers.push(publisher(Way::Chat, random.pick(count, BUSY), 1, 1, 48));
        }
        publishers.push(publisher(Way::Fragments, random.pick(4, BUSY), 1, 4, 200));
        // Messages so large that the server does not copy them into one segment with others.
        publishers.push(publisher(Way::Chat, random.pick(3, BUSY), 8, 2, 20_000));
        for _ in 0..3 {
            publishers.push(publisher(Way::Chat, random.pick(TOPICS, TOPICS), 2, 1, 64));
        }
        // A batch is more than the hub accepts at a time, so the publisher has to wait.
        let all = random.pick(TOPICS, TOPICS);
        publishers.push(publisher(Way::Chat, all, 2, 64, 4_000));
        Self {
            seed,
            size,
            publishers,
        }
    }

    /// Returns the topics of each stable subscriber. Each list belongs to two subscribers.
    pub(super) fn stable(&self) -> Vec<Vec<usize>> {
        let mut random = Random::new(self.seed, "stable");
        let sets: Vec<_> = (0..self.size.stable.div_ceil(2))
            .map(|index| match index % 20 {
                0..8 => random.pick(1, 2),
                8..15 => random.pick(1, TOPICS),
                15 | 16 => random.pick(2, SINGLE),
                17 => random.pick(4, BUSY),
                18 => random.pick(16, TOPICS),
                _ => random.pick(TOPICS, TOPICS),
            })
            .collect();
        let twice = sets.iter().chain(&sets).cloned();
        twice.take(self.size.stable).collect()
    }

    /// Returns the topics that each relay keeps while it changes its other topics.
    pub(super) fn kept(&self) -> Vec<Vec<usize>> {
        let mut random = Random::new(self.seed, "kept");
        (0..self.size.relays)
            .map(|index| random.pick(1 + index % 3, SINGLE))
            .collect()
    }
}

impl Publisher {
    /// Returns the topic by which a subscriber of `topics` gets this publisher's messages: the
    /// first topic of the publisher that is among them.
    pub(super) fn reaches(&self, topics: &[usize]) -> Option<usize> {
        self.topics
            .iter()
            .copied()
            .find(|topic| topics.contains(topic))
    }

    /// Returns message `number` of publisher `index`.
    pub(super) fn message(&self, index: usize, number: u32) -> String {
        let stamp = format!("{index:03}{number:09}");
        format!("{stamp}{:x>width$}", ".", width = self.bytes - stamp.len())
    }
}

/// Random numbers: splitmix64.
#[derive(Debug)]
pub(super) struct Random(u64);

impl Random {
    /// Returns the sequence of random numbers for a seed and a purpose. Purposes have different
    /// sequences.
    pub(super) fn new(seed: u64, purpose: &str) -> Self {
        let purpose = purpose
            .bytes()
            .fold(seed, |sum, byte| sum.wrapping_mul(31) + u64::from(byte));
        Self(purpose)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below `bound`.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    /// Returns `count` of the first `of` topics, in random order.
    pub(super) fn pick(&mut self, count: usize, of: usize) -> Vec<usize> {
        let mut topics: Vec<usize> = (0..of).collect();
        for index in 0..count {
            let other = index + self.below(of - index);
            topics.swap(index, other);
        }
        topics.truncate(count);
        topics
    }
}
