//! Connections that would receive, and wait until memory is no longer exhausted.
//!
//! A connection whose socket can be read would otherwise have one turn after the other in which it
//! receives nothing. Each that comes here is woken once there is memory: by the tick, which waits for
//! that too.

use std::collections::VecDeque;

use crate::hub::{bounds::allowance::Allowance, ids::PeerKey, room, shard::state::State};

/// Those that wait, in the order in which they came.
///
/// Invariant: a peer is in it if and only if it has noted so. Some may have left.
#[derive(Debug, Default)]
pub(in crate::hub) struct Receivers(VecDeque<PeerKey>);

impl Receivers {
    /// Gives back room that only many at a time need.
    pub(in crate::hub) fn shrink(&mut self) {
        if let Some(room) = room::excess(self.0.len(), self.0.capacity()) {
            self.0.shrink_to(room);
        }
    }
}

impl State {
    /// Has the task of a connection woken when something may be received.
    pub(in crate::hub) fn wait_to_receive(&mut self, key: PeerKey) {
        let peer = self.peers.get_mut(key);
        if let Some(peer) = peer.filter(|peer| !peer.waits_to_receive) {
            peer.waits_to_receive = true;
            self.receivers.0.push_back(key);
        }
    }

    /// Wakes those that wait, one after the other, while there is memory and the step is not over.
    pub(in crate::hub) fn wake_receivers(&mut self, allowance: &mut Allowance) {
        while self.may_wake_receivers()
            && !allowance.is_spent()
            && let Some(key) = self.receivers.0.pop_front()
        {
            if let Some(peer) = self.peers.get_mut(key) {
                peer.waits_to_receive = false;
                peer.wake();
            }
            allowance.spend(WAKE);
        }
    }

    /// Returns true if there are some that need not wait any more.
    pub(in crate::hub) fn may_wake_receivers(&self) -> bool {
        self.has_receivers() && !self.shared.budget.is_exhausted()
    }

    /// Returns true if there are some that wait.
    pub(in crate::hub) fn has_receivers(&self) -> bool {
        !self.receivers.0.is_empty()
    }
}

/// What waking a task takes, in nanoseconds.
const WAKE: u64 = 100;
