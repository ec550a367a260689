//! The hub, and beside it what a list of publications for each topic says about it.
//!
//! A publication takes its place among those of a topic when it passes the router. Those
//! after a connection's follow must reach it; those before may, if they are still on their way,
//! but then without a gap.

use std::collections::{BTreeMap, BTreeSet};

use framecast::{
    Message as Published, TopicName,
    internals::{Handle, Shards},
};
use tokio::sync::oneshot;

use crate::{
    config,
    inflate::Inflater,
    input::{Terms, Turns},
    parts::noise,
    peer::Peer,
    server_frame::ServerFrame,
};

pub const SHARDS: usize = 3;
pub const TOPICS: usize = 4;

pub struct Model {
    shards: Shards,
    topics: Vec<TopicName>,
    messages: Vec<Message>,
    connections: Vec<Connection>,
}

/// Named by its index.
struct Message {
    topics: Vec<usize>,
    user: Option<usize>,
    reached: usize,
    receipt: Option<oneshot::Receiver<usize>>,
}

struct Connection {
    handle: Handle,
    peer: Peer,
    inflater: Inflater,
    user: Option<usize>,
    /// The topics that it follows, each with the first message since.
    follows: BTreeMap<usize, usize>,
    /// The last message that it got by each of them.
    last: BTreeMap<usize, usize>,
    /// What may reach it, by which topics.
    due: BTreeMap<usize, BTreeSet<usize>>,
    got: BTreeSet<usize>,
    read_bytes: usize,
}

impl Model {
    pub fn new() -> Self {
        let mut config = config(SHARDS);
        config.deflate.enabled = true;
        // Whether a connection gets one is up to its terms.
        config.deflate.contexts = 1 << 16;
        let shards = Shards::new(&config);
        let name = |topic: usize| TopicName::new(&topic.to_string()).expect("it is short");
        Self {
            shards,
            topics: (0..TOPICS).map(name).collect(),
            messages: Vec::new(),
            connections: Vec::new(),
        }
    }

    pub fn join(&mut self, shard: usize, user: Option<usize>, terms: Terms, topics: &[usize]) {
        let peer = Peer::new(Vec::new(), Turns::new([0; 4], 1), Turns::new([255; 3], 1));
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
            follows: BTreeMap::new(),
            last: BTreeMap::new(),
            due: BTreeMap::new(),
            got: BTreeSet::new(),
            read_bytes: 0,
        });
        self.change(self.connections.len() - 1, topics);
    }

    /// Only a user's connection changes its topics.
    pub fn follow(&mut self, connection: u8, topics: &[usize]) {
        if let Some(index) = self.pick(connection)
            && self.connections[index].user.is_some()
        {
            self.change(index, topics);
        }
    }

    fn change(&mut self, index: usize, topics: &[usize]) {
        let connection = &mut self.connections[index];
        connection.sync(&mut self.messages);
        connection.handle.set_topics(&names(&self.topics, topics));
        connection.follows.retain(|topic, _| topics.contains(topic));
        connection.last.retain(|topic, _| topics.contains(topic));
        for by in connection.due.values_mut() {
            by.retain(|topic| topics.contains(topic));
        }
        let now = self.messages.len();
        for &topic in topics {
            if connection.follows.contains_key(&topic) {
                continue;
            }
            connection.follows.insert(topic, now);
            for (number, message) in self.messages.iter().enumerate() {
                let is_new = !connection.got.contains(&number) && message.is_for(connection.user);
                if is_new && message.topics.contains(&topic) {
                    connection.due.entry(number).or_default().insert(topic);
                }
            }
        }
    }

    pub fn publish(&mut self, connection: u8, topics: &[usize]) {
        if let Some(index) = self.pick(connection) {
            let message = Published::binary(&message(self.messages.len()));
            let handle = &self.connections[index].handle;
            handle.publish(&names(&self.topics, topics), message);
            self.record(topics, None, None);
        }
    }

    pub fn publish_to_user(&mut self, topic: usize, user: usize) {
        let message = Published::binary(&message(self.messages.len()));
        let name = self.topics[topic].clone();
        let receipt = self.shards.publish(name, message, Some(&user.to_string()));
        self.record(&[topic], Some(user), Some(receipt));
    }

    fn record(
        &mut self,
        topics: &[usize],
        user: Option<usize>,
        receipt: Option<oneshot::Receiver<usize>>,
    ) {
        let message = Message {
            topics: topics.to_vec(),
            user,
            reached: 0,
            receipt,
        };
        for connection in &mut self.connections {
            let by = topics
                .iter()
                .filter(|topic| connection.follows.contains_key(topic));
            if message.is_for(connection.user) {
                connection
                    .due
                    .insert(self.messages.len(), by.copied().collect());
            }
        }
        self.messages.push(message);
    }

    pub fn tick(&mut self, shard: usize) {
        self.shards.tick(shard);
    }

    pub fn leave(&mut self, connection: u8) {
        if let Some(index) = self.pick(connection) {
            self.connections[index].sync(&mut self.messages);
            self.connections.swap_remove(index);
        }
    }

    /// When everything is delivered, nothing that had to come is missing.
    pub fn finish(mut self) {
        while !self.shards.is_at_rest() {
            (0..SHARDS).for_each(|shard| self.shards.tick(shard));
        }
        for connection in &mut self.connections {
            connection.sync(&mut self.messages);
            for (&number, by) in &connection.due {
                let followed = |topic: &usize| {
                    let last = connection.last.get(topic);
                    number >= connection.follows[topic] || last.is_some_and(|&last| number > last)
                };
                let carrier = connection.carrier(number, &self.messages[number]);
                let by = by
                    .iter()
                    .filter(|topic| carrier.is_none_or(|carrier| carrier == **topic));
                assert!(!by.clone().any(followed), "{number} did not come by {by:?}");
            }
        }
        for message in &mut self.messages {
            if let Some(receipt) = &mut message.receipt {
                assert_eq!(receipt.try_recv(), Ok(message.reached));
            }
        }
    }

    fn pick(&self, connection: u8) -> Option<usize> {
        usize::from(connection).checked_rem(self.connections.len())
    }
}

impl Message {
    fn is_for(&self, user: Option<usize>) -> bool {
        self.user.is_none() || self.user == user
    }
}

impl Connection {
    /// Takes note of what it got since.
    fn sync(&mut self, messages: &mut [Message]) {
        self.handle.flush();
        let received = self.peer.received_after(self.read_bytes);
        self.read_bytes += received.len();
        for frame in ServerFrame::all(&received) {
            let payload = frame.inflated(&mut self.inflater).payload;
            let number = payload.last_chunk().copied().map(u32::from_be_bytes);
            let number = number.expect("a message as it was published") as usize;
            assert_eq!(payload, message(number));
            assert!(self.got.insert(number), "{number} came twice");
            let by = self.due.remove(&number).unwrap_or_default();
            assert!(!by.is_empty(), "{number} was not for it");
            messages[number].reached += 1;
            if let Some(topic) = self.carrier(number, &messages[number]) {
                self.check_order(topic, number, messages);
            }
        }
    }

    /// By which topic a message comes, if that is given: whoever has its topics for life gets one
    /// of several topics by the first, if it was there when that was published.
    fn carrier(&self, number: usize, message: &Message) -> Option<usize> {
        match (&message.topics[..], self.user) {
            ([topic], _) => Some(*topic),
            (topics, None) => topics.iter().copied().find_map(|topic| {
                let since = self.follows.get(&topic)?;
                Some((number >= *since).then_some(topic))
            })?,
            _ => None,
        }
    }

    /// Between the last message by this topic and this one there was none to come.
    fn check_order(&mut self, topic: usize, number: usize, messages: &[Message]) {
        let last = self.last.insert(topic, number);
        assert!(last < Some(number), "{number} came after {last:?}");
        let since = last.map_or(self.follows[&topic], |last| last + 1);
        let mut between = (since..number).map(|each| (each, &messages[each]));
        let missed = between.find(|(each, message)| {
            self.carrier(*each, message) == Some(topic)
                && message.is_for(self.user)
                && !self.got.contains(each)
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

fn names(of: &[TopicName], indices: &[usize]) -> Vec<TopicName> {
    indices.iter().map(|&index| of[index].clone()).collect()
}

/// Some are worth compressing, and refer back further than some windows reach.
fn message(number: usize) -> Vec<u8> {
    let distance = number % 4 * 30 + 37 * (7 * number % 32);
    let half: Vec<u8> = noise(number as u8).take(distance).collect();
    [&half[..], &half, &(number as u32).to_be_bytes()].concat()
}
