//! A shard: one thread's connections and topics, and what they have in common.
//!
//! A shard owns its connections, their sockets and outboxes, and its part of the topics; nothing
//! of that leaves its thread. Its [`State`] is borrowed for single steps, never across an await.
//!
//! Its [`thread`] (`run`) alternates between steps of the [`tick`] and turns of connections' tasks. Both are
//! bounded in time. Whoever is not done with its turn waits for one of the next [`rounds`], so that
//! the sockets are looked at in between. [`panicked`] is what becomes of it when one of them panics.
//!
//! What reaches it comes through its [`inbox`], by [`links`] that all shards have. They have what is
//! [`shared`], too, with [`attendance`]. The tick takes messages to the pending ones of a [`topic`], by [`fan_out`] to the
//! outboxes of its [`peers`], and [`ring_lap`] tells when they are written. [`state`] has the steps:
//! `presence`, [`subscriptions`], [`ending`], and [`relief`] and [`receivers`] while memory is short. [`receive`] is
//! the buffer that all of its connections receive into.

pub(in crate::hub) mod attendance;
pub(in crate::hub) mod ending;
pub(in crate::hub) mod fan_out;
pub(in crate::hub) mod inbox;
pub(in crate::hub) mod links;
pub(in crate::hub) mod panicked;
pub(in crate::hub) mod peers;
mod presence;
pub(in crate::hub) mod receive;
pub(in crate::hub) mod receivers;
pub(in crate::hub) mod relief;
pub(in crate::hub) mod ring_lap;
pub(in crate::hub) mod rounds;
mod run;
pub(in crate::hub) mod shared;
pub(in crate::hub) mod state;
pub(in crate::hub) mod subscriptions;
pub(in crate::hub) mod thread;
pub(in crate::hub) mod tick;
pub(in crate::hub) mod topic;

use std::{
    cell::{Cell, RefCell},
    fmt,
    rc::Rc,
    sync::Arc,
    task::Context,
    time::Duration,
};

use bytes::Bytes;
use tokio::{sync::Notify, task::yield_now};

use crate::{
    config::HubConfig,
    disconnect::Disconnect,
    hub::{
        bounds::{
            allowance::{Allowance, STEP},
            drain_time::DrainTime,
            ledger::Ledger,
        },
        ids::PeerKey,
        peer::replies::Replies,
        shard::{
            inbox::Inbox,
            receive::{RECEIVE_BYTES, Receive, SHORT_SHARE_BYTES},
            rounds::{Rounds, Ticket},
            shared::Shared,
            state::State,
        },
    },
    wire::inflate::Inflater,
};

/// Work to be done on a shard's own thread, in its turn.
pub(crate) type Work = Box<dyn FnOnce(&Rc<Shard>) + Send>;

/// What can be asked of a shard.
pub(in crate::hub) type Item = inbox::Item<Work>;

/// What leads to all shards.
pub(in crate::hub) type Links = links::Links<Work>;

/// One shard, as its own thread sees it.
///
/// Its cells are borrowed in one order: `receive`, `replies`, `state`, and then `turn` or `rounds`, which
/// are borrowed for a single call of theirs. The locks of the router and of an inbox come after all of
/// them, in this order. Code that is given to the shard runs under no borrow: neither [`Work`] nor a
/// task. There are two exceptions. Whoever takes plain messages reads them in the receive buffer, and so
/// must not receive. And sockets and wakers are called under the borrow of `state`: they must not call
/// the shard.
pub(crate) struct Shard {
    pub(super) index: usize,
    pub(super) links: Arc<Links>,
    pub(super) shared: Arc<Shared>,
    pub(super) state: RefCell<State>,
    ledger: Rc<Ledger>,
    pub(super) receive: RefCell<Receive>,
    pub(super) replies: RefCell<Replies>,
    /// What is left of the turn that a connection has now.
    turn: RefCell<Allowance>,
    /// It ends before all was done.
    wants_turn: Cell<bool>,
    rounds: RefCell<Rounds>,
    /// Kept for the next compressed message.
    inflater: Cell<Option<Box<Inflater>>>,
    /// Wakes whoever waits for the last connection to go.
    pub(super) departure: Notify,
    is_stopping: Cell<bool>,
    /// A step or a task has panicked.
    pub(super) has_panicked: Cell<bool>,
}

impl Shard {
    pub(super) fn new(index: usize, links: Arc<Links>) -> Rc<Self> {
        let shared = Arc::clone(&links.shared);
        let state = State::new(index, Arc::clone(&shared));
        Rc::new(Self {
            index,
            ledger: Rc::clone(&state.ledger),
            state: RefCell::new(state),
            links,
            shared,
            receive: RefCell::new(Receive::new()),
            replies: RefCell::default(),
            turn: RefCell::new(Allowance::new(STEP)),
            wants_turn: Cell::new(false),
            rounds: RefCell::default(),
            inflater: Cell::default(),
            departure: Notify::new(),
            is_stopping: Cell::new(false),
            has_panicked: Cell::new(false),
        })
    }

    /// Returns what the shard holds for its clients.
    pub(crate) fn ledger(&self) -> &Rc<Ledger> {
        &self.ledger
    }

    /// The configuration that the hub was started with.
    pub(crate) fn config(&self) -> &HubConfig {
        &self.shared.config
    }

    /// Begins a connection's turn to read, with what it kept from its last one. It is a short one
    /// while the shard's round is over, or the hub has too much to deliver; and while memory is
    /// exhausted, nothing is received.
    pub(crate) fn begin_turn(&self, kept: Bytes) {
        self.begin(kept, !self.shared.budget.is_exhausted());
    }

    /// Begins a turn in which all that is received is thrown away, which takes no memory.
    pub(crate) fn begin_discarding(&self) {
        self.begin(Bytes::new(), true);
    }

    /// Begins a turn that is over already, in which nothing is received: a connection has something to
    /// finish.
    pub(crate) fn begin_no_turn(&self) {
        self.begin(Bytes::new(), false);
        *self.turn.borrow_mut() = Allowance::new(Duration::ZERO);
    }

    fn begin(&self, kept: Bytes, may_receive: bool) {
        let is_short = self.rounds.borrow().is_over() || self.links.must_wait();
        let (limit, share) = if is_short {
            (SHORT_TURN, SHORT_SHARE_BYTES)
        } else {
            (STEP, RECEIVE_BYTES)
        };
        let share = if may_receive { share } else { 0 };
        self.receive.borrow_mut().begin_turn(kept, share);
        self.replies.borrow_mut().clear();
        *self.turn.borrow_mut() = Allowance::new(limit);
        self.wants_turn.set(false);
    }

    /// Has a connection that waits for a round do nothing: it gets nothing of others' turns.
    pub(crate) fn skip_turn(&self) {
        self.replies.borrow_mut().clear();
    }

    /// Takes note that the turn ends before all was done.
    pub(crate) fn want_turn(&self) {
        self.wants_turn.set(true);
    }

    /// Queues the connection for another turn, if it wants one.
    pub(crate) fn queue_if_wanted(&self, ticket: &mut Ticket, cx: &Context<'_>) {
        if self.wants_turn.take() {
            self.queue(ticket, cx, self.turn_time());
        }
    }

    /// Ends the turn; what the connection has received and not yet read.
    pub(crate) fn end_turn(&self) -> Bytes {
        self.receive.borrow_mut().end_turn()
    }

    /// Returns how long the turn has taken.
    pub(crate) fn turn_time(&self) -> Duration {
        self.turn.borrow().used()
    }

    /// Charges work of the turn that may have taken `nanoseconds`.
    pub(crate) fn spend(&self, nanoseconds: u64) {
        self.turn.borrow_mut().spend(nanoseconds);
    }

    /// Charges what was done since the clock was last looked at, by the clock.
    pub(crate) fn look_at_clock(&self) {
        self.turn.borrow_mut().look_at_clock();
    }

    /// Charges work of so many nanoseconds that the turn has caused for later.
    pub(super) fn cause(&self, nanoseconds: u64) {
        self.turn.borrow_mut().cause(nanoseconds);
    }

    /// Returns true if the turn must end, whatever is left to do.
    pub(crate) fn is_turn_over(&self) -> bool {
        self.turn.borrow().is_spent()
    }

    /// Queues a task whose turn took `turn` for another one, in one of the next rounds.
    pub(crate) fn queue(&self, ticket: &mut Ticket, cx: &Context<'_>, turn: Duration) {
        self.rounds.borrow_mut().wait(ticket, cx.waker(), turn);
        self.inbox().wake();
    }

    /// Returns true if a task still waits for another turn.
    pub(crate) fn is_queued(&self, ticket: Ticket) -> bool {
        self.rounds.borrow().is_waiting(ticket)
    }

    /// Takes note of a turn that took `turn`.
    pub(crate) fn use_up(&self, turn: Duration) {
        if !turn.is_zero() && self.rounds.borrow_mut().use_up(turn) {
            // The next round begins with a tick.
            self.inbox().wake();
        }
    }

    /// Does a step of the shard, or has a turn, and measures it if that is to be known.
    pub(crate) fn measure<T>(&self, step: impl FnOnce() -> T) -> T {
        self.shared.holds[self.index].measure(step)
    }

    /// Takes an inflater. Whoever needs it for several turns keeps it for so long.
    pub(crate) fn take_inflater(&self) -> Box<Inflater> {
        self.inflater.take().unwrap_or_default()
    }

    /// Gives an inflater back.
    pub(crate) fn give_back(&self, inflater: Box<Inflater>) {
        self.inflater.set(Some(inflater));
    }

    /// Ends the connection with this key, if it is still there.
    pub(super) fn end_connection(&self, key: PeerKey, reason: Disconnect) {
        self.state.borrow_mut().end(key, reason);
    }

    /// Reads nothing more from anybody, and takes no connections any more.
    pub(super) fn begin_drain(&self, time: DrainTime) {
        self.state.borrow_mut().draining = Some(time);
    }

    /// Returns the time for the drain, if one is under way.
    pub(crate) fn draining(&self) -> Option<DrainTime> {
        self.state.borrow().draining
    }

    /// Ends every connection, some at a time. None may come any more.
    pub(super) async fn end_all(&self, reason: Disconnect) {
        let mut at = Some(0);
        while let Some(from) = at {
            let mut allowance = Allowance::new(STEP);
            at = self.measure(|| {
                let state = &mut self.state.borrow_mut();
                state.end_part(from, &mut allowance, |_, _| Some(reason))
            });
            yield_now().await;
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

    /// Writes what waits for a connection and what it was answered, as far as its socket takes it.
    pub(super) fn write(&self, key: PeerKey, replies: &mut Replies) {
        if self.state.borrow_mut().write(key, replies) {
            self.inbox().wake();
        }
    }

    /// Has the task of a connection woken when memory is no longer exhausted.
    pub(super) fn wait_to_receive(&self, key: PeerKey) {
        let State {
            receivers, peers, ..
        } = &mut *self.state.borrow_mut();
        receivers.add(key, peers);
        // It may be at rest without an eye on that.
        self.inbox().wake();
    }

    /// Returns true if tasks wait for another turn.
    pub(super) fn has_waiting(&self) -> bool {
        !self.rounds.borrow().is_empty()
    }

    /// Lets the next of those that wait have their turn.
    pub(super) fn begin_round(&self) {
        self.rounds.borrow_mut().begin();
    }

    /// Lets the shard end after this step.
    pub(super) fn stop(&self) {
        self.is_stopping.set(true);
    }

    /// Gives back memory that only a crowd or a burst needs.
    pub(super) fn shrink(&self) {
        self.state.borrow_mut().shrink();
        self.rounds.borrow_mut().shrink();
        self.inbox().shrink();
    }

    pub(super) fn inbox(&self) -> &Inbox<Work> {
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

/// The time of a turn while others wait for theirs: room for what most turns do.
const SHORT_TURN: Duration = Duration::from_micros(100);

#[cfg(test)]
impl Shard {
    /// For how many elements there is memory, in its own maps and queues and in the router.
    pub(super) fn capacity(&self) -> usize {
        let state = self.state.borrow();
        let own =
            state.peers.capacity() + state.topics.capacity() + self.rounds.borrow().capacity();
        own + self.inbox().capacity() + self.shared.router.capacity()
    }
}
