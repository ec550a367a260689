//! Rounds: a queue of tasks that have had their turn and have more to do.
//!
//! tokio alone would poll a task that is always ready several times between two polls of the
//! sockets. Here such a task waits instead. Each time that tokio has polled the sockets, the main
//! loop of the shard begins a *round*: it wakes as many of the waiting tasks as fit into the time
//! of a round, oldest first. So tasks whose sockets have become ready meanwhile run first, and
//! tasks that are always ready take turns.

use std::{collections::VecDeque, task::Waker, time::Duration};

use crate::hub::capacity;

/// The tasks that wait for another turn.
#[derive(Debug, Default)]
pub(in crate::hub) struct Rounds {
    waiting: VecDeque<WaitingTask>,
    /// The ticket of the last task that was woken.
    last_woken: u64,
    /// Time that turns have taken since the sockets were last polled. Turns that are too short to
    /// be measured do not count.
    used: Duration,
}

/// The number of a task in the queue. The task keeps it, so that it is not queued a second time
/// while it still waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ticket(u64);

#[derive(Debug)]
struct WaitingTask {
    waker: Waker,
    /// Time that the task's last turn took.
    turn: Duration,
}

impl Rounds {
    /// Queues a task, whose last turn took the time `turn`, and replaces its `ticket`. Does nothing
    /// if the task still waits with its `ticket`.
    pub(in crate::hub) fn queue(&mut self, ticket: &mut Ticket, waker: &Waker, turn: Duration) {
        if !self.is_waiting(*ticket) {
            let waker = waker.clone();
            self.waiting.push_back(WaitingTask { waker, turn });
            // Tickets are numbered in the order in which the tasks are woken.
            *ticket = Ticket(self.last_woken + self.waiting.len() as u64);
        }
    }

    /// Returns true if a task with this ticket still waits.
    pub(in crate::hub) fn is_waiting(&self, ticket: Ticket) -> bool {
        ticket.0 > self.last_woken
    }

    /// Charges the round with a turn that took the time `turn`. Returns true if the round is over.
    pub(in crate::hub) fn charge(&mut self, turn: Duration) -> bool {
        self.used += turn;
        self.is_over()
    }

    /// Returns true if the time of the round is used up. Until the next round begins, turns are
    /// short.
    pub(in crate::hub) fn is_over(&self) -> bool {
        self.used >= ROUND
    }

    /// Begins a round, just after the sockets were polled: wakes the tasks that fit into it if each
    /// takes as long as in its last turn.
    pub(in crate::hub) fn begin(&mut self) {
        self.used = Duration::ZERO;
        let mut expected = Duration::ZERO;
        while expected < ROUND
            && let Some(WaitingTask { waker, turn }) = self.waiting.pop_front()
        {
            self.last_woken += 1;
            expected += turn.max(SHORTEST_TURN);
            waker.wake();
        }
    }

    pub(in crate::hub) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Shrinks the queue if it is mostly empty.
    pub(in crate::hub) fn shrink(&mut self) {
        if let Some(kept) = capacity::excess(self.waiting.len(), self.waiting.capacity()) {
            self.waiting.shrink_to(kept);
        }
    }
}

/// Time for long turns between two polls of the sockets: enough for two turns of the greatest
/// length. While tasks wait for such turns, a connection whose socket becomes ready waits until a
/// round of this length is over.
const ROUND: Duration = Duration::from_millis(1);

/// The least time that the turn of a waiting task is expected to take: ten times the cost of a
/// round.
const SHORTEST_TURN: Duration = Duration::from_micros(20);

#[cfg(test)]
impl Rounds {
    /// Returns the number of tasks that the queue has memory for.
    pub(in crate::hub) fn capacity(&self) -> usize {
        self.waiting.capacity()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering::Relaxed},
        },
        task::Wake,
    };

    use super::*;

    /// A waker that counts how often it was woken.
    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    #[test]
    fn a_round_wakes_as_many_tasks_as_fit_into_it_oldest_first() {
        let mut rounds = Rounds::default();
        let tasks: Vec<Arc<Woken>> = (0..5).map(|_| Arc::default()).collect();
        for task in &tasks {
            let waker = Waker::from(Arc::clone(task));
            let mut ticket = Ticket::default();
            rounds.queue(&mut ticket, &waker, ROUND / 2);
            // Has no effect, because the task waits already.
            rounds.queue(&mut ticket, &waker, ROUND / 2);
            assert!(rounds.is_waiting(ticket));
        }
        let woken = || {
            tasks
                .iter()
                .map(|task| task.0.load(Relaxed))
                .collect::<Vec<_>>()
        };
        // Two tasks fit into a round, because the last turn of each took half of its time.
        rounds.begin();
        assert_eq!(woken(), [1, 1, 0, 0, 0]);
        rounds.begin();
        assert_eq!(woken(), [1, 1, 1, 1, 0]);
        rounds.begin();
        assert_eq!(woken(), [1, 1, 1, 1, 1]);
        assert!(rounds.is_empty());
    }

    #[test]
    fn a_round_is_over_when_its_time_is_used_up_until_the_next_one_begins() {
        let mut rounds = Rounds::default();
        assert!(!rounds.charge(ROUND / 2));
        assert!(rounds.charge(ROUND / 2));
        rounds.begin();
        assert!(!rounds.is_over());
    }
}
