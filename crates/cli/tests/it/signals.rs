//! Tests of signals: the first one makes the server drain, and a second one ends the server without
//! waiting for the drain.

use std::process::Command;

use framecast_test_support::{Client, eventually, frame};
use rustix::process::Signal;

use crate::process::{FRAMECAST, Process};

#[test]
fn a_signal_makes_the_server_write_what_is_queued_close_all_clients_and_exit_with_0() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let server = Process::serve(&[]);
        let mut clients: Vec<Client> = (0..4).map(|_| server.connect("/ws")).collect();
        // More than sockets hold: some of it is still queued when the signal comes.
        let message = vec![b'x'; 60_000];
        for _ in 0..20 {
            clients[0].send(&frame(0x82, &message));
        }
        // Once the first copy is back, the server is publishing.
        assert_eq!(clients[0].read_frame().1.len(), message.len());
        server.signal(signal);
        for (index, client) in clients.iter_mut().enumerate() {
            let mut copies = usize::from(index == 0);
            let (code, reason) = loop {
                match client.read_frame() {
                    (0x82, payload) => copies += usize::from(payload == message),
                    (_, payload) => {
                        break (
                            u16::from_be_bytes([payload[0], payload[1]]),
                            payload[2..].to_vec(),
                        );
                    }
                }
            };
            assert_eq!((code, &reason[..]), (1012, &b"server is restarting"[..]));
            // Messages that the server had read before the signal reach all clients.
            assert!(copies > 0, "{copies}");
            // A Close with the same code.
            client.send(&frame(0x88, &[0x03, 0xF4]));
            client.expect_end();
        }
        assert_eq!(server.exit_code(), Some(0));
    }
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
        assert_eq!(client.read_close().0, 1012);
        server.signal(second);
        // The exit status does not depend on the signal.
        assert_eq!(server.exit_code(), Some(130), "{first:?}, {second:?}");
    }
}

#[test]
fn a_second_hup_after_a_hup_does_not_end_the_drain() {
    let server = Process::serve(&["--drain-timeout", "1h"]);
    let mut client = server.connect("/ws");
    server.signal(Signal::HUP);
    assert_eq!(client.read_close().0, 1012);
    server.signal(Signal::HUP);
    // The drain goes on until the client answers the Close.
    client.send(&frame(0x88, &[0x03, 0xF4]));
    client.expect_end();
    assert_eq!(server.exit_code(), Some(0));
}

#[test]
fn a_hup_that_is_ignored_at_the_start_stays_ignored() {
    let script = "trap '' HUP; exec \"$0\" serve --listen 127.0.0.1:0";
    let server = Process::start(Command::new("sh").args(["-c", script, FRAMECAST]));
    let mut client = server.connect("/ws");
    server.signal(Signal::HUP);
    // If the HUP had counted, this would be the second signal.
    server.signal(Signal::TERM);
    assert_eq!(client.read_close().0, 1012);
    client.send(&frame(0x88, &[0x03, 0xF4]));
    client.expect_end();
    assert_eq!(server.exit_code(), Some(0));
}

#[test]
fn a_client_that_never_answers_the_close_does_not_delay_the_drain_beyond_its_timeout() {
    let server = Process::serve(&["--close-timeout", "1h", "--drain-timeout", "300ms"]);
    let mut client = server.connect("/ws");
    // A request that never ends does not delay it either.
    let mut request = Client::dial(server.address);
    request.send(
        b"POST /publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n",
    );
    assert!(request.read_head().starts_with("HTTP/1.1 100 "));
    server.signal(Signal::TERM);
    assert_eq!(client.read_close().0, 1012);
    assert_eq!(server.exit_code(), Some(0));
}

#[test]
fn a_request_in_flight_is_answered_before_the_end() {
    let server = Process::serve(&[]);
    let mut http = Client::dial(server.address);
    http.send(
        b"POST /publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: 29\r\nExpect: 100-continue\r\n\r\n",
    );
    // The server handles the request, and waits for its body.
    assert!(http.read_head().starts_with("HTTP/1.1 100 "));
    server.signal(Signal::TERM);
    eventually("the server stops listening", || {
        std::net::TcpStream::connect(server.address).is_err()
    });
    // 29 of the 30 bytes, as announced, which are no JSON.
    http.send(br#"{"topic":"t","message":"late"}"#.get(..29).unwrap());
    assert_eq!(http.read_answer().status, 400, "a body that is cut");
    http.expect_end();
    assert_eq!(server.exit_code(), Some(0));
}
