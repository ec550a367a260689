//! What the clients know of each other.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
};

use tokio::sync::{Notify, mpsc, watch};

use super::{
    follower::{Follower, Sequence},
    plan::Plan,
    socket::Socket,
};

/// Held by every task that has not come so far yet.
pub(super) type Latch = mpsc::Sender<Infallible>;

#[derive(Debug)]
pub(super) struct Board {
    pub(super) server: SocketAddr,
    pub(super) plan: Arc<Plan>,
    pub(super) publishers: Vec<Progress>,
    pub(super) phase: watch::Sender<Phase>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Connecting,
    Publishing,
    /// All is published, and was received by its publisher.
    Over,
}

/// How far a publisher has come, in messages.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// It has begun to send so many.
    begun: AtomicU32,
    /// So many have come back to it.
    returned: AtomicU32,
    returns: Notify,
    /// The server has said of so many that they are queued to everybody.
    queued: AtomicU32,
}

/// What a client has done, and what it has received.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) received: u64,
    pub(super) sequences: Vec<Sequence>,
    /// Connections made, or changes of topics.
    pub(super) rounds: u64,
}

impl Board {
    pub(super) fn new(server: SocketAddr, plan: Plan) -> Self {
        let publishers = plan.publishers.iter();
        Self {
            server,
            publishers: publishers.map(|_| Progress::default()).collect(),
            plan: Arc::new(plan),
            phase: watch::Sender::new(Phase::Connecting),
        }
    }

    /// Returns when a phase has begun.
    pub(super) async fn reached(&self, phase: Phase) {
        let mut current = self.phase.subscribe();
        current.wait_for(|&now| now >= phase).await.unwrap();
    }

    pub(super) fn is_over(&self) -> bool {
        *self.phase.borrow() == Phase::Over
    }

    /// Enters the chat: all that is published to these topics from now on is to come.
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
    pub(super) fn begins(&self, messages: u32) {
        self.begun.store(messages, SeqCst);
    }

    pub(super) fn is_queued(&self, messages: u32) {
        self.queued.store(messages, SeqCst);
    }

    pub(super) fn one_returns(&self) {
        self.returned.fetch_add(1, SeqCst);
        self.returns.notify_one();
    }

    /// Waits until so many have come back. One task at a time may wait.
    pub(super) async fn returned(&self, messages: u32) {
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

/// Where the chat with some topics is.
pub(super) fn chat_path(topics: &[usize]) -> String {
    let topics = topics.iter().map(|topic| format!("topic=t{topic}"));
    format!("/ws?{}", topics.collect::<Vec<_>>().join("&"))
}

/// Topics as the relay takes them, and as it says that they are in force.
pub(super) fn list(topics: &[usize]) -> String {
    let topics = topics.iter().map(|topic| format!("\"t{topic}\""));
    format!("{{\"topics\":[{}]}}", topics.collect::<Vec<_>>().join(","))
}
