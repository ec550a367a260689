//! Tests of signals: the first one makes the server drain, and a second one ends the server without
//! waiting for the drain.

use std::{process::Command, time::Duration};

use framecast_test_support::{
    Client,
    frames::{Frame, binary, close},
};
use rustix::process::Signal;

use crate::process::{FRAMECAST, Process};

/// Returns the Close of a server that drains.
fn restarting() -> Frame {
    close(1012, "server is restarting")
}

/// Sends a signal to a server that has received one, until the server has ended: one that comes
/// together with the first one does not count. Returns the exit status.
pub(crate) fn ended_by_another(mut server: Process, signal: Signal) -> Option<i32> {
    loop {
        server.signal(signal);
        if let Some(status) = server.program.wait(Duration::from_millis(10)) {
            return status.code();
        }
    }
}

#[test]
fn a_signal_makes_the_server_write_what_is_queued_close_all_clients_and_exit_with_0() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let server = Process::serve(&[]);
        let mut clients: Vec<Client> = (0..4).map(|_| server.connect("/ws")).collect();
        // More bytes than the sockets hold, so that some are still queued when the signal comes.
        let message = binary([b'x'; 60_000]);
        clients[0].sends_together(vec![message.clone(); 20]);
        // Once the first copy is back, the server is publishing.
        clients[0].receives(message.clone());
        server.signal(signal);
        for (index, client) in clients.iter_mut().enumerate() {
            let mut copies = usize::from(index == 0);
            let end = loop {
                match client.read_frame() {
                    frame if frame == message => copies += 1,
                    frame => break frame,
                }
            };
            assert!(end == restarting(), "{end:?}");
            // Messages that the server had read before the signal reach all clients.
            assert!(copies > 0, "{copies}");
            client.sends(close(1012, ""));
            client.expect_end();
        }
        assert_eq!(server.exit_code(), Some(0));
    }
}

// All clients waited for half of the drain timeout, while one client sent nothing more.
#[test]
fn a_request_of_which_only_a_part_has_come_holds_up_nobodys_close() {
    let server = Process::serve(&["--request-timeout", "1h", "--drain-timeout", "1h"]);
    let mut asking = Client::dial(server.address);
    asking.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\n");
    let mut posting = Client::dial(server.address);
    posting.send(b"POST /register HTTP/1.1\r\nHost: localhost\r\nContent-Length: 13\r\n\r\n{");
    let mut idle = Client::dial(server.address);
    idle.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(idle.read_answer().status, 200);
    let mut client = server.connect("/ws");
    server.signal(Signal::TERM);
    client.receives(restarting());
    idle.expect_end();
    client.sends(close(1012, ""));
    client.expect_end();
    // They may still finish, and are told that it is too late.
    for (late, rest) in [
        (&mut asking, &b"\r\n"[..]),
        (&mut posting, b"\"user_id\":1}"),
    ] {
        late.send(rest);
        let answer = late.read_answer();
        assert_eq!(answer.status, 503);
        assert_eq!(answer.header("connection"), Some("close"));
        assert_eq!(answer.body, "{\"error\":\"the server is shutting down\"}\n");
        late.expect_end();
    }
    assert_eq!(server.exit_code(), Some(0));
}

#[test]
fn a_second_signal_ends_the_server_at_once() {
    let twice = [
        (Signal::TERM, Signal::TERM),
        (Signal::TERM, Signal::HUP),
        (Signal::HUP, Signal::INT),
    ];
    for (first, second) in twice {
        let server = Process::serve(&["--close-timeout", "1h", "--drain-timeout", "1h"]);
        // This client never answers the Close, so the drain would take an hour.
        let mut client = server.connect("/ws");
        server.signal(first);
        client.receives(restarting());
        // The exit status does not depend on the signal.
        let status = ended_by_another(server, second);
        assert_eq!(status, Some(130), "{first:?}, {second:?}");
    }
}

// `timeout` of the coreutils signals the program, and then the program's group.
#[test]
fn signals_that_come_together_count_as_one() {
    let server = Process::serve(&["--drain-timeout", "1h"]);
    let mut client = server.connect("/ws");
    for signal in [Signal::STOP, Signal::TERM, Signal::INT, Signal::CONT] {
        server.signal(signal);
    }
    client.receives(restarting());
    client.sends(close(1012, ""));
    client.expect_end();
    assert_eq!(server.exit_code(), Some(0));
}

#[test]
fn a_second_hup_after_a_hup_does_not_end_the_drain() {
    let server = Process::serve(&["--drain-timeout", "1h"]);
    let mut client = server.connect("/ws");
    server.signal(Signal::HUP);
    client.receives(restarting());
    server.signal(Signal::HUP);
    // The drain goes on until the client answers the Close.
    client.sends(close(1012, ""));
    client.expect_end();
    assert_eq!(server.exit_code(), Some(0));
}

#[test]
fn a_hup_that_is_ignored_at_the_start_stays_ignored() {
    let script = "trap '' HUP; exec \"$0\" serve --listen 127.0.0.1:0";
    let server = Process::start(Command::new("sh").args(["-c", script, FRAMECAST]));
    let mut client = server.connect("/ws");
    let ignored = u64::from_str_radix(server.status("SigIgn:").trim(), 16).unwrap();
    assert_eq!(ignored & 1, 1, "HUP is signal 1");
    server.signal(Signal::HUP);
    server.signal(Signal::TERM);
    client.receives(restarting());
    client.sends(close(1012, ""));
    client.expect_end();
    assert_eq!(server.exit_code(), Some(0));
}

#[test]
fn a_client_that_never_answers_the_close_does_not_delay_the_drain_beyond_its_timeout() {
    let server = Process::serve(&["--close-timeout", "1h", "--drain-timeout", "300ms"]);
    let mut client = server.connect("/ws");
    // A request that never ends does not delay the drain either.
    let mut request = Client::dial(server.address);
    request.send(
        b"POST /publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n",
    );
    assert!(request.read_head().starts_with("HTTP/1.1 100 "));
    server.signal(Signal::TERM);
    client.receives(restarting());
    assert_eq!(server.exit_code(), Some(0));
}
