//! Everything that an attack has to work with: the server, the durations, and the attackers.

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
    server::{PATIENCE, Server},
    timeline::{Phase, Timeline},
};

/// The short or the long form of the tests: durations, and the number of attackers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Form {
    /// True for the long form, in which latencies are checked against their bounds, too.
    pub(crate) is_long: bool,
    /// Time for which latencies are measured without the attack.
    pub(crate) baseline: Duration,
    /// Time for which latencies are measured under the attack.
    pub(crate) attack: Duration,
    /// Longest wait for all messages to arrive, and longest time that thousands of attackers may
    /// take to connect.
    pub(crate) patience: Duration,
    /// Duration of the attack `memory-all-at-once`.
    pub(crate) together: Duration,
    /// Divisor for the number of attackers in attacks on memory: 1 in the long form, more in the
    /// short form.
    pub(crate) divisor: usize,
    /// Time between the disconnection of the attackers and the last measurement of memory. `None`
    /// if memory is not measured again.
    pub(crate) settle_time: Option<Duration>,
}

impl Form {
    pub(crate) const SHORT: Self = Self {
        is_long: false,
        baseline: Duration::from_millis(100),
        attack: Duration::from_millis(400),
        patience: Duration::from_secs(30),
        together: Duration::from_secs(8),
        divisor: 8,
        settle_time: None,
    };
    pub(crate) const LONG: Self = Self {
        is_long: true,
        baseline: Duration::from_secs(2),
        attack: Duration::from_secs(6),
        patience: Duration::from_secs(90),
        together: Duration::from_secs(60),
        divisor: 1,
        settle_time: Some(Duration::from_secs(30)),
    };

    /// Returns the form for one of many attacks that run at the same time. It has so few attackers
    /// that all these attacks together stay below 20,000 file descriptors.
    fn for_parallel_attack(self) -> Self {
        Self {
            divisor: 2 * self.divisor.max(4),
            patience: Duration::from_secs(3),
            settle_time: None,
            ..self
        }
    }
}

/// One run of an attack.
#[derive(Debug)]
pub(crate) struct AttackRun<'a> {
    pub(crate) server: &'a Server,
    pub(crate) form: Form,
    timeline: &'a Timeline,
    /// Bytes that the attackers have sent.
    pub(crate) sent: u64,
    /// Expectations that did not hold.
    pub(crate) broken: Vec<String>,
    /// CPU time of the server when the attack began.
    pub(crate) cpu: Duration,
    /// A connection of the attack that stays open until the server ends. It never answers the
    /// server's Close.
    pub(crate) silent: Option<TcpStream>,
    /// Attackers that stay connected until the server's memory at the end of the attack was
    /// measured.
    pub(crate) held: Vec<Crowd>,
    /// True if other attacks run at the same time, with the same bystanders.
    is_parallel: bool,
}

impl<'a> AttackRun<'a> {
    pub(crate) fn new(server: &'a Server, form: Form, timeline: &'a Timeline) -> Self {
        Self {
            server,
            form,
            timeline,
            sent: 0,
            broken: Vec::new(),
            cpu: Duration::ZERO,
            silent: None,
            held: Vec::new(),
            is_parallel: false,
        }
    }

    /// Returns a run for one of several attacks that run at the same time.
    pub(crate) fn for_parallel_attack(&self) -> Self {
        Self {
            is_parallel: true,
            ..Self::new(self.server, self.form.for_parallel_attack(), self.timeline)
        }
    }

    /// Drives the attack from this thread, at a low priority, so that the attackers do not take the
    /// CPU from the bystanders: a measured latency shall be caused by the server alone.
    pub(crate) fn drive(&mut self, attack: &Attack) {
        let _ = rustix::process::nice(10);
        if let Err(error) = (attack.drive)(self) {
            self.broken.push(format!("the attack failed: {error:#}"));
        }
    }

    /// Measures the bystanders' latency without the attack, then begins the phase of the attack.
    /// Does neither if other attacks run at the same time. An attack calls this when its first
    /// connections are set up. Returns the time at which the attack ends.
    pub(crate) fn begin(&mut self) -> Instant {
        if self.is_parallel {
            return Instant::now() + self.form.attack;
        }
        self.timeline.begin(Phase::Baseline);
        // The measurement takes this time. No event is waited for.
        thread::sleep(self.form.baseline);
        self.timeline.begin(Phase::Pause);
        thread::sleep(PAUSE);
        self.cpu = self.server.cpu().unwrap_or_default();
        self.timeline.begin(Phase::Attack);
        Instant::now() + self.form.attack
    }

    /// Ends the phase of the attack: the bystanders send nothing more.
    pub(crate) fn end(&self) {
        self.timeline.begin(Phase::After);
    }

    /// Adds the failure `what` to `broken` if `holds` is false.
    pub(crate) fn expect(&mut self, holds: bool, what: impl Into<String>) {
        if !holds {
            self.broken.push(what.into());
        }
    }

    /// Waits for up to [`PATIENCE`] until any attacker of `crowd` has received something, now or
    /// before. Adds a failure to `broken` if none has.
    pub(crate) fn expect_answer(&mut self, crowd: &mut Crowd) -> Result<()> {
        let is_answered = crowd.wait_for_answer(PATIENCE)?;
        self.expect(is_answered, "no attacker was answered");
        Ok(())
    }

    /// Opens a WebSocket on each of these paths.
    pub(crate) fn connect(&self, paths: &[String]) -> Result<Crowd> {
        Crowd::new(self.server.upgrade_all(paths, "")?)
    }

    /// Opens WebSockets on one path and sends `opening` on each, before latencies are measured.
    pub(crate) fn connect_and_send(
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

    /// Opens TCP connections without a request, on each shard in turn.
    pub(crate) fn connect_plain(&self, connections: usize) -> Result<Crowd> {
        Crowd::new(self.server.dial_all(connections)?)
    }

    /// Opens connections, begins the attack, and repeats HTTP requests on each connection, as fast
    /// as the server takes them.
    pub(crate) fn flood_with_requests(
        &mut self,
        connections: usize,
        requests: &[u8],
    ) -> Result<Crowd> {
        let crowd = self.connect_plain(connections)?;
        self.flood_with(crowd, requests, Answers::Read)
    }

    /// Opens 32 connections, sends `bytes` on each, and resets them at the time that `departure`
    /// says. Repeats this until the time `until`, and longer if fewer than `least` connections were
    /// opened by then. Returns the last 32 connections, which are reset when they are dropped.
    pub(crate) fn churn(
        &mut self,
        until: Instant,
        bytes: &[u8],
        departure: Departure,
        least: usize,
    ) -> Result<Crowd> {
        let give_up = until + EXTRA_TIME;
        let mut count = 0;
        loop {
            let sockets: Result<Vec<_>> = (0..BATCH).map(|_| self.dial_to_reset()).collect();
            let mut crowd = Crowd::new(sockets?)?;
            if !bytes.is_empty() {
                crowd.set_pattern(bytes, 1);
            }
            let answers = match departure {
                Departure::AtOnce => Answers::Ignore,
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

    /// Opens a connection that ends with a RST when it is dropped, which leaves no port in
    /// TIME_WAIT.
    fn dial_to_reset(&self) -> Result<TcpStream> {
        let socket = self.server.dial()?;
        SockRef::from(&socket).set_linger(Some(Duration::ZERO))?;
        Ok(socket)
    }

    /// Opens WebSockets on one path, begins the attack, and repeats `pattern` on each WebSocket, as
    /// fast as the server takes it.
    pub(crate) fn flood(
        &mut self,
        path: &str,
        connections: usize,
        pattern: &[u8],
        answers: Answers,
    ) -> Result<Crowd> {
        let crowd = self.connect(&vec![path.to_owned(); connections])?;
        self.flood_with(crowd, pattern, answers)
    }

    /// Begins the attack, and repeats `pattern` on the connections of `crowd`.
    pub(crate) fn flood_with(
        &mut self,
        mut crowd: Crowd,
        pattern: &[u8],
        answers: Answers,
    ) -> Result<Crowd> {
        crowd.set_pattern(pattern, u64::MAX);
        self.flood_prepared(crowd, answers)
    }

    /// Begins the attack, and sends the patterns that were set for the connections of `crowd`.
    pub(crate) fn flood_prepared(&mut self, mut crowd: Crowd, answers: Answers) -> Result<Crowd> {
        let until = self.begin();
        crowd.flood(until, answers)?;
        self.sent += crowd.sent;
        Ok(crowd)
    }
}

/// Pause between baseline and attack, in which the last messages of the baseline arrive.
const PAUSE: Duration = Duration::from_millis(50);

/// Time at which connections that were opened together are reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Departure {
    /// Connections are reset 1 ms after they were opened, whether the server has answered or not.
    AtOnce,
    /// Connections are reset as soon as the server has closed all of them, after 3 s at the latest.
    Answered,
}

impl Departure {
    /// Returns the longest time for which a short connection stays open.
    fn wait(self) -> Duration {
        match self {
            Self::AtOnce => Duration::from_millis(1),
            Self::Answered => Duration::from_secs(3),
        }
    }
}

/// Number of connections that [`AttackRun::churn`] has open at the same time.
const BATCH: usize = 32;

/// Time beyond `until` that [`AttackRun::churn`] may take to open its least number of connections.
const EXTRA_TIME: Duration = Duration::from_secs(5);
