//! The progress of all clients, as they see it of each other.

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

/// Held by every task that has not reached some point. The other end of the channel waits until no
/// task holds one.
pub(super) type Latch = mpsc::Sender<Infallible>;

/// State that all clients of a run share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) server: SocketAddr,
    pub(super) plan: Arc<Plan>,
    pub(super) publishers: Vec<Progress>,
    pub(super) phase: watch::Sender<Phase>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Connecting,
    Publishing,
    /// Every message is published, and its publisher has received it.
    Over,
}

/// Progress of a publisher, in messages.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Messages that the publisher has begun to send.
    begun: AtomicU32,
    /// Messages that the publisher has received itself.
    returned: AtomicU32,
    returns: Notify,
    /// Messages of which the server has answered that they are queued to all subscribers.
    queued: AtomicU32,
}

/// Result of a client.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) received: u64,
    pub(super) sequences: Vec<Sequence>,
    /// Connections that it made, or changes of its topics.
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

    /// Connects to the chat. All messages that are published to these topics from then on must
    /// arrive.
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

    /// Waits until the publisher has received so many of its messages. One task at a time may wait.
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

/// Returns the message that sets the topics of a relay, which is also the answer to it.
pub(super) fn list(topics: &[usize]) -> String {
    let topics = topics.iter().map(|topic| format!("\"t{topic}\""));
    format!("{{\"topics\":[{}]}}", topics.collect::<Vec<_>>().join(","))
}
