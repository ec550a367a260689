//! The closing handshake from either side, and peers that do not complete it.
//!
//! Some tests check that the server does not wait for the peer. They set the timeout of the closing
//! handshake to [`NEVER`], so that a server that waits nevertheless makes the test fail.

use std::{
    io::{ErrorKind, Read, Write},
    net::Shutdown,
    time::Duration,
};

use framecast_test_support::{
    Client, NEVER, PATIENCE, TestServer, eventually,
    frames::{
        Frame, binary, close, empty_close, first_text, last, masked, ping, pong, text, unmasked,
    },
};
use socket2::SockRef;

/// Close code of a connection whose registration was deleted.
const DELETED: u16 = 4503;

/// Returns the Close of a connection whose registration was deleted.
fn deleted() -> Frame {
    close(DELETED, "registration deleted")
}

fn server_with_close_timeout(timeout: Duration) -> TestServer {
    TestServer::with(|config| config.hub.timeouts.close = timeout)
}

/// Starts a server whose timeout of a closing handshake is longer than any test waits.
fn patient_server() -> TestServer {
    server_with_close_timeout(NEVER)
}

/// Starts a server that waits only 300 ms for the end of a closing handshake.
fn hasty_server() -> TestServer {
    server_with_close_timeout(Duration::from_millis(300))
}

/// Connects to a new registration. Returns the client, and a function that deletes the
/// registration: the server then closes the connection.
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
fn expect_no_connections(server: &TestServer) {
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

/// Sends messages to the echo until the server reads no more. Reads none of its replies.
fn flood(client: &mut Client) {
    let message = masked([binary([7; 60_000])]);
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
fn the_server_waits_for_the_answer_to_its_close_and_then_ends_the_stream() {
    let server = patient_server();
    let (mut client, delete) = relay(&server);
    delete(&server);
    client.receives(deleted());
    let moment = Some(Duration::from_millis(50));
    client.stream.set_read_timeout(moment).unwrap();
    let still_open = client.stream.read(&mut [0]).unwrap_err();
    assert_eq!(still_open.kind(), ErrorKind::WouldBlock);
    assert_eq!(server.health()["connections"], 1);
    client.stream.set_read_timeout(Some(PATIENCE)).unwrap();
    client.sends(close(DELETED, ""));
    client.expect_end();
    drop(client);
    expect_no_connections(&server);
}

#[test]
fn a_peer_that_never_answers_the_servers_close_is_dropped() {
    let server = hasty_server();
    let (mut client, delete) = relay(&server);
    delete(&server);
    client.receives(deleted());
    client.expect_end();
    expect_no_connections(&server);
    drop(client);
}

#[test]
fn a_peer_that_ends_the_stream_instead_of_answering_the_servers_close_is_dropped_at_once() {
    let server = patient_server();
    let (mut client, delete) = relay(&server);
    delete(&server);
    client.receives(deleted());
    client.stream.shutdown(Shutdown::Write).unwrap();
    client.expect_end();
    expect_no_connections(&server);
}

#[test]
fn frames_that_arrive_after_the_servers_close_are_ignored() {
    let server = patient_server();
    for late in [
        vec![text("ping")],
        vec![text(r#"{"topics":["dogs"]}"#)],
        vec![ping("late")],
        vec![binary([0; 60_000]); 10],
        vec![first_text("ping"), last("")],
    ] {
        let (mut client, delete) = relay(&server);
        delete(&server);
        client.sends_together(late);
        client.sends(close(1000, ""));
        client.receives(deleted());
        client.expect_end();
    }
    expect_no_connections(&server);
}

#[test]
fn a_protocol_error_after_the_servers_close_ends_the_stream_without_a_second_close() {
    let server = patient_server();
    let (mut client, delete) = relay(&server);
    delete(&server);
    client.receives(deleted());
    client.send(&unmasked([text("hi")]));
    client.expect_end();
    drop(client);
    expect_no_connections(&server);
}

#[test]
fn a_peer_gets_one_close_if_its_own_crosses_the_servers() {
    let server = patient_server();
    for _ in 0..20 {
        let (mut client, delete) = relay(&server);
        client.sends(close(1000, ""));
        // The registration outlives its connection, so it is deleted with 200 in either order.
        delete(&server);
        let (code, _) = client.read_close();
        assert!([1000, DELETED].contains(&code), "{code}");
        client.expect_end();
    }
    expect_no_connections(&server);
}

#[test]
fn a_peer_that_closes_and_does_not_end_its_stream_is_dropped() {
    let server = hasty_server();
    let mut client = server.connect("/echo");
    client.sends(close(1000, ""));
    client.receives(close(1000, ""));
    client.expect_end();
    expect_no_connections(&server);
    drop(client);
}

#[test]
fn a_peer_that_goes_on_sending_after_the_end_of_its_connection_is_dropped() {
    // A Close, and a frame without a mask.
    for end in [masked([close(1000, "")]), unmasked([text("no")])] {
        let server = hasty_server();
        let mut client = server.connect("/echo");
        client.send(&end);
        let more = masked([text("more"), ping("more")]).repeat(1000);
        // Until the server has dropped the connection.
        while client.stream.write_all(&more).is_ok() {}
        expect_no_connections(&server);
    }
}

#[test]
fn a_peer_that_ends_its_stream_after_any_byte_gets_all_answers_and_the_end() {
    let server = patient_server();
    let sent = [
        text("hi"),
        first_text("frag"),
        ping("?"),
        last("ment"),
        binary([9; 130]),
    ];
    // The replies, each with the number of frames after which the server must send it.
    let answers = [
        (1, text("hi")),
        (3, pong("?")),
        (4, text("fragment")),
        (5, binary([9; 130])),
    ];
    let wire = masked(sent.clone());
    for end in 0..=wire.len() {
        let mut client = server.connect("/echo");
        client.send(&wire[..end]);
        client.stream.shutdown(Shutdown::Write).unwrap();
        let mut received = Vec::new();
        client.stream.read_to_end(&mut received).unwrap();
        for (frames, answer) in answers.clone() {
            let is_due = masked(sent[..frames].to_vec()).len() <= end;
            let answer = unmasked([answer]);
            let is_received = received.windows(answer.len()).any(|part| part == answer);
            assert_eq!(is_received, is_due, "frame {frames} of {end} bytes");
        }
    }
    expect_no_connections(&server);
}

// Some copies were lost now and then, without a close code.
#[test]
fn a_peer_that_ends_the_stream_behind_its_messages_still_gets_its_copies() {
    const MESSAGES: usize = 100;
    let server = patient_server();
    for round in 0..50 {
        let mut client = server.connect(&format!("/ws?topic={round}&topic=more"));
        let messages = || (0..MESSAGES).map(|number| text(number.to_string()));
        client.sends_together(messages());
        client.stream.shutdown(Shutdown::Write).unwrap();
        client.receives_all(messages());
        client.expect_end();
    }
    expect_no_connections(&server);
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
        config.hub.timeouts.close = NEVER;
        config.hub.timeouts.blocked = NEVER;
    });
    let (mut client, _) = relay(&server);
    let (message, count) = publish_much(&server, &client);
    client.stream.shutdown(Shutdown::Write).unwrap();
    client.receives_all((0..count).map(|_| text(&message)));
    client.expect_end();
    expect_no_connections(&server);
}

#[test]
fn a_peer_that_ends_the_stream_and_reads_nothing_is_dropped() {
    let server = TestServer::with(|config| {
        config.hub.timeouts.close = Duration::from_millis(300);
        config.hub.timeouts.blocked = NEVER;
    });
    let (client, _) = relay(&server);
    publish_much(&server, &client);
    client.stream.shutdown(Shutdown::Write).unwrap();
    expect_no_connections(&server);
    drop(client);
}

#[test]
fn a_peer_that_resets_the_connection_after_any_byte_leaves_nothing_behind() {
    let server = patient_server();
    let mut subscriber = server.connect("/ws");
    let wire = masked([
        text("hi"),
        first_text("frag"),
        ping("?"),
        last("ment"),
        empty_close(),
    ]);
    for path in ["/echo", "/echo/raw", "/ws?topic=reset"] {
        for end in 0..=wire.len() {
            let mut client = server.connect(path);
            client.send(&wire[..end]);
            reset(client);
        }
    }
    eventually("only the subscriber is left", || {
        let health = server.health();
        health["connections"] == 1 && health["topics"] == 1
    });
    subscriber.sends(text("still here"));
    subscriber.receives(text("still here"));
    subscriber.close();
    expect_no_connections(&server);
}

#[test]
fn a_peer_that_resets_the_connection_while_its_outbox_is_full_leaves_nothing_behind() {
    let server = patient_server();
    let mut client = server.connect("/echo");
    flood(&mut client);
    reset(client);
    expect_no_connections(&server);
}

#[test]
fn a_peer_that_resets_the_connection_while_the_servers_close_is_queued_leaves_nothing_behind() {
    let server = TestServer::with(|config| {
        config.hub.timeouts.close = NEVER;
        config.hub.timeouts.blocked = NEVER;
    });
    let (client, delete) = relay(&server);
    let message = "m".repeat(60_000);
    let publication = format!(r#"{{"topic":"cats","message":"{message}"}}"#);
    // The 6 MB below are more than the kernel buffers for a peer that does not read.
    SockRef::from(&client.stream)
        .set_recv_buffer_size(4096)
        .unwrap();
    (0..100).for_each(|_| drop(server.post("/publish", &publication)));
    delete(&server);
    assert_eq!(server.health()["connections"], 1);
    reset(client);
    expect_no_connections(&server);
}
