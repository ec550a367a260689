//! A test of the hub against a naive model. Random operations on several shards (connections come,
//! subscribe, publish and leave) must deliver the same messages as a model that has a set of topics
//! for each connection, in one order for each topic, with every kind of compression.
//!
//! `recorder` is a socket that records the bytes written to it.

mod recorder;

use std::{collections::BTreeSet, rc::Rc, task::Poll};

use proptest::{collection::vec, prelude::*, sample::select};
use tokio::{
    sync::{mpsc, oneshot},
    task::{spawn_local, yield_now},
};

use self::recorder::Recorder;
use crate::{
    config::HubConfig,
    hub::{Hub, handle::Handle, peer::socket::Socket},
    message::Message,
    topic::TopicName,
    user::UserId,
    wire::extension,
};

const SHARDS: usize = 3;
const TOPICS: usize = 4;

/// Offers of extensions: no compression, compression without a context for two windows, and
/// compression with a context of the connection's own for two windows. There are only [`CONTEXTS`]
/// contexts, fewer than connections that want one.
const OFFERS: [&str; 5] = [
    "nothing",
    "permessage-deflate; server_no_context_takeover",
    "permessage-deflate; server_no_context_takeover; server_max_window_bits=9",
    "permessage-deflate",
    "permessage-deflate; server_max_window_bits=9",
];
const CONTEXTS: usize = 2;

#[derive(Clone, Debug)]
enum Operation {
    /// A connection of this user comes, or an anonymous one.
    Join {
        user: Option<usize>,
        offer: &'static str,
    },
    /// A connection subscribes to exactly the topics of these bits.
    Follow { connection: usize, topics: u8 },
    /// A connection publishes to the topics of these bits.
    Publish { connection: usize, topics: u8 },
    /// A message is published to the connections of a user.
    PublishToUser { topic: usize, user: usize },
    /// A connection leaves.
    Leave { connection: usize },
}

fn operation() -> impl Strategy<Value = Operation> {
    let (connection, topics) = (0..8usize, 0..1u8 << TOPICS);
    prop_oneof![
        2 => (proptest::option::of(0..2usize), select(&OFFERS[..]))
            .prop_map(|(user, offer)| Operation::Join { user, offer }),
        3 => (connection.clone(), topics.clone())
            .prop_map(|(connection, topics)| Operation::Follow { connection, topics }),
        8 => (connection.clone(), topics)
            .prop_map(|(connection, topics)| Operation::Publish { connection, topics }),
        2 => (0..TOPICS, 0..2usize)
            .prop_map(|(topic, user)| Operation::PublishToUser { topic, user }),
        1 => connection.prop_map(|connection| Operation::Leave { connection }),
    ]
}

/// The model of a connection: the messages that it should get, each with the topic by which it
/// comes, or `None` if that is not checked.
#[derive(Debug, Default)]
struct Expected {
    user: Option<usize>,
    topics: BTreeSet<usize>,
    messages: BTreeSet<(Option<usize>, String)>,
}

/// A connection on its shard's thread, which executes commands of the test.
struct Member {
    commands: mpsc::Sender<Command>,
    /// Closed when the connection has dropped its handle.
    gone: oneshot::Receiver<()>,
    socket: Recorder,
    is_compressed: bool,
    expected: Expected,
}

enum Command {
    Follow(Vec<TopicName>, oneshot::Sender<()>),
    Publish(Vec<TopicName>, Message, oneshot::Sender<()>),
}

fn topic(index: usize) -> TopicName {
    TopicName::new(&format!("topic {index}")).unwrap()
}

fn to_user(number: usize) -> UserId {
    UserId::from(number as u64)
}

fn indices(bits: u8) -> Vec<usize> {
    (0..TOPICS).filter(|index| bits >> index & 1 == 1).collect()
}

impl Member {
    async fn join(hub: &Hub, user: Option<usize>, offer: &str) -> Self {
        let agreement = extension::accept([offer.as_bytes()].into_iter(), true).unwrap();
        let deflate = agreement.map(|agreement| hub.grant(agreement));
        let is_compressed = deflate.is_some();
        let (commands, mut received) = mpsc::channel(1);
        let socket = Recorder::default();
        let recorder = socket.clone();
        let (joined, has_joined) = oneshot::channel();
        let (here, gone) = oneshot::channel();
        hub.run_on(hub.next_shard(), move |shard| {
            let handle = Handle::new(shard, user.map(to_user), deflate);
            handle.attach(Socket::Other(Box::new(recorder)));
            spawn_local(async move {
                // Stores the waker. Without one the shard writes nothing.
                std::future::poll_fn(|cx| Poll::Ready(handle.register_waker(cx))).await;
                joined.send(()).unwrap();
                while let Some(command) = received.recv().await {
                    match command {
                        Command::Follow(topics, done) => {
                            handle.set_topics(&topics);
                            done.send(()).unwrap();
                        }
                        Command::Publish(topics, message, done) => {
                            handle.publish(&topics, handle.encode(message).into());
                            done.send(()).unwrap();
                        }
                    }
                }
                drop(handle);
                drop(here);
            });
        });
        has_joined.await.unwrap();
        Self {
            commands,
            gone,
            socket,
            is_compressed,
            expected: Expected {
                user,
                ..Expected::default()
            },
        }
    }

    async fn execute(&self, command: impl FnOnce(oneshot::Sender<()>) -> Command) {
        let (done, is_done) = oneshot::channel();
        self.commands.send(command(done)).await.ok().unwrap();
        is_done.await.unwrap();
    }

    /// Returns the messages that it got, in order.
    fn received(&self) -> Vec<String> {
        let messages = self.socket.messages(self.is_compressed);
        let unpadded = messages.iter().map(|message| message.trim_end().to_owned());
        unpadded.collect()
    }

    /// Returns the topic by which it should get this message, if that is checked.
    fn topic_of(&self, message: &str) -> Option<usize> {
        let mut expected = self.expected.messages.iter();
        expected.find(|(_, each)| each == message)?.0
    }
}

/// Returns a message. Every other one is large enough to be compressed.
fn padded(number: usize, message: &str) -> Message {
    Message::text(&format!("{message}{}", " ".repeat(number % 2 * 100)))
}

/// Waits until everything published so far is delivered and written.
async fn settle(hub: &Hub) {
    hub.on_every_shard(|shard, done| {
        let shard = Rc::clone(shard);
        spawn_local(async move {
            while shard.state.borrow().ring_len() > 0 {
                yield_now().await;
            }
            drop(done);
        });
    })
    .await;
}

async fn run(operations: Vec<Operation>) {
    let mut config = HubConfig {
        shards: SHARDS.try_into().unwrap(),
        ..HubConfig::default()
    };
    config.deflate.enabled = true;
    config.deflate.contexts = CONTEXTS;
    let hub = Hub::start(&config).unwrap();
    let mut members: Vec<Member> = Vec::new();
    for (number, operation) in operations.into_iter().enumerate() {
        perform(&hub, &mut members, number, operation).await;
    }
    settle(&hub).await;
    check(&members);
    drop(members);
    while hub.metrics().connections + hub.metrics().topics > 0 {
        yield_now().await;
    }
}

/// Performs an operation on the hub and on the model.
async fn perform(hub: &Hub, members: &mut Vec<Member>, number: usize, operation: Operation) {
    let count = members.len();
    match operation {
        Operation::Join { user, offer } => members.push(Member::join(hub, user, offer).await),
        _ if count == 0 => {}
        Operation::Follow { connection, topics } => {
            settle(hub).await;
            let member = &mut members[connection % count];
            member.expected.topics = indices(topics).into_iter().collect();
            let names = indices(topics).into_iter().map(topic).collect();
            member.execute(|done| Command::Follow(names, done)).await;
        }
        Operation::Publish { connection, topics } => {
            let publisher = connection % count;
            let message = format!("{number} of {publisher}");
            let (names, padded) = (
                indices(topics).into_iter().map(topic).collect(),
                padded(number, &message),
            );
            members[publisher]
                .execute(|done| Command::Publish(names, padded, done))
                .await;
            for Member { expected, .. } in members {
                let to = indices(topics);
                if let Some(&first) = to.iter().find(|index| expected.topics.contains(index)) {
                    // A message to several topics comes by the first one that the connection
                    // follows. This is checked only for anonymous connections.
                    let topic = (to.len() == 1 || expected.user.is_none()).then_some(first);
                    expected.messages.insert((topic, message.clone()));
                }
            }
        }
        Operation::PublishToUser { topic: index, user } => {
            let message = format!("{number} of all");
            let to = Some(to_user(user));
            let queued = hub
                .publish_to(&topic(index), padded(number, &message), to)
                .await;
            let recipients = members
                .iter_mut()
                .map(|member| &mut member.expected)
                .filter(|expected| expected.user == Some(user) && expected.topics.contains(&index));
            let recipients =
                recipients.map(|expected| expected.messages.insert((Some(index), message.clone())));
            assert_eq!(queued, recipients.count());
        }
        Operation::Leave { connection } => {
            settle(hub).await;
            let member = members.swap_remove(connection % count);
            check(std::slice::from_ref(&member));
            drop(member.commands);
            member.gone.await.unwrap_err();
        }
    }
}

/// Checks that each connection got the messages of its model, once each, and that the orders agree.
fn check(members: &[Member]) {
    for member in members {
        let received = member.received();
        let mut sorted: Vec<&String> = received.iter().collect();
        sorted.sort();
        let mut expected: Vec<&String> = member
            .expected
            .messages
            .iter()
            .map(|(_, message)| message)
            .collect();
        expected.sort();
        assert_eq!(
            sorted, expected,
            "messages that a connection got, and should have got"
        );
        check_publishers(member, &received);
    }
    for (index, one) in members.iter().enumerate() {
        for other in &members[..index] {
            (0..TOPICS).for_each(|topic| check_order(topic, one, other));
        }
    }
}

/// Checks that a connection got each publisher's messages to a topic in the publisher's order.
fn check_publishers(member: &Member, received: &[String]) {
    let mut last = std::collections::HashMap::new();
    for message in received {
        let Some(topic) = member.topic_of(message) else {
            continue;
        };
        let (number, publisher) = message.split_once(" of ").unwrap();
        let number: usize = number.parse().unwrap();
        let before = last.insert((publisher.to_owned(), topic), number);
        assert!(before < Some(number), "{message} came after {before:?}");
    }
}

/// Checks that two connections got the messages that both got by a topic in the same order.
fn check_order(topic: usize, one: &Member, other: &Member) {
    let common = |of: &Member| -> Vec<String> {
        let is_common = |message: &String| {
            [one, other]
                .iter()
                .all(|member| member.topic_of(message) == Some(topic))
        };
        of.received().into_iter().filter(is_common).collect()
    };
    assert_eq!(common(one), common(other), "the order of topic {topic}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_hub_delivers_the_same_messages_as_the_model(operations in vec(operation(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        // The time-out is for a shard that has panicked: the test would wait for it without end.
        let timeout = std::time::Duration::from_secs(30);
        runtime.block_on(async { tokio::time::timeout(timeout, run(operations)).await.unwrap() });
    }
}
