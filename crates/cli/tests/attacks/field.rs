//! What an attack has to work with.

use std::{
    io::Write,
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use socket2::SockRef;

use crate::{
    attacks::Attack,
    crowd::{Answers, Crowd},
    marks::{Marks, Phase},
    server::{PATIENCE, Server},
};

/// How long things are measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Form {
    /// Times count, too.
    pub(crate) is_long: bool,
    pub(crate) baseline: Duration,
    pub(crate) attack: Duration,
    /// How long what was sent may take to arrive, and thousands of attackers to connect.
    pub(crate) patience: Duration,
    /// How long all attacks on memory go on together.
    pub(crate) together: Duration,
    /// Of the thousands who are after memory there is one in so many.
    pub(crate) one_in: usize,
    /// When it is looked how much is still resident after attackers have gone.
    pub(crate) rest: Option<Duration>,
}

impl Form {
    pub(crate) const SHORT: Self = Self {
        is_long: false,
        baseline: Duration::from_millis(100),
        attack: Duration::from_millis(400),
        patience: Duration::from_secs(30),
        together: Duration::from_secs(8),
        one_in: 8,
        rest: None,
    };
    pub(crate) const LONG: Self = Self {
        is_long: true,
        baseline: Duration::from_secs(2),
        attack: Duration::from_secs(6),
        patience: Duration::from_secs(90),
        together: Duration::from_secs(60),
        one_in: 1,
        rest: Some(Duration::from_secs(30)),
    };

    /// Of an attack beside all others: all together stay below 20,000 descriptors.
    fn of_many(self) -> Self {
        Self {
            one_in: 2 * self.one_in.max(4),
            patience: Duration::from_secs(3),
            rest: None,
            ..self
        }
    }
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
    /// Stays connected to the end, and never answers.
    pub(crate) silent: Option<TcpStream>,
    /// Stay connected until it was seen what they cost.
    pub(crate) held: Vec<Crowd>,
    /// Other attacks are under way beside this one, and the bystanders are not its own.
    is_one_of_many: bool,
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
            silent: None,
            held: Vec::new(),
            is_one_of_many: false,
        }
    }

    /// The same place, for one attack of many.
    pub(crate) fn for_one_of_many(&self) -> Self {
        Self {
            is_one_of_many: true,
            ..Self::new(self.server, self.form.of_many(), self.marks)
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
        if self.is_one_of_many {
            return Instant::now() + self.form.attack;
        }
        self.marks.begin(Phase::Baseline);
        // Not to wait for anything: this is how long is measured.
        thread::sleep(self.form.baseline);
        self.marks.begin(Phase::Pause);
        thread::sleep(PAUSE);
        self.cpu = self.server.cpu().unwrap_or_default();
        self.marks.begin(Phase::Attack);
        Instant::now() + self.form.attack
    }

    /// Nothing more is due for the bystanders.
    pub(crate) fn end(&self) {
        self.marks.begin(Phase::After);
    }

    /// Notes what does not hold.
    pub(crate) fn expect(&mut self, holds: bool, what: impl Into<String>) {
        if !holds {
            self.broken.push(what.into());
        }
    }

    /// Attackers that ask for something get an answer, however late.
    pub(crate) fn expect_answer(&mut self, crowd: &mut Crowd) -> Result<()> {
        let is_answered = crowd.is_answered(PATIENCE)?;
        self.expect(is_answered, "no attacker was answered");
        Ok(())
    }

    /// Connects to these paths.
    pub(crate) fn crowd(&self, paths: &[String]) -> Result<Crowd> {
        Crowd::new(self.server.upgrade_all(paths, "")?)
    }

    /// Connects to a path, and says something there already.
    pub(crate) fn crowd_after(
        &self,
        path: &str,
        connections: usize,
        opening: &[u8],
    ) -> Result<Crowd> {
        let mut sockets = self
            .server
            .upgrade_all(&vec![path.to_owned(); connections], "")?;
        for socket in &mut sockets {
            socket.write_all(opening)?;
        }
        Crowd::new(sockets)
    }

    /// Connections that are asked for nothing yet, on each shard in turn.
    pub(crate) fn plain(&self, connections: usize) -> Result<Crowd> {
        Crowd::new(self.server.dial_all(connections)?)
    }

    /// Plain connections repeat requests as fast as the server takes them.
    pub(crate) fn requests(&mut self, connections: usize, requests: &[u8]) -> Result<Crowd> {
        let crowd = self.plain(connections)?;
        self.flood_with(crowd, requests, Answers::Read)
    }

    /// Connections come, say `bytes` and go, some at a time, until then and until there were
    /// `least`. The last of them.
    pub(crate) fn churn(
        &mut self,
        until: Instant,
        bytes: &[u8],
        departure: Departure,
        least: usize,
    ) -> Result<Crowd> {
        let give_up = until + LEAST_WITHIN;
        let mut count = 0;
        loop {
            let sockets: Result<Vec<_>> = (0..BATCH).map(|_| self.comes_and_goes()).collect();
            let mut crowd = Crowd::new(sockets?)?;
            if !bytes.is_empty() {
                crowd.arm(bytes, 1);
            }
            let answers = match departure {
                Departure::AtOnce => Answers::Leave,
                Departure::Answered => Answers::Read,
            };
            let wait = Instant::now() + departure.wait();
            crowd.flood(wait, answers)?;
            self.sent += crowd.sent;
            count += BATCH;
            let now = Instant::now();
            if now >= until && count >= least || now >= give_up {
                return Ok(crowd);
            }
        }
    }

    /// A connection whose end is a reset, which leaves no port behind.
    fn comes_and_goes(&self) -> Result<TcpStream> {
        let socket = self.server.dial()?;
        SockRef::from(&socket).set_linger(Some(Duration::ZERO))?;
        Ok(socket)
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
        self.flood_armed(crowd, answers)
    }

    /// The same, with connections that know what to send.
    pub(crate) fn flood_armed(&mut self, mut crowd: Crowd, answers: Answers) -> Result<Crowd> {
        let until = self.begin();
        crowd.flood(until, answers)?;
        self.sent += crowd.sent;
        Ok(crowd)
    }
}

/// Longer than anything is under way without an attack.
const PAUSE: Duration = Duration::from_millis(50);

/// When those go who only come for a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Departure {
    /// As soon as they have said what they came for.
    AtOnce,
    /// When the server has ended them, or does not.
    Answered,
}

impl Departure {
    fn wait(self) -> Duration {
        match self {
            Self::AtOnce => Duration::from_millis(1),
            Self::Answered => Duration::from_secs(3),
        }
    }
}

/// Connections that come at a time.
const BATCH: usize = 32;

/// How long churning may go on to have had enough of it.
const LEAST_WITHIN: Duration = Duration::from_secs(5);
