//! Tests of the number of system calls of an echo, counted by strace.
//!
//! How many messages one receive returns would depend on whether the server or its clients are
//! faster. So the server is stopped (SIGSTOP) while the clients send, and finds all of their
//! messages when it goes on.

use std::{fs, net::SocketAddr, path::PathBuf, process::Command};

use framecast_test_support::{
    Client, eventually,
    frames::{binary, masked, unmasked},
    program::Program,
    tools::Tool,
};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// A `framecast serve` whose system calls strace writes to a file.
struct Traced {
    /// strace, which runs the server.
    _program: Program,
    address: SocketAddr,
    server: Pid,
    calls: PathBuf,
    _folder: TempDir,
}

/// A server that is stopped (SIGSTOP). When this is dropped, the server goes on.
struct Stopped<'a>(&'a Traced);

impl Traced {
    /// Starts a server of one shard under strace.
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let calls = folder.path().join("calls");
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-s", "0", "-e", "signal=none", "-o"]);
        command.arg(&calls).arg(env!("CARGO_BIN_EXE_framecast"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--shards", "1"]);
        // So long that no client is pinged.
        command.args(["--ping-after", "1h"]);
        let program = Program::start(&mut command);
        let address = program.printed("the address", |line| {
            line.rsplit_once("http://")?.1.parse().ok()
        });
        let written = fs::read_to_string(&calls).unwrap();
        let server = written.split(' ').next().unwrap().parse().unwrap();
        Self {
            _program: program,
            address,
            server: Pid::from_raw(server).unwrap(),
            calls,
            _folder: folder,
        }
    }

    /// Stops the server, and returns when none of its threads runs any more.
    #[track_caller]
    fn stop(&self) -> Stopped<'_> {
        kill_process(self.server, Signal::STOP).unwrap();
        let stopped = Stopped(self);
        eventually("every thread stands still", || {
            let threads = format!("/proc/{}/task", self.server.as_raw_nonzero());
            let mut threads = fs::read_dir(threads).unwrap();
            threads.all(|thread| {
                let status = fs::read_to_string(thread.unwrap().path().join("stat")).unwrap();
                let state = status.rsplit_once(") ").unwrap().1;
                // `T` is stopped by a signal, and `t` by the tracer.
                state.starts_with(['T', 't'])
            })
        });
        stopped
    }

    /// Returns the number of system calls that the server has made so far. A call that a stop
    /// interrupts is made again afterwards, and counts once.
    fn count(&self) -> usize {
        let calls = fs::read_to_string(&self.calls).unwrap();
        // A line is the id of a thread and a call, or another event such as `<... read resumed>`.
        let is_call = |line: &&str| {
            let call = line
                .split_once(' ')
                .map_or("", |(_, call)| call.trim_start());
            call.starts_with(|first: char| first.is_ascii_lowercase())
        };
        let is_interrupted = |line: &&str| {
            [" = -1 EINTR", " = ? ERESTART"]
                .iter()
                .any(|end| line.contains(end))
        };
        calls.lines().filter(is_call).count() - calls.lines().filter(is_interrupted).count()
    }
}

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        // Fails if the server has ended already, which is fine.
        let _ = kill_process(self.0.server, Signal::CONT);
    }
}

/// Returns true if strace is here and may trace, or false if the test is to be skipped. Panics if
/// strace is missing, or may not trace.
#[track_caller]
pub(crate) fn can_trace() -> bool {
    if !Tool::Strace.is_here() {
        return false;
    }
    let traced = Command::new("strace")
        .args(["-qq", "-o", "/dev/null", "true"])
        .output();
    let traced = traced.unwrap();
    if !traced.status.success() {
        let error = String::from_utf8_lossy(&traced.stderr);
        Tool::Strace.fail(&format!("it may not trace: {}", error.trim()));
    }
    true
}

/// Returns the number of system calls per message while each of `clients` clients repeatedly sends
/// `depth` messages of `size` bytes and reads their echoes.
#[track_caller]
fn calls_per_message(clients: usize, size: usize, depth: usize) -> f64 {
    let server = Traced::start();
    let payload = vec![b'x'; size];
    let messages = masked([binary(&payload)]).repeat(depth);
    let replies = unmasked([binary(&payload)]).repeat(depth);
    let mut clients: Vec<Client> = (0..clients)
        .map(|_| Client::dial(server.address).upgrade("/echo"))
        .collect();
    let mut before = 0;
    for round in 0..WARM_UP + ROUNDS {
        let stopped = server.stop();
        if round == WARM_UP {
            before = server.count();
        }
        for client in &mut clients {
            client.send(&messages);
        }
        drop(stopped);
        for client in &mut clients {
            client.expect(&replies);
        }
    }
    let _stopped = server.stop();
    let calls = server.count() - before;
    let turns = ROUNDS * clients.len();
    assert!(calls >= 2 * turns, "a receive and a send in each turn");
    calls as f64 / (turns * depth) as f64
}

/// Number of rounds after which the kernel's buffers have grown to take all that a client sends in
/// a round.
const WARM_UP: usize = 5;
/// Number of rounds in which the calls are counted, after [`WARM_UP`].
const ROUNDS: usize = 5;

#[test]
fn an_echo_costs_one_receive_and_one_send() {
    if can_trace() {
        let calls = calls_per_message(100, 20, 1);
        // A receive and a send, and a few calls to wait for sockets: 2.034 on a quiet machine, and
        // 2.114 on a busy one, where fewer sockets are ready at a time.
        assert!(calls <= 2.3, "{calls} calls per message");
    }
}

#[test]
fn echoes_of_messages_that_arrive_together_cost_one_receive_and_one_send() {
    if can_trace() {
        // A receive and a send for 16 messages are 0.125 calls per message. Measured: 0.127.
        let calls = calls_per_message(100, 20, 16);
        assert!(calls <= 0.16, "{calls} calls per message of 20 B");
        let calls = calls_per_message(100, 1024, 16);
        assert!(calls <= 0.17, "{calls} calls per message of 1 KiB");
    }
}

#[test]
fn echoes_of_messages_that_fill_the_receive_buffer_cost_a_few_receives_and_sends() {
    if can_trace() {
        // 256 KiB in a turn, of a receive buffer of 264 KiB.
        let calls = calls_per_message(20, 16 * 1024, 16);
        // Two receives and two sends for 16 messages are 0.25 calls per message. Measured: 0.258.
        // In a debug build a turn's time is over before all 16 messages are echoed, the earlier the
        // slower the machine is. A turn for each message would still be one send each, and fewer
        // receives; a receive and a send for each message are 2 calls.
        let most = if cfg!(debug_assertions) { 1.5 } else { 0.35 };
        assert!(calls <= most, "{calls} calls per message of 16 KiB");
    }
}
