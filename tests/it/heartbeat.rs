//! The heartbeat: who is silent is asked, and who does not answer is ended.

use std::time::Duration;

use framecast_test_support::{Client, PATIENCE, TestServer, eventually, frame, text};

const PING: [u8; 2] = [0x89, 0x00];

/// Asks soon, and ends soon who does not answer.
fn strict_server() -> TestServer {
    TestServer::with(|config| {
        config.hub.timeouts.ping_after = Duration::from_millis(200);
        config.hub.timeouts.pong_within = Duration::from_millis(200);
        config.hub.timeouts.close = Duration::from_millis(300);
    })
}

/// Asks soon, and waits for the answer longer than a test waits for anything.
fn patient_server() -> TestServer {
    TestServer::with(|config| {
        config.hub.timeouts.ping_after = Duration::from_millis(50);
        config.hub.timeouts.pong_within = 6 * PATIENCE;
    })
}

#[track_caller]
fn expect_no_pong_and_end(client: &mut Client) {
    assert_eq!(client.read_close(), (4012, "no pong".into()));
    client.expect_end();
}

#[test]
fn a_silent_client_is_pinged_and_then_ended() {
    let server = strict_server();
    let relay = server.register(r#"{"user_id":1}"#);
    let clients = ["/echo", "/echo/raw", "/ws", &relay].map(|path| server.connect(path));
    for mut client in clients {
        client.expect(&PING);
        expect_no_pong_and_end(&mut client);
    }
    eventually("all four are gone and counted", || {
        let health = server.health();
        health["connections"] == 0 && health["unanswered_pings"] == 4
    });
}

#[test]
fn a_client_that_answers_stays() {
    let server = patient_server();
    let mut client = server.connect("/echo");
    for _ in 0..5 {
        client.expect(&PING);
        client.send(&frame(0x8A, b""));
    }
    client.expect(&PING);
    client.close();
    assert_eq!(server.health()["unanswered_pings"], 0);
}

#[test]
fn anything_that_comes_is_an_answer() {
    let server = patient_server();
    let mut client = server.connect("/echo/raw");
    for (answer, reply) in [
        (text("here"), &b"\x81\x04here"[..]),
        (frame(0x8A, b"unasked"), b""),
        (frame(0x89, b"you?"), b"\x8A\x04you?"),
        (frame(0x01, b"frag"), b"\x01\x04frag"),
        // The rest of that message, a byte at a time.
        (vec![0x80], b""),
        (vec![0x81, 1, 2], b""),
        (vec![3, 4, b'!' ^ 1], b"\x80\x01!"),
    ] {
        client.expect(&PING);
        client.send(&answer);
        client.expect(reply);
    }
    client.expect(&PING);
    client.close();
}

#[test]
fn a_client_that_goes_silent_inside_a_message_is_ended_too() {
    let server = strict_server();
    let begun = [
        &b"\x81"[..],
        b"\x81\x85\x37\xFA",
        b"\x81\x85\x37\xFA\x21\x3D\x7F\x9F",
        &frame(0x01, b"frag"),
        &[frame(0x01, b"frag"), vec![0x80]].concat(),
    ];
    let clients = begun.map(|begun| {
        let mut client = server.connect("/echo");
        client.send(begun);
        client
    });
    for mut client in clients {
        client.expect(&PING);
        expect_no_pong_and_end(&mut client);
    }
    eventually("nobody is left", || server.health()["connections"] == 0);
}

#[test]
fn one_that_is_only_sent_to_is_silent_all_the_same() {
    let server = strict_server();
    let mut listener = server.connect("/ws");
    let mut was_pinged = false;
    loop {
        server.post("/publish", r#"{"topic":"lobby","message":"news"}"#);
        match listener.read_frame() {
            (0x81, news) => assert_eq!(news, b"news"),
            (0x89, _) => was_pinged = true,
            (_, close) => break assert_eq!(close, b"\x0F\xACno pong"),
        }
    }
    assert!(was_pinged);
    listener.expect_end();
}

#[test]
fn what_one_says_after_it_was_given_up_is_not_published() {
    let server = TestServer::with(|config| {
        config.hub.timeouts.ping_after = Duration::from_millis(500);
        config.hub.timeouts.pong_within = Duration::from_millis(1000);
        config.hub.timeouts.close = 6 * PATIENCE;
    });
    let mut given_up = server.connect("/ws?topic=late");
    given_up.expect(&PING);
    assert_eq!(given_up.read_close().0, 4012);
    let mut listener = server.connect("/ws?topic=late");
    given_up.send(&text("late"));
    given_up.send(&frame(0x88, &4012_u16.to_be_bytes()));
    given_up.expect_end();
    // What was said would be there by now.
    listener.send(&text("on time"));
    loop {
        match listener.read_frame() {
            (0x89, _) => listener.send(&frame(0x8A, b"")),
            frame => break assert_eq!(frame, (0x81, b"on time".to_vec())),
        }
    }
}
