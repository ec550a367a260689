//! Compares the hub with a simple model of it, while the shards tick in any order. A subscriber
//! must get every message that is published to its topics after it subscribed: once, in the order
//! of the topic, and without a gap. After it has unsubscribed it must get nothing.
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
    /// A connection opens, with or without a user. The lower four bits of `topics` say which topics
    /// it subscribes to. The upper four say how its messages are compressed (see [`terms`]).
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
    /// A shard ticks once, and takes the items from its inbox.
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

/// Returns the compression of a connection: none if `bits` are 0. Otherwise the lower three bits
/// are the window, and the upper bit is set if the client forbids a context. One combination does
/// not occur, because it would be 0: the largest window with a context.
fn terms(bits: u8) -> Terms {
    let (window, forgets) = (bits & 0x07, bits >> 3);
    match bits {
        0 => Terms(0),
        // 0x02 is compression, 0x40 a context that the server may keep (see the methods of
        // `Terms`).
        _ => Terms(0x42 | window << 2 | forgets << 5),
    }
}

/// Returns the indices of the topics whose bits are set.
fn indices(bits: u8) -> Vec<usize> {
    (0..TOPICS).filter(|index| bits >> index & 1 == 1).collect()
}
