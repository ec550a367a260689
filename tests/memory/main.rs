//! Compares three numbers of bytes: what the server has allocated for its clients, as a counting
//! allocator sees it, what the server charges to its budget for them, and what `docs/memory.md`
//! allows. Clients perform random scripts of actions. Except for a tolerance, the charged bytes
//! must never be fewer than the allocated ones, and never more than the allowed ones.
//!
//! `choice` makes up a `script`, and `performance` carries it out with `clients` of the `server`.
#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod choice;
mod clients;
mod performance;
mod script;
mod server;

use std::{alloc::System, slice};

use cap::Cap;
use framecast_test_support::limits::{NAME_BYTES, TOPICS};
use proptest::prelude::*;

use crate::{
    choice::action,
    performance::Performance,
    script::{Action, Asked, Last, Relays, Unfinished},
    server::{MESSAGE_BYTES, Server},
};

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, max_shrink_iters: 0, ..ProptestConfig::default() })]

    #[test]
    fn charged_bytes_are_at_least_the_allocated_bytes_and_at_most_those_of_the_readme(
        script in proptest::collection::vec(action(), 2..6),
    ) {
        perform(&script).map_err(TestCaseError::fail)?;
    }
}

/// Checks three kinds of memory that were once allocated and not charged, each in a quantity that
/// exceeds the tolerance of the comparison.
#[test]
fn announced_bytes_and_left_topics_hold_no_memory_and_shared_names_are_held_once() {
    let promised = Action::Unfinished {
        connections: 30,
        what: Unfinished::RawFrame,
        promised: MESSAGE_BYTES,
        sent: 0,
    };
    let left = Action::Relays(Relays {
        connections: 60,
        topics: TOPICS,
        name_bytes: NAME_BYTES,
        changes: 1,
        kept: 1,
        is_reading: true,
    });
    let shared = Action::Followers {
        connections: 150,
        topics: 55,
        name_bytes: NAME_BYTES,
        are_shared: true,
    };
    for action in [promised, left, shared] {
        assert_eq!(perform(slice::from_ref(&action)), Ok(()), "{action:?}");
    }
}

// The page took twice its bytes, and neither it nor the buffers around it were charged.
#[test]
fn pages_that_are_not_read_are_charged_with_the_head_that_begins_behind_them() {
    let action = Action::Pipelines {
        connections: 19,
        requests: 8,
        asked: Asked::Page,
        last: Last::Head(3736),
    };
    assert_eq!(perform(&vec![action; 6]), Ok(()));
}

/// Checks connections that made the server hold more than was charged for them: in hyper's buffers,
/// in the table of a request's headers, and in responses that were not read.
#[test]
fn an_http_connection_is_charged_all_that_its_heads_bodies_and_responses_take() {
    let line = |line: &str| format!("{line} HTTP/1.1\r\nHost: localhost\r\n");
    let get = line("GET /health") + "\r\n";
    let header = |bytes: usize| format!("X: {}", "x".repeat(bytes));
    let names: String = (100..195).map(|n| format!("{n:x>150}:\r\n")).collect();
    let post = |head: &str, body: &str| format!("{}{head}\r\n{body}", line("POST /publish"));
    let unknown = format!("{{\"{}\":1}}", "x".repeat(20_000));
    let length = format!("Content-Length: {}\r\n", unknown.len());
    let trailers = format!("1\r\n{{\r\n0\r\n{}", header(15_000));
    for parts in [
        // hyper's buffer doubles twice: for the first byte, and for the head behind the request.
        vec![
            "G".to_owned(),
            get[1..].to_owned() + &line("GET /") + &header(9000),
        ],
        vec![line("GET /") + "\r\n" + &get.repeat(400) + &header(16_000)],
        vec![post("Content-Length: 9\r\n", "{")],
        vec![post(&(names.clone() + "Content-Length: 9\r\n"), "{")],
        vec![post(&("x:\r\n".repeat(95) + "Content-Length: 9\r\n"), "{")],
        vec![post("Transfer-Encoding: chunked\r\n", &trailers)],
        // A body is thrown away behind a response that waits, and so hyper reads the next head.
        vec![
            (line("GET /") + "Content-Length: 1\r\n\r\nx" + &line("PUT /") + &names + "\r\n")
                .repeat(20),
        ],
        // The error names the unknown field.
        vec![post(&length, &unknown).repeat(20)],
    ] {
        let action = Action::Parts {
            connections: 100,
            parts,
        };
        assert_eq!(perform(slice::from_ref(&action)), Ok(()), "{action:.300?}");
    }
}

/// Checks lists whose answers are together far larger than the tolerance of the comparison.
#[test]
fn the_answer_to_a_list_is_charged_until_it_is_read() {
    let lists = Action::Lists {
        connections: 20,
        lists: 100,
        items: 1_000,
    };
    assert_eq!(perform(slice::from_ref(&lists)), Ok(()));
}

/// Performs a script. After each action compares the allocated, the charged and the allowed bytes.
fn perform(script: &[Action]) -> Result<(), String> {
    let server = Server::the_one();
    let mut performance = Performance::new(&server);
    for action in script {
        action.perform(&mut performance);
        server.check(performance.allowed)?;
    }
    performance.end();
    Ok(())
}
