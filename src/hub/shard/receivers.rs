//! Connections that would receive, and wait until memory is no longer exhausted.
//!
//! A connection whose socket can be read would otherwise have one turn after the other in which it
//! receives nothing. Each that comes here is woken once there is memory: by the tick, which waits for
//! that too.

use std::collections::VecDeque;

use crate::hub::{
    bounds::{allowance::Allowance, budget::Budget},
    capacity,
    ids::PeerKey,
    shard::peers::Peers,
};

/// Those that wait, in the order in which they came.
///
/// Invariant: a peer is in it if and only if it has noted so. Some may have left.
#[derive(Debug, Default)]
pub(in crate::hub) struct Receivers(VecDeque<PeerKey>);

impl Receivers {
    /// Has the task of a connection woken when something may be received.
    pub(in crate::hub) fn add(&mut self, key: PeerKey, peers: &mut Peers) {
        let peer = peers.get_mut(key);
        if let Some(peer) = peer.filter(|peer| !peer.waits_to_receive) {
            peer.waits_to_receive = true;
            self.0.push_back(key);
        }
    }

    /// Wakes those that wait, one after the other, while there is memory and the step is not over.
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

    /// Returns true if there are some that need not wait any more.
    pub(in crate::hub) fn may_wake(&self, budget: &Budget) -> bool {
        !self.is_empty() && !budget.is_exhausted()
    }

    /// Returns true if none waits.
    pub(in crate::hub) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Gives back memory that only many at a time need.
    pub(in crate::hub) fn shrink(&mut self) {
        if let Some(kept) = capacity::excess(self.0.len(), self.0.capacity()) {
            self.0.shrink_to(kept);
        }
    }
}

/// What waking a task takes, in nanoseconds.
const WAKE: u64 = 100;
