//! Tests of how `load` ends its connections, and of servers that greet.

use std::{
    sync::{Arc, mpsc::channel},
    time::Duration,
};

use crate::{
    scripted::{Peer, scripted},
    support::{Run, Server},
};

/// How a client has ended a connection: the close code of its Close, if it sent one, and whether the
/// end was a reset.
type Ending = (Option<u16>, bool);

/// Runs `load idle` with two connections against a server that runs `answer` when it has received a
/// Close. Returns the run, and the ends of the connections, that of the probe included.
fn endings(arguments: &[&str], answer: fn(&mut Peer)) -> (Run, Vec<Ending>) {
    let (sender, endings) = channel();
    let address = scripted(Arc::new(move |mut peer: Peer| {
        let close = peer.read_frame().map(|(first, payload)| {
            assert_eq!(first, 0x88);
            answer(&mut peer);
            u16::from_be_bytes(payload.try_into().unwrap())
        });
        let is_reset = peer.read_to_end().is_err();
        sender.send((close, is_reset)).unwrap();
    }));
    let arguments = [&["--connections", "2"], arguments].concat();
    let run = Run::of("idle", &format!("ws://{address}/"), &arguments);
    // The server's threads may see the ends after the program has ended.
    let ends = (0..3).map(|_| endings.recv_timeout(WITHIN).unwrap());
    let ends = ends.collect();
    (run, ends)
}

/// The longest wait for what a server sees.
const WITHIN: Duration = Duration::from_secs(30);

/// Answers a Close, and ends the connection.
fn close(peer: &mut Peer) {
    peer.send_frame(0x88, &[0x03, 0xE8]);
    peer.finish();
}

#[test]
fn connections_end_by_a_closing_handshake() {
    let (run, ends) = endings(&[], close);
    run.assert_whole();
    assert_eq!(ends, [(Some(1000), false); 3]);
    assert_eq!(run.count("connections.unclosed"), 0);
}

#[test]
fn connections_of_several_processes_end_by_closing_handshakes_too() {
    let (run, ends) = endings(&["--workers", "2"], close);
    run.assert_whole();
    assert_eq!(ends, [(Some(1000), false); 3]);
}

#[test]
fn with_abort_connections_end_by_a_reset() {
    let (run, ends) = endings(&["--abort"], close);
    run.assert_whole();
    // Without a Close there is no frame, whether the end is a reset or not.
    assert!(ends.iter().all(|(code, _)| code.is_none()), "{ends:?}");
}

#[test]
fn a_server_that_does_not_answer_the_closing_handshake_is_reset_and_counted() {
    let (run, ends) = endings(&[], |_| {});
    run.assert_whole();
    assert_eq!(ends, [(Some(1000), true); 3]);
    assert_eq!(run.count("connections.unclosed"), 2);
    let row = "2 opened, 2 closing handshakes not answered";
    assert!(run.stdout.contains(row), "{}", run.stdout);
}

#[test]
fn a_close_of_the_server_is_answered() {
    let (sender, answers) = channel();
    let address = scripted(Arc::new(move |mut peer: Peer| {
        // The first message of the run's connection. The probe sends a Close.
        if peer.read().is_some() {
            peer.send_frame(0x88, &[0x03, 0xF4]);
            sender.send(peer.read_frame()).unwrap();
        }
    }));
    let run = Run::of("echo", &format!("ws://{address}/"), &["--connections", "1"]);
    assert_eq!(
        run.error_line(),
        "framecast: the server has ended 1 connection (1012)"
    );
    let answer = answers.recv_timeout(WITHIN).unwrap();
    assert_eq!(answer, Some((0x88, vec![0x03, 0xF4])));
}

#[test]
fn the_greetings_of_a_server_can_be_skipped() {
    let greeter = || {
        scripted(Arc::new(|mut peer: Peer| {
            peer.send("welcome");
            peer.send("you are number 7");
            while let Some(message) = peer.read() {
                peer.send(&message);
            }
        }))
    };
    let run = |skip: &[&str]| {
        let arguments = [&["--connections", "2"], skip].concat();
        Run::of("echo", &format!("ws://{}/", greeter()), &arguments)
    };
    run(&["--skip", "2"]).assert_whole();
    // What is not skipped is no reply.
    let run = run(&["--skip", "1"]);
    assert_eq!(run.code, Some(1));
    assert_eq!(run.count("corrupted"), 2);
}

#[test]
fn a_real_server_is_left_by_closing_handshakes() {
    let server = Server::start();
    for (kind, path, arguments) in [
        ("echo", "/echo", &["--connections", "5"][..]),
        ("fanout", "/ws", &["--subscribers", "5", "--rate", "100"]),
        ("fanout", "", &["--relay", "--subscribers", "5"]),
        ("handshake", "/ws", &["--connections", "5"]),
    ] {
        for abort in [&[][..], &["--abort"]] {
            let arguments = [arguments, abort].concat();
            let run = Run::of(kind, &server.url(path), &arguments);
            run.assert_whole();
            assert_eq!(run.count("connections.unclosed"), 0, "{kind}");
        }
    }
}
