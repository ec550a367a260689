//! How connections end: the closing handshake from either side, and peers that do not keep to it.
//!
//! Where nothing is to be waited for, the time for the closing handshake is longer than the
//! test's patience: whoever waited for its end would fail.

use std::{
    io::{ErrorKind, Read, Write},
    net::Shutdown,
    time::Duration,
};

use framecast_test_support::{Client, PATIENCE, TestServer, eventually, frame, text};
use socket2::SockRef;

const GONE: (u16, &str) = (4503, "registration deleted");
const BYE: [u8; 8] = [0x88, 0x82, 0x37, 0xFA, 0x21, 0x3D, 0x34, 0x12];
const BYE_ECHOED: [u8; 4] = [0x88, 0x02, 0x03, 0xE8];

fn server_with_close_timeout(timeout: Duration) -> TestServer {
    TestServer::with(|config| config.hub.timeouts.close = timeout)
}

fn patient_server() -> TestServer {
    server_with_close_timeout(6 * PATIENCE)
}

fn hasty_server() -> TestServer {
    server_with_close_timeout(Duration::from_millis(300))
}

/// A relay connection, to be ended by the server.
fn relay(server: &TestServer) -> (Client, impl Fn(&TestServer) + use<>) {
    let path = server.register(r#"{"user_id":1}"#);
    let client = server.connect(&path);
    let unregister = path.replace("/ws/", "/register/");
    let delete = move |server: &TestServer| {
        assert_eq!(server.http("DELETE", &unregister, "", "").status, 200);
    };
    (client, delete)
}

#[track_caller]
fn expect_close(client: &mut Client, (code, reason): (u16, &str)) {
    assert_eq!(client.read_close(), (code, reason.to_owned()));
}

#[track_caller]
fn expect_nobody_left(server: &TestServer) {
    eventually("no connection is left", || {
        server.health()["connections"] == 0
    });
}

/// Ends a connection with a reset instead of a FIN.
fn reset(client: Client) {
    let socket = SockRef::from(&client.stream);
    socket.set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
}

/// Sends echo messages until the server, which is not read from, takes no more.
fn flood(client: &mut Client) {
    let message = frame(0x82, &[7; 60_000]);
    client
        .stream
        .set_write_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    loop {
        match client.stream.write_all(&message) {
            Ok(()) => {}
            Err(error) => return assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
        }
    }
}

#[test]
fn the_answer_to_our_close_is_awaited_and_then_the_stream_ends() {
    let server = patient_server();
    let (mut client, delete) = relay(&server);
    delete(&server);
    expect_close(&mut client, GONE);
    let moment = Some(Duration::from_millis(50));
    client.stream.set_read_timeout(moment).unwrap();
    let still_open = client.stream.read(&mut [0]).unwrap_err();
    assert_eq!(still_open.kind(), ErrorKind::WouldBlock);
    assert_eq!(server.health()["connections"], 1);
    client.stream.set_read_timeout(Some(PATIENCE)).unwrap();
    client.send(&frame(0x88, &GONE.0.to_be_bytes()));
    client.expect_end();
    drop(client);
    expect_nobody_left(&server);
}

#[test]
fn a_peer_that_never_answers_our_close_is_dropped() {
    let server = hasty_server();
    let (mut client, delete) = relay(&server);
    delete(&server);
    expect_close(&mut client, GONE);
    client.expect_end();
    expect_nobody_left(&server);
    drop(client);
}

#[test]
fn a_peer_that_answers_our_close_by_ending_the_stream_is_done() {
    let server = patient_server();
    let (mut client, delete) = relay(&server);
    delete(&server);
    expect_close(&mut client, GONE);
    client.stream.shutdown(Shutdown::Write).unwrap();
    client.expect_end();
    expect_nobody_left(&server);
}

#[test]
fn what_comes_after_our_close_is_ignored() {
    let server = patient_server();
    for late in [
        text("ping"),
        text(r#"{"topics":["dogs"]}"#),
        frame(0x89, b"late"),
        frame(0x82, &[0; 60_000]).repeat(10),
        [frame(0x01, b"ping"), frame(0x80, b"")].concat(),
    ] {
        let (mut client, delete) = relay(&server);
        delete(&server);
        client.send(&late);
        client.send(&BYE);
        expect_close(&mut client, GONE);
        client.expect_end();
    }
    expect_nobody_left(&server);
}

#[test]
fn a_violation_after_our_close_only_ends_the_stream() {
    let server = patient_server();
    let (mut client, delete) = relay(&server);
    delete(&server);
    expect_close(&mut client, GONE);
    client.send(b"\x81\x02hi");
    client.expect_end();
    drop(client);
    expect_nobody_left(&server);
}

#[test]
fn of_two_closes_that_cross_the_peer_gets_one() {
    let server = patient_server();
    for _ in 0..20 {
        let (mut client, delete) = relay(&server);
        client.send(&BYE);
        // The registration outlives its connection, so that this finds it in any case.
        delete(&server);
        let (code, _) = client.read_close();
        assert!([1000, GONE.0].contains(&code), "{code}");
        client.expect_end();
    }
    expect_nobody_left(&server);
}

#[test]
fn a_peer_that_has_closed_and_stays_is_dropped() {
    let server = hasty_server();
    let mut client = server.connect("/echo");
    client.send(&BYE);
    client.expect(&BYE_ECHOED);
    client.expect_end();
    expect_nobody_left(&server);
    drop(client);
}

#[test]
fn a_peer_that_has_closed_and_goes_on_sending_is_dropped() {
    for farewell in [&BYE[..], b"\x81\x02no"] {
        let server = hasty_server();
        let mut client = server.connect("/echo");
        client.send(farewell);
        let more = [text("more"), frame(0x89, b"more")].concat().repeat(1000);
        while client.stream.write_all(&more).is_ok() {}
        expect_nobody_left(&server);
    }
}

#[test]
fn a_peer_that_ends_the_stream_anywhere_gets_its_answers_and_the_end() {
    let server = patient_server();
    let script = [
        text("hi"),
        frame(0x01, b"frag"),
        frame(0x89, b"?"),
        frame(0x80, b"ment"),
        frame(0x82, &[9; 130]),
    ];
    let wire = script.concat();
    for end in 0..=wire.len() {
        let mut client = server.connect("/echo");
        client.send(&wire[..end]);
        client.stream.shutdown(Shutdown::Write).unwrap();
        let whole = |frames: usize| end >= script[..frames].concat().len();
        let mut answers = Vec::new();
        client.stream.read_to_end(&mut answers).unwrap();
        for (frames, answer) in [
            (1, &b"\x81\x02hi"[..]),
            (3, b"\x8A\x01?"),
            (4, b"\x81\x08fragment"),
            (5, b"\x82\x7E\0\x82\x09\x09"),
        ] {
            let came = answers.windows(answer.len()).any(|part| part == answer);
            assert_eq!(came, whole(frames), "frame {frames} of {end} bytes");
        }
    }
    expect_nobody_left(&server);
}

// Some of its copies were lost now and then, without a code.
#[test]
fn a_peer_that_ends_the_stream_behind_its_messages_still_gets_its_copies() {
    const MESSAGES: usize = 100;
    let server = patient_server();
    for round in 0..50 {
        let mut client = server.connect(&format!("/ws?topic={round}&topic=more"));
        let messages = (0..MESSAGES).map(|number| text(&number.to_string()));
        client.send(&messages.collect::<Vec<_>>().concat());
        client.stream.shutdown(Shutdown::Write).unwrap();
        for number in 0..MESSAGES {
            assert_eq!(client.read_text(), number.to_string());
        }
        client.expect_end();
    }
    expect_nobody_left(&server);
}

/// Publishes more to a relay that does not read than the kernel takes for it. Returns the message,
/// and how often it was published.
fn publish_much(server: &TestServer, relay: &Client) -> (String, usize) {
    const MESSAGES: usize = 20;
    SockRef::from(&relay.stream)
        .set_recv_buffer_size(4096)
        .unwrap();
    let message = "m".repeat(60_000);
    let publication = format!(r#"{{"topic":"cats","message":"{message}"}}"#);
    (0..MESSAGES).for_each(|_| drop(server.post("/publish", &publication)));
    (message, MESSAGES)
}

#[test]
fn a_peer_that_ends_the_stream_gets_what_was_queued_for_it() {
    let server = TestServer::with(|config| {
        config.hub.timeouts.close = 6 * PATIENCE;
        config.hub.timeouts.blocked = 6 * PATIENCE;
    });
    let (mut client, _) = relay(&server);
    let (message, count) = publish_much(&server, &client);
    client.stream.shutdown(Shutdown::Write).unwrap();
    for _ in 0..count {
        assert_eq!(client.read_text(), message);
    }
    client.expect_end();
    expect_nobody_left(&server);
}

#[test]
fn a_peer_that_ends_the_stream_and_reads_nothing_is_dropped() {
    let server = TestServer::with(|config| {
        config.hub.timeouts.close = Duration::from_millis(300);
        config.hub.timeouts.blocked = 6 * PATIENCE;
    });
    let (client, _) = relay(&server);
    publish_much(&server, &client);
    client.stream.shutdown(Shutdown::Write).unwrap();
    expect_nobody_left(&server);
    drop(client);
}

#[test]
fn a_peer_that_resets_the_connection_anywhere_leaves_nothing_behind() {
    let server = patient_server();
    let mut listener = server.connect("/ws");
    let wire = [
        text("hi"),
        frame(0x01, b"frag"),
        frame(0x89, b"?"),
        frame(0x80, b"ment"),
        frame(0x88, b""),
    ]
    .concat();
    for path in ["/echo", "/echo/raw", "/ws?topic=reset"] {
        for end in 0..=wire.len() {
            let mut client = server.connect(path);
            client.send(&wire[..end]);
            reset(client);
        }
    }
    eventually("only the listener is left", || {
        let health = server.health();
        health["connections"] == 1 && health["topics"] == 1
    });
    listener.send(&text("still here"));
    assert_eq!(listener.read_text(), "still here");
    listener.close();
    expect_nobody_left(&server);
}

#[test]
fn a_peer_that_resets_the_connection_while_it_is_owed_much_leaves_nothing_behind() {
    let server = patient_server();
    let mut client = server.connect("/echo");
    flood(&mut client);
    reset(client);
    expect_nobody_left(&server);
}

#[test]
fn a_peer_that_resets_the_connection_while_our_close_is_queued_leaves_nothing_behind() {
    let server = TestServer::with(|config| {
        config.hub.timeouts.close = 6 * PATIENCE;
        config.hub.timeouts.blocked = 6 * PATIENCE;
    });
    let (client, delete) = relay(&server);
    let message = "m".repeat(60_000);
    let publication = format!(r#"{{"topic":"cats","message":"{message}"}}"#);
    // More than the kernel buffers for a peer that does not read.
    SockRef::from(&client.stream)
        .set_recv_buffer_size(4096)
        .unwrap();
    (0..100).for_each(|_| drop(server.post("/publish", &publication)));
    delete(&server);
    assert_eq!(server.health()["connections"], 1);
    reset(client);
    expect_nobody_left(&server);
}
