//! The heartbeat: the server pings a silent client, and ends its connection if it does not answer.

use std::time::Duration;

use framecast_test_support::{
    Client, NEVER, TestServer, eventually,
    frames::{close, first_text, last, masked, ping, pong, text},
};

/// Close code of a client that did not answer a Ping.
const NO_PONG: u16 = 4012;

/// Starts a server that pings after 200 ms of silence, and ends a client that stays silent for 200
/// ms more.
fn strict_server() -> TestServer {
    TestServer::with(|config| {
        config.hub.timeouts.ping_after = Duration::from_millis(200);
        config.hub.timeouts.pong_within = Duration::from_millis(200);
        config.hub.timeouts.close = Duration::from_millis(300);
    })
}

/// Starts a server that pings after 50 ms of silence, and waits for the answer for longer than a
/// test.
fn patient_server() -> TestServer {
    TestServer::with(|config| {
        config.hub.timeouts.ping_after = Duration::from_millis(50);
        config.hub.timeouts.pong_within = NEVER;
    })
}

#[track_caller]
fn expect_no_pong_and_end(client: &mut Client) {
    client.receives(close(NO_PONG, "no pong"));
    client.expect_end();
}

#[test]
fn a_silent_client_is_pinged_and_then_closed() {
    let server = strict_server();
    let relay = server.register(r#"{"user_id":1}"#);
    let clients = ["/echo", "/echo/raw", "/ws", &relay].map(|path| server.connect(path));
    for mut client in clients {
        client.receives(ping(""));
        expect_no_pong_and_end(&mut client);
    }
    eventually("all four have ended and are counted", || {
        let health = server.health();
        health["connections"] == 0 && health["unanswered_pings"] == 4
    });
}

#[test]
fn a_client_that_answers_each_ping_stays_connected() {
    let server = patient_server();
    let mut client = server.connect("/echo");
    for _ in 0..5 {
        client.receives(ping(""));
        client.sends(pong(""));
    }
    client.receives(ping(""));
    client.close();
    assert_eq!(server.health()["unanswered_pings"], 0);
}

#[test]
fn any_byte_that_arrives_answers_a_ping() {
    let server = patient_server();
    let mut client = server.connect("/echo/raw");
    for (sent, received) in [
        (text("here"), Some(text("here"))),
        (pong("unasked"), None),
        (ping("you?"), Some(pong("you?"))),
        (first_text("frag"), Some(first_text("frag"))),
    ] {
        client.receives(ping(""));
        client.sends(sent);
        client.receives_all(received);
    }
    // The last fragment, in three pieces.
    for piece in masked([last("!")]).chunks(3) {
        client.receives(ping(""));
        client.send(piece);
    }
    client.receives(last("!"));
    client.receives(ping(""));
    client.close();
}

#[test]
fn a_client_that_falls_silent_inside_a_message_is_closed_too() {
    let server = strict_server();
    let whole = masked([text("Hello")]);
    let fragment = masked([first_text("frag")]);
    // Cut in the header, in the masking key, in the payload, after a fragment, and in the next
    // header.
    let parts = [
        &whole[..1],
        &whole[..4],
        &whole[..8],
        &fragment,
        &[&fragment[..], &[0x80]].concat(),
    ];
    let clients = parts.map(|part| {
        let mut client = server.connect("/echo");
        client.send(part);
        client
    });
    for mut client in clients {
        client.receives(ping(""));
        expect_no_pong_and_end(&mut client);
    }
    eventually("no connection is left", || {
        server.health()["connections"] == 0
    });
}

#[test]
fn a_subscriber_that_only_receives_is_silent_too() {
    let server = strict_server();
    let mut subscriber = server.connect("/ws");
    let mut was_pinged = false;
    let end = loop {
        server.post("/publish", r#"{"topic":"lobby","message":"news"}"#);
        match subscriber.read_frame() {
            frame if frame == text("news") => {}
            frame if frame == ping("") => was_pinged = true,
            frame => break frame,
        }
    };
    assert!(was_pinged);
    assert_eq!(end, close(NO_PONG, "no pong"));
    subscriber.expect_end();
}

#[test]
fn a_message_that_arrives_after_the_close_of_a_silent_client_is_not_published() {
    let server = TestServer::with(|config| {
        config.hub.timeouts.ping_after = Duration::from_millis(500);
        config.hub.timeouts.pong_within = Duration::from_millis(1000);
        config.hub.timeouts.close = NEVER;
    });
    let mut silent = server.connect("/ws?topic=late");
    silent.receives(ping(""));
    silent.receives(close(NO_PONG, "no pong"));
    let mut subscriber = server.connect("/ws?topic=late");
    silent.sends(text("late"));
    silent.sends(close(NO_PONG, ""));
    silent.expect_end();
    // A message that was published before this one would arrive before it.
    subscriber.sends(text("on time"));
    let received = loop {
        match subscriber.read_frame() {
            frame if frame == ping("") => subscriber.sends(pong("")),
            frame => break frame,
        }
    };
    assert_eq!(received, text("on time"));
}
