//! The opening handshakes that load clients send, and the answers that they refuse.

use std::{
    collections::HashSet,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use crate::{
    scripted::{Peer, accept, key, scripted_from_request},
    support::Run,
};

/// Starts a server that accepts every connection, and collects the heads of all requests.
fn recording() -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let heads = Arc::<Mutex<Vec<String>>>::default();
    let address = scripted_from_request(Arc::new({
        let heads = Arc::clone(&heads);
        move |mut peer: Peer| {
            if let Some(head) = peer.read_head() {
                heads.lock().unwrap().push(head.clone());
                peer.upgrade(&head);
                peer.read();
            }
        }
    }));
    (address, heads)
}

/// Returns the heads of the requests of a run of `load idle` with one connection.
fn heads_of(path: &str, arguments: &[&str]) -> Vec<String> {
    let (address, heads) = recording();
    let url = format!("{}{path}", root_url(address));
    let arguments = [&["--connections", "1"], arguments].concat();
    Run::of("idle", &url, &arguments).assert_whole();
    let heads = heads.lock().unwrap().clone();
    // The connection of the run has one before it, which tries the server.
    assert_eq!(heads.len(), 2);
    heads
}

/// Returns the URL of a server, without a path.
fn root_url(address: SocketAddr) -> String {
    format!("ws://{address}")
}

#[test]
fn every_connection_has_a_key_of_its_own() {
    let (address, heads) = recording();
    let arguments = ["--connections", "5", "--workers", "2"];
    Run::of("idle", &root_url(address), &arguments).assert_whole();
    let heads = heads.lock().unwrap();
    let keys: HashSet<_> = heads.iter().map(|head| key(head)).collect();
    assert_eq!(keys.len(), 6);
}

#[test]
fn a_host_of_the_command_line_replaces_that_of_the_url() {
    let added = ["--header", "hOST: a.example", "--header", "X-Mine: b"];
    for head in heads_of("/ws", &added) {
        let hosts = head.lines().filter(|line| {
            let name = line.split(':').next().unwrap_or_default();
            name.eq_ignore_ascii_case("host")
        });
        assert_eq!(hosts.collect::<Vec<_>>(), ["Host: a.example"]);
        assert!(head.contains("\r\nX-Mine: b\r\n"), "{head}");
    }
}

#[test]
fn a_path_and_a_query_that_are_not_ascii_are_percent_encoded() {
    for head in heads_of("/é?topic=日本&a=b c", &[]) {
        let line = "GET /%C3%A9?topic=%E6%97%A5%E6%9C%AC&a=b%20c HTTP/1.1\r\n";
        assert!(head.starts_with(line), "{head}");
    }
}

#[test]
fn a_scheme_may_be_in_upper_case() {
    let (address, _) = recording();
    let url = format!("WS://{address}/");
    Run::of("idle", &url, &["--connections", "1"]).assert_whole();
}

/// Runs `load idle` against a server that answers with `status` and `headers`, each of which ends
/// with CRLF, and with the right accept value.
fn answered_with(status: &str, headers: &str, arguments: &[&str]) -> Run {
    let answer = format!("HTTP/1.1 {status}\r\n{headers}");
    let address = scripted_from_request(Arc::new(move |mut peer: Peer| {
        if let Some(head) = peer.read_head() {
            let accept = accept(&head);
            let answer = format!("{answer}Sec-WebSocket-Accept: {accept}\r\n\r\n");
            peer.write(answer.as_bytes());
            peer.read();
        }
    }));
    let arguments = [&["--connections", "1"], arguments].concat();
    Run::of("idle", &root_url(address), &arguments)
}

const UPGRADE: &str = "Upgrade: WebSocket\r\nConnection: upgrade, keep-alive\r\n";

#[test]
fn an_incomplete_101_fails_the_run() {
    let unoffered = |header: &str| format!("{UPGRADE}{header}: x\r\n");
    for (headers, reason) in [
        ("", "the server's 101 lacks `Upgrade: websocket`"),
        (
            "Connection: upgrade\r\n",
            "the server's 101 lacks `Upgrade: websocket`",
        ),
        (
            "Upgrade: websocket\r\nConnection: keep-alive\r\n",
            "the server's 101 lacks `Connection: upgrade`",
        ),
        (
            &unoffered("Sec-WebSocket-Extensions"),
            "the server accepted what was not offered (sec-websocket-extensions)",
        ),
        (
            &unoffered("Sec-WebSocket-Protocol"),
            "the server accepted what was not offered (sec-websocket-protocol)",
        ),
    ] {
        let run = answered_with("101 Switching Protocols", headers, &[]);
        assert_eq!(run.code, Some(1), "{headers}");
        assert_eq!(run.error_line(), format!("framecast: {reason}"));
    }
}

#[test]
fn a_complete_101_is_accepted_in_any_form() {
    let early = "103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 101 Switching Protocols";
    for (status, headers, arguments) in [
        ("101", UPGRADE, &[][..]),
        (early, UPGRADE, &[]),
        (
            "101 Switching Protocols",
            "Connection: keep-alive\r\nConnection: UPGRADE\r\nUpgrade: websocket\r\n",
            &[],
        ),
        (
            "101 Switching Protocols",
            &format!("{UPGRADE}Sec-WebSocket-Protocol: b\r\n"),
            &["--header", "Sec-WebSocket-Protocol: a, b"],
        ),
    ] {
        answered_with(status, headers, arguments).assert_whole();
    }
}

#[test]
fn a_redirection_fails_the_run_with_its_target() {
    let run = answered_with("302 Found", "Location: https://app.example/ws\r\n", &[]);
    assert_eq!(run.code, Some(1));
    assert_eq!(
        run.error_line(),
        "framecast: the server answered 302 Found: it redirects to https://app.example/ws"
    );
}

#[test]
fn the_status_of_a_refusal_is_shown_in_any_version_of_http_1() {
    let address = scripted_from_request(Arc::new(|mut peer: Peer| {
        if peer.read_head().is_some() {
            peer.write(b"HTTP/1.0 503 Service Unavailable\r\nServer: caf\xE9\r\n\r\n");
            peer.end();
        }
    }));
    let run = Run::of("idle", &root_url(address), &["--connections", "1"]);
    assert_eq!(run.code, Some(1));
    assert_eq!(
        run.error_line(),
        "framecast: the server answered 503 Service Unavailable"
    );
}
