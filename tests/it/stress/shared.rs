//! The state that all clients of a run share: the plan, the phase, and the progress of each
//! publisher.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
};

use tokio::sync::{Notify, mpsc, watch};

use crate::stress::{
    follower::{Follower, Sequence},
    plan::Plan,
    socket::Socket,
};

/// A sender on which nothing is ever sent. A task drops its sender when it has reached a certain
/// point of the run. The receiver waits until all tasks have dropped theirs.
pub(super) type Latch = mpsc::Sender<Infallible>;

/// State that all clients of a run share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) server: SocketAddr,
    pub(super) plan: Arc<Plan>,
    pub(super) publishers: Vec<Progress>,
    pub(super) phase: watch::Sender<Phase>,
}

/// The phases of a run, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Publishers, relays, and subscribers that stay connected open their connections.
    Connecting,
    /// Messages are published, while relays change their topics, and other clients connect and
    /// leave.
    Publishing,
    /// All messages are published: each publisher in the chat has received all of its messages, and
    /// each publisher over HTTP the answer that its messages are queued.
    Over,
}

/// Progress of a publisher, counted in messages.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Number of messages that the publisher has begun to send.
    begun: AtomicU32,
    /// Number of its own messages that a publisher in the chat has received. 0 for a publisher over
    /// HTTP.
    returned: AtomicU32,
    /// Wakes the task that waits for `returned` to grow.
    returns: Notify,
    /// Number of messages of a publisher over HTTP that are queued to all subscribers, as the
    /// server has answered. 0 for a publisher in the chat.
    queued: AtomicU32,
}

/// The result of a client that has ended: its counts, and the orders of its messages to compare.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) received: u64,
    pub(super) sequences: Vec<Sequence>,
    /// Number of connections of a client that connects and leaves, or of changes of a relay's
    /// topics. 0 for other clients.
    pub(super) rounds: u64,
}

impl Shared {
    pub(super) fn new(server: SocketAddr, plan: Plan) -> Self {
        let publishers = plan.publishers.iter();
        Self {
            server,
            publishers: publishers.map(|_| Progress::default()).collect(),
            plan: Arc::new(plan),
            phase: watch::Sender::new(Phase::Connecting),
        }
    }

    /// Waits until a phase has begun.
    pub(super) async fn wait_for_phase(&self, phase: Phase) {
        let mut current = self.phase.subscribe();
        current.wait_for(|&now| now >= phase).await.unwrap();
    }

    pub(super) fn is_over(&self) -> bool {
        *self.phase.borrow() == Phase::Over
    }

    /// Connects to the chat with these topics. Each message that a publisher begins to send to one
    /// of them after this function has connected must arrive.
    pub(super) async fn enter(&self, topics: &[usize], headers: &str) -> (Socket, Follower) {
        let socket = Socket::connect(self.server, &chat_path(topics), headers).await;
        let mut follower = Follower::new(Arc::clone(&self.plan));
        follower.subscribed(topics, |publisher| self.begun(publisher));
        (socket, follower)
    }

    pub(super) fn begun(&self, publisher: usize) -> u32 {
        self.publishers[publisher].begun.load(SeqCst)
    }

    pub(super) fn queued(&self, publisher: usize) -> u32 {
        self.publishers[publisher].queued.load(SeqCst)
    }
}

impl Progress {
    pub(super) fn set_begun(&self, messages: u32) {
        self.begun.store(messages, SeqCst);
    }

    pub(super) fn set_queued(&self, messages: u32) {
        self.queued.store(messages, SeqCst);
    }

    pub(super) fn count_returned(&self) {
        self.returned.fetch_add(1, SeqCst);
        self.returns.notify_one();
    }

    /// Waits until the publisher has received `messages` of its own messages. Only one task may
    /// wait at a time.
    pub(super) async fn wait_for_returned(&self, messages: u32) {
        while self.returned.load(SeqCst) < messages {
            self.returns.notified().await;
        }
    }
}

impl Report {
    pub(super) fn new(follower: Follower, rounds: u64) -> Self {
        Self {
            received: follower.received,
            sequences: follower.finish(),
            rounds,
        }
    }
}

/// Returns the path of the chat with these topics.
pub(super) fn chat_path(topics: &[usize]) -> String {
    let topics = topics.iter().map(|topic| format!("topic=t{topic}"));
    format!("/ws?{}", topics.collect::<Vec<_>>().join("&"))
}

/// Returns the message that sets the topics of a relay. The server replies to it with the same
/// text.
pub(super) fn list(topics: &[usize]) -> String {
    let topics = topics.iter().map(|topic| format!("\"t{topic}\""));
    format!("{{\"topics\":[{}]}}", topics.collect::<Vec<_>>().join(","))
}
