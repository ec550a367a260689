//! Measures the cells, one after the other. In each round every peer of the cell gets one run.

use std::{
    io::{self, Write as _},
    time::Duration,
};

use crate::{
    calls::Counter,
    cells::{self, Cell},
    cores::Cores,
    load::Load,
    paths::Paths,
    peers::Peer,
    results::{Results, Sample},
    server::Server,
    stalled::{StalledSubscribers, with_socket_bytes},
    stop,
};

/// Extent of the comparison.
#[derive(Debug)]
pub struct Plan {
    pub rounds: usize,
    pub is_quick: bool,
    /// Text that the name of a cell must contain.
    only: String,
}

impl Plan {
    pub fn new(is_quick: bool, only: String) -> Self {
        Self {
            rounds: if is_quick { 1 } else { 5 },
            is_quick,
            only,
        }
    }

    /// Returns true if every cell is measured, with all its rounds, connections and time. Only such
    /// results replace those in `benches`.
    pub fn is_complete(&self) -> bool {
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

/// Most connections with `--quick`: enough to see that everything works.
const QUICK_CONNECTIONS: usize = 500;
/// Longest measured time with `--quick`.
const QUICK: Duration = Duration::from_millis(150);

/// Measures the cells of the plan.
pub fn measure(paths: &Paths, plan: &Plan) -> anyhow::Result<Results> {
    let cores = Cores::choose()?;
    let mut results = Results::default();
    let counter = Counter::find();
    match counter {
        Some(Counter::Perf) => {}
        Some(Counter::Strace) => results.remark(
            "System calls are counted with strace, which is slow: perf is not permitted.".into(),
        ),
        None => results
            .remark("System calls are not counted: neither perf nor strace is permitted.".into()),
    }
    let chosen = |cell: &&&Cell| cell.name.contains(&plan.only);
    for cell in cells::ALL.iter().filter(chosen) {
        let mut bench = Bench {
            paths,
            cores,
            plan,
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

/// The measurement of one cell.
struct Bench<'a> {
    paths: &'a Paths,
    cores: Cores,
    plan: &'a Plan,
    cell: &'a Cell,
    /// The servers that run through all rounds. Empty if each sample needs a new server.
    running: Vec<Server>,
}

impl Bench<'_> {
    /// Takes a sample of each peer in each round.
    fn measure(&mut self, results: &mut Results) -> anyhow::Result<()> {
        if !self.cell.wants_new_server() {
            for &peer in self.cell.peers {
                self.running.extend(self.start(peer, results));
            }
        }
        for round in 0..self.plan.rounds {
            print!(
                "\r{}: round {} of {}   ",
                self.cell.name,
                round + 1,
                self.plan.rounds
            );
            io::stdout().flush()?;
            // Each round begins with another peer.
            for turn in 0..self.cell.peers.len() {
                stop::check()?;
                let peer = self.cell.peers[(round + turn) % self.cell.peers.len()];
                self.run(peer, round, results);
            }
        }
        println!();
        Ok(())
    }

    /// Starts the server of `peer`. If that fails, remarks that the peer is left out.
    fn start(&self, peer: Peer, results: &mut Results) -> Option<Server> {
        let server = Server::start(peer, self.paths, self.cores);
        server
            .map_err(|error| results.remark(format!("{} is left out: {error:#}.", peer.name())))
            .ok()
    }

    /// Takes one sample of `peer`, or remarks why that failed.
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
        let subscribers = StalledSubscribers::connect(server.peer.stalled(), server.port)?;
        let (outcome, socket_bytes) = with_socket_bytes(|| self.load(server).run());
        Ok(Sample {
            round,
            outcome: outcome?,
            socket_bytes,
            stalled: subscribers.count_disconnected(),
        })
    }

    fn load<'a>(&'a self, server: &'a Server) -> Load<'a> {
        Load {
            paths: self.paths,
            cell: self.cell,
            server,
            connections: self.plan.connections(self.cell),
            duration: self.plan.duration(self.cell),
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
