//! Tests of `load` against servers that lose, repeat or alter messages on purpose: it must report
//! each kind of fault, with the right count.

use std::{collections::VecDeque, sync::Arc};

use serde_json::Value;

use crate::{
    scripted::{Mangle, PROTOCOL, broadcaster, scripted, to_others},
    support::Run,
};

/// Runs a fan-out with 9 messages in flight, over a server that changes the stream of publications
/// by `mangle`.
fn fanout_through(mangle: Mangle, arguments: &[&str]) -> Run {
    let url = format!("ws://{}/", broadcaster(mangle));
    let common = ["--in-flight", "9"];
    Run::of(
        "fanout",
        &url,
        &[&PROTOCOL, &common[..], arguments].concat(),
    )
}

/// Drops message 1, repeats 3, and swaps 5 and 6. All of them are among the first nine, which are
/// in flight together.
fn faulty(number: usize, message: String, held: &mut VecDeque<String>) -> Vec<String> {
    match number {
        1 => vec![],
        3 => vec![message.clone(), message],
        5 => {
            held.push_back(message);
            vec![]
        }
        6 => vec![message, held.pop_front().unwrap()],
        _ => vec![message],
    }
}

/// Returns the message as it came: the server has no faults.
fn unchanged(_: usize, message: String, _: &mut VecDeque<String>) -> Vec<String> {
    vec![message]
}

#[test]
fn a_server_without_faults_and_with_a_protocol_of_its_own_passes() {
    fanout_through(unchanged, &["--subscribers", "3"]).assert_whole();
}

#[test]
fn lost_repeated_and_reordered_messages_are_found_and_counted() {
    let run = fanout_through(faulty, &["--subscribers", "2"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    // Each of the two subscribers has seen each of the three faults once.
    assert_eq!(run.faults(), [2, 2, 2, 0]);
    // For each subscriber, one message is missing and another one counts twice.
    assert_eq!(run.count("received"), run.count("expected"));
    assert!(
        run.number("delivery_ratio") < 1.0,
        "a duplicate makes up for no loss"
    );
    assert!(
        run.stdout
            .contains("2 gaps, 2 duplicates, 2 out of order, 0 corrupted")
    );
}

#[test]
fn a_changed_message_is_corrupted_and_fails_the_run() {
    let run = fanout_through(
        |number, message, _| match number {
            3 => vec![message.replace("xyz", "xYz")],
            _ => vec![message],
        },
        &["--subscribers", "1"],
    );
    // The changed message does not count as received, so the original one is missing.
    assert_eq!(run.faults(), [1, 0, 0, 1]);
    assert_eq!(run.code, Some(1));
    let expected = "framecast: 1 message arrived corrupted";
    assert_eq!(run.error_line(), expected);
}

#[test]
fn a_missed_threshold_fails_the_run_and_is_reported_in_one_line() {
    let run = fanout_through(faulty, &["--subscribers", "1", "--min-ratio", "1.0"]);
    assert_eq!(run.code, Some(1));
    let line = run.error_line();
    assert!(
        line.starts_with("framecast: the delivery ratio of 0."),
        "{line}"
    );
    assert!(line.ends_with(" is below --min-ratio 1"), "{line}");
    assert!(run.stdout.contains(" 1 gap,"), "{}", run.stdout);

    let run = fanout_through(unchanged, &["--subscribers", "1", "--max-p99", "1us"]);
    assert_eq!(run.code, Some(1));
    assert!(
        run.error_line().ends_with(" is above --max-p99 1.00 µs"),
        "{}",
        run.stderr
    );

    let limits = ["--subscribers", "1", "--max-p99", "1h", "--min-ratio", "1"];
    fanout_through(unchanged, &limits).assert_whole();
}

#[test]
fn churn_fails_without_a_threshold_if_the_stream_is_not_whole() {
    let url = format!("ws://{}/", broadcaster(faulty));
    let stream = ["--subscribers", "1", "--in-flight", "9", "--rate", "20"];
    let run = Run::of("churn", &url, &[&PROTOCOL, &stream[..]].concat());
    assert_eq!(run.code, Some(1));
    let expected = "framecast: the stream is not whole: 1 missing, 1 duplicate, 1 out of order";
    assert_eq!(run.error_line(), expected);
}

#[test]
fn changed_replies_of_an_echo_server_are_corrupted() {
    let address = scripted(Arc::new(|mut peer| {
        let mut number = 0;
        while let Some(message) = peer.read() {
            let reply = if number == 2 {
                message.replace('x', "X")
            } else {
                message
            };
            peer.send(&reply);
            number += 1;
        }
    }));
    let run = Run::of("echo", &format!("ws://{address}/"), &["--connections", "2"]);
    // The third message of each connection.
    assert_eq!(run.count("corrupted"), 2);
    assert!(run.number("delivery_ratio") < 1.0);
}

#[test]
fn latency_of_echo_messages_is_counted_from_their_schedule() {
    // The server answers messages 200 to 299 when it gets message 300. Message 200 then has waited
    // for 100 ms, and message 250 for 50 ms. These are a fifth of the messages that are measured,
    // so the 90th percentile is in their middle.
    let address = scripted(Arc::new(|mut peer| {
        let (mut number, mut held) = (0, Vec::new());
        while let Some(message) = peer.read() {
            held.push(message);
            if !(200..300).contains(&number) {
                held.drain(..).for_each(|message| peer.send(&message));
            }
            number += 1;
        }
    }));
    let pace = [
        "--connections",
        "1",
        "--rate",
        "1000",
        "--duration",
        "500ms",
    ];
    let run = Run::of("echo", &format!("ws://{address}/"), &pace);
    assert!(run.number("latency_us.max") >= 99_000.0, "{}", run.result);
    assert!(run.number("latency_us.p90") >= 49_000.0, "{}", run.result);
}

#[test]
fn latency_of_publications_is_counted_from_their_schedule() {
    // As above: the server delivers publications 200 to 299 when it gets publication 300.
    let url = format!(
        "ws://{}/",
        broadcaster(|number, message, held| {
            held.push_back(message);
            match number {
                200..300 => vec![],
                _ => held.drain(..).collect(),
            }
        })
    );
    let pace = [
        "--subscribers",
        "1",
        "--rate",
        "1000",
        "--duration",
        "500ms",
    ];
    let run = Run::of("fanout", &url, &[&PROTOCOL, &pace[..]].concat());
    run.assert_whole();
    assert!(run.number("latency_us.max") >= 99_000.0, "{}", run.result);
    assert!(run.number("latency_us.p90") >= 49_000.0, "{}", run.result);
}

#[test]
fn a_ping_is_answered() {
    // The server ends a connection that does not answer its Ping by a Pong with the same payload,
    // which fails the run.
    let address = scripted(Arc::new(|mut peer| {
        peer.write(b"\x89\x03abc");
        if peer.read_frame() == Some((0x8A, b"abc".to_vec())) {
            peer.read();
        }
    }));
    let url = format!("ws://{address}/");
    Run::of("idle", &url, &["--connections", "4"]).assert_whole();
}

#[test]
fn connections_that_the_server_ends_are_counted_with_their_codes() {
    // The server closes each connection with 4008 after its first message.
    let address = scripted(Arc::new(|mut peer| {
        if peer.read().is_some() {
            // 0x0FA8 is 4008.
            peer.write(&[0x88, 2, 0x0F, 0xA8]);
            peer.read();
        }
    }));
    let run = Run::of("echo", &format!("ws://{address}/"), &["--connections", "3"]);
    assert_eq!(run.count("connections.disconnected"), 3);
    assert_eq!(run.count("connections.close_codes.4008"), 3);
    assert_eq!(run.code, Some(1));
    assert_eq!(
        run.error_line(),
        "framecast: the server has ended 3 connections (4008)"
    );
    assert!(run.number("delivery_ratio").abs() < f64::EPSILON);
}

#[test]
fn a_duplicate_misses_every_ratio() {
    let mangle: Mangle = |number, message, _| match number {
        3 => vec![message.clone(), message],
        _ => vec![message],
    };
    let run = fanout_through(mangle, &["--subscribers", "2", "--min-ratio", "0"]);
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert_eq!(
        run.error_line(),
        "framecast: --min-ratio is not met because of faults: 2 duplicate"
    );
    assert!((run.number("delivery_ratio") - 1.0).abs() < f64::EPSILON);
}

#[test]
fn a_number_that_was_never_published_is_corrupted_and_not_received() {
    let run = fanout_through(
        |number, message, _| match number {
            // Makes the number in the stamp larger than any that is published.
            3 => vec![message.replace("fcl:00000000", "fcl:000000ff"), message],
            _ => vec![message],
        },
        &["--subscribers", "1"],
    );
    assert_eq!(run.faults(), [0, 0, 0, 1], "{}", run.result);
    assert!((run.number("delivery_ratio") - 1.0).abs() < f64::EPSILON);
}

/// Starts an echo server that sends each reply twice.
fn doubling_echo() -> String {
    let address = scripted(Arc::new(|mut peer| {
        while let Some(message) = peer.read() {
            peer.send(&message);
            peer.send(&message);
        }
    }));
    format!("ws://{address}/")
}

#[test]
fn a_duplicate_reply_counts_once_however_short_the_message_is() {
    // Messages with a whole number and that of the caller, with 2 digits of the latter, and with no
    // digit at all.
    for size in ["64", "14", "0"] {
        for pace in [["--depth", "2"], ["--rate", "100"]] {
            let shape = ["--connections", "2", "--size", size];
            let run = Run::of("echo", &doubling_echo(), &[&shape[..], &pace].concat());
            let (received, expected) = (run.count("received"), run.count("expected"));
            // The last duplicates may arrive after the end of the run.
            assert!(received <= 2 * expected, "{size}: {}", run.result);
            assert_eq!(received - run.count("duplicates"), expected, "{size}");
            assert!((run.number("delivery_ratio") - 1.0).abs() < f64::EPSILON);
        }
    }
}

#[test]
fn a_message_of_another_connection_is_no_reply() {
    // The two connections are in one process, or each in a process of its own.
    for processes in ["1", "2"] {
        let url = format!("ws://{}/", to_others());
        let crowd = ["--connections", "2", "--workers", processes];
        let pace = ["--rate", "100"];
        let run = Run::of("echo", &url, &[&crowd[..], &pace].concat());
        assert!(run.count("corrupted") > 0, "{}", run.result);
        assert_eq!(run.count("received"), 0);
        assert_eq!(run.result["latency_us"], Value::Null);
        assert_eq!(run.code, Some(1));
    }
}
