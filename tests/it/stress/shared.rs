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

/// A sender that a task drops when it has reached a certain point of the run. The other end of the
/// channel waits until all tasks have dropped theirs. Nothing is ever sent.
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
    /// Wakes the task that waits until more messages have returned.
    returns: Notify,
    /// Messages that are queued to all subscribers, as the server has answered. Only for publishers
    /// over HTTP.
    queued: AtomicU32,
}

/// Result of a client.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) received: u64,
    pub(super) sequences: Vec<Sequence>,
    /// Number of connections that the client made, or of changes of its topics.
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

    /// Waits until the publisher has itself received `messages` of its messages. Only one task may
    /// wait at the same time.
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
