//! Who goes on when: the tasks of a shard that have had their turn and are not done.
//!
//! A task that is always ready would be polled again before anybody looks at the sockets. Here it
//! waits instead, and after each look the tick lets as many go on as fit into a round, oldest
//! first. So whoever has become ready meanwhile comes first, and of those that are always ready
//! each has one turn after the other.

use std::{collections::VecDeque, task::Waker, time::Duration};

use crate::hub::capacity;

/// The tasks that wait for another turn.
#[derive(Debug, Default)]
pub(in crate::hub) struct Rounds {
    waiting: VecDeque<WaitingTask>,
    /// The ticket of the last task that was let go on.
    called: u64,
    /// How long the turns since the last look at the sockets took; short ones do not count.
    used: Duration,
}

/// The place of a task in the queue: one that waits already is not queued again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ticket(u64);

#[derive(Debug)]
struct WaitingTask {
    waker: Waker,
    /// How long its last turn took.
    turn: Duration,
}

impl Rounds {
    /// Queues a task whose last turn took `turn`, unless it waits with its `ticket` already.
    pub(in crate::hub) fn wait(&mut self, ticket: &mut Ticket, waker: &Waker, turn: Duration) {
        if !self.is_waiting(*ticket) {
            let waker = waker.clone();
            self.waiting.push_back(WaitingTask { waker, turn });
            *ticket = Ticket(self.called + self.waiting.len() as u64);
        }
    }

    /// Returns true if a task with this ticket still waits.
    pub(in crate::hub) fn is_waiting(&self, ticket: Ticket) -> bool {
        ticket.0 > self.called
    }

    /// Takes note of a turn that took `turn`. Returns true if the round is over with it.
    pub(in crate::hub) fn use_up(&mut self, turn: Duration) -> bool {
        self.used += turn;
        self.is_over()
    }

    /// Returns true if turns are to be short until the sockets were looked at.
    pub(in crate::hub) fn is_over(&self) -> bool {
        self.used >= ROUND
    }

    /// Begins a round: the sockets were just looked at.
    pub(in crate::hub) fn begin(&mut self) {
        self.used = Duration::ZERO;
        let mut expected = Duration::ZERO;
        while expected < ROUND
            && let Some(WaitingTask { waker, turn }) = self.waiting.pop_front()
        {
            self.called += 1;
            expected += turn.max(SHORTEST_TURN);
            waker.wake();
        }
    }

    pub(in crate::hub) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Gives back memory that only many tasks at a time need.
    pub(in crate::hub) fn shrink(&mut self) {
        if let Some(kept) = capacity::excess(self.waiting.len(), self.waiting.capacity()) {
            self.waiting.shrink_to(kept);
        }
    }
}

/// The time for the long turns between two looks at the sockets: two of them. It is what somebody
/// who has become ready waits for at least.
const ROUND: Duration = Duration::from_millis(1);

/// What a turn counts for at least: ten times what a round costs.
const SHORTEST_TURN: Duration = Duration::from_micros(20);

#[cfg(test)]
impl Rounds {
    /// For how many elements there is memory.
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

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    #[test]
    fn a_round_lets_as_many_go_on_as_fit_into_it_oldest_first() {
        let mut rounds = Rounds::default();
        let tasks: Vec<Arc<Woken>> = (0..5).map(|_| Arc::default()).collect();
        for task in &tasks {
            let waker = Waker::from(Arc::clone(task));
            let mut ticket = Ticket::default();
            rounds.wait(&mut ticket, &waker, ROUND / 2);
            rounds.wait(&mut ticket, &waker, ROUND / 2);
            assert!(rounds.is_waiting(ticket), "once");
        }
        let woken = || {
            tasks
                .iter()
                .map(|task| task.0.load(Relaxed))
                .collect::<Vec<_>>()
        };
        rounds.begin();
        assert_eq!(woken(), [1, 1, 0, 0, 0]);
        rounds.begin();
        assert_eq!(woken(), [1, 1, 1, 1, 0]);
        rounds.begin();
        assert_eq!(woken(), [1, 1, 1, 1, 1]);
        assert!(rounds.is_empty());
    }

    #[test]
    fn a_round_is_over_when_its_time_is_used_and_the_next_one_begins_with_a_look() {
        let mut rounds = Rounds::default();
        assert!(!rounds.use_up(ROUND / 2));
        assert!(rounds.use_up(ROUND / 2));
        rounds.begin();
        assert!(!rounds.is_over());
    }
}
