//! A test that compares the hub with a naive model, which has a set of topics for each connection.
//! Connections come, subscribe, publish and leave at random on several shards, with every kind of
//! compression. Each connection must get the same messages from the hub as from the model, and all
//! connections must get the messages of a topic in the same order.
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

/// Offers of extensions that connections make in their opening handshakes.
const OFFERS: [&str; 5] = [
    // An unknown extension: no compression.
    "nothing",
    // Each message is compressed by itself, for the largest window and for a smaller one.
    "permessage-deflate; server_no_context_takeover",
    "permessage-deflate; server_no_context_takeover; server_max_window_bits=9",
    // Messages are compressed in a context of the connection's own, with the same two windows.
    "permessage-deflate",
    "permessage-deflate; server_max_window_bits=9",
];

/// Number of compression contexts of the hub: fewer than connections that want one.
const CONTEXTS: usize = 2;

/// An operation on the hub and on the model. The index `connection` is taken modulo the number of
/// connections.
#[derive(Clone, Debug)]
enum Operation {
    /// A new connection comes, which belongs to `user` or is anonymous.
    Join {
        user: Option<usize>,
        offer: &'static str,
    },
    /// A connection subscribes to exactly the topics whose bits are set in `topics`.
    Follow { connection: usize, topics: u8 },
    /// A connection publishes to the topics whose bits are set in `topics`.
    Publish { connection: usize, topics: u8 },
    /// The test publishes a message to those subscribers of a topic that are connections of `user`.
    PublishToUser { topic: usize, user: usize },
    /// A connection leaves.
    Leave { connection: usize },
}

/// Makes a random operation. The numbers before `=>` are the relative frequencies.
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

/// The model of a connection.
#[derive(Debug, Default)]
struct Expected {
    user: Option<usize>,
    topics: BTreeSet<usize>,
    /// The messages that the connection should get, each with the topic by which it should come.
    /// This is `Some` for all of them.
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

/// A command to a connection, which sends `()` when it has executed the command.
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

/// Returns the indices of the topics whose bits are set.
fn indices(bits: u8) -> Vec<usize> {
    (0..TOPICS).filter(|index| bits >> index & 1 == 1).collect()
}

impl Member {
    /// Adds a connection to the next shard. Returns when the shard has the connection.
    async fn join(hub: &Hub, user: Option<usize>, offer: &str) -> Self {
        let agreement = extension::accept([offer.as_bytes()].into_iter(), true).unwrap();
        let deflate = agreement.map(|agreement| hub.grant(agreement));
        let is_compressed = deflate.is_some();
        let (commands, mut received) = mpsc::channel(1);
        let socket = Recorder::default();
        let recorder = socket.clone();
        let (joined, has_joined) = oneshot::channel();
        let (until_gone, gone) = oneshot::channel();
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
                drop(until_gone);
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

    /// Sends the connection a command. Returns when the command is executed.
    async fn execute(&self, command: impl FnOnce(oneshot::Sender<()>) -> Command) {
        let (done, is_done) = oneshot::channel();
        self.commands.send(command(done)).await.ok().unwrap();
        is_done.await.unwrap();
    }

    /// Returns the messages that the connection got, in order.
    fn received(&self) -> Vec<String> {
        let messages = self.socket.messages(self.is_compressed);
        let unpadded = messages.iter().map(|message| message.trim_end().to_owned());
        unpadded.collect()
    }

    /// Returns the topic by which the connection should get this message, or `None` if it should
    /// not get the message.
    fn topic_of(&self, message: &str) -> Option<usize> {
        let mut expected = self.expected.messages.iter();
        expected.find(|(_, each)| each == message)?.0
    }
}

/// Returns `message` with 100 spaces at its end if `number` is odd, which make it large enough to
/// be compressed.
fn padded(number: usize, message: &str) -> Message {
    Message::text(&format!("{message}{}", " ".repeat(number % 2 * 100)))
}

/// Waits until everything published so far is delivered and written.
async fn settle(hub: &Hub) {
    hub.on_every_shard(|shard, done| {
        let shard = Rc::clone(shard);
        spawn_local(async move {
            // The deliveries ahead of this work in the inbox are fanned out by now. Peers that they
            // were queued to wait in the ring for a write.
            while shard.state.borrow().ring_len() > 0 {
                yield_now().await;
            }
            drop(done);
        });
    })
    .await;
}

/// Performs `operations` on a new hub and on the model, and compares the messages that the
/// connections have got.
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
    // When all connections have left, all topics are removed.
    while hub.metrics().connections + hub.metrics().topics > 0 {
        yield_now().await;
    }
}

/// Performs an operation on the hub and on the model. No other operation has the same `number`.
async fn perform(hub: &Hub, members: &mut Vec<Member>, number: usize, operation: Operation) {
    let count = members.len();
    match operation {
        Operation::Join { user, offer } => members.push(Member::join(hub, user, offer).await),
        _ if count == 0 => {}
        Operation::Follow { connection, topics } => {
            // The model delivers a message immediately. So the hub must have delivered all messages
            // before a connection leaves a topic.
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
                    // follows.
                    expected.messages.insert((Some(first), message.clone()));
                }
            }
        }
        Operation::PublishToUser { topic: index, user } => {
            // "all" stands in place of the index of a publisher.
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
            // As for `Follow`.
            settle(hub).await;
            let member = members.swap_remove(connection % count);
            check(std::slice::from_ref(&member));
            drop(member.commands);
            // An error, because the sender is dropped without a message.
            member.gone.await.unwrap_err();
        }
    }
}

/// Checks that each connection got the messages of its model, once each, and that messages which
/// several connections got came in the same order.
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
        // `None`, for the first message of a publisher to the topic, is less than any number.
        assert!(before < Some(number), "{message} came after {before:?}");
    }
}

/// Checks that two connections got their common messages of a topic in the same order.
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
