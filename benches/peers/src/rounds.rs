//! Who is measured when.

use std::{
    io::{self, Write as _},
    time::Duration,
};

use crate::{
    calls::Counter,
    cells::{self, Cell},
    cores::Cores,
    load::Load,
    peers::Peer,
    places::Places,
    results::{Results, Sample},
    server::Server,
    stalled::{Sleepers, watching_sockets},
    stop,
};

/// How much is done to be sure.
#[derive(Debug)]
pub struct Effort {
    pub rounds: usize,
    pub is_quick: bool,
    /// What the name of a cell must have in it.
    only: String,
}

impl Effort {
    pub fn new(is_quick: bool, only: String) -> Self {
        Self {
            rounds: if is_quick { 1 } else { 5 },
            is_quick,
            only,
        }
    }

    /// Whether everything is measured as it should be.
    pub fn is_whole(&self) -> bool {
        !self.is_quick && self.only.is_empty()
    }

    fn connections(&self, cell: &Cell) -> usize {
        if self.is_quick {
            cell.connections.min(QUICK_CONNECTIONS)
        } else {
            cell.connections
        }
    }

    fn duration(&self, cell: &Cell) -> Duration {
        if self.is_quick {
            cell.duration.min(QUICK)
        } else {
            cell.duration
        }
    }
}

/// Enough to see that everything works.
const QUICK_CONNECTIONS: usize = 500;
const QUICK: Duration = Duration::from_millis(150);

/// Measures every cell.
pub fn measure(places: &Places, effort: &Effort) -> anyhow::Result<Results> {
    let cores = Cores::choose()?;
    let mut results = Results::default();
    let counter = Counter::find();
    match counter {
        Some(Counter::Perf) => {}
        Some(Counter::Strace) => results.remark(
            "System calls are counted with strace, which makes servers slow, as perf may not."
                .into(),
        ),
        None => results.remark("System calls are not counted: neither perf nor strace may.".into()),
    }
    let chosen = |cell: &&&Cell| cell.name.contains(&effort.only);
    for cell in cells::ALL.iter().filter(chosen) {
        let mut bench = Bench {
            places,
            cores,
            effort,
            cell,
            running: Vec::new(),
        };
        bench.measure(&mut results)?;
        if let (Some(counter), true) = (counter, cell.counts_calls) {
            bench.count_calls(counter, &mut results);
        }
    }
    Ok(results)
}

/// One cell with its servers.
struct Bench<'a> {
    places: &'a Places,
    cores: Cores,
    effort: &'a Effort,
    cell: &'a Cell,
    /// Those that all rounds are made with.
    running: Vec<Server>,
}

impl Bench<'_> {
    fn measure(&mut self, results: &mut Results) -> anyhow::Result<()> {
        if !self.cell.wants_new_server() {
            for &peer in self.cell.peers {
                self.running.extend(self.start(peer, results));
            }
        }
        for round in 0..self.effort.rounds {
            print!(
                "\r{}: round {} of {}   ",
                self.cell.name,
                round + 1,
                self.effort.rounds
            );
            io::stdout().flush()?;
            // Everybody goes first at some time.
            for turn in 0..self.cell.peers.len() {
                stop::check()?;
                let peer = self.cell.peers[(round + turn) % self.cell.peers.len()];
                self.run(peer, round, results);
            }
        }
        println!();
        Ok(())
    }

    fn start(&self, peer: Peer, results: &mut Results) -> Option<Server> {
        let server = Server::start(peer, self.places, self.cores);
        server
            .map_err(|error| results.remark(format!("{} is left out: {error:#}.", peer.name())))
            .ok()
    }

    /// The next sample of `peer`.
    fn run(&self, peer: Peer, round: usize, results: &mut Results) {
        let new;
        let server = if self.cell.wants_new_server() {
            new = self.start(peer, results);
            new.as_ref()
        } else {
            self.running.iter().find(|server| server.peer == peer)
        };
        let Some(server) = server else {
            return;
        };
        match self.sample(server, round) {
            Ok(sample) => results.add(self.cell, peer, sample),
            Err(error) => results.remark(self.failure(peer, &error)),
        }
    }

    fn sample(&self, server: &Server, round: usize) -> anyhow::Result<Sample> {
        let sleepers = Sleepers::join(server.peer.stalled(), server.port)?;
        let (outcome, socket_bytes) = watching_sockets(|| self.load(server).run());
        Ok(Sample {
            round,
            outcome: outcome?,
            socket_bytes,
            stalled: sleepers.wake(),
        })
    }

    fn load<'a>(&'a self, server: &'a Server) -> Load<'a> {
        Load {
            places: self.places,
            cell: self.cell,
            server,
            connections: self.effort.connections(self.cell),
            duration: self.effort.duration(self.cell),
        }
    }

    fn count_calls(&self, counter: Counter, results: &mut Results) {
        for server in &self.running {
            match counter.count(self.load(server)) {
                Ok(calls) => results.add_calls(self.cell, server.peer, calls),
                Err(error) => results.remark(self.failure(server.peer, &error)),
            }
        }
    }

    fn failure(&self, peer: Peer, error: &anyhow::Error) -> String {
        format!("{} failed at {}: {error:#}.", peer.name(), self.cell.name)
    }
}
