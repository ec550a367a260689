//! Attackers by the thousand, from many addresses, that send something and stay connected.

use std::{
    iter,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;

use crate::{
    attack_run::AttackRun,
    crowd::{Answers, Crowd},
};

impl AttackRun<'_> {
    /// Returns `count` divided by the form's divisor.
    pub(crate) fn scaled(&self, count: usize) -> usize {
        count.div_ceil(self.form.divisor)
    }

    /// Opens connections one after the other, and sends the next of `openings` on each, as far as
    /// the server takes it. Reads no answers. Opens `count` of them, divided by the form's divisor,
    /// or fewer if that takes too long.
    pub(crate) fn connect_many(
        &self,
        count: usize,
        openings: impl IntoIterator<Item = Arc<[u8]>>,
    ) -> Result<Crowd> {
        let mut crowd = Crowd::new(Vec::new())?;
        let give_up = Instant::now() + self.form.patience;
        for opening in openings.into_iter().take(self.scaled(count)) {
            crowd.add_and_send(self.server.dial_from_many_addresses()?, opening)?;
            if Instant::now() > give_up {
                break;
            }
        }
        crowd.send_remaining(Instant::now() + self.form.attack)?;
        Ok(crowd)
    }

    /// Opens connections like [`Self::connect_many`], with the same opening on all.
    pub(crate) fn connect_many_alike(&self, count: usize, opening: &[u8]) -> Result<Crowd> {
        let opening: Arc<[u8]> = opening.into();
        self.connect_many(count, iter::repeat(opening))
    }

    /// Sends the remaining bytes and reads nothing until `until`. Then holds the connections open.
    pub(crate) fn hold_unread(&mut self, mut crowd: Crowd, until: Instant) -> Result<()> {
        crowd.flood(until.max(Instant::now() + SETTLE_TIME), Answers::Ignore)?;
        self.hold(crowd);
        Ok(())
    }

    /// Sends the patterns to their end and reads the answers. Then holds the connections open.
    pub(crate) fn hold_when_sent(&mut self, mut crowd: Crowd, until: Instant) -> Result<()> {
        crowd.flood(until, Answers::Read)?;
        // The server shall get all bytes, however busy the machine is.
        let give_up = until + 2 * self.form.attack;
        while crowd.is_sending() && Instant::now() < give_up {
            crowd.flood(Instant::now() + SETTLE_TIME, Answers::Read)?;
        }
        self.hold(crowd);
        Ok(())
    }

    /// Holds the connections open until the server's memory was measured.
    pub(crate) fn hold(&mut self, crowd: Crowd) {
        self.sent += crowd.sent;
        self.held.push(crowd);
    }

    /// Opens many connections, sends `opening` on each, and holds them open without reading.
    pub(crate) fn open_and_hold(&mut self, count: usize, opening: &[u8]) -> Result<()> {
        let until = self.begin();
        let crowd = self.connect_many_alike(count, opening)?;
        self.hold_unread(crowd, until)
    }

    /// Opens many connections and sends its own opening on each, and then the same `messages` on
    /// all. Holds the connections open without reading.
    pub(crate) fn open_each_and_hold(
        &mut self,
        count: usize,
        opening: impl Fn(usize) -> Vec<u8>,
        messages: &[u8],
    ) -> Result<()> {
        let until = self.begin();
        let openings = (0..).map(|index| opening(index).into());
        let mut crowd = self.connect_many(count, openings)?;
        crowd.set_pattern(messages, 1);
        self.hold_unread(crowd, until)
    }
}

/// Least time for the server to read what was sent.
const SETTLE_TIME: Duration = Duration::from_millis(200);
