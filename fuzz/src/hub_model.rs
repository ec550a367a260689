//! Runs the hub beside a naive model of it: a list of all publications.
//!
//! The router orders the publications of a topic. A connection must get every publication that is
//! published after it subscribed. It may also get earlier ones that are still on their way to its
//! shard, but then without a gap.

use std::collections::{BTreeMap, BTreeSet};

use framecast::{
    Message as Published, TopicName,
    internals::{Handle, Shards},
};
use tokio::sync::oneshot;

use crate::{
    config,
    inflate::Inflater,
    input::{Script, Terms},
    parts::noise,
    peer::Peer,
    server_frame::ServerFrame,
};

/// Number of the hub's shards.
pub const SHARDS: usize = 3;
/// Number of topics.
pub const TOPICS: usize = 4;

/// The hub, and the model of it. Each method does the same with both.
pub struct Model {
    shards: Shards,
    topics: Vec<TopicName>,
    messages: Vec<Message>,
    connections: Vec<Connection>,
}

/// A published message. Its number is its index in [`Model::messages`].
struct Message {
    /// Indices into [`Model::topics`].
    topics: Vec<usize>,
    /// The user that the message is for. `None` if it is for all subscribers.
    user: Option<usize>,
    /// Number of connections that have received the message.
    recipients: usize,
    /// The channel by which the hub reports its own count of recipients. Only for a message to one
    /// user.
    receipt: Option<oneshot::Receiver<usize>>,
}

/// A connection, with the messages that the model expects for it. Topics are indices into
/// [`Model::topics`], messages are their numbers.
struct Connection {
    handle: Handle,
    peer: Peer,
    inflater: Inflater,
    user: Option<usize>,
    /// The subscribed topics, each with the number that the next message had when the connection
    /// subscribed.
    subscriptions: BTreeMap<usize, usize>,
    /// For each topic, the last message that was delivered because of it.
    last: BTreeMap<usize, usize>,
    /// The messages that may still arrive, each with those of its topics because of which it may be
    /// delivered. A message without such topics must not arrive.
    outstanding: BTreeMap<usize, BTreeSet<usize>>,
    /// The messages that have arrived.
    received: BTreeSet<usize>,
    /// Number of bytes from the peer's socket that are checked already.
    read_bytes: usize,
}

impl Model {
    pub fn new() -> Self {
        let mut config = config(SHARDS);
        config.deflate.enabled = true;
        // Enough compression contexts for all connections, so that only the terms of a connection
        // decide whether it has one.
        config.deflate.contexts = 1 << 16;
        let shards = Shards::new(&config);
        let name = |topic: usize| TopicName::new(&topic.to_string()).expect("a valid name");
        Self {
            shards,
            topics: (0..TOPICS).map(name).collect(),
            messages: Vec::new(),
            connections: Vec::new(),
        }
    }

    /// Opens a connection of a user, or of nobody, and subscribes it to `topics`.
    pub fn connect(&mut self, shard: usize, user: Option<usize>, terms: Terms, topics: &[usize]) {
        let peer = Peer::new(Vec::new(), Script::new([0; 4], 1), Script::new([255; 3], 1));
        let name = user.map(|user| user.to_string());
        let offer = terms.offer();
        let handle = self
            .shards
            .join(shard, name.as_deref(), offer.as_deref(), peer.clone());
        self.connections.push(Connection {
            handle,
            peer,
            inflater: terms.inflater(),
            user,
            subscriptions: BTreeMap::new(),
            last: BTreeMap::new(),
            outstanding: BTreeMap::new(),
            received: BTreeSet::new(),
            read_bytes: 0,
        });
        self.set_topics(self.connections.len() - 1, topics);
    }

    /// Changes the topics of a connection, if it belongs to a user. Other connections cannot change
    /// their topics.
    pub fn change_topics(&mut self, connection: u8, topics: &[usize]) {
        if let Some(index) = self.pick(connection)
            && self.connections[index].user.is_some()
        {
            self.set_topics(index, topics);
        }
    }

    /// Changes the topics of connection `index`, in the hub and in the model.
    fn set_topics(&mut self, index: usize, topics: &[usize]) {
        let connection = &mut self.connections[index];
        connection.check_received(&mut self.messages);
        connection.handle.set_topics(&names(&self.topics, topics));
        connection
            .subscriptions
            .retain(|topic, _| topics.contains(topic));
        connection.last.retain(|topic, _| topics.contains(topic));
        for topics_of_message in connection.outstanding.values_mut() {
            topics_of_message.retain(|topic| topics.contains(topic));
        }
        let now = self.messages.len();
        for &topic in topics {
            if connection.subscriptions.contains_key(&topic) {
                continue;
            }
            connection.subscriptions.insert(topic, now);
            // Earlier messages to the topic may still be on their way to the shard, and may then
            // arrive.
            for (number, message) in self.messages.iter().enumerate() {
                let is_new =
                    !connection.received.contains(&number) && message.is_for(connection.user);
                if is_new && message.topics.contains(&topic) {
                    connection
                        .outstanding
                        .entry(number)
                        .or_default()
                        .insert(topic);
                }
            }
        }
    }

    /// Has a connection publish the next message.
    pub fn publish(&mut self, connection: u8, topics: &[usize]) {
        if let Some(index) = self.pick(connection) {
            let message = Published::binary(&message(self.messages.len()));
            let handle = &self.connections[index].handle;
            handle.publish(&names(&self.topics, topics), message);
            self.record(topics, None, None);
        }
    }

    /// Publishes the next message to the connections of a user, as `POST /publish` does.
    pub fn publish_to_user(&mut self, topic: usize, user: usize) {
        let message = Published::binary(&message(self.messages.len()));
        let name = self.topics[topic].clone();
        let receipt = self.shards.publish(name, message, Some(&user.to_string()));
        self.record(&[topic], Some(user), Some(receipt));
    }

    /// Records in the model that the next message was published.
    fn record(
        &mut self,
        topics: &[usize],
        user: Option<usize>,
        receipt: Option<oneshot::Receiver<usize>>,
    ) {
        let message = Message {
            topics: topics.to_vec(),
            user,
            recipients: 0,
            receipt,
        };
        for connection in &mut self.connections {
            let subscribed = topics
                .iter()
                .filter(|topic| connection.subscriptions.contains_key(topic));
            if message.is_for(connection.user) {
                connection
                    .outstanding
                    .insert(self.messages.len(), subscribed.copied().collect());
            }
        }
        self.messages.push(message);
    }

    /// Lets a shard tick once.
    pub fn tick(&mut self, shard: usize) {
        self.shards.tick(shard);
    }

    /// Closes a connection, after checking the messages that it has received.
    pub fn disconnect(&mut self, connection: u8) {
        if let Some(index) = self.pick(connection) {
            self.connections[index].check_received(&mut self.messages);
            self.connections.swap_remove(index);
        }
    }

    /// Delivers everything that is under way, and checks that no connection misses a message that
    /// it must get.
    ///
    /// # Panics
    ///
    /// If a message is missing, or the hub counted its recipients wrong.
    pub fn finish(mut self) {
        while !self.shards.is_at_rest() {
            (0..SHARDS).for_each(|shard| self.shards.tick(shard));
        }
        for connection in &mut self.connections {
            connection.check_received(&mut self.messages);
            for (&number, topics) in &connection.outstanding {
                // A message must arrive if it was published after the connection had subscribed, or
                // after another message of the topic that has arrived.
                let must_arrive = |topic: &usize| {
                    let last = connection.last.get(topic);
                    let since = connection.subscriptions[topic];
                    number >= since || last.is_some_and(|&last| number > last)
                };
                let only = connection.delivering_topic(number, &self.messages[number]);
                let topics = topics
                    .iter()
                    .filter(|topic| only.is_none_or(|only| only == **topic));
                assert!(
                    !topics.clone().any(must_arrive),
                    "{number} is missing, because of {topics:?}"
                );
            }
        }
        for message in &mut self.messages {
            if let Some(receipt) = &mut message.receipt {
                assert_eq!(receipt.try_recv(), Ok(message.recipients));
            }
        }
    }

    /// Returns the index of the connection that this number of an operation selects, or `None` if
    /// there are no connections.
    fn pick(&self, connection: u8) -> Option<usize> {
        usize::from(connection).checked_rem(self.connections.len())
    }
}

impl Message {
    /// Returns true if the message is for connections of this user, or of nobody.
    fn is_for(&self, user: Option<usize>) -> bool {
        self.user.is_none() || self.user == user
    }
}

impl Connection {
    /// Checks and records the messages that the peer has received since the last call.
    fn check_received(&mut self, messages: &mut [Message]) {
        self.handle.flush();
        let received = self.peer.received_after(self.read_bytes);
        self.read_bytes += received.len();
        for frame in ServerFrame::all(&received) {
            let payload = frame.inflated(&mut self.inflater).payload;
            let number = payload.last_chunk().copied().map(u32::from_be_bytes);
            let number = number.expect("a message ends with its number") as usize;
            assert_eq!(payload, message(number));
            assert!(self.received.insert(number), "{number} came twice");
            let topics = self.outstanding.remove(&number).unwrap_or_default();
            assert!(!topics.is_empty(), "{number} was for other connections");
            messages[number].recipients += 1;
            if let Some(topic) = self.delivering_topic(number, &messages[number]) {
                self.check_order(topic, number, messages);
            }
        }
    }

    /// Returns the topic because of which a message is delivered to this connection, or `None` if
    /// the model does not know. A message to several topics is delivered only once. If the
    /// connection cannot change its topics, it is delivered because of the first of these topics
    /// that the connection has subscribed to, provided that it was published after that.
    fn delivering_topic(&self, number: usize, message: &Message) -> Option<usize> {
        match (&message.topics[..], self.user) {
            ([topic], _) => Some(*topic),
            (topics, None) => topics.iter().copied().find_map(|topic| {
                let since = self.subscriptions.get(&topic)?;
                Some((number >= *since).then_some(topic))
            })?,
            _ => None,
        }
    }

    /// Checks that `number` is the next message that is delivered because of this topic.
    ///
    /// # Panics
    ///
    /// If another message should have arrived between this one and the last one of the topic.
    fn check_order(&mut self, topic: usize, number: usize, messages: &[Message]) {
        let last = self.last.insert(topic, number);
        assert!(last < Some(number), "{number} came after {last:?}");
        let since = last.map_or(self.subscriptions[&topic], |last| last + 1);
        let mut between = (since..number).map(|each| (each, &messages[each]));
        let missed = between.find(|(each, message)| {
            self.delivering_topic(*each, message) == Some(topic)
                && message.is_for(self.user)
                && !self.received.contains(each)
        });
        assert!(
            missed.is_none(),
            "{number} came before {:?}",
            missed.map(|(each, _)| each)
        );
    }
}

impl Default for Model {
    fn default() -> Self {
        Self::new()
    }
}

/// Returns the names of the topics with these indices.
fn names(of: &[TopicName], indices: &[usize]) -> Vec<TopicName> {
    indices.iter().map(|&index| of[index].clone()).collect()
}

/// Returns the payload of a message. It is `distance` pseudorandom bytes, the same bytes again, and
/// the number of the message. Some payloads are large enough to be compressed, and some distances,
/// of up to 1,177 bytes, are larger than the smaller windows.
fn message(number: usize) -> Vec<u8> {
    let distance = number % 4 * 30 + 37 * (7 * number % 32);
    let half: Vec<u8> = noise(number as u8).take(distance).collect();
    [&half[..], &half, &(number as u32).to_be_bytes()].concat()
}
