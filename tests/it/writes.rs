//! How many writes a broadcast costs, by the server's own count. Nothing here depends on how fast
//! anything is.

use framecast_test_support::{Client, TestServer, text};

const SUBSCRIBERS: usize = 50;
const ROUNDS: usize = 20;

/// Publishes so many messages at a time, the next when all subscribers have them: how many
/// deliveries and how many writes that were.
fn broadcast(in_flight: usize) -> (u64, u64) {
    // One, which answers about itself after all that it has counted.
    let server = TestServer::with(|config| config.hub.shards = 1.try_into().unwrap());
    let mut clients: Vec<Client> = (0..SUBSCRIBERS)
        .map(|_| server.connect("/ws?topic=cats"))
        .collect();
    let payload = "x".repeat(64);
    let frame = [&[0x81, 64], payload.as_bytes()].concat();
    for _ in 0..ROUNDS {
        // In one segment, so that one receive brings all.
        clients[0].send(&text(&payload).repeat(in_flight));
        for client in &mut clients {
            client.expect(&frame.repeat(in_flight));
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
fn messages_that_come_together_cost_one_write_for_each_subscriber() {
    let (deliveries, writes) = broadcast(16);
    assert_eq!(deliveries, (ROUNDS * SUBSCRIBERS * 16) as u64);
    // A sixteenth, but for what the network may have divided.
    assert!(writes * 10 <= deliveries, "{writes} for {deliveries}");
}
