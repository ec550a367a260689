//! What an attack has to work with.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;

use crate::{
    attacks::Attack,
    crowd::{Answers, Crowd},
    marks::{Marks, Phase},
    server::Server,
};

/// How long things are measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Form {
    /// Times count, too.
    pub(crate) is_long: bool,
    pub(crate) baseline: Duration,
    pub(crate) attack: Duration,
    /// How long what was sent may take to arrive.
    pub(crate) patience: Duration,
}

impl Form {
    pub(crate) const SHORT: Self = Self {
        is_long: false,
        baseline: Duration::from_millis(200),
        attack: Duration::from_millis(600),
        patience: Duration::from_secs(30),
    };
    pub(crate) const LONG: Self = Self {
        is_long: true,
        baseline: Duration::from_secs(2),
        attack: Duration::from_secs(6),
        patience: Duration::from_secs(90),
    };
}

/// The place where an attack happens.
#[derive(Debug)]
pub(crate) struct Field<'a> {
    pub(crate) server: &'a Server,
    pub(crate) form: Form,
    marks: &'a Marks,
    /// Bytes that the attackers have sent.
    pub(crate) sent: u64,
    /// What did not hold that must.
    pub(crate) broken: Vec<String>,
    /// CPU time of the server when the attack began.
    pub(crate) cpu: Duration,
}

impl<'a> Field<'a> {
    pub(crate) fn new(server: &'a Server, form: Form, marks: &'a Marks) -> Self {
        Self {
            server,
            form,
            marks,
            sent: 0,
            broken: Vec::new(),
            cpu: Duration::ZERO,
        }
    }

    /// Drives the attack at a low priority: what is measured is the server, and not whether the
    /// machine is full of attackers.
    pub(crate) fn run(&mut self, attack: &Attack) {
        let _ = rustix::process::nice(10);
        if let Err(error) = (attack.drive)(self) {
            self.broken.push(format!("the attack failed: {error:#}"));
        }
    }

    /// All is set up: measures what the bystanders have without the attack, and then begins with
    /// it. When it ends.
    pub(crate) fn begin(&mut self) -> Instant {
        self.marks.begin(Phase::Baseline);
        // Not to wait for anything: this is how long is measured.
        thread::sleep(self.form.baseline);
        self.cpu = self.server.cpu().unwrap_or_default();
        self.marks.begin(Phase::Attack);
        Instant::now() + self.form.attack
    }

    /// Notes what does not hold.
    pub(crate) fn expect(&mut self, holds: bool, what: impl Into<String>) {
        if !holds {
            self.broken.push(what.into());
        }
    }

    /// Connects to these paths.
    pub(crate) fn crowd(&self, paths: &[String]) -> Result<Crowd> {
        Crowd::new(self.server.upgrade_all(paths, "")?)
    }

    /// Connections to a path repeat `pattern` as fast as the server takes it.
    pub(crate) fn flood(
        &mut self,
        path: &str,
        connections: usize,
        pattern: &[u8],
        answers: Answers,
    ) -> Result<Crowd> {
        let crowd = self.crowd(&vec![path.to_owned(); connections])?;
        self.flood_with(crowd, pattern, answers)
    }

    /// The same, with connections that there are.
    pub(crate) fn flood_with(
        &mut self,
        mut crowd: Crowd,
        pattern: &[u8],
        answers: Answers,
    ) -> Result<Crowd> {
        crowd.arm(pattern, u64::MAX);
        let until = self.begin();
        crowd.flood(until, answers)?;
        self.sent += crowd.sent;
        Ok(crowd)
    }
}
