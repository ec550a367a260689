//! What comes right behind an opening handshake, or in the midst of it.

use std::thread;

use framecast_test_support::{Client, TestServer, eventually, frame, handshake, text};

use super::SWITCHED;

/// Does what comes after a 101 whose request was followed by a `hi`.
#[track_caller]
fn expect_echo(mut client: Client) {
    let head = client.read_head();
    assert!(head.starts_with(SWITCHED), "{head}");
    client.expect(b"\x81\x02hi");
    client.close();
}

#[test]
fn a_frame_sent_with_the_request_is_served_wherever_the_bytes_are_split() {
    let server = TestServer::start();
    for path in ["/echo?", "/echo/raw?", "/ws?topic="] {
        // Each on a topic of its own. All first parts are there before the first second part.
        let wire = |at| [handshake(&format!("{path}{at:03}")).as_bytes(), &text("hi")].concat();
        let clients: Vec<_> = (0..=wire(0).len())
            .map(|at| {
                let mut client = server.dial();
                client.send(&wire(at)[..at]);
                (client, at)
            })
            .collect();
        // Once for each shard: the sockets before have been handed over and read.
        server.health();
        server.health();
        for (mut client, at) in clients {
            client.send(&wire(at)[at..]);
            expect_echo(client);
        }
    }
}

#[test]
fn a_handshake_byte_by_byte_is_served() {
    let server = TestServer::start();
    let mut client = server.dial();
    for byte in [handshake("/echo").as_bytes(), &text("hi")].concat() {
        client.send(&[byte]);
    }
    expect_echo(client);
}

#[test]
fn much_more_than_a_head_behind_the_request_is_served_in_order() {
    let server = TestServer::start();
    let mut client = server.dial();
    let mut wire = handshake("/echo").into_bytes();
    for number in 0..10_000 {
        wire.extend(text(&number.to_string()));
    }
    let mut writer = Client {
        stream: client.stream.try_clone().unwrap(),
    };
    let writing = thread::spawn(move || writer.send(&wire));
    client.read_head();
    for number in 0..10_000 {
        assert_eq!(client.read_text(), number.to_string());
    }
    writing.join().unwrap();
    client.close();
}

#[test]
fn a_close_sent_with_the_request_is_answered() {
    let server = TestServer::start();
    let mut client = server.dial();
    let close = frame(0x88, &[0x03, 0xE8]);
    client.send(&[handshake("/ws").as_bytes(), &close].concat());
    client.read_head();
    client.expect(&[0x88, 0x02, 0x03, 0xE8]);
    client.expect_end();
}

#[test]
fn http_behind_an_upgrade_never_reaches_the_http_api() {
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
            // 'P', 'G' and 'D' as first bytes of a frame set a reserved bit.
            assert_eq!(client.read_close().0, 1002, "{path} {request}");
            client.expect_end();
        }
    }
    server.post("/publish", r#"{"topic": "t", "message": "honest"}"#);
    assert_eq!(bystander.read_text(), "honest");
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
