//! The queue of connections that wait to receive until memory is no longer exhausted.
//!
//! Without the queue, a connection with a readable socket would have one turn after the other in
//! which it may receive nothing. The tick wakes the connections when memory is no longer exhausted.
//! While connections are queued, the end of the exhaustion also wakes a shard at rest.

use std::collections::VecDeque;

use crate::hub::{
    bounds::{allowance::Allowance, budget::Budget},
    capacity,
    ids::PeerKey,
    shard::peers::Peers,
};

/// The connections that wait, in the order in which they began to wait.
///
/// Invariant: the key of a peer is in the queue if and only if its `waits_to_receive` is true. Keys
/// of removed peers may be in the queue, too.
#[derive(Debug, Default)]
pub(in crate::hub) struct Receivers(VecDeque<PeerKey>);

impl Receivers {
    /// Queues a connection whose task is to be woken when it may receive. Does nothing if the
    /// connection is queued already.
    pub(in crate::hub) fn add(&mut self, key: PeerKey, peers: &mut Peers) {
        let peer = peers.get_mut(key);
        if let Some(peer) = peer.filter(|peer| !peer.waits_to_receive) {
            peer.waits_to_receive = true;
            self.0.push_back(key);
        }
    }

    /// Wakes the tasks of the connections, one after the other, until memory is exhausted again or
    /// the step is over.
    pub(in crate::hub) fn wake(
        &mut self,
        peers: &mut Peers,
        budget: &Budget,
        allowance: &mut Allowance,
    ) {
        while self.may_wake(budget)
            && !allowance.is_spent()
            && let Some(key) = self.0.pop_front()
        {
            if let Some(peer) = peers.get_mut(key) {
                peer.waits_to_receive = false;
                peer.wake();
            }
            allowance.spend(WAKE);
        }
    }

    /// Returns true if connections wait and memory is no longer exhausted.
    pub(in crate::hub) fn may_wake(&self, budget: &Budget) -> bool {
        !self.is_empty() && !budget.is_exhausted()
    }

    /// Returns true if no connection waits.
    pub(in crate::hub) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Shrinks the queue if it is mostly empty.
    pub(in crate::hub) fn shrink(&mut self) {
        if let Some(kept) = capacity::excess(self.0.len(), self.0.capacity()) {
            self.0.shrink_to(kept);
        }
    }
}

/// The cost of waking a task, in nanoseconds.
const WAKE: u64 = 100;
