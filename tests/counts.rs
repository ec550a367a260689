//! What is paid for what is asked for, in counts where time would be noise: comparisons, look-ups
//! and copies grow with what was sent and with the subscriptions that it touches, and not faster.
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
use tokio::io::{AsyncRead, ReadBuf, empty, join, sink};

const TOPICS: usize = 128;

fn shards(change: impl FnOnce(&mut HubConfig)) -> Shards {
    let mut config = HubConfig::default();
    config.shards = 1.try_into().unwrap();
    change(&mut config);
    Shards::new(&config)
}

fn topics(prefix: &str) -> Vec<TopicName> {
    let names = (0..TOPICS).map(|number| TopicName::new(&format!("{prefix} {number}")));
    names.collect::<Result<_, _>>().unwrap()
}

fn crowd(shards: &Shards, size: usize, topics: &[TopicName]) -> Vec<Handle> {
    let handles = (0..size).map(|_| {
        let handle = shards.join(0, None, None, join(empty(), sink()));
        handle.set_topics(topics);
        handle
    });
    handles.collect()
}

/// What the shard counts until it is at rest again.
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

// 6,864 bytes once held every shard up for 25 s: each of these was compared with up to 128 others.
#[test]
fn a_message_to_many_topics_looks_at_each_subscription_once() {
    let shards = shards(|_| {});
    let mut topics = topics("all");
    let handles = crowd(&shards, 100, &topics);
    topics.reverse();
    let counts = counted(&shards, || handles[0].publish(&topics, Message::text("x")));
    assert_eq!(counts.visits, 100 * TOPICS as u64);
    assert_eq!(counts.look_ups, 0, "it brings the keys of its topics");
}

#[test]
fn a_message_to_one_topic_looks_at_its_subscribers_only() {
    let shards = shards(|_| {});
    let (many, one) = (topics("many"), [TopicName::new("one").unwrap()]);
    let _others = crowd(&shards, 100, &many);
    let handles = crowd(&shards, 3, &one);
    let counts = counted(&shards, || handles[0].publish(&one, Message::text("x")));
    assert_eq!((counts.visits, counts.look_ups), (3, 0));
}

#[test]
fn changing_topics_costs_as_much_as_there_are_topics_in_it() {
    let shards = shards(|_| {});
    let (first, second) = (topics("first"), topics("second"));
    let _crowd = crowd(&shards, 100, &[&first[..], &second].concat());
    let handle = &crowd(&shards, 1, &first)[0];
    let counts = counted(&shards, || handle.set_topics(&second));
    assert!(counts.look_ups <= TOPICS as u64, "{counts:?}");
    assert!(counts.moves <= 2 * TOPICS as u64, "{counts:?}");
    let counts = counted(&shards, || handle.set_topics(&second));
    assert_eq!((counts.look_ups, counts.moves), (0, 0), "nothing changes");
}

#[test]
fn leaving_costs_as_much_as_there_are_topics_that_were_followed() {
    let shards = shards(|_| {});
    let topics = topics("all");
    let mut handles = crowd(&shards, 100, &topics);
    let counts = counted(&shards, || drop(handles.remove(0)));
    assert!(counts.moves <= 2 * TOPICS as u64, "{counts:?}");
    assert_eq!((counts.visits, counts.look_ups), (0, 0));
}

/// A socket that gives its bytes one at a time.
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
fn a_byte_that_trickles_in_is_copied_a_few_times_whatever_was_promised() {
    for promised in [100_000u64, 64 << 20] {
        let shards = shards(|config| config.limits.message_bytes = 64 << 20);
        let header = [&[0x82, 0x80 | 127][..], &promised.to_be_bytes(), &[0; 4]].concat();
        let wire = [&header[..], &[7; 20_000]].concat();
        let (len, socket) = (wire.len() as u64, join(Trickle(wire, 0), sink()));
        let mut task = internals::connection(&shards, Echo, None, socket, Vec::new());
        let counts = counted(&shards, || {
            // A byte counts for 4 KiB of a turn's share: 66 of them, if its time is not over before.
            for _ in 0..1_000 {
                let mut cx = Context::from_waker(Waker::noop());
                assert!(Pin::new(&mut task).poll(&mut cx).is_pending());
                shards.tick(0);
            }
        });
        assert!((len..3 * len).contains(&counts.copies), "{counts:?}");
    }
}
