//! A hub without threads, for `fuzz/` and `benches/`. A shard runs a step only when it is called,
//! so a fuzz target chooses the order of the shards' steps, and a benchmark measures only the steps
//! that it wants.

use std::{
    cell::RefCell,
    ops::ControlFlow,
    rc::Rc,
    sync::Arc,
    task::{Context, Waker},
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::oneshot,
};

use crate::{
    config::HubConfig,
    disconnect::Disconnect,
    hub::{
        handle,
        peer::socket::Socket,
        publication::{Publication, Receipt, compression::Agreed},
        shard::{
            Links, Shard,
            receive::{RECEIVE_BYTES, Receive},
            tick::Tick,
        },
    },
    message::Message,
    topic::TopicName,
    user::UserId,
    wire::{
        extension,
        frame::{Frame, Kind},
        validator::MessageLimits,
    },
};

/// The shards of a hub, without threads.
#[derive(Debug)]
pub struct Shards {
    links: Arc<Links>,
    shards: Vec<Rc<Shard>>,
    ticks: Vec<RefCell<Tick>>,
}

impl Shards {
    /// Makes as many shards as `config.shards` says.
    pub fn new(config: &HubConfig) -> Self {
        let links = Arc::new(Links::new(config));
        let shards = 0..config.shards.get();
        Self {
            shards: shards
                .clone()
                .map(|index| Shard::new(index, Arc::clone(&links)))
                .collect(),
            ticks: shards.map(|_| RefCell::default()).collect(),
            links,
        }
    }

    pub(crate) fn first(&self) -> &Rc<Shard> {
        &self.shards[0]
    }

    /// Publishes a message that comes from no connection to the subscribers of `topic`, or to those
    /// of `user` only. The returned receiver gets the number of subscribers that the message was
    /// queued to.
    pub fn publish(
        &self,
        topic: TopicName,
        message: Message,
        user: Option<&str>,
    ) -> oneshot::Receiver<usize> {
        let (receipt, queued) = Receipt::new();
        let publication = Publication::new(self.links.shared.encode(message));
        let publication = publication.to(user.map(to_user)).counted(receipt);
        self.links.publish(&[topic], publication);
        queued
    }

    /// Runs a step of a shard's tick, and begins a round: connections that wait for a turn get one.
    pub fn tick(&self, index: usize) {
        self.ticks[index].borrow_mut().step(&self.shards[index]);
        self.shards[index].begin_round();
    }

    /// Returns true if no shard has anything to do.
    pub fn is_at_rest(&self) -> bool {
        let mut shards = self.shards.iter().zip(&self.ticks);
        shards.all(|(shard, tick)| tick.borrow().is_at_rest(shard) && !shard.has_waiting())
    }

    /// Returns the work that a shard has counted so far.
    pub fn counts(&self, index: usize) -> WorkCounts {
        let shard = &self.shards[index];
        let state = shard.state.borrow();
        WorkCounts {
            visits: state.peers.visits.get(),
            look_ups: state.topics.look_ups.get(),
            moves: state.topics.moves.get(),
            copies: shard.receive.borrow().copies.get(),
        }
    }

    /// Returns the compression that an opening handshake with this `offer` of extensions would
    /// agree on, or `None` for no compression.
    pub(crate) fn agree(&self, offer: Option<&str>) -> Option<Agreed> {
        let accepted = extension::accept(offer.map(str::as_bytes).into_iter(), true);
        let agreement = accepted.expect("the offer follows the grammar")?;
        Some(self.links.shared.contexts.grant(agreement))
    }

    /// Adds a connection to a shard. The connection belongs to `user`, or is anonymous, and its
    /// client has made this `offer` of extensions.
    pub fn join(
        &self,
        index: usize,
        user: Option<&str>,
        offer: Option<&str>,
        socket: impl AsyncRead + AsyncWrite + Unpin + 'static,
    ) -> Handle {
        let agreed = self.agree(offer);
        let handle = handle::Handle::new(&self.shards[index], user.map(to_user), agreed);
        handle.attach(Socket::Other(Box::new(socket)));
        // Stores a waker, without which nothing is written.
        handle.register_waker(&Context::from_waker(Waker::noop()));
        Handle(handle)
    }
}

fn to_user(id: &str) -> UserId {
    UserId::new(id).expect("the id is valid")
}

/// Counts of the work that a shard has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkCounts {
    /// Visits of connections by fan-outs.
    pub visits: u64,
    /// Look-ups of a topic by its name.
    pub look_ups: u64,
    /// Subscribers that were moved to another index in a topic's list.
    pub moves: u64,
    /// Received bytes that were copied from one place to another.
    pub copies: u64,
}

/// A connection's handle.
#[derive(Debug)]
pub struct Handle(handle::Handle);

impl Handle {
    /// Subscribes the connection to exactly these topics.
    pub fn set_topics(&self, topics: &[TopicName]) {
        self.0.set_topics(topics);
    }

    /// Publishes a message to all of these topics.
    pub fn publish(&self, topics: &[TopicName], message: Message) {
        let publication = Publication::new(self.0.encode(message));
        self.0.publish(topics, publication);
    }

    /// Queues a reply to the outbox, as the end of a turn does if the socket takes no bytes.
    pub fn reply(&self, frame: Frame) {
        self.0.reply(frame);
        let shard = self.0.shard();
        let replies = &mut shard.replies.borrow_mut();
        let mut state = shard.state.borrow_mut();
        if let Some(peer) = state.peers.get_mut(self.0.id().key) {
            let taken_by_socket = 0;
            peer.queue_replies(replies, taken_by_socket, shard.ledger());
        }
        replies.clear();
    }

    /// Queues a control frame.
    pub fn control(&self, frame: Bytes) {
        self.0.control(frame);
    }

    /// Queues the Close that answers the peer's Close.
    pub fn answer_close(&self, close: Bytes) {
        self.0.answer_close(close);
    }

    /// Ends the connection.
    pub fn end(&self, reason: Disconnect) {
        self.0.end(reason);
    }

    /// Writes the outbox, as far as the socket takes it.
    pub fn flush(&self) {
        self.0.flush();
    }

    /// Returns how many bytes of memory the outbox holds.
    pub fn held_bytes(&self) -> usize {
        let state = self.0.shard().state.borrow();
        let peer = state.peers.get(self.0.id().key);
        peer.map_or(0, |peer| peer.outbox.held_bytes())
    }
}

/// The receive buffer of a shard.
#[derive(Debug)]
pub struct Received(Receive);

impl Received {
    /// Makes an empty buffer.
    #[expect(clippy::new_without_default, reason = "a buffer is large")]
    pub fn new() -> Self {
        Self(Receive::new())
    }

    /// Puts `wire` into the buffer, and passes the plain messages at the start of it to `take`, up
    /// to the first frame that is no whole plain message. Returns true if there is no such frame.
    pub fn take_plain(
        &mut self,
        wire: &[u8],
        limits: MessageLimits,
        mut take: impl FnMut(Kind, &[u8]),
    ) -> bool {
        self.0.begin_turn(Bytes::new(), RECEIVE_BYTES);
        self.0.space()[..wire.len()].copy_from_slice(wire);
        self.0.received(wire.len());
        let mut take = |kind, payload: &[u8]| {
            take(kind, payload);
            ControlFlow::Continue(())
        };
        let _ = self.0.take_plain(limits, &mut take);
        self.0.is_empty()
    }
}
