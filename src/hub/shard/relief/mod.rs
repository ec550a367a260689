//! Relief while memory is short: a shard ends its connections that are furthest behind.
//!
//! Subscribers share a message, and it is freed when none of them waits for it any more. So most
//! memory is held for the peers that wait for the oldest messages, and ending the peer with the
//! largest outbox might free nothing. A peer that has begun to send a message and not finished it
//! is behind since the first byte of the message.
//!
//! A peer is not ended before it is behind for as long as a slow consumer may be blocked
//! (`Timeouts::blocked`): a healthy client may pause for so long, and publishers wait meanwhile.
//!
//! A peer that has gone, but does not read what still waits for it, is behind as well: its outbox is
//! emptied. A peer that the server has ended keeps its outbox, because it may still read the Close.
//!
//! The outbox of an ended peer is emptied at once. A message that the peer was sending is freed
//! later, in the next turn of the peer's task. Until then its bytes count as freed already:
//! otherwise more and more peers would be ended for bytes that the first one is about to free. Each
//! shard tells the others the number of these bytes in a [`report`]. [`behind`] has the progress of
//! a shard's relief.

pub(in crate::hub) mod behind;
pub(in crate::hub) mod report;

use std::{collections::BinaryHeap, time::Duration};

use crate::{
    disconnect::Disconnect,
    hub::{
        bounds::{
            allowance::{Allowance, END},
            ledger::Moment,
        },
        ids::PeerKey,
        peer::{Peer, unfinished::Unfinished},
        shard::state::State,
    },
    metrics::incidents::Incident,
};

impl Peer {
    /// Returns the time by which the peer is behind in reading or in sending, whichever is longer,
    /// and the reason to end it for that. `None` if the peer has ended already and nothing waits
    /// for it but, perhaps, a Close with which the server says why.
    fn behind(&self, now: Moment) -> Option<(Duration, Disconnect)> {
        if let Some(reason) = self.ended {
            let oldest = self
                .outbox
                .oldest()
                .filter(|_| reason.close_code().is_none())?;
            return Some((now.since(oldest), Disconnect::SlowConsumer));
        }
        let behind = |since: Option<Moment>| since.map_or(Duration::ZERO, |since| now.since(since));
        // A peer that the hub does not read can't finish its message.
        let unfinished = self.unfinished.filter(|_| !self.is_held_by_hub());
        let unfinished = unfinished.map(|unfinished| unfinished.since);
        let (reading, sending) = (behind(self.outbox.oldest()), behind(unfinished));
        Some(if reading >= sending {
            (reading, Disconnect::SlowConsumer)
        } else {
            (sending, Disconnect::Overloaded)
        })
    }
}

impl State {
    /// Runs a step of the relief: searches the connections for peers that are behind, if a new
    /// search [must](behind::Relief::must_search) begin or one is under way. Then ends the peers
    /// that are furthest behind, one after the other, until memory is no longer short or the step
    /// is over.
    pub(in crate::hub) fn relieve(&mut self, allowance: &mut Allowance) {
        let now = self.ledger.now();
        if self.relief.next_part.is_none() && self.relief.must_search(now) {
            self.relief.searched = Some(now);
            self.relief.next_part = Some(0);
        }
        if !self.search(allowance) {
            return;
        }
        self.end_furthest(allowance);
        if !self.shared.budget.is_crowded() {
            self.stop_relieving();
        }
    }

    /// Ends peers, the furthest behind first, until memory will not be short once their bytes are
    /// freed, or the step is over.
    fn end_furthest(&mut self, allowance: &mut Allowance) {
        self.update_report();
        let (now, least) = (self.ledger.now(), self.least_behind());
        while !allowance.is_spent()
            && self
                .shared
                .budget
                .is_crowded_without(self.bytes_about_to_be_freed())
            && let Some((_, key)) = self.relief.behind.pop()
        {
            // The peer may have caught up since the search.
            let behind = self.peers.get(key).and_then(|peer| peer.behind(now));
            if let Some((_, reason)) = behind.filter(|(behind, _)| *behind >= least) {
                self.drop_behind(key, reason);
                self.count_end(reason);
                self.ledger.report();
                self.update_report();
            }
            allowance.spend(END);
        }
    }

    /// Ends a peer that is behind. If it has ended already, empties its outbox and wakes its task,
    /// which then closes the connection.
    fn drop_behind(&mut self, key: PeerKey, reason: Disconnect) {
        match self.peers.get_mut(key) {
            Some(peer) if peer.ended.is_some() => {
                let incidents = &self.shared.incidents;
                incidents.note_peer(Incident::Evicted, peer.address());
                peer.abandon();
            }
            _ => {
                self.end_for_memory(key, reason, shortage(reason));
                self.relief.ended_amid_message.push(key);
            }
        }
    }

    /// Forgets the peers that are behind, and clears the report, because memory is no longer short.
    pub(in crate::hub) fn stop_relieving(&mut self) {
        if self.relief.is_under_way() {
            self.relief.behind = BinaryHeap::new();
            self.relief.ended_amid_message = Vec::new();
            self.relief.next_part = None;
        }
        self.shared.relief[self.index].clear();
    }

    /// Returns true if the relief has more to do in the next step.
    pub(in crate::hub) fn is_relieving(&self) -> bool {
        let budget = &self.shared.budget;
        // A step ends no more peers if the bytes that all shards are about to free are enough.
        budget.is_crowded()
            && (self.relief.next_part.is_some()
                || !self.relief.ended_amid_message.is_empty()
                || !self.relief.behind.is_empty()
                    && budget.is_crowded_without(self.bytes_about_to_be_freed()))
    }

    /// Returns the least time by which a peer must be behind to be ended: `Timeouts::blocked`, or,
    /// if that is longer, half of the greatest time by which a peer of any shard is behind. So a
    /// shard ends no peer while another shard has one that is behind for more than twice as long.
    fn least_behind(&self) -> Duration {
        let reports = self.shared.relief.iter();
        let furthest = reports.map(|report| report.furthest());
        let furthest = Duration::from_millis(furthest.max().unwrap_or(0));
        self.shared.config.timeouts.blocked.max(furthest / 2)
    }

    /// Continues the search for peers that are behind, if one is under way, until the step is over.
    /// Returns true if the search is done.
    fn search(&mut self, allowance: &mut Allowance) -> bool {
        let (Some(mut part), Some(now)) = (self.relief.next_part, self.relief.searched) else {
            return true;
        };
        let least = self.shared.config.timeouts.blocked;
        while let Some(peers) = self.peers.part(part) {
            if allowance.is_spent() {
                self.relief.next_part = Some(part);
                return false;
            }
            let behind = peers.filter_map(|(key, peer)| {
                allowance.spend(CHECK);
                let (behind, _) = peer.behind(now)?;
                (behind >= least).then_some((milliseconds(behind), key))
            });
            self.relief.behind.extend(behind);
            part += 1;
        }
        self.relief.next_part = None;
        true
    }

    /// Reports to the other shards how far behind this shard's furthest peer is, and how many bytes
    /// its ended peers still hold. First forgets the ended peers whose messages have been freed.
    fn update_report(&mut self) {
        let peers = &self.peers;
        let unfinished = |key| peers.get(key).and_then(|peer| peer.unfinished);
        let ended = &mut self.relief.ended_amid_message;
        ended.retain(|&key| unfinished(key).is_some());
        let messages = ended.iter().filter_map(|&key| unfinished(key));
        let bytes: usize = messages.map(Unfinished::held_bytes).sum();
        let furthest = self.relief.behind.peek().map_or(0, |(behind, _)| *behind);
        self.shared.relief[self.index].set(furthest.into(), bytes as u64);
    }

    /// Returns the number of bytes that ended peers of all shards together are about to free.
    fn bytes_about_to_be_freed(&self) -> u64 {
        let reports = self.shared.relief.iter();
        reports.map(|report| report.bytes_about_to_be_freed()).sum()
    }

    /// Counts the end of a peer for the metrics: as one that was slow to send its message, or as
    /// one that was slow to read.
    fn count_end(&self, reason: Disconnect) {
        let counts = &self.shared.budget.counts;
        match shortage(reason) {
            Incident::Unfinished => counts.unfinished.increment(),
            _ => counts.evicted.increment(),
        }
    }
}

/// Returns the shortage for which a peer is ended with this reason.
fn shortage(reason: Disconnect) -> Incident {
    match reason {
        Disconnect::Overloaded => Incident::Unfinished,
        _ => Incident::Evicted,
    }
}

fn milliseconds(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

/// The cost of checking in a search whether a connection is behind, in nanoseconds.
const CHECK: u64 = 60;

#[cfg(test)]
mod tests;
