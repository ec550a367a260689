//! A shard: one thread, with the connections and the subscriptions that it owns.
//!
//! A shard owns its connections, their sockets, their outboxes and their subscriptions. None of
//! that leaves its thread. Its [`State`] is borrowed for one step at a time, never across an await.
//!
//! - Time: [`thread`] starts the thread of a shard, and `run` is its main loop, which alternates
//!   between steps of the [`tick`] and turns of the connections' tasks. Both are bounded in time.
//!   A task with more to do after its turn waits for one of the next [`rounds`], so that the
//!   sockets are polled in between. [`panicked`] ends a shard after a panic in a step or a task.
//! - Between shards: everything reaches a shard through its [`inbox`]. [`links`] has the inboxes
//!   of all shards, [`shared`] their common data, and [`round_robin`] picks the shard of a new
//!   connection.
//! - Messages: the tick appends them to the pending ones of their [`topic`], and [`fan_out`] queues
//!   them to the outboxes of the subscribers, which are [`peers`]. [`ring_lap`] determines when a
//!   message counts as written.
//! - Connections: [`state`] holds them. `membership` adds and removes them, [`subscriptions`]
//!   changes their topics, and [`ending`] ends them. While memory is short, [`relief`] ends those
//!   that are furthest behind, and [`receivers`] is the queue of those that wait until they may
//!   receive again. [`receive`] is the buffer that all connections of a shard receive into.

pub(in crate::hub) mod ending;
pub(in crate::hub) mod fan_out;
pub(in crate::hub) mod inbox;
pub(in crate::hub) mod links;
mod membership;
pub(in crate::hub) mod panicked;
pub(in crate::hub) mod peers;
pub(in crate::hub) mod receive;
pub(in crate::hub) mod receivers;
pub(in crate::hub) mod relief;
pub(in crate::hub) mod ring_lap;
pub(in crate::hub) mod round_robin;
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

/// A closure that runs on a shard's own thread, in the order of its inbox.
pub(crate) type Work = Box<dyn FnOnce(&Rc<Shard>) + Send>;

/// An item of a shard's inbox.
pub(in crate::hub) type Item = inbox::Item<Work>;

/// The inboxes of all shards, and their common data.
pub(in crate::hub) type Links = links::Links<Work>;

/// One shard, for use on its own thread.
///
/// Its `RefCell`s are borrowed in one order: `receive`, `replies`, `state`, and then `turn` or
/// `rounds`, each of which is borrowed for a single call. The locks of the router and of an inbox
/// are taken after all of these, in this order.
///
/// While one is borrowed, no [`Work`] is run and no task is polled, but two kinds of callbacks are
/// called. The closure that takes plain messages runs while `receive` is borrowed, so it must not
/// receive. Sockets and wakers are called while `state` is borrowed, so they must not call the
/// shard.
pub(crate) struct Shard {
    pub(super) index: usize,
    pub(super) links: Arc<Links>,
    pub(super) shared: Arc<Shared>,
    pub(super) state: RefCell<State>,
    ledger: Rc<Ledger>,
    pub(super) receive: RefCell<Receive>,
    pub(super) replies: RefCell<Replies>,
    /// Time left in the turn of the connection whose task is being polled.
    turn: RefCell<Allowance>,
    /// True if the same connection has more to do than fits into this turn, and so wants another
    /// turn.
    wants_turn: Cell<bool>,
    rounds: RefCell<Rounds>,
    /// Spare inflater for the next compressed message.
    inflater: Cell<Option<Box<Inflater>>>,
    /// Notified when a connection is removed: a drain waits until none is left.
    pub(super) departure: Notify,
    /// True if the main loop is to end.
    is_stopping: Cell<bool>,
    /// True after a step or a task has panicked.
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

    /// Returns the account of the memory that the shard holds for its clients.
    pub(crate) fn ledger(&self) -> &Rc<Ledger> {
        &self.ledger
    }

    /// Returns the configuration that the hub was started with.
    pub(crate) fn config(&self) -> &HubConfig {
        &self.shared.config
    }

    /// Begins a connection's turn to read. `kept` are the bytes that its last turn has left unread.
    /// The turn is short if the time of the round is used up, or if publishers must wait. While
    /// memory is exhausted, nothing is received in the turn.
    pub(crate) fn begin_turn(&self, kept: Bytes) {
        self.begin(kept, !self.shared.budget.is_exhausted());
    }

    /// Begins a turn of a connection that discards everything that it receives. Discarding takes no
    /// memory, so the connection may receive even while memory is exhausted.
    pub(crate) fn begin_discarding(&self) {
        self.begin(Bytes::new(), true);
    }

    /// Begins a turn of a connection that has ended and only publishes the messages that waited for
    /// a permit. The turn has no time, and nothing is received in it.
    pub(crate) fn begin_empty_turn(&self) {
        self.begin(Bytes::new(), false);
        *self.turn.borrow_mut() = Allowance::new(Duration::ZERO);
    }

    /// Begins a turn: sets its time limit and the number of bytes that it may receive, and clears
    /// the replies.
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

    /// Clears the shared reply buffer without beginning a turn, so that the connection does not
    /// send replies that the turn of another connection has left there.
    pub(crate) fn clear_replies(&self) {
        self.replies.borrow_mut().clear();
    }

    /// Notes that the connection wants another turn, because it has more to do than fits into this
    /// one. [`queue_if_wanted`](Self::queue_if_wanted) then queues its task.
    pub(crate) fn request_turn(&self) {
        self.wants_turn.set(true);
    }

    /// Queues the connection's task, which is the one that is being polled, for another turn if the
    /// connection has [requested](Self::request_turn) one.
    pub(crate) fn queue_if_wanted(&self, ticket: &mut Ticket, cx: &Context<'_>) {
        if self.wants_turn.take() {
            self.queue(ticket, cx, self.turn_time());
        }
    }

    /// Ends the turn. Returns the bytes that the connection has received and not yet read, which it
    /// keeps for its next turn.
    pub(crate) fn end_turn(&self) -> Bytes {
        self.receive.borrow_mut().end_turn()
    }

    /// Returns the time that the turn had taken when the clock was last read. Zero if it was not
    /// read, because the turn was charged for little work.
    pub(crate) fn turn_time(&self) -> Duration {
        self.turn.borrow().used()
    }

    /// Charges the turn for work that is estimated to take `nanoseconds`.
    pub(crate) fn spend(&self, nanoseconds: u64) {
        self.turn.borrow_mut().spend(nanoseconds);
    }

    /// Reads the clock, and charges the turn with the time that has really passed since it began.
    pub(crate) fn charge_elapsed(&self) {
        self.turn.borrow_mut().charge_elapsed();
    }

    /// Charges the turn for `nanoseconds` of work that it causes in later steps.
    pub(super) fn charge_later(&self, nanoseconds: u64) {
        self.turn.borrow_mut().charge_later(nanoseconds);
    }

    /// Returns true if the turn must end, even if work is left.
    pub(crate) fn is_turn_over(&self) -> bool {
        self.turn.borrow().is_spent()
    }

    /// Queues the task that is being polled, whose last turn took the time `turn`, for one of the
    /// next rounds. Replaces its `ticket`, and wakes the main loop, which begins the rounds.
    pub(crate) fn queue(&self, ticket: &mut Ticket, cx: &Context<'_>, turn: Duration) {
        self.rounds.borrow_mut().queue(ticket, cx.waker(), turn);
        self.inbox().wake();
    }

    /// Returns true if the task with this ticket still waits for another turn. If such a task is
    /// polled, it must not begin a turn. It may return `Pending`, because a round will wake it.
    pub(crate) fn is_queued(&self, ticket: Ticket) -> bool {
        self.rounds.borrow().is_waiting(ticket)
    }

    /// Charges the round with a turn that took the time `turn`. Wakes the main loop if the time of
    /// the round is used up.
    pub(crate) fn charge_round(&self, turn: Duration) {
        if !turn.is_zero() && self.rounds.borrow_mut().charge(turn) {
            // The main loop begins the next round.
            self.inbox().wake();
        }
    }

    /// Runs a step or a turn. Measures its CPU time if the feature `internals` is enabled.
    pub(crate) fn measure<T>(&self, step: impl FnOnce() -> T) -> T {
        self.shared.holds[self.index].measure(step)
    }

    /// Takes the spare inflater, or makes one. A message that is inflated in several turns keeps
    /// its inflater until the last of them.
    pub(crate) fn take_inflater(&self) -> Box<Inflater> {
        self.inflater.take().unwrap_or_default()
    }

    /// Keeps an inflater that is no longer needed as the spare one.
    pub(crate) fn give_back(&self, inflater: Box<Inflater>) {
        self.inflater.set(Some(inflater));
    }

    /// Ends the connection with this key, if the shard still has it.
    pub(super) fn end_connection(&self, key: PeerKey, reason: Disconnect) {
        self.state.borrow_mut().end(key, reason);
    }

    /// Begins a drain: the shard reads from no connection, and takes no new ones.
    pub(super) fn begin_drain(&self, time: DrainTime) {
        self.state.borrow_mut().draining = Some(time);
    }

    /// Returns the time that the drain may take, or `None` if no drain has begun.
    pub(crate) fn draining(&self) -> Option<DrainTime> {
        self.state.borrow().draining
    }

    /// Ends every connection, in several steps. No connection may be added meanwhile, because it
    /// might be missed.
    pub(super) async fn end_all(&self, reason: Disconnect) {
        let mut next_part = Some(0);
        while let Some(part) = next_part {
            let mut allowance = Allowance::new(STEP);
            next_part = self.measure(|| {
                let state = &mut self.state.borrow_mut();
                state.end_part(part, &mut allowance, |_, _| Some(reason))
            });
            yield_now().await;
        }
    }

    /// Waits until no connection is left.
    pub(super) async fn emptied(&self) {
        loop {
            // Made before the check, so that a departure right after the check is not missed.
            let departure = self.departure.notified();
            if self.state.borrow().peers.len() == 0 {
                return;
            }
            departure.await;
        }
    }

    /// Writes the `replies` to a connection, then its outbox, until its socket takes no more or the
    /// connection has had its share. In the latter case the tick is woken to write the rest.
    pub(super) fn write(&self, key: PeerKey, replies: &mut Replies) {
        if self.state.borrow_mut().write(key, replies) {
            self.inbox().wake();
        }
    }

    /// Queues a connection whose task is to be woken when memory is no longer exhausted.
    pub(super) fn wait_to_receive(&self, key: PeerKey) {
        let State {
            receivers, peers, ..
        } = &mut *self.state.borrow_mut();
        receivers.add(key, peers);
        // A main loop at rest waits for memory only if a connection was queued when the rest began.
        // Once it is woken, it rests again, and now waits for memory, too.
        self.inbox().wake();
    }

    /// Returns true if tasks wait for another turn.
    pub(super) fn has_waiting(&self) -> bool {
        !self.rounds.borrow().is_empty()
    }

    /// Begins a round: wakes as many of the tasks that wait for another turn as fit into it.
    pub(super) fn begin_round(&self) {
        self.rounds.borrow_mut().begin();
    }

    /// Makes the main loop end after this step.
    pub(super) fn stop(&self) {
        self.is_stopping.set(true);
    }

    /// Shrinks tables and queues that a burst has left mostly empty.
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

/// Time limit of a turn that begins while publishers must wait, or when the time of the round is
/// used up. Any other turn may take the time [`STEP`]. Most turns need less than either.
const SHORT_TURN: Duration = Duration::from_micros(100);

#[cfg(test)]
impl Shard {
    /// Returns the number of elements that the shard's tables and queues, and the router, have
    /// memory for.
    pub(super) fn capacity(&self) -> usize {
        let state = self.state.borrow();
        let own =
            state.peers.capacity() + state.topics.capacity() + self.rounds.borrow().capacity();
        own + self.inbox().capacity() + self.shared.router.capacity()
    }
}
