//! Behaviour of the server when it runs out of descriptors.

use std::{process::Command, thread, time::Duration};

use framecast_test_support::{Answer, Client, eventually, handshake, text};

use crate::process::{FRAMECAST, Process};

/// Starts a server of one shard that may have 64 descriptors.
fn start() -> Process {
    // Clients that send nothing are closed after 3 s.
    let script = "ulimit -n 64; exec \"$0\" serve --listen 127.0.0.1:0 --shards 1 \
                  --request-timeout 3s";
    Process::start(Command::new("sh").args(["-c", script, FRAMECAST]))
}

/// Sends a request on a new connection. Returns the connection and the response.
fn ask(server: &Process, request: &str) -> (Client, Answer) {
    let mut client = Client::dial(server.address);
    client.send(request.as_bytes());
    let answer = client.read_answer();
    (client, answer)
}

/// Asks for `/health` on a new connection. Returns the response, and its body as JSON.
fn health(server: &Process) -> (Answer, serde_json::Value) {
    let request = "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let (_, answer) = ask(server, request);
    let health = serde_json::from_str(&answer.body).unwrap();
    (answer, health)
}

#[test]
fn at_the_limit_a_new_client_gets_503_and_connected_clients_are_served() {
    let server = start();
    let mut crowd = Vec::new();
    let (mut last, refused) = loop {
        let (client, answer) = ask(&server, &handshake("/ws"));
        if answer.status != 101 {
            break (client, answer);
        }
        crowd.push(client);
        assert!(crowd.len() < 64);
    };
    assert_eq!(refused.status, 503, "{refused:?}");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(refused.header("connection"), Some("close"));
    assert_eq!(refused.body, "{\"error\":\"the server is full\"}\n");
    last.expect_end();
    // Number of connections that came at the limit, those for `/health` included.
    let mut came_at_limit = 1;
    for _ in 0..10 {
        let (answer, health) = health(&server);
        assert_eq!(answer.status, 200);
        assert_eq!(health["status"], "ok");
        assert_eq!(health["connections"], crowd.len());
        came_at_limit += 1;
        // One error for each connection at the limit: the acceptor does not retry in a loop.
        assert_eq!(health["accept_errors"], came_at_limit);
        let (_, refused) = ask(&server, &handshake("/ws"));
        assert_eq!(refused.status, 503);
        came_at_limit += 1;
    }
    crowd[0].send(&text("still there"));
    for client in &mut crowd {
        assert_eq!(client.read_text(), "still there");
    }
    // Their descriptors become free.
    crowd.drain(..5).for_each(Client::close);
    eventually("a client is accepted again", || {
        ask(&server, &handshake("/ws")).1.status == 101
    });
}

#[test]
fn at_the_limit_a_client_that_sends_nothing_is_closed_for_the_next() {
    let server = start();
    let crowd: Vec<Client> = (0..60).map(|_| Client::dial(server.address)).collect();
    let (answer, health) = health(&server);
    assert_eq!(answer.status, 200);
    // The acceptor has waited up to a second for the request of each client beyond the limit, and
    // then closed it for the next one. The clients below the limit were accepted without an error.
    let errors = health["accept_errors"].as_u64().unwrap();
    assert!((1..60).contains(&errors), "{errors} errors");
    // Until here the clients stay connected, so that only the server closes them.
    drop(crowd);
}

#[test]
fn after_a_crowd_at_the_limit_the_acceptor_accepts_again() {
    let server = start();
    let first = server.connect("/ws");
    let crowd: Vec<Client> = (0..100).map(|_| Client::dial(server.address)).collect();
    // The server stays at its limit for this time. The test waits for no event here.
    thread::sleep(Duration::from_millis(500));
    drop(crowd);
    let (_, health) = health(&server);
    let errors = health["accept_errors"].as_u64().unwrap();
    assert!((1..100).contains(&errors), "{errors} errors");
    first.close();
}
