//! Servers that do wrong are found out, and what they do is counted right.

use std::{collections::VecDeque, sync::Arc};

use serde_json::Value;

use crate::{
    scripted::{Mangle, WORDS, broadcaster, scripted, to_others},
    support::Run,
};

fn fanout_through(mangle: Mangle, arguments: &[&str]) -> Run {
    let url = format!("ws://{}/", broadcaster(mangle));
    let common = ["--in-flight", "9"];
    Run::of("fanout", &url, &[&WORDS, &common[..], arguments].concat())
}

/// Loses 1, repeats 3, swaps 5 and 6: all of the first messages that are under way.
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

fn honest(_: usize, message: String, _: &mut VecDeque<String>) -> Vec<String> {
    vec![message]
}

#[test]
fn a_server_that_does_right_in_its_own_words_is_found_right() {
    fanout_through(honest, &["--subscribers", "3"]).assert_whole();
}

#[test]
fn lost_repeated_and_reordered_messages_are_found_and_counted() {
    let run = fanout_through(faulty, &["--subscribers", "2"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    // Each subscriber has seen the same.
    assert_eq!(run.faults(), [2, 2, 2, 0]);
    assert_eq!(run.count("received"), run.count("expected"));
    assert!(
        run.number("delivery_ratio") < 1.0,
        "a repeat makes up for no loss"
    );
    assert!(
        run.stdout
            .contains("2 gaps, 2 duplicates, 2 out of order, 0 corrupted")
    );
}

#[test]
fn a_changed_message_is_found() {
    let run = fanout_through(
        |number, message, _| match number {
            3 => vec![message.replace("xyz", "xYz")],
            _ => vec![message],
        },
        &["--subscribers", "1"],
    );
    // It is not one that was sent, so the one that was is missing.
    assert_eq!(run.faults(), [1, 0, 0, 1]);
    assert_eq!(run.code, Some(1));
    let expected = "framecast: not what was sent: 1 message that came";
    assert_eq!(run.complaint(), expected);
}

#[test]
fn a_missed_threshold_fails_and_says_which_in_one_line() {
    let run = fanout_through(faulty, &["--subscribers", "1", "--min-ratio", "1.0"]);
    assert_eq!(run.code, Some(1));
    let complaint = run.complaint();
    assert!(
        complaint.starts_with("framecast: the delivery ratio of 0."),
        "{complaint}"
    );
    assert!(
        complaint.ends_with(" is below --min-ratio 1"),
        "{complaint}"
    );
    assert!(run.stdout.contains(" 1 gap,"), "{}", run.stdout);

    let run = fanout_through(honest, &["--subscribers", "1", "--max-p99", "1us"]);
    assert_eq!(run.code, Some(1));
    assert!(
        run.complaint().ends_with(" is above --max-p99 1.00 µs"),
        "{}",
        run.stderr
    );

    let limits = ["--subscribers", "1", "--max-p99", "1h", "--min-ratio", "1"];
    fanout_through(honest, &limits).assert_whole();
}

#[test]
fn churn_fails_by_itself_when_the_stream_is_not_whole() {
    let url = format!("ws://{}/", broadcaster(faulty));
    let stream = ["--subscribers", "1", "--in-flight", "9", "--rate", "20"];
    let run = Run::of("churn", &url, &[&WORDS, &stream[..]].concat());
    assert_eq!(run.code, Some(1));
    let expected = "framecast: the stream is not whole: 1 missing, 1 duplicate, 1 out of order";
    assert_eq!(run.complaint(), expected);
}

#[test]
fn wrong_replies_of_an_echo_are_found() {
    let address = scripted(Arc::new(|mut peer| {
        let mut number = 0;
        while let Some(message) = peer.read() {
            let reply = if number == 2 {
                message.replace('x', "X")
            } else {
                message
            };
            peer.say(&reply);
            number += 1;
        }
    }));
    let run = Run::of("echo", &format!("ws://{address}/"), &["--connections", "2"]);
    assert_eq!(run.count("corrupted"), 2);
    assert!(run.number("delivery_ratio") < 1.0);
}

#[test]
fn what_a_server_holds_up_counts_from_when_it_was_to_be_sent() {
    // Message 200 is answered when 300 has come, which is not before 100 ms after it was due.
    let address = scripted(Arc::new(|mut peer| {
        let (mut number, mut held) = (0, Vec::new());
        while let Some(message) = peer.read() {
            held.push(message);
            if !(200..300).contains(&number) {
                held.drain(..).for_each(|message| peer.say(&message));
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
fn so_it_is_with_publications() {
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
    let run = Run::of("fanout", &url, &[&WORDS, &pace[..]].concat());
    run.assert_whole();
    assert!(run.number("latency_us.max") >= 99_000.0, "{}", run.result);
    assert!(run.number("latency_us.p90") >= 49_000.0, "{}", run.result);
}

#[test]
fn a_ping_is_answered_and_a_connection_without_an_answer_would_end() {
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
    // Closed after the first message, with 4008.
    let address = scripted(Arc::new(|mut peer| {
        if peer.read().is_some() {
            peer.write(&[0x88, 2, 0x0F, 0xA8]);
            peer.read();
        }
    }));
    let run = Run::of("echo", &format!("ws://{address}/"), &["--connections", "3"]);
    assert_eq!(run.count("connections.disconnected"), 3);
    assert_eq!(run.count("connections.close_codes.4008"), 3);
    assert_eq!(run.code, Some(1));
    assert_eq!(
        run.complaint(),
        "framecast: the server has ended 3 connections (4008)"
    );
    assert!(run.number("delivery_ratio").abs() < f64::EPSILON);
}

#[test]
fn what_came_twice_or_out_of_order_fails_whatever_the_ratio() {
    let mangle: Mangle = |number, message, _| match number {
        3 => vec![message.clone(), message],
        _ => vec![message],
    };
    let run = fanout_through(mangle, &["--subscribers", "2", "--min-ratio", "0"]);
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert_eq!(
        run.complaint(),
        "framecast: --min-ratio is not met by what came wrong: 2 duplicate"
    );
    assert!((run.number("delivery_ratio") - 1.0).abs() < f64::EPSILON);
}

#[test]
fn a_number_that_nobody_has_published_has_not_arrived() {
    let run = fanout_through(
        |number, message, _| match number {
            // The number in the stamp, made larger than any that is published.
            3 => vec![message.replace("fcl:00000000", "fcl:000000ff"), message],
            _ => vec![message],
        },
        &["--subscribers", "1"],
    );
    assert_eq!(run.faults(), [0, 0, 0, 1], "{}", run.result);
    assert!((run.number("delivery_ratio") - 1.0).abs() < f64::EPSILON);
}

/// An echo that says everything twice.
fn doubling_echo() -> String {
    let address = scripted(Arc::new(|mut peer| {
        while let Some(message) = peer.read() {
            peer.say(&message);
            peer.say(&message);
        }
    }));
    format!("ws://{address}/")
}

#[test]
fn a_reply_that_comes_twice_counts_once_however_short_it_is() {
    for size in ["64", "14", "0"] {
        for pace in [["--depth", "2"], ["--rate", "100"]] {
            let shape = ["--connections", "2", "--size", size];
            let run = Run::of("echo", &doubling_echo(), &[&shape[..], &pace].concat());
            let (received, expected) = (run.count("received"), run.count("expected"));
            assert!(received <= 2 * expected, "{size}: {}", run.result);
            assert_eq!(received - run.count("duplicates"), expected, "{size}");
            assert!((run.number("delivery_ratio") - 1.0).abs() < f64::EPSILON);
        }
    }
}

#[test]
fn what_other_connections_have_sent_is_no_reply() {
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
