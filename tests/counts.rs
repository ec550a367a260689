//! Counts the steps of a shard's work for a request (visits, look-ups, moves and copies), because
//! measured time would be noise. Checks that they grow no faster than the bytes that were sent and
//! the subscriptions that the request concerns.
#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use framecast::{
    Echo, HubConfig, Message, TopicName,
    internals::{self, Handle, Shards, WorkCounts},
};
use framecast_test_support::limits::TOPICS;
use tokio::io::{AsyncRead, ReadBuf, empty, join, sink};

/// Number of connections that subscribe to the same topics.
const CROWD: usize = 100;

/// Returns a hub of one shard, whose ticks the test runs itself.
fn shards(change: impl FnOnce(&mut HubConfig)) -> Shards {
    let mut config = HubConfig::default();
    config.shards = 1.try_into().unwrap();
    change(&mut config);
    Shards::new(&config)
}

/// Returns as many topics as a connection may have.
fn topics(prefix: &str) -> Vec<TopicName> {
    let names = (0..TOPICS).map(|number| TopicName::new(&format!("{prefix} {number}")));
    names.collect::<Result<_, _>>().unwrap()
}

/// Connects `size` connections, and subscribes each to all of `topics`.
fn crowd(shards: &Shards, size: usize, topics: &[TopicName]) -> Vec<Handle> {
    let handles = (0..size).map(|_| {
        let handle = shards.join(0, None, None, join(empty(), sink()));
        handle.set_topics(topics);
        handle
    });
    handles.collect()
}

/// Does `work`, and runs the shard until it is at rest again. Returns the work that the shard has
/// counted meanwhile.
fn counted(shards: &Shards, work: impl FnOnce()) -> WorkCounts {
    let before = shards.counts(0);
    work();
    while !shards.is_at_rest() {
        shards.tick(0);
    }
    let after = shards.counts(0);
    WorkCounts {
        visits: after.visits - before.visits,
        look_ups: after.look_ups - before.look_ups,
        moves: after.moves - before.moves,
        copies: after.copies - before.copies,
    }
}

// Once a request of 6,864 bytes stopped every shard for 25 s: each of its topics was compared with
// up to 128 others.
#[test]
fn a_message_to_many_topics_visits_each_subscription_once() {
    let shards = shards(|_| {});
    let mut topics = topics("all");
    let handles = crowd(&shards, CROWD, &topics);
    // The order differs from the one in which the connections subscribed to the topics.
    topics.reverse();
    let counts = counted(&shards, || handles[0].publish(&topics, Message::text("x")));
    assert_eq!(counts.visits, (CROWD * TOPICS) as u64);
    assert_eq!(
        counts.look_ups, 0,
        "the publication has the keys of its topics"
    );
}

#[test]
fn a_message_to_one_topic_visits_its_subscribers_only() {
    let shards = shards(|_| {});
    let (many, one) = (topics("many"), [TopicName::new("one").unwrap()]);
    let _others = crowd(&shards, CROWD, &many);
    let handles = crowd(&shards, 3, &one);
    let counts = counted(&shards, || handles[0].publish(&one, Message::text("x")));
    assert_eq!((counts.visits, counts.look_ups), (3, 0));
}

#[test]
fn a_change_of_topics_costs_as_much_as_it_has_topics() {
    let shards = shards(|_| {});
    let (first, second) = (topics("first"), topics("second"));
    let _crowd = crowd(&shards, CROWD, &[&first[..], &second].concat());
    let handle = &crowd(&shards, 1, &first)[0];
    let counts = counted(&shards, || handle.set_topics(&second));
    assert!(counts.look_ups <= TOPICS as u64, "{counts:?}");
    // For each topic that the connection leaves, up to two other subscribers move to the index that
    // becomes free.
    assert!(counts.moves <= 2 * TOPICS as u64, "{counts:?}");
    let counts = counted(&shards, || handle.set_topics(&second));
    assert_eq!((counts.look_ups, counts.moves), (0, 0), "nothing changes");
}

#[test]
fn the_end_of_a_connection_costs_as_much_as_it_has_topics() {
    let shards = shards(|_| {});
    let topics = topics("all");
    let mut handles = crowd(&shards, CROWD, &topics);
    let counts = counted(&shards, || drop(handles.remove(0)));
    assert!(counts.moves <= 2 * TOPICS as u64, "{counts:?}");
    assert_eq!((counts.visits, counts.look_ups), (0, 0));
}

/// A socket that returns one of these bytes for each read. The second field is the number of bytes
/// read so far.
struct Trickle(Vec<u8>, usize);

impl AsyncRead for Trickle {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(&byte) = self.0.get(self.1) else {
            return Poll::Pending;
        };
        self.1 += 1;
        buf.put_slice(&[byte]);
        Poll::Ready(Ok(()))
    }
}

#[test]
fn a_byte_that_arrives_alone_is_copied_fewer_than_three_times_whatever_length_was_announced() {
    const LIMIT: usize = 64 << 20;
    for announced in [100_000, LIMIT as u64] {
        let shards = shards(|config| config.limits.message_bytes = LIMIT);
        // The header of a binary frame, with a length in 64 bits and a masking key. Only the first
        // 20,000 bytes of its payload follow.
        let header = [&[0x82, 0x80 | 127][..], &announced.to_be_bytes(), &[0; 4]].concat();
        let wire = [&header[..], &[7; 20_000]].concat();
        let (len, socket) = (wire.len() as u64, join(Trickle(wire, 0), sink()));
        let mut task = internals::connection(&shards, Echo, None, socket, Vec::new());
        let counts = counted(&shards, || {
            // A read is charged at least 4 KiB of a turn's 264 KiB, so a turn reads at most 66
            // bytes, and fewer if its time ends before.
            for _ in 0..1_000 {
                let mut cx = Context::from_waker(Waker::noop());
                assert!(Pin::new(&mut task).poll(&mut cx).is_pending());
                shards.tick(0);
            }
        });
        // Each byte has been copied at least once, so the connection has read all of them.
        assert!((len..3 * len).contains(&counts.copies), "{counts:?}");
    }
}
