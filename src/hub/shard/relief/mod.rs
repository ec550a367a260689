//! Relief while memory is short: whoever is furthest behind is ended first.
//!
//! Messages are shared, and freed when nobody waits for them any more. So what is held is mostly held
//! for those who wait for the oldest messages, and ending the largest outbox might free nothing. A
//! message that has begun and not ended counts as behind from its first byte.
//!
//! Nobody is ended who is behind for less than a slow consumer may be blocked: that is what a pause
//! of a healthy client looks like, and publishers wait meanwhile.
//!
//! An outbox is emptied when its peer is ended; an unfinished message is given back later, when the
//! connection's task has its turn. Until then it counts as given back, or everybody would be ended
//! for what the first of them is about to give back. Each shard reports that to the others: [`report`].
//! [`behind`] is how far the relief of a shard has come.

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
        peer::{Peer, Unfinished},
        shard::state::State,
    },
};

impl Peer {
    /// Returns how far the peer is behind with what it reads or sends, and what it is to be ended for.
    fn behind(&self, now: Moment) -> Option<(Duration, Disconnect)> {
        if self.ended.is_some() {
            return None;
        }
        let behind = |since: Option<Moment>| since.map_or(Duration::ZERO, |since| now.since(since));
        // Whoever is not read can't send the end.
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
    /// Looks at all connections, and ends those who are furthest behind, one after the other, until
    /// memory is no longer short or the step is over.
    pub(in crate::hub) fn relieve(&mut self, allowance: &mut Allowance) {
        let now = self.ledger.now();
        if self.relief.next_part.is_none() && self.relief.must_look(now) {
            self.relief.looked = Some(now);
            self.relief.next_part = Some(0);
        }
        if !self.look_for_behind(allowance) {
            return;
        }
        self.end_furthest(allowance);
        if !self.shared.budget.is_crowded() {
            self.stop_relieving();
        }
    }

    /// Ends those who are furthest behind until that is enough, or the step is over.
    fn end_furthest(&mut self, allowance: &mut Allowance) {
        self.tell_relief();
        let (now, least) = (self.ledger.now(), self.least_behind());
        while !allowance.is_spent()
            && self.shared.budget.is_crowded_without(self.leaving_bytes())
            && let Some((_, key)) = self.relief.behind.pop()
        {
            // It may have caught up.
            let behind = self.peers.get(key).and_then(|peer| peer.behind(now));
            if let Some((_, reason)) = behind.filter(|(behind, _)| *behind >= least) {
                self.end(key, reason);
                self.relief.leaving.push(key);
                self.count_relief(reason);
                self.ledger.tell();
                self.tell_relief();
            }
            allowance.spend(END);
        }
    }

    /// Forgets who is behind: there is room.
    pub(in crate::hub) fn stop_relieving(&mut self) {
        if self.relief.is_under_way() {
            self.relief.behind = BinaryHeap::new();
            self.relief.leaving = Vec::new();
            self.relief.next_part = None;
        }
        self.shared.relief[self.index].clear();
    }

    /// Returns true if the next step goes on with it.
    pub(in crate::hub) fn is_relieving(&self) -> bool {
        let budget = &self.shared.budget;
        // What another shard is about to give back is waited for, and not looked for.
        budget.is_crowded()
            && (self.relief.next_part.is_some()
                || !self.relief.leaving.is_empty()
                || !self.relief.behind.is_empty()
                    && budget.is_crowded_without(self.leaving_bytes()))
    }

    /// Returns how far behind one must be to be ended: shards that have somebody further behind
    /// come first.
    fn least_behind(&self) -> Duration {
        let reports = self.shared.relief.iter();
        let furthest = reports.map(|report| report.furthest());
        let furthest = Duration::from_millis(furthest.max().unwrap_or(0));
        self.shared.config.timeouts.blocked.max(furthest / 2)
    }

    /// Goes on with the look at all connections, if one is under way, until the step is over. Returns
    /// true if none is left to be looked at.
    fn look_for_behind(&mut self, allowance: &mut Allowance) -> bool {
        let (Some(mut at), Some(now)) = (self.relief.next_part, self.relief.looked) else {
            return true;
        };
        let least = self.shared.config.timeouts.blocked;
        while let Some(part) = self.peers.part(at) {
            if allowance.is_spent() {
                self.relief.next_part = Some(at);
                return false;
            }
            let behind = part.filter_map(|(key, peer)| {
                allowance.spend(LOOK);
                let (behind, _) = peer.behind(now)?;
                (behind >= least).then_some((milliseconds(behind), key))
            });
            self.relief.behind.extend(behind);
            at += 1;
        }
        self.relief.next_part = None;
        true
    }

    /// Tells the other shards how far behind somebody is here, and what is about to be given back.
    fn tell_relief(&mut self) {
        let peers = &self.peers;
        let unfinished = |key| peers.get(key).and_then(|peer| peer.unfinished);
        self.relief.leaving.retain(|&key| unfinished(key).is_some());
        let leaving = self
            .relief
            .leaving
            .iter()
            .filter_map(|&key| unfinished(key));
        let leaving: usize = leaving.map(Unfinished::held_bytes).sum();
        let furthest = self.relief.behind.peek().map_or(0, |(behind, _)| *behind);
        self.shared.relief[self.index].tell(furthest.into(), leaving as u64);
    }

    /// Returns what those who were ended are about to give back on all shards.
    fn leaving_bytes(&self) -> u64 {
        let reports = self.shared.relief.iter();
        reports.map(|report| report.leaving_bytes()).sum()
    }

    fn count_relief(&self, reason: Disconnect) {
        let counts = &self.shared.budget.counts;
        match reason {
            Disconnect::Overloaded => counts.unfinished.increment(),
            _ => counts.evicted.increment(),
        }
    }
}

fn milliseconds(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

/// What a look at a connection takes, in nanoseconds.
const LOOK: u64 = 60;

#[cfg(test)]
mod tests;
