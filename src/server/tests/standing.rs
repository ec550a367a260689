//! Tests of what a server does while one of its shards stands still.

use std::{
    io::Write as _,
    sync::{Mutex, Once, PoisonError},
};

use crate::server::tests::{
    read_head,
    served::{Served, eventually, expect},
};

/// Checks that a response, its head and its body, is a 503 with a `Retry-After`. Returns the body.
#[track_caller]
fn assert_unavailable((head, body): (String, String)) -> String {
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    assert!(head.contains("\r\nretry-after: 1\r\n"), "{head}");
    body
}

/// Holds up the shard `shard` of a server with `shards` shards. Checks that `/health` reports it,
/// that the other shards serve new connections, and that the shard goes on when it is released.
#[track_caller]
fn check_a_shard_that_stands_still(shards: usize, shard: usize) {
    let mut server = Served::start(shards);
    let mut subscribers = server.subscribers();
    let release = server.hold_up(shard);
    eventually("it is noticed", || server.site.standing.shards() == [shard]);
    // Enough connections that the turn of each shard comes twice.
    for _ in 0..2 * shards {
        let health = assert_unavailable(server.get("/health"));
        let health: serde_json::Value = serde_json::from_str(&health).unwrap();
        assert_eq!(health["status"], "a shard stands still");
        assert_eq!(health["standing_shards"], serde_json::json!([shard]));
        if shards == 1 {
            let page = assert_unavailable(server.get("/"));
            assert_eq!(page, "{\"error\":\"the server stands still\"}\n");
        } else {
            let mut echo = server.upgrade("/echo");
            // The text "hi", masked with zeros, and the unmasked echo.
            echo.write_all(b"\x81\x82\0\0\0\0hi").unwrap();
            expect(&mut echo, b"\x81\x02hi");
        }
    }
    drop(release);
    eventually("it goes on", || server.site.standing.shards().is_empty());
    let (head, health) = server.get("/health");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(health.contains("\"status\":\"ok\""), "{health}");
    server.publish_to(&mut subscribers, "all there");
    drop(subscribers);
    server.stop();
    server.ended().unwrap();
}

#[test]
fn health_reports_that_the_only_shard_stands_still() {
    check_a_shard_that_stands_still(1, 0);
}

#[test]
fn while_the_accepting_shard_stands_still_health_reports_it_and_others_serve_new_clients() {
    check_a_shard_that_stands_still(2, 0);
}

#[test]
fn while_another_shard_stands_still_health_reports_it_and_others_serve_new_clients() {
    check_a_shard_that_stands_still(2, 1);
    check_a_shard_that_stands_still(3, 1);
}

#[test]
fn it_is_logged_once_that_a_shard_stands_still_and_once_that_it_goes_on() {
    keep_log();
    let server = Served::start(4);
    let lines = || {
        let log = String::from_utf8(LOG.lock().unwrap().clone()).unwrap();
        // No other test of this process has four shards.
        let ours = log.lines().filter(|line| line.contains("shard=3"));
        let texts = ours.map(|line| line.split_once('Z').unwrap().1.to_owned());
        texts.collect::<Vec<_>>()
    };
    let release = server.hold_up(3);
    eventually("it is logged", || !lines().is_empty());
    drop(release);
    eventually("both are logged", || lines().len() >= 2);
    // A shard stands still after four missed checks. In the tests these take 1 s.
    let expected = [
        " ERROR framecast::server::watchdog: a shard stands still shard=3 unmoved=1s",
        "  WARN framecast::server::watchdog: a shard that stood still goes on shard=3",
    ];
    assert_eq!(lines(), expected);
}

#[test]
fn at_the_drain_clients_of_other_shards_get_their_close_though_a_shard_stands_still() {
    let mut server = Served::with(2, |config| {
        // Long enough for the Close of the other shard.
        config.drain_timeout = std::time::Duration::from_secs(6);
    });
    let mut subscribers = server.subscribers();
    let release = server.hold_up(0);
    server.stop();
    // A Close with the code 1012.
    expect(&mut subscribers[1], b"\x88\x16\x03\xF4server is restarting");
    drop(release);
    drop(subscribers);
    // The result of the drain is ignored. The shard was released late, so the drain may have been
    // in time or not.
    let _ = server.ended();
}

#[test]
fn silent_clients_of_a_server_that_stands_still_do_not_hold_up_others() {
    let server = Served::start(1);
    let release = server.hold_up(0);
    eventually("it is noticed", || server.site.standing.shards() == [0]);
    // More clients than the watchdog answers simultaneously (64). They send nothing.
    let silent: Vec<_> = (0..100)
        .map(|_| crate::server::tests::dial(server.address))
        .collect();
    let mut late = crate::server::tests::dial(server.address);
    late.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    let head = read_head(&mut late);
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    assert!(head.contains("\r\nconnection: close\r\n"), "{head}");
    drop(silent);
    drop(release);
}

/// The log lines of all tests of this process.
static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// A writer that appends to [`LOG`].
struct Log;

impl std::io::Write for Log {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        LOG.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Starts to keep the log lines of this process in [`LOG`], at its first call.
fn keep_log() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let log = tracing_subscriber::fmt().with_ansi(false);
        log.with_writer(|| Log).init();
    });
}
