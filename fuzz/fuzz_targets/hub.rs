//! The hub against a naive model, with the shards' steps in any order: whoever follows a topic
//! gets what is published to it from then on, once, in the topic's order, without a gap, and
//! nothing any more when it has left.
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
    Follow {
        connection: u8,
        topics: u8,
    },
    /// A connection comes, of a user or of nobody's, and follows the topics of the lower
    /// four of these bits; the others say how it takes its messages.
    Join {
        shard: u8,
        user: Option<bool>,
        topics: u8,
    },
    Leave {
        connection: u8,
    },
    /// A connection publishes to the topics of these bits.
    Publish {
        connection: u8,
        topics: u8,
    },
    PublishToUser {
        topic: u8,
        user: bool,
    },
    /// A shard works off its inbox.
    Tick {
        shard: u8,
    },
}

fuzz_target!(|operations: Vec<Operation>| {
    let mut model = Model::new();
    for operation in operations {
        match operation {
            Operation::Follow { connection, topics } => model.follow(connection, &indices(topics)),
            Operation::Join {
                shard,
                user,
                topics,
            } => {
                model.join(
                    usize::from(shard) % SHARDS,
                    user.map(usize::from),
                    terms(topics >> 4),
                    &indices(topics),
                );
            }
            Operation::Leave { connection } => model.leave(connection),
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

/// Of 0, messages as they are; else compressed in every way there is but one.
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
