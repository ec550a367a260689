//! What clients make the server hold, as it is charged to the memory budget, beside what a counting
//! allocator sees: for random scripts of what clients send, the accounts are never less, and never
//! more than the README says.
#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod clients;
mod performance;
mod script;
mod server;

use std::alloc::System;

use cap::Cap;
use proptest::prelude::*;

use crate::{performance::Performance, script::action, server::Server};

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, max_shrink_iters: 0, ..ProptestConfig::default() })]

    #[test]
    fn the_accounts_bound_what_the_allocator_sees_and_the_rule_bounds_the_accounts(
        script in proptest::collection::vec(action(), 1..5),
    ) {
        let server = Server::the_one();
        let mut performance = Performance::new(server);
        for action in &script {
            action.perform(&mut performance);
            if let Err(complaint) = server.check(performance.allowed) {
                return Err(TestCaseError::fail(complaint));
            }
        }
        drop(performance);
        server.wait_until_all_are_gone();
    }
}
