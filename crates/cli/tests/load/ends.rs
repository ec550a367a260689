//! Tests of `load` against servers that end their connections, or that send nothing: the run must
//! fail, and say why.

use std::{
    sync::{Arc, Mutex},
    thread,
};

use serde_json::Value;

use crate::{
    scripted::{PROTOCOL, broadcaster, scripted},
    support::Run,
};

#[test]
fn publications_that_are_due_after_the_server_has_ended_count_as_missing() {
    let pace = ["--subscribers", "5", "--rate", "200"];
    let limits = ["--min-ratio", "0.999"];
    for limits in [&[][..], &limits] {
        let arguments = [&pace[..], limits].concat();
        let run = Run::of_server_that_ends("fanout", "/ws?topic={topic}", &arguments);
        assert_eq!(run.code, Some(1), "{}", run.stderr);
        // 5 subscribers and a publisher. The server drains with code 1012.
        assert_eq!(
            run.error_line(),
            "framecast: the server has ended 6 connections (1012: server is restarting)"
        );
        assert!(run.count("unpublished") > 0, "{}", run.result);
        // 200 a second for 0.4 s of warm-up and 2 s of measured time, including the first and the
        // last one.
        let due = run.count("published") + run.count("unpublished");
        assert_eq!(due, 481, "{}", run.result);
        assert_eq!(run.count("expected"), 5 * due);
        assert!(run.number("delivery_ratio") < 0.999, "{}", run.result);
        let row = format!(" {} messages that were due", run.count("unpublished"));
        let mut rows = run.stdout.lines();
        assert!(
            rows.any(|line| line.starts_with("  unpublished ") && line.ends_with(&row)),
            "{}",
            run.stdout
        );
    }
}

#[test]
fn a_server_that_ends_its_connections_fails_a_run_of_every_scenario() {
    // Each has 6 connections. Publishers have one for each topic.
    let runs = [
        ("echo", "/echo", &["--connections", "6"][..]),
        (
            "echo",
            "/echo",
            &["--connections", "6", "--rate", "50", "--min-ratio", "0"],
        ),
        ("fanout", "/ws?topic={topic}", &["--subscribers", "5"]),
        (
            "fanout",
            "/ws?topic={topic}",
            &["--subscribers", "4", "--topics", "2", "--workers", "2"],
        ),
        ("idle", "/ws", &["--connections", "6"]),
    ];
    // In parallel: each run takes seconds, most of which it waits.
    thread::scope(|scope| {
        for (kind, path, arguments) in runs {
            scope.spawn(move || {
                let run = Run::of_server_that_ends(kind, path, arguments);
                assert_eq!(run.code, Some(1), "{kind}: {}", run.stderr);
                assert_eq!(
                    run.error_line(),
                    "framecast: the server has ended 6 connections (1012: server is restarting)",
                    "{kind}"
                );
                assert_eq!(run.count("connections.close_codes.1012"), 6);
                // The process of the server is gone, so its CPU time and memory are not known.
                assert_eq!(run.result["server"], Value::Null);
                assert!(run.stdout.starts_with(kind), "{}", run.stdout);
            });
        }
    });
}

#[test]
fn handshakes_with_a_server_that_has_ended_fail_the_run() {
    let run = Run::of_server_that_ends("handshake", "/ws", &["--connections", "6", "--rate", "50"]);
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert!(run.count("connections.failed") > 0, "{}", run.result);
}

#[test]
fn messages_to_a_subscriber_that_the_server_has_closed_are_still_expected() {
    // The server closes the first subscriber at the tenth publication. The second subscriber gets
    // all publications.
    let address = scripted(Arc::new({
        let subscribers = Mutex::new(Vec::new());
        move |mut peer| {
            let mut number = 0;
            while let Some(message) = peer.read() {
                let Some(payload) = message.strip_prefix("pub ") else {
                    let mut subscribers = subscribers.lock().unwrap();
                    peer.send("ok");
                    return subscribers.push(peer);
                };
                let mut subscribers = subscribers.lock().unwrap();
                if number == 9 {
                    // A Close with code 1013, whose reason would clear the terminal.
                    subscribers[0].write(b"\x88\x0B\x03\xF5busy\x1B[2J!");
                    subscribers.remove(0);
                }
                subscribers.iter_mut().for_each(|peer| peer.send(payload));
                number += 1;
            }
        }
    }));
    let pace = ["--subscribers", "2", "--rate", "100"];
    let run = Run::of(
        "fanout",
        &format!("ws://{address}/"),
        &[&PROTOCOL, &pace[..]].concat(),
    );
    assert_eq!(run.code, Some(1));
    assert_eq!(
        run.error_line(),
        "framecast: the server has ended 1 connection (1013: busy\\u{1b}[2J!)"
    );
    let published = run.count("published");
    assert_eq!(run.count("expected"), 2 * published);
    // Nine publications came before the tenth, at which the first subscriber was closed.
    assert_eq!(run.count("received"), published + 9);
}

#[test]
fn a_run_in_which_nothing_arrives_fails() {
    // A server that reads all messages and sends none back.
    let silent = scripted(Arc::new(|mut peer| while peer.read().is_some() {}));
    let run = Run::of("echo", &format!("ws://{silent}/"), &["--connections", "3"]);
    assert_eq!(run.code, Some(1));
    assert_eq!(
        run.error_line(),
        "framecast: nothing has arrived, of 3 expected"
    );

    // A server that confirms subscriptions, and delivers no publication.
    let url = format!("ws://{}/", broadcaster(|_, _, _| vec![]));
    let pace = ["--subscribers", "2", "--rate", "100"];
    let run = Run::of("fanout", &url, &[&PROTOCOL, &pace[..]].concat());
    assert_eq!(run.code, Some(1));
    let expected = run.count("expected");
    assert_eq!(expected, 2 * run.count("published"));
    assert_eq!(
        run.error_line(),
        format!("framecast: nothing has arrived, of {expected} expected")
    );
}
