//! Attackers by the thousand, who come from afar, say something, and stay.

use std::{
    iter,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;

use crate::{
    crowd::{Answers, Crowd},
    field::Field,
};

impl Field<'_> {
    /// As many of `count` as there are in this form.
    pub(crate) fn many(&self, count: usize) -> usize {
        count.div_ceil(self.form.one_in)
    }

    /// One of `count` after the other connects and says the next of `openings`, as far as the
    /// server takes it; no answer is read.
    pub(crate) fn masses(
        &self,
        count: usize,
        openings: impl IntoIterator<Item = Arc<[u8]>>,
    ) -> Result<Crowd> {
        let mut crowd = Crowd::new(Vec::new())?;
        let give_up = Instant::now() + self.form.patience;
        for opening in openings.into_iter().take(self.many(count)) {
            crowd.join_with(self.server.dial_from_afar()?, opening)?;
            if Instant::now() > give_up {
                break;
            }
        }
        crowd.pour(Instant::now() + self.form.attack)?;
        Ok(crowd)
    }

    /// The same, where all say the same.
    pub(crate) fn masses_of(&self, count: usize, opening: &[u8]) -> Result<Crowd> {
        let opening: Arc<[u8]> = opening.into();
        self.masses(count, iter::repeat(opening))
    }

    /// They read nothing until then, go on with what they have to send, and stay.
    pub(crate) fn stay(&mut self, mut crowd: Crowd, until: Instant) -> Result<()> {
        crowd.flood(until.max(Instant::now() + A_WHILE), Answers::Leave)?;
        self.hold(crowd);
        Ok(())
    }

    /// They send what they have, read what they are answered, and stay.
    pub(crate) fn work_off(&mut self, mut crowd: Crowd, until: Instant) -> Result<()> {
        crowd.flood(until, Answers::Read)?;
        // However busy the machine is, the server shall be asked for all that.
        let give_up = until + 2 * self.form.attack;
        while crowd.is_sending() && Instant::now() < give_up {
            crowd.flood(Instant::now() + A_WHILE, Answers::Read)?;
        }
        self.hold(crowd);
        Ok(())
    }

    /// They stay until it was seen what they have cost.
    pub(crate) fn hold(&mut self, crowd: Crowd) {
        self.sent += crowd.sent;
        self.held.push(crowd);
    }

    /// Masses that say something, and are then left alone.
    pub(crate) fn left_alone(&mut self, count: usize, opening: &[u8]) -> Result<()> {
        let until = self.begin();
        let crowd = self.masses_of(count, opening)?;
        self.stay(crowd, until)
    }

    /// The same, where each opens with something else, and all go on with the same.
    pub(crate) fn left_alone_each(
        &mut self,
        count: usize,
        opening: impl Fn(usize) -> Vec<u8>,
        words: &[u8],
    ) -> Result<()> {
        let until = self.begin();
        let openings = (0..).map(|index| opening(index).into());
        let mut crowd = self.masses(count, openings)?;
        crowd.arm(words, 1);
        self.stay(crowd, until)
    }
}

/// Long enough for the server to have seen what was sent.
const A_WHILE: Duration = Duration::from_millis(200);
