//! Checks that the server is not delayed if nobody reads its standard error or standard output.

use std::{
    fs,
    io::{self, PipeReader, PipeWriter, Write as _},
    net::SocketAddr,
    process::{Command, Stdio},
    thread,
};

use framecast_test_support::{
    Client, PATIENCE, eventually,
    frames::{close, masked, text},
    handshake,
    program::Program,
};
use rustix::{io::ioctl_fionbio, process::Signal};

use crate::{
    process::{FRAMECAST, Process},
    signals::ended_by_another,
};

/// Returns a pipe that is full until it is read.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = io::pipe().unwrap();
    // Nonblocking while it is filled, so that a write to the full pipe fails.
    ioctl_fionbio(&writer, true).unwrap();
    // Whole pages first, and then single bytes.
    for filler in [&[b'\n'; 4096][..], b"\n"] {
        while writer.write_all(filler).is_ok() {}
    }
    ioctl_fionbio(&writer, false).unwrap();
    (reader, writer)
}

/// Opens and closes a WebSocket, for which the server logs two lines at `debug`.
fn open_and_close(address: SocketAddr) {
    let mut client = Client::dial(address);
    client.send(&[handshake("/ws").as_bytes(), &masked([close(1000, "")])].concat());
    assert!(client.read_head().starts_with("HTTP/1.1 101 "));
    client.receives(close(1000, ""));
    client.expect_end();
}

/// Asserts that the server answers a request and echoes a message.
#[track_caller]
fn assert_serves(server: &Process) {
    let mut http = Client::dial(server.address);
    http.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(http.read_answer().status, 200);
    let mut echo = server.connect("/echo");
    echo.sends(text("hi"));
    echo.receives(text("hi"));
    echo.close();
}

#[test]
fn a_log_that_nobody_reads_delays_neither_the_shards_nor_the_drain() {
    let (reader, full) = full_pipe();
    // A pipe whose reading end is closed.
    let (gone, broken) = io::pipe().unwrap();
    drop(gone);
    for stderr in [full, broken] {
        let server = Process::with_stderr(&["--log", "debug", "--shards", "2"], stderr);
        // Five connections, and so ten lines, for each shard.
        for _ in 0..10 {
            open_and_close(server.address);
        }
        assert_serves(&server);
        let mut client = server.connect("/ws");
        server.signal(Signal::TERM);
        client.receives(close(1012, "server is restarting"));
        client.sends(close(1012, ""));
        client.expect_end();
        assert_eq!(server.exit_code(), Some(0));
    }
    // Until here the full pipe has a reader, which reads nothing.
    drop(reader);
}

#[test]
fn lines_that_the_log_drops_are_counted_and_the_count_is_logged_when_it_is_read_again() {
    /// Number of connections. The server logs two lines of over 100 bytes for each. All these lines
    /// together are more than its queue and the pipe can hold.
    const CONNECTIONS: usize = 3_000;
    const THREADS: usize = 4;
    let (reader, full) = full_pipe();
    let mut server = Process::with_stderr(&["--log", "debug"], full);
    let address = server.address;
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| (0..CONNECTIONS / THREADS).for_each(|_| open_and_close(address)));
        }
    });
    // The count must be logged although no other line follows.
    server.program.read_stderr_from(reader);
    let mut dropped = 0;
    eventually("every line is written or counted", || {
        let log = server.program.errors();
        let counts = log.lines().filter_map(|line| {
            let (line, count) = line.split_once(" count=")?;
            assert!(line.ends_with("Z  WARN framecast: log lines were dropped"));
            count.parse::<usize>().ok()
        });
        dropped = counts.sum();
        let is_of_connection = " DEBUG framecast::connection: connection ";
        log.matches(is_of_connection).count() + dropped == 2 * CONNECTIONS
    });
    assert!((1..2 * CONNECTIONS).contains(&dropped), "{dropped} dropped");
    // Later lines are written again.
    server.signal(Signal::TERM);
    let is_stopped = |line: &str| line.ends_with(": stopped").then_some(());
    server.program.reported("the end", is_stopped);
    assert_eq!(server.exit_code(), Some(0));
}

#[test]
fn the_server_waits_for_a_standard_error_in_non_blocking_mode() {
    let (reader, full) = full_pipe();
    // Another process that shares standard error may set this mode.
    ioctl_fionbio(&full, true).unwrap();
    let mut server = Process::with_stderr(&["--log", "debug"], full);
    open_and_close(server.address);
    server.program.read_stderr_from(reader);
    let has_ended = |line: &str| line.contains(": connection ended ").then_some(());
    server
        .program
        .reported("the line that was logged before", has_ended);
    assert!(!server.program.errors().contains("lines were dropped"));
}

#[test]
fn a_second_signal_ends_the_server_although_nobody_reads_its_log() {
    let (_reader, full) = full_pipe();
    let options = ["--close-timeout", "1h", "--drain-timeout", "1h"];
    let server = Process::with_stderr(&options, full);
    // This client never answers the Close, so the drain would take an hour.
    let mut client = server.connect("/ws");
    server.signal(Signal::INT);
    client.receives(close(1012, "server is restarting"));
    assert_eq!(ended_by_another(server, Signal::TERM), Some(130));
}

#[test]
fn a_failed_start_has_its_exit_status_although_nobody_reads_its_error() {
    let cases: [(&[&str], i32); 4] = [
        // Errors of the system: not an address of this machine, and no such file.
        (&["--listen", "192.0.2.1:1", "--allow-anonymous"], 1),
        (&["--config", "no such file"], 1),
        // A wrong setting and a wrong command line.
        (&["--log", "bogus"], 2),
        (&["--nonsense"], 2),
    ];
    for (arguments, status) in cases {
        let (_reader, full) = full_pipe();
        let mut command = Command::new(FRAMECAST);
        command.arg("serve").args(arguments);
        let mut program = Program::with_own_output(command.stdout(Stdio::piped()).stderr(full));
        let ended = program.wait(PATIENCE);
        let code = ended.unwrap_or_else(|| panic!("{arguments:?} does not end"));
        assert_eq!(code.code(), Some(status), "{arguments:?}");
    }
}

#[test]
fn a_standard_output_that_nobody_reads_does_not_delay_a_signal() {
    let (_reader, full) = full_pipe();
    let mut command = Command::new(FRAMECAST);
    command.args(["serve", "--listen", "127.0.0.1:0"]);
    let mut program = Program::with_own_output(command.stdout(full).stderr(Stdio::piped()));
    let status = format!("/proc/{}/status", program.id());
    // The server can't print its address, so the test waits until it has a handler for SIGTERM:
    // `SigCgt` is a mask in hexadecimal, whose lowest bit is signal 1.
    eventually("the server takes signals", || {
        let status = fs::read_to_string(&status).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let caught = u64::from_str_radix(caught.unwrap().trim(), 16).unwrap();
        caught & 1 << (Signal::TERM.as_raw() - 1) != 0
    });
    program.signal(Signal::TERM);
    let ended = program.wait(PATIENCE).expect("the server ends");
    assert_eq!(ended.code(), Some(0));
}
