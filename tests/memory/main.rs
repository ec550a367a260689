//! What clients make the server hold, as it is charged to the memory budget, beside what a counting
//! allocator sees: for random scripts of what clients send, the accounts are never less, and never
//! more than the README says.
#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod choice;
mod clients;
mod performance;
mod script;
mod server;

use std::alloc::System;

use cap::Cap;
use proptest::prelude::*;

use crate::{
    choice::action,
    performance::Performance,
    script::{Action, Relays, Unfinished},
    server::{MESSAGE_BYTES, Server},
};

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, max_shrink_iters: 0, ..ProptestConfig::default() })]

    #[test]
    fn the_accounts_bound_what_the_allocator_sees_and_the_rule_bounds_the_accounts(
        script in proptest::collection::vec(action(), 2..6),
    ) {
        perform(&script).map_err(TestCaseError::fail)?;
    }
}

/// What was not charged once, each time enough of it to be seen.
#[test]
fn nothing_is_held_for_a_promise_or_a_topic_that_was_left_and_shared_names_are_held_once() {
    let promised = Action::Unfinished {
        connections: 30,
        what: Unfinished::RawFrame,
        promised: MESSAGE_BYTES,
        sent: 0,
    };
    let left = Action::Relays(Relays {
        connections: 60,
        topics: 128,
        name_bytes: 255,
        changes: 1,
        kept: 1,
        is_reading: true,
    });
    let shared = Action::Followers {
        connections: 150,
        topics: 55,
        name_bytes: 255,
        are_shared: true,
    };
    for action in [promised, left, shared] {
        assert_eq!(perform(std::slice::from_ref(&action)), Ok(()), "{action:?}");
    }
}

/// Performs a script, and looks after each action.
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
