//! A shard: one thread's connections and topics, and the tick that moves messages through them.
//!
//! A shard owns its connections, their sockets and outboxes, and its part of the topics; nothing
//! of that leaves its thread. Its [`State`] is borrowed for single steps, never across an await.
//!
//! One tick: if it is time for that, swap the inbox out, gather, per topic, what is to be
//! delivered, and fan that out into the outboxes; write to at most 64 sockets; let the others have
//! their turn. Going back to the inbox several times while everybody gets a write is what lets
//! frames that arrive meanwhile join those not yet written.

use std::{
    cell::{Cell, RefCell, RefMut},
    collections::VecDeque,
    fmt,
    rc::Rc,
    sync::Arc,
};

use tokio::{
    sync::Notify,
    task::{coop, spawn_local, yield_now},
    time::{MissedTickBehavior, interval},
};

use super::{
    inbox::{Inbox, Item},
    links::Links,
    peer::PeerKey,
    peers::WRITES_PER_TURN,
    pulse::Heartbeat,
    receive::Receive,
    replies::Replies,
    state::State,
};
use crate::{
    config::Config,
    wire::{close::Disconnect, inflate::Inflater},
};

/// One shard, as its own thread sees it.
pub(crate) struct Shard {
    pub(super) index: usize,
    pub(super) links: Arc<Links>,
    pub(super) state: RefCell<State>,
    pub(super) receive: RefCell<Receive>,
    pub(super) replies: RefCell<Replies>,
    inflater: RefCell<Inflater>,
    /// Wakes whoever waits for the last connection to go.
    pub(super) departure: Notify,
    is_stopping: Cell<bool>,
}

impl Shard {
    pub(super) fn new(index: usize, links: Arc<Links>) -> Rc<Self> {
        Rc::new(Self {
            index,
            state: RefCell::new(State::new(index, Arc::clone(&links))),
            links,
            receive: RefCell::new(Receive::new()),
            replies: RefCell::default(),
            inflater: RefCell::default(),
            departure: Notify::new(),
            is_stopping: Cell::new(false),
        })
    }

    /// The configuration that the hub was started with.
    pub(crate) fn config(&self) -> &Config {
        &self.links.config
    }

    /// Begins a connection's turn to read, with what it kept from its last one.
    pub(crate) fn begin_turn(&self, kept: &[u8]) {
        self.receive.borrow_mut().begin_turn(kept);
        self.replies.borrow_mut().clear();
    }

    /// Ends the turn; what the connection has received and not yet read.
    pub(crate) fn end_turn(&self) -> Vec<u8> {
        self.receive.borrow_mut().end_turn()
    }

    /// Inflates what its connections receive.
    pub(crate) fn inflater(&self) -> RefMut<'_, Inflater> {
        self.inflater.borrow_mut()
    }

    /// Ends the connection with this key, if it is still there.
    pub(super) fn end_connection(&self, key: PeerKey, reason: Disconnect) {
        self.state.borrow_mut().end(key, reason);
    }

    /// Reads nothing more from anybody.
    pub(super) fn stop_reading(&self) {
        self.state.borrow_mut().is_draining = true;
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.state.borrow().is_draining
    }

    /// Ends every connection.
    pub(super) fn end_all(&self, reason: Disconnect) {
        let mut state = self.state.borrow_mut();
        for key in state.peers.keys() {
            state.end(key, reason);
        }
    }

    /// Returns when no connection is left.
    pub(super) async fn emptied(&self) {
        loop {
            let departure = self.departure.notified();
            if self.state.borrow().peers.len() == 0 {
                return;
            }
            departure.await;
        }
    }

    /// Runs the shard, on its own thread, until it is stopped.
    pub(super) async fn run(self: Rc<Self>) {
        let sweeper = spawn_local(Rc::clone(&self).sweep_for_ever());
        // The tick has a budget of its own.
        coop::unconstrained(self.tick_until_stopped()).await;
        sweeper.abort();
    }

    async fn tick_until_stopped(self: &Rc<Self>) {
        let mut items = VecDeque::new();
        let mut writes_before_take = 0;
        while !self.is_stopping.get() {
            if writes_before_take == 0 {
                self.take_in(&mut items);
                let pass = self.state.borrow().ring_len();
                writes_before_take = (pass / TAKES_PER_PASS).min(MAX_WRITES_BEFORE_TAKE);
            }
            self.state.borrow_mut().write_turn();
            writes_before_take = writes_before_take.saturating_sub(WRITES_PER_TURN);
            if self.is_at_rest() && !self.is_stopping.get() {
                self.inbox().woken().await;
            } else {
                yield_now().await;
            }
        }
    }

    fn is_at_rest(&self) -> bool {
        self.inbox().is_empty() && self.state.borrow().is_all_written()
    }

    /// Works the inbox off, and fans out what it brought.
    pub(super) fn take_in(self: &Rc<Self>, items: &mut VecDeque<Item>) {
        self.inbox().swap(items);
        if items.is_empty() {
            return;
        }
        for item in items.drain(..) {
            match item {
                Item::Run(work) => {
                    // In its turn: after what came before it has taken effect.
                    self.state.borrow_mut().fan_out();
                    work(self);
                }
                Item::Stop => self.is_stopping.set(true),
                Item::Deliver(publication) => self.state.borrow_mut().deliver(&publication),
            }
        }
        self.state.borrow_mut().fan_out();
    }

    async fn sweep_for_ever(self: Rc<Self>) {
        let mut interval = interval(Heartbeat::sweep_interval(&self.config().timeouts));
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            self.state.borrow_mut().sweep();
            self.inbox().wake();
        }
    }

    fn inbox(&self) -> &Inbox {
        &self.links.inboxes[self.index]
    }
}

impl fmt::Debug for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shard")
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}

/// How often the inbox is worked off, under a steady load, while everybody in the ring gets a
/// write. What comes in between is joined: a subscriber is given one segment of several messages,
/// not one for each. Measured with 9,000 subscribers: a sixth less CPU time a delivery than at
/// every turn; 4 and 16 save less.
const TAKES_PER_PASS: usize = 8;

/// Bounds how long new connections, ends and publications wait in the inbox: 3 to 12 ms of writes.
const MAX_WRITES_BEFORE_TAKE: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        hub::{compression::Compression, publication::Publication},
        topic_name::TopicName,
        wire::frame::Frame,
    };

    #[test]
    fn work_is_done_after_what_came_before_it_has_taken_effect() {
        let links = Arc::new(Links::new(&Config::default()));
        let shard = Shard::new(0, Arc::clone(&links));
        let topic = TopicName::new("cats").unwrap();
        let key = {
            let mut state = shard.state.borrow_mut();
            let key = state.peers.insert(None, Compression::Off);
            state.subscribe(key, &topic);
            key
        };
        let delivery = Publication::new(&links, [topic].into(), [Frame::text("x")]);
        let end: crate::hub::inbox::Work = Box::new(|shard| shard.end_all(Disconnect::Restarting));
        shard.inbox().push(Item::Deliver(delivery));
        shard.inbox().push(Item::Run(end));
        shard.take_in(&mut VecDeque::new());
        let mut state = shard.state.borrow_mut();
        let outbox = &mut state.peers.get_mut(key).unwrap().outbox;
        let mut slices = [std::io::IoSlice::new(&[]); 2];
        assert_eq!(outbox.fill(&mut slices), 2);
        assert_eq!(
            [&slices[0][..], &slices[1][..2]],
            [b"\x81\x01x", &b"\x88\x16"[..]]
        );
    }
}
