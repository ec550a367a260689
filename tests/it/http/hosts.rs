//! Host names: those that requests may name, and the one in the URLs that the server returns.

use framecast_test_support::{Answer, TestServer, handshake};

use crate::http::{METHODS, PATHS, error_of};

/// A host name that no server of these tests has.
const FOREIGN: &str = "evil.example";

/// Starts a server that also accepts requests for the host `name`.
fn with_allowed(name: &str) -> TestServer {
    TestServer::with(|config| config.hub.access.allowed_hosts = vec![name.into()])
}

/// Sends a request of these lines, without a body. Returns the response.
fn ask(server: &TestServer, lines: &str) -> Answer {
    let mut client = server.dial();
    client.send(request(lines).as_bytes());
    client.read_answer()
}

/// Returns the bytes of a request of these lines.
fn request(lines: &str) -> String {
    format!("{}\r\n\r\n", lines.replace('\n', "\r\n"))
}

/// Sends a request of these lines. Returns the status.
fn status(server: &TestServer, lines: &str) -> u16 {
    ask(server, lines).status
}

/// Requests `/health` with this `Host` header. Returns the status.
fn by_name(server: &TestServer, host: &str) -> u16 {
    status(server, &format!("GET /health HTTP/1.1\nHost: {host}"))
}

/// Registers with a request that begins with these lines. Returns the URL without `/ws/` and the
/// id, or the status if it is not 200.
fn registered_at(server: &TestServer, head: &str) -> String {
    let mut client = server.dial();
    let head = head.replace('\n', "\r\n");
    client.send(format!("{head}\r\nContent-Length: 13\r\n\r\n{{\"user_id\":1}}").as_bytes());
    let answer = client.read_answer();
    if answer.status != 200 {
        return answer.status.to_string();
    }
    let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    let url = body["url"].as_str().unwrap();
    let (base, id) = url.rsplit_once("/ws/").unwrap();
    assert_eq!(id.len(), 32, "{url}");
    base.to_owned()
}

// Once any host name was accepted, so the pages of a foreign name that resolved to this server (DNS
// rebinding) had the server's own origin.
#[test]
fn a_foreign_name_is_refused_on_every_path_with_every_method() {
    let server = TestServer::start();
    for (path, _) in PATHS.into_iter().chain([("/nowhere", "")]) {
        for method in METHODS {
            let lines =
                format!("{method} {path} HTTP/1.1\nHost: {FOREIGN}:8080\nConnection: close");
            let with_origin = format!("{lines}\nOrigin: http://{FOREIGN}:8080");
            for lines in [lines, with_origin] {
                let mut client = server.dial();
                client.send(request(&lines).as_bytes());
                if method == "HEAD" {
                    let head = client.read_head();
                    assert!(head.starts_with("HTTP/1.1 421 "), "{lines}: {head}");
                    continue;
                }
                let answer = client.read_answer();
                assert_eq!(answer.status, 421, "{lines}");
                let error = error_of(&answer);
                assert!(error.contains(FOREIGN), "{error}");
                assert!(error.contains("--allow-host"), "{error}");
                let head = answer.head.to_ascii_lowercase();
                assert!(!head.contains("access-control-"), "{head}");
            }
        }
    }
}

#[test]
fn a_foreign_name_opens_no_web_socket_and_changes_nothing() {
    let server = TestServer::start();
    let relay = server.register(r#"{"user_id": 1, "topics": ["t"]}"#);
    for path in ["/ws", "/echo", "/echo/raw", &relay] {
        let mut client = server.dial();
        client.send(handshake(path).replace("a.localhost", FOREIGN).as_bytes());
        assert_eq!(client.read_answer().status, 421, "{path}");
        // The same connection may name another host.
        client.send(handshake(path).as_bytes());
        assert!(client.read_head().starts_with("HTTP/1.1 101 "), "{path}");
        client.close();
    }
    assert_eq!(
        registered_at(
            &server,
            &format!("POST /register HTTP/1.1\nHost: {FOREIGN}")
        ),
        "421"
    );
    assert_eq!(server.health()["registrations"], 1);
}

#[test]
fn ip_addresses_and_names_under_localhost_are_accepted() {
    let server = TestServer::start();
    for host in [
        "127.0.0.1:8080",
        "[::1]",
        "[::ffff:127.0.0.1]:1",
        "LOCALHOST.",
        "x.localhost:",
        "",
    ] {
        assert_eq!(by_name(&server, host), 200, "{host}");
    }
    assert_eq!(status(&server, "GET /health HTTP/1.0"), 200);
    // The last two are other ways to write 127.0.0.1.
    for host in [
        "localhost.evil.example",
        "evillocalhost",
        "127.1",
        "2130706433",
    ] {
        assert_eq!(by_name(&server, host), 421, "{host}");
    }
}

#[test]
fn an_invalid_host_is_a_bad_request_from_every_origin() {
    let server = with_allowed("*");
    for host in [
        "user@localhost",
        "user@evil.example/x?y=",
        "localhost/x",
        "local host",
        "localhost:http",
        "localhost:65536",
        ":80",
        "::1",
        "[::1",
        "é",
    ] {
        let lines = format!("GET /health HTTP/1.1\nHost: {host}\nOrigin: http://{FOREIGN}");
        let answer = ask(&server, &lines);
        assert_eq!(answer.status, 400, "{host}");
        assert_eq!(answer.header("access-control-allow-origin"), None, "{host}");
    }
    for host in ["a:", "a_b", "[::1]:8080", "a%41.b", "a,b"] {
        assert_eq!(by_name(&server, host), 200, "{host}");
    }
}

#[test]
fn an_allowed_host_is_accepted_with_any_port_in_any_case_and_with_a_final_dot() {
    for allowed in ["app.example", "App.Example."] {
        let server = with_allowed(allowed);
        for host in ["app.example", "APP.EXAMPLE:8443", "app.example.:80"] {
            assert_eq!(by_name(&server, host), 200, "{host}");
            let lines = format!("GET /health HTTP/1.1\nHost: {host}\nOrigin: http://{host}");
            assert_eq!(status(&server, &lines), 200, "{host}");
        }
        assert_eq!(by_name(&server, "x.app.example"), 421);
    }
    assert_eq!(by_name(&with_allowed("*"), FOREIGN), 200);
}

#[test]
fn the_host_of_an_absolute_target_replaces_the_host_header() {
    let server = TestServer::start();
    let target = |target: &str, host: &str, origin: &str| {
        let lines = format!("GET {target} HTTP/1.1\nHost: {host}\nOrigin: {origin}");
        status(&server, &lines)
    };
    let own = "http://localhost";
    assert_eq!(target("http://localhost/health", FOREIGN, own), 200);
    assert_eq!(target("http://localhost:80/health", FOREIGN, own), 200);
    assert_eq!(target("http://localhost:81/health", "localhost", own), 403);
    assert_eq!(target("http://evil.example/health", "localhost", own), 421);
    assert_eq!(target("http://a@localhost/health", "localhost", own), 400);
    assert_eq!(target("http://localhost/health", "a@localhost", own), 400);
    let foreign = format!("http://{FOREIGN}");
    assert_eq!(target("http://localhost/health", FOREIGN, &foreign), 403);
    assert_eq!(
        registered_at(
            &server,
            "POST http://x.localhost:81/register HTTP/1.1\nHost: y.localhost"
        ),
        "ws://x.localhost:81"
    );
    assert_eq!(
        status(&server, "CONNECT evil.example:80 HTTP/1.1\nHost: localhost"),
        421
    );
    assert_eq!(
        status(&server, "GET evil.example HTTP/1.1\nHost: localhost"),
        421
    );
}

#[test]
fn the_url_of_a_registration_has_the_host_of_its_request() {
    let server = TestServer::start();
    for (host, base) in [
        ("127.0.0.1:8080", "ws://127.0.0.1:8080"),
        ("[::1]", "ws://[::1]"),
        ("A.LocalHost:80", "ws://a.localhost:80"),
        ("", "400"),
    ] {
        let head = format!("POST /register HTTP/1.1\nHost: {host}");
        assert_eq!(registered_at(&server, &head), base);
    }
    assert_eq!(registered_at(&server, "POST /register HTTP/1.0"), "400");
    assert_eq!(server.health()["registrations"], 3);
}

#[test]
fn a_public_url_is_the_base_of_registrations_and_an_allowed_origin() {
    let server = TestServer::with(|config| {
        config.hub.access.public_url = Some("https://App.Example/rt/".into());
    });
    for head in [
        "POST /register HTTP/1.1\nHost: 127.0.0.1:8080",
        "POST /register HTTP/1.1\nHost: app.example",
        "POST /register HTTP/1.1\nHost:",
        "POST /register HTTP/1.0",
    ] {
        assert_eq!(registered_at(&server, head), "wss://app.example/rt");
    }
    let from = |origin: &str, host: &str| {
        let lines = format!("GET /health HTTP/1.1\nHost: {host}\nOrigin: {origin}");
        ask(&server, &lines)
    };
    let answer = from("https://app.example", "localhost:8080");
    assert_eq!(answer.status, 200);
    let allowed = answer.header("access-control-allow-origin");
    assert_eq!(allowed, Some("https://app.example"));
    for origin in [
        "http://app.example",
        "https://app.example:8443",
        "https://b.example",
    ] {
        assert_eq!(from(origin, "localhost:8080").status, 403, "{origin}");
    }
    assert_eq!(by_name(&server, "APP.example.:1"), 200);
    assert_eq!(by_name(&server, "b.example"), 421);
    let server = TestServer::with(|config| {
        config.hub.access.public_url = Some("http://app.example:8080".into());
    });
    let head = "POST /register HTTP/1.1\nHost: localhost";
    assert_eq!(registered_at(&server, head), "ws://app.example:8080");
}
