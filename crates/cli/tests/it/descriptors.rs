//! Running out of descriptors.

use std::{process::Command, thread, time::Duration};

use framecast_test_support::{Answer, Client, eventually, handshake, text};

use crate::process::{FRAMECAST, Process};

/// A server of one shard that may have 64 descriptors.
fn start() -> Process {
    // Those that have said nothing are gone soon.
    let script = "ulimit -n 64; exec \"$0\" serve --listen 127.0.0.1:0 --shards 1 \
                  --request-timeout 3s";
    Process::start(Command::new("sh").args(["-c", script, FRAMECAST]))
}

fn ask(server: &Process, request: &str) -> (Client, Answer) {
    let mut client = Client::dial(server.address);
    client.send(request.as_bytes());
    let answer = client.read_answer();
    (client, answer)
}

/// What `/health` says on a connection of its own.
fn health(server: &Process) -> (Answer, serde_json::Value) {
    let request = "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let (_, answer) = ask(server, request);
    let health = serde_json::from_str(&answer.body).unwrap();
    (answer, health)
}

#[test]
fn at_the_limit_who_comes_is_told_so_and_who_is_there_is_served() {
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
    let mut turned_away = 1;
    for _ in 0..10 {
        let (answer, health) = health(&server);
        assert_eq!(answer.status, 200);
        assert_eq!(health["status"], "ok");
        assert_eq!(health["connections"], crowd.len());
        turned_away += 1;
        // Not more often than somebody comes: nothing turns in vain.
        assert_eq!(health["accept_errors"], turned_away);
        let (_, refused) = ask(&server, &handshake("/ws"));
        assert_eq!(refused.status, 503);
        turned_away += 1;
    }
    crowd[0].send(&text("still there"));
    for client in &mut crowd {
        assert_eq!(client.read_text(), "still there");
    }
    crowd.drain(..5).for_each(Client::close);
    eventually("there is room again", || {
        ask(&server, &handshake("/ws")).1.status == 101
    });
}

#[test]
fn at_the_limit_a_client_that_sends_nothing_is_let_go_for_the_next() {
    let server = start();
    let crowd: Vec<Client> = (0..60).map(|_| Client::dial(server.address)).collect();
    let (answer, health) = health(&server);
    assert_eq!(answer.status, 200);
    // Each has waited for its second, and nobody has asked for it in between.
    let errors = health["accept_errors"].as_u64().unwrap();
    assert!((1..60).contains(&errors), "{errors} errors");
    drop(crowd);
}

#[test]
fn after_a_crowd_at_the_limit_the_acceptor_takes_up_again() {
    let server = start();
    let first = server.connect("/ws");
    let crowd: Vec<Client> = (0..100).map(|_| Client::dial(server.address)).collect();
    // Not to wait for anything: this is how long the server is to be at its limit.
    thread::sleep(Duration::from_millis(500));
    drop(crowd);
    let (_, health) = health(&server);
    let errors = health["accept_errors"].as_u64().unwrap();
    assert!((1..100).contains(&errors), "{errors} errors");
    first.close();
}
