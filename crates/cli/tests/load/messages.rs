//! Messages that carry more, or something else, than one publication of the type that was sent.

use std::{sync::Arc, thread};

use crate::{
    scripted::{Mangle, PROTOCOL, broadcaster, scripted, to_all},
    support::Run,
};

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;

/// Starts an echo whose replies are frames with this first byte.
fn echo_as(first: u8) -> String {
    let address = scripted(Arc::new(move |mut peer| {
        while let Some((TEXT | BINARY, payload)) = peer.read_frame() {
            peer.send_frame(first, &payload);
        }
    }));
    format!("ws://{address}/")
}

#[test]
fn a_reply_of_another_type_than_the_message_is_no_reply() {
    // All at a time: a run without replies waits for them for two seconds.
    thread::scope(|scope| {
        for pace in [["--depth", "2"], ["--rate", "100"]] {
            for (reply, sent, is_right) in [
                (TEXT, &[][..], true),
                (BINARY, &[], false),
                (BINARY, &["--binary"], true),
                (TEXT, &["--binary"], false),
            ] {
                let crowd = ["--connections", "2"];
                let arguments = [&crowd, &pace[..], sent].concat();
                scope.spawn(move || {
                    let run = Run::of("echo", &echo_as(reply), &arguments);
                    assert_as_sent(&run, is_right);
                });
            }
        }
    });
}

#[test]
fn a_publication_of_another_type_is_not_what_was_sent() {
    thread::scope(|scope| {
        for kind in ["fanout", "churn"] {
            for (delivered, sent, is_right) in [
                (BINARY, &[][..], false),
                (BINARY, &["--binary"], true),
                (TEXT, &["--binary"], false),
            ] {
                let arguments = [&["--subscribers", "2"], sent].concat();
                scope.spawn(move || {
                    let url = format!("ws://{}/", to_all(delivered));
                    let run = Run::of(kind, &url, &arguments);
                    assert_as_sent(&run, is_right);
                });
            }
        }
    });
}

/// Asserts that all messages of a run have arrived, or that all were corrupted.
#[track_caller]
fn assert_as_sent(run: &Run, is_right: bool) {
    if is_right {
        return run.assert_whole();
    }
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert_eq!(run.count("received"), 0);
    assert!(run.count("corrupted") > 0, "{}", run.result);
}

#[test]
fn text_that_is_not_utf8_breaks_the_protocol() {
    let address = scripted(Arc::new(|mut peer| {
        while peer.read().is_some() {
            peer.send_frame(TEXT, b"caf\xE9");
        }
    }));
    let run = Run::of("echo", &format!("ws://{address}/"), &["--connections", "1"]);
    assert_eq!(run.code, Some(1));
    assert_eq!(
        run.error_line(),
        "framecast: the server has broken RFC 6455: text that is not UTF-8"
    );
}

/// Runs a fan-out through a server that sends what `mangle` returns. Two messages of this size fit
/// into a frame that a script can send.
fn fanout_through(mangle: Mangle, in_flight: &str) -> Run {
    let url = format!("ws://{}/", broadcaster(mangle));
    let crowd = ["--subscribers", "1", "--size", "60"];
    let pace = ["--in-flight", in_flight];
    Run::of("fanout", &url, &[&PROTOCOL, &crowd[..], &pace].concat())
}

#[test]
fn all_publications_in_one_message_count() {
    // With two messages in flight, none is left over at the end.
    let in_pairs: Mangle = |number, message, held| match number % 2 {
        0 => {
            held.push_back(message);
            vec![]
        }
        _ => vec![format!("{}\n{message}", held.pop_front().unwrap())],
    };
    fanout_through(in_pairs, "2").assert_whole();
}

#[test]
fn a_loss_a_repeat_and_a_swap_among_several_publications_in_one_message_are_found() {
    // Number 3 is missing, 5 comes twice, 6 and 7 are swapped.
    let mangle: Mangle = |number, message, held| match number {
        0 | 2 | 4 | 6 => {
            held.push_back(message);
            vec![]
        }
        3 => vec![held.pop_front().unwrap()],
        5 => vec![
            format!("{},{message}", held.pop_front().unwrap()),
            format!("[\"{message}\"]"),
        ],
        7 => vec![format!("{message}{}", held.pop_front().unwrap())],
        _ => held.drain(..).chain([message]).collect(),
    };
    let run = fanout_through(mangle, "9");
    assert_eq!(run.faults(), [1, 1, 1, 0], "{}", run.result);
}
