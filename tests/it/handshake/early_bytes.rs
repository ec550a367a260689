//! Bytes that a client sends behind its opening handshake without waiting for the response, and
//! handshakes that arrive in parts.

use std::thread;

use framecast_test_support::{
    Client, TestServer, eventually,
    frames::{close, masked, text},
    handshake,
};

use crate::handshake::SWITCHED;

/// Asserts that a client that has sent a handshake and the message `hi` gets a 101 and `hi`. Then
/// does the closing handshake.
#[track_caller]
fn expect_echo(mut client: Client) {
    let head = client.read_head();
    assert!(head.starts_with(SWITCHED), "{head}");
    client.receives(text("hi"));
    client.close();
}

#[test]
fn a_frame_sent_with_the_request_is_served_wherever_the_bytes_are_split() {
    let server = TestServer::start();
    for path in ["/echo?", "/echo/raw?", "/ws?topic="] {
        // The number makes the topic of each connection its own. All first parts are sent before
        // any second part.
        let wire = |at| {
            let handshake = handshake(&format!("{path}{at:03}"));
            [handshake.as_bytes(), &masked([text("hi")])].concat()
        };
        let clients: Vec<_> = (0..=wire(0).len())
            .map(|at| {
                let mut client = server.dial();
                client.send(&wire(at)[..at]);
                (client, at)
            })
            .collect();
        // A request to each shard, which answers after it has read the sockets that it got before.
        server.health();
        server.health();
        for (mut client, at) in clients {
            client.send(&wire(at)[at..]);
            expect_echo(client);
        }
    }
}

#[test]
fn a_handshake_that_arrives_byte_by_byte_is_served() {
    let server = TestServer::start();
    let mut client = server.dial();
    for byte in [handshake("/echo").as_bytes(), &masked([text("hi")])].concat() {
        client.send(&[byte]);
    }
    expect_echo(client);
}

#[test]
fn ten_thousand_messages_sent_with_the_request_are_answered_in_order() {
    let server = TestServer::start();
    let mut client = server.dial();
    let numbers = || (0..10_000).map(|number| text(number.to_string()));
    let wire = [handshake("/echo").as_bytes(), &masked(numbers())].concat();
    let mut writer = Client {
        stream: client.stream.try_clone().unwrap(),
    };
    let writing = thread::spawn(move || writer.send(&wire));
    client.read_head();
    client.receives_all(numbers());
    writing.join().unwrap();
    client.close();
}

#[test]
fn a_close_sent_with_the_request_is_answered() {
    let server = TestServer::start();
    let mut client = server.dial();
    let wire = [handshake("/ws").as_bytes(), &masked([close(1000, "")])].concat();
    client.send(&wire);
    client.read_head();
    client.receives(close(1000, ""));
    client.expect_end();
}

#[test]
fn http_requests_after_an_upgrade_never_reach_the_http_api() {
    let server = TestServer::start();
    let mut bystander = server.connect("/ws?topic=t");
    let id = server.register(r#"{"user_id": 1}"#).replace("/ws/", "");
    let body = r#"{"topic": "t", "message": "smuggled"}"#;
    let length = body.len();
    let requests = [
        format!(
            "POST /publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}"
        ),
        "GET /publish HTTP/1.1\r\nHost: localhost\r\n\r\n".into(),
        format!("DELETE /register/{id} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    ];
    for request in requests {
        for path in ["/echo", "/echo/raw", "/ws"] {
            let mut client = server.dial();
            client.send(format!("{}{request}", handshake(path)).as_bytes());
            let head = client.read_head();
            assert!(head.starts_with(SWITCHED), "{head}");
            // As the first byte of a frame, 'P', 'G' and 'D' have reserved bits set.
            client.receives(close(1002, "reserved bits set"));
            client.expect_end();
        }
    }
    // No message was published before this one, and the registration was not deleted.
    server.post("/publish", r#"{"topic": "t", "message": "honest"}"#);
    bystander.receives(text("honest"));
    bystander.close();
    server.connect(&format!("/ws/{id}")).close();
}

#[test]
fn a_client_that_leaves_during_its_handshake_leaves_nothing_behind() {
    let server = TestServer::start();
    let wire = handshake("/ws");
    for at in 0..=wire.len() {
        server.dial().send(&wire.as_bytes()[..at]);
    }
    eventually("no connection is left", || {
        server.health()["connections"] == 0
    });
    eventually("no topic is left", || server.health()["topics"] == 0);
}
