//! The clients that only receive: subscribers that stay connected, relays that change their topics,
//! and clients that connect and leave.

use std::{pin::pin, sync::Arc};

use framecast_test_support::frames::{masked, text};

use crate::stress::{
    follower::Follower,
    plan::{Random, TOPICS},
    shared::{Latch, Phase, Report, Shared, chat_path, list},
    socket::Socket,
};

/// Number of ways in which a client that connects and leaves may end a connection.
const WAYS_TO_GO: usize = 5;

impl Shared {
    /// Subscribes to fixed topics, and receives their messages until the last message of each
    /// topic.
    pub(super) async fn stay(
        self: Arc<Self>,
        topics: Vec<usize>,
        headers: &str,
        connected: Latch,
    ) -> Report {
        let (mut socket, mut follower) = self.enter(&topics, headers).await;
        follower.compare_orders(&topics, true);
        drop(connected);
        while !follower.is_at_end() {
            follower.take(socket.frames.text().await);
        }
        socket.close().await;
        Report::new(follower, 0)
    }

    /// Connects to the registration of `path`, and sets new topics again and again, always with
    /// those of `kept` among them. After the run has ended, receives messages until the final one
    /// of each topic that was set last has arrived.
    pub(super) async fn relay(
        self: Arc<Self>,
        (path, kept): (String, Vec<usize>),
        mut random: Random,
        connected: Latch,
        settled: Latch,
    ) -> Report {
        let mut socket = Socket::connect(self.server, &path, "").await;
        let mut follower = Follower::new(Arc::clone(&self.plan));
        // The registration has the kept topics since before the first message.
        follower.subscribed(&kept, |_| 0);
        follower.compare_orders(&kept, false);
        drop(connected);
        let mut rounds = 0;
        self.wait_for_phase(Phase::Publishing).await;
        while !self.is_over() {
            let topics = other_topics(&kept, &mut random);
            self.change(&mut socket, &mut follower, &topics).await;
            rounds += 1;
            let messages = random.below(12);
            self.receive(&mut socket, &mut follower, messages).await;
        }
        drop(settled);
        while !follower.is_at_end() {
            follower.take(socket.frames.text().await);
        }
        socket.close().await;
        Report::new(follower, rounds)
    }

    /// Changes the topics of a relay, and waits until the server has confirmed them.
    async fn change(&self, socket: &mut Socket, follower: &mut Follower, topics: &[usize]) {
        let asked = list(topics);
        follower.changes_to(topics, |publisher| self.queued(publisher));
        socket.send(&masked([text(&asked)])).await;
        loop {
            let message = socket.frames.text().await;
            if message.starts_with(b"{") {
                assert_eq!(message, asked.as_bytes());
                break;
            }
            follower.take(message);
        }
        follower.subscribed(topics, |publisher| self.begun(publisher));
    }

    /// Receives this number of messages, or fewer if the run ends before.
    async fn receive(&self, socket: &mut Socket, follower: &mut Follower, messages: usize) {
        let mut over = pin!(self.wait_for_phase(Phase::Over));
        for _ in 0..messages {
            tokio::select! {
                message = socket.frames.text() => follower.take(message),
                () = &mut over => return,
            };
        }
    }

    /// Connects to the chat, receives some messages and leaves, again and again until the run is
    /// over.
    pub(super) async fn churn(self: Arc<Self>, mut random: Random, settled: Latch) -> Report {
        let (mut rounds, mut received) = (0, 0);
        self.wait_for_phase(Phase::Publishing).await;
        while !self.is_over() {
            // Number of topics, and number of those that they are chosen from.
            let sets = [(1, 2), (1, 2), (2, 4), (4, 16), (TOPICS, TOPICS)];
            let (count, of) = sets[random.below(sets.len())];
            let topics = random.pick(count, of);
            match random.below(WAYS_TO_GO) {
                // Leaves without reading the response to its handshake.
                0 => drop(Socket::ask(self.server, &chat_path(&topics), "").await),
                way => received += self.receive_and_leave(&topics, random.below(20), way).await,
            }
            rounds += 1;
        }
        drop(settled);
        Report {
            received,
            sequences: Vec::new(),
            rounds,
        }
    }

    /// Connects to the chat, receives at most `messages` messages, and leaves: by a reset (way 1),
    /// inside a frame (2), by closing the socket (3), or with a Close (4). Returns the number of
    /// messages received.
    async fn receive_and_leave(&self, topics: &[usize], messages: usize, way: usize) -> u64 {
        let (mut socket, mut follower) = self.enter(topics, "").await;
        self.receive(&mut socket, &mut follower, messages).await;
        match way {
            1 => socket.reset(),
            // Leaves inside a frame: a masked text whose length, in 16 bits, never follows.
            2 => socket.send(&[0x81, 0xFE]).await,
            3 => drop(socket),
            _ => {
                socket.begin_close().await;
                while let (0x81, message) = socket.frames.next().await {
                    follower.take(message);
                }
            }
        }
        follower.received
    }
}

/// Returns `kept` and some random other topics, in random order.
fn other_topics(kept: &[usize], random: &mut Random) -> Vec<usize> {
    let (count, of) = [(0, 1), (3, 4), (20, TOPICS), (40, TOPICS)][random.below(4)];
    let mut topics = random.pick(count, of);
    topics.retain(|topic| !kept.contains(topic));
    // At random places, because the server's reply must have the topics in the order of the list.
    for &topic in kept {
        topics.insert(random.below(topics.len() + 1), topic);
    }
    topics
}
