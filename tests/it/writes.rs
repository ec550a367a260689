//! Tests of the number of writes that a broadcast costs, as the server counts them. The number does
//! not depend on the speed of the machine.

use framecast_test_support::{Client, TestServer, frames::text};

const SUBSCRIBERS: usize = 50;
const ROUNDS: usize = 20;

/// Publishes `in_flight` messages together, [`ROUNDS`] times, and waits each time until all
/// subscribers have received them. Returns the number of deliveries and the number of writes.
fn broadcast(in_flight: usize) -> (u64, u64) {
    // A single shard answers `/health` after it has counted its writes.
    let server = TestServer::with(|config| config.hub.shards = 1.try_into().unwrap());
    let mut clients: Vec<Client> = (0..SUBSCRIBERS)
        .map(|_| server.connect("/ws?topic=cats"))
        .collect();
    let messages = vec![text("x".repeat(64)); in_flight];
    for _ in 0..ROUNDS {
        // In one segment, so that the server receives all of them at once.
        clients[0].sends_together(messages.clone());
        for client in &mut clients {
            client.receives_all(messages.clone());
        }
    }
    let health = server.health();
    let count = |name: &str| health[name].as_u64().unwrap();
    (count("deliveries"), count("writes"))
}

#[test]
fn a_message_by_itself_costs_one_write_for_each_subscriber() {
    let (deliveries, writes) = broadcast(1);
    assert_eq!(deliveries, (ROUNDS * SUBSCRIBERS) as u64);
    assert_eq!(writes, deliveries);
}

#[test]
fn messages_that_arrive_together_cost_one_write_for_each_subscriber() {
    const IN_FLIGHT: usize = 16;
    let (deliveries, writes) = broadcast(IN_FLIGHT);
    assert_eq!(deliveries, (ROUNDS * SUBSCRIBERS * IN_FLIGHT) as u64);
    // A sixteenth of the deliveries, unless the network has split a write of the publisher.
    assert!(writes * 10 <= deliveries, "{writes} for {deliveries}");
}
