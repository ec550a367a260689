//! The hub against a naive model, with the shards' ticks in any order: a subscriber gets every
//! message that is published to its topics after it subscribed, once, in the topic's order, without
//! a gap. It gets nothing after it has unsubscribed.
#![no_main]

use arbitrary::Arbitrary;
use framecast_fuzz::{
    hub_model::{Model, SHARDS, TOPICS},
    input::Terms,
};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Operation {
    /// A connection of a user changes its topics.
    ChangeTopics {
        connection: u8,
        topics: u8,
    },
    /// A connection opens, with or without a user. The lower four bits of `topics` are the topics
    /// that it subscribes to; the upper four are its compression, see [`terms`].
    Connect {
        shard: u8,
        user: Option<bool>,
        topics: u8,
    },
    Disconnect {
        connection: u8,
    },
    /// A connection publishes to the topics whose bits are set.
    Publish {
        connection: u8,
        topics: u8,
    },
    PublishToUser {
        topic: u8,
        user: bool,
    },
    /// A shard drains its inbox.
    Tick {
        shard: u8,
    },
}

fuzz_target!(|operations: Vec<Operation>| {
    let mut model = Model::new();
    for operation in operations {
        match operation {
            Operation::ChangeTopics { connection, topics } => {
                model.change_topics(connection, &indices(topics));
            }
            Operation::Connect {
                shard,
                user,
                topics,
            } => {
                model.connect(
                    usize::from(shard) % SHARDS,
                    user.map(usize::from),
                    terms(topics >> 4),
                    &indices(topics),
                );
            }
            Operation::Disconnect { connection } => model.disconnect(connection),
            Operation::Publish { connection, topics } => {
                model.publish(connection, &indices(topics));
            }
            Operation::PublishToUser { topic, user } => {
                model.publish_to_user(usize::from(topic) % TOPICS, usize::from(user));
            }
            Operation::Tick { shard } => model.tick(usize::from(shard) % SHARDS),
        }
    }
    model.finish();
});

/// Returns the compression of a connection: none for 0, and else a window and whether the client
/// forbids a context. The 16 values leave out one of the combinations.
fn terms(bits: u8) -> Terms {
    let (window, forgets) = (bits & 0x07, bits >> 3);
    match bits {
        0 => Terms(0),
        _ => Terms(0x42 | window << 2 | forgets << 5),
    }
}

fn indices(bits: u8) -> Vec<usize> {
    (0..TOPICS).filter(|index| bits >> index & 1 == 1).collect()
}
