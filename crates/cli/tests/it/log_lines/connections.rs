//! The lines about connections, and about their ends when the server drains.

use framecast_test_support::{
    Client,
    frames::{binary, close, text},
};
use rustix::process::Signal;
use serde_json::Value;

use crate::{
    log_lines::{log_of, of, only, parse, post, register, start, stop},
    process::Process,
};

#[test]
fn slow_consumers_are_logged_with_their_address_and_the_messages_that_they_lost() {
    let server = start(&["--slow-after=1ms", "--close-timeout=100ms", "--log=debug"]);
    let slow = server.connect("/ws?topic=flood");
    let peer = slow.stream.local_addr().unwrap();
    let mut publisher = server.connect("/ws?topic=flood");
    let message = binary(vec![0; 60 * 1024]);
    let is_logged = |server: &Process| {
        let log = server.program.errors();
        log.contains("slow consumers are ended")
    };
    while !is_logged(&server) {
        publisher.sends(message.clone());
        publisher.receives(message.clone());
    }
    let lines = parse(&stop(server));
    let slow = only(&lines, "slow consumers are ended");
    let peer = Value::from(peer.to_string());
    let ended = of(&lines, "connection ended");
    let ended = ended.iter().find(|line| line["peer"] == peer).unwrap();
    assert_eq!(ended["reason"], "slow consumer");
    assert_eq!(ended["dropped_topic"], "flood");
    assert!(ended["dropped"].as_u64() > Some(0), "{ended}");
    assert_eq!(slow["peer"], peer);
    assert_eq!((&slow["count"], &slow["code"]), (&1.into(), &4008.into()));
}

#[test]
fn a_connection_has_a_line_at_its_begin_and_one_with_counts_at_its_end() {
    let server = start(&["--log=debug"]);
    let mut client = server.connect("/echo");
    let peer = client.stream.local_addr().unwrap().to_string();
    for frame in [text("ab"), text("cde")] {
        client.sends(frame.clone());
        client.receives(frame);
    }
    client.close();
    let lines = parse(&stop(server));
    let (began, ended) = (
        only(&lines, "connection began"),
        only(&lines, "connection ended"),
    );
    for line in [began, ended] {
        assert_eq!(
            (&line["peer"], &line["path"]),
            (&peer.clone().into(), &"/echo".into())
        );
        assert_eq!(
            (&line["topics"], &line["user"]),
            (&"[]".into(), &Value::Null)
        );
        assert_eq!(line["target"], "framecast::connection");
    }
    assert_eq!(began["connection"], ended["connection"]);
    // Each frame of a client has a header of 6 bytes, each of the server one of 2.
    let close_bytes = 2;
    for (field, value) in [
        ("messages_in", 2),
        ("bytes_in", 8 + 9 + 6 + close_bytes),
        ("messages_out", 2),
        ("bytes_out", 4 + 5 + 2 + close_bytes),
        ("dropped", 0),
    ] {
        assert_eq!(ended[field], value, "{field} in {ended}");
    }
    assert_eq!(ended["reason"], "closed by peer");
    assert_eq!(ended["orderly"], true);
    assert!(ended["duration_ms"].is_u64(), "{ended}");
}

#[test]
fn messages_count_for_each_connection_whatever_way_they_take() {
    let server = start(&["--log=debug", "--deflate"]);
    let path = register(&server, r#"{"user_id": 7, "topics": ["cats", "dogs"]}"#);
    let mut relay = server.connect(&path);
    relay.sends(text("ping"));
    relay.receives(text("pong"));
    for user in ["", r#", "user_id": 7"#] {
        post(
            &server,
            "/publish",
            &format!(r#"{{"topic": "cats", "message": "meow"{user}}}"#),
        );
        relay.receives(text("meow"));
    }
    relay.close();
    let mut raw = server.connect("/echo/raw");
    // One message in two frames, a Ping between them.
    let (first, ping, last) = ((0x01, b"a".to_vec()), (0x89, vec![]), (0x80, b"b".to_vec()));
    raw.sends_together([first.clone(), ping, last.clone()]);
    let mut received = [raw.read_frame(), raw.read_frame(), raw.read_frame()];
    received.sort();
    let mut expected = [first, (0x8a, vec![]), last];
    expected.sort();
    assert_eq!(received, expected);
    raw.close();

    let lines = parse(&stop(server));
    let ended = of(&lines, "connection ended");
    let of_path = |path: &str| *ended.iter().find(|line| line["path"] == path).unwrap();
    let relay = of_path("/ws/{id}");
    assert_eq!(relay["user"], "7");
    assert_eq!(relay["topics"], r#"["cats", "dogs"]"#);
    assert_eq!(relay["topic_count"], 2);
    assert_eq!(
        (&relay["messages_in"], &relay["messages_out"]),
        (&1.into(), &3.into())
    );
    let raw = of_path("/echo/raw");
    assert_eq!(
        (&raw["messages_in"], &raw["messages_out"]),
        (&1.into(), &1.into())
    );
}

#[test]
fn a_drain_is_logged_with_the_connections_that_were_closed_and_those_that_were_cut() {
    let server = start(&["--close-timeout=2s"]);
    let mut polite = server.connect("/ws");
    // This client never answers the Close.
    let _silent = server.connect("/ws");
    server.signal(Signal::TERM);
    polite.receives(close(1012, "server is restarting"));
    polite.sends(close(1012, ""));
    polite.expect_end();
    let lines = parse(&log_of(server));
    assert_eq!(only(&lines, "draining")["connections"], 2);
    let drained = only(&lines, "drained");
    assert_eq!(
        (&drained["closed"], &drained["cut"]),
        (&1.into(), &1.into())
    );
    assert_eq!(drained["undelivered"], 0);
    assert_eq!(lines.last().unwrap()["message"], "stopped");
}

#[test]
fn clients_that_never_answer_the_close_are_logged_as_cut_or_left() {
    // The closing handshakes may take two thirds of this time, so that usually nothing is left.
    let server = start(&["--drain-timeout=300ms"]);
    let _silent: Vec<Client> = (0..3).map(|_| server.connect("/ws")).collect();
    let log = stop(server);
    let lines = parse(&log);
    let ended = lines
        .iter()
        .find(|line| line["duration_ms"].is_u64())
        .unwrap();
    let left = ended["left"].as_u64().unwrap_or(0);
    assert_eq!(ended["cut"].as_u64().unwrap() + left, 3, "{log}");
}
