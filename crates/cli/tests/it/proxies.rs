//! Tests of `docs/proxies.md`: runs nginx and Caddy with the settings of that page in front of a
//! server. [`proxied`] starts both.

mod proxied;

use std::{
    env,
    process::{self, Command},
};

use framecast_test_support::{
    Client,
    frames::{close, ping, pong, text},
    handshake_with, skipped,
};
use rustix::process::Signal;

use self::proxied::{Kind, PROXIES, Proxied, ask, replaced};

/// The option by which the page starts the server.
const PUBLIC_URL: &str = "--public-url=https://app.example/rt";
/// Paths that the settings keep from everybody outside, also if they are written in another way.
const CLOSED: [&str; 8] = [
    "/rt/publish",
    "/rt/publish?x",
    "/rt/%70ublish",
    "/rt//publish",
    "/rt/ws/../publish",
    "/rt/register",
    "/rt/register/00112233445566778899aabbccddeeff",
    "/rt/health",
];

/// Uses the server through a proxy, as a browser does.
fn browsers_are_let_through(kind: Kind) {
    let Some(proxied) = Proxied::start(kind, &[PUBLIC_URL, "--deflate"]) else {
        return;
    };
    let page = proxied.request("GET", "/rt/", "");
    assert_eq!(page.status, 200);
    assert!(page.body.contains("<html"), "{}", page.body);
    let moved = proxied.request("GET", "/rt", "");
    assert!([301, 302].contains(&moved.status), "{}", moved.head);

    let chat = "/rt/ws?topic=a%2Fb+c&topic=%C3%A9";
    let (mut one, mut other) = (proxied.connect(chat), proxied.connect(chat));
    one.sends(text("hello"));
    one.receives(text("hello"));
    other.receives(text("hello"));
    let topic = r#"{"topic": "a/b c", "message": "from inside"}"#;
    assert_eq!(proxied.post_inside("/publish", topic), "{\"queued\":2}\n");
    one.receives(text("from inside"));
    other.receives(text("from inside"));

    let mut relay = proxied.connect(&proxied.register());
    relay.sends(text("ping"));
    relay.receives(text("pong"));
    let topic = r#"{"topic": "cats", "message": "are awesome"}"#;
    proxied.post_inside("/publish", topic);
    relay.receives(text("are awesome"));

    let mut client = Client::dial(proxied.address);
    let offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    let offer = handshake_with("/rt/echo", offer).replace("a.localhost", "app.example");
    client.send(offer.as_bytes());
    let agreed = client.read_answer();
    let agreed = agreed.header("sec-websocket-extensions");
    assert!(agreed.is_some_and(|agreed| agreed.starts_with("permessage-deflate")));

    // The server checks the origin, which the proxy has passed on.
    let (status, body) = proxied.refusal("/rt/ws", "Origin: https://evil.example\r\n");
    assert_eq!(status, 403);
    assert!(body.contains("pages of this origin"), "{body}");
}

/// Asserts that a proxy lets nobody publish, register or ask for the health, and that nothing of it
/// reaches the server.
fn nobody_outside_publishes(kind: Kind) {
    let Some(proxied) = Proxied::start(kind, &[PUBLIC_URL]) else {
        return;
    };
    let mut client = proxied.connect("/rt/ws");
    let body = r#"{"topic": "lobby", "message": "from outside", "user_id": 1}"#;
    for path in CLOSED {
        for method in ["POST", "GET", "DELETE"] {
            let answer = proxied.request(method, path, body);
            assert_eq!(answer.status, 403, "{method} {path}: {}", answer.body);
            assert!(!answer.body.contains("error\":"), "{path}: the server's");
        }
    }
    // Paths that begin like these are the server's to refuse.
    for path in ["/rt/publisher", "/rt/healthy", "/rt/x"] {
        let answer = proxied.request("GET", path, "");
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.body.contains("no such resource"), "{path}");
    }
    let inside = r#"{"topic": "lobby", "message": "from inside"}"#;
    proxied.post_inside("/publish", inside);
    client.receives(text("from inside"));
}

/// Asserts that a proxy lets nothing through but registered connections if its settings are changed
/// as the page says.
fn only_registered_connections_pass(kind: Kind) {
    let changes = match kind {
        Kind::Nginx => &[
            ("location /rt/", "location /rt/ws/"),
            ("http://framecast/;", "http://framecast/ws/;"),
        ][..],
        Kind::Caddy => &[(
            "@inside path /publish /register /register/* /health",
            "@inside not path /ws/*",
        )][..],
    };
    let mut settings = kind.settings().to_owned();
    for (old, new) in changes {
        assert!(PROXIES.contains(&format!("{new}`")), "{new}");
        settings = replaced(&settings, old, new);
    }
    let Some(proxied) = Proxied::with_settings(kind, &[PUBLIC_URL], &settings) else {
        return;
    };
    let mut relay = proxied.connect(&proxied.register());
    relay.sends(text("ping"));
    relay.receives(text("pong"));
    for path in ["/rt/ws", "/rt/ws?topic=cats", "/rt/echo", "/rt/echo/raw"] {
        let (status, body) = proxied.refusal(path, "");
        assert!([301, 403, 404].contains(&status), "{path}: {status} {body}");
    }
    for path in CLOSED {
        let answer = proxied.request("POST", path, "{}");
        assert_eq!(answer.status, 403, "{path}");
    }
}

/// Asserts that a proxy can give the server all of a site if its settings are changed as the page
/// says.
fn the_server_has_all_of_a_site(kind: Kind) {
    let settings = match kind {
        Kind::Nginx => kind.settings().to_owned(),
        Kind::Caddy => replaced(kind.settings(), "\tredir /rt /rt/\n", ""),
    };
    let settings = settings.replace("/rt/", "/");
    let options = ["--public-url=https://app.example"];
    let Some(proxied) = Proxied::with_settings(kind, &options, &settings) else {
        return;
    };
    assert_eq!(proxied.request("GET", "/", "").status, 200);
    for path in [&*proxied.register(), "/ws", "/echo"] {
        let mut client = proxied.connect(path);
        client.sends(ping("?"));
        client.receives(pong("?"));
    }
    for path in CLOSED {
        let path = path.strip_prefix("/rt").unwrap();
        assert_eq!(proxied.request("POST", path, "{}").status, 403, "{path}");
    }
}

/// Asserts that a restart of the server is announced to clients behind a proxy, and that the proxy
/// says that there is no server meanwhile.
fn a_restart_is_announced(kind: Kind) {
    let Some(proxied) = Proxied::start(kind, &[PUBLIC_URL]) else {
        return;
    };
    let mut client = proxied.connect("/rt/ws");
    proxied.server.signal(Signal::TERM);
    let restart = close(1012, "server is restarting");
    client.receives(restart.clone());
    client.sends(restart);
    client.expect_end();
    let Proxied {
        proxy: _proxy,
        address,
        server,
        ..
    } = proxied;
    assert_eq!(server.exit_code(), Some(0));
    let answer = ask(address, "app.example", "GET", "/rt/", "");
    assert_eq!(answer.status, 502);
}

#[test]
fn browsers_reach_the_server_through_nginx() {
    browsers_are_let_through(Kind::Nginx);
}

#[test]
fn browsers_reach_the_server_through_caddy() {
    browsers_are_let_through(Kind::Caddy);
}

#[test]
fn nginx_keeps_everybody_outside_from_publishing() {
    nobody_outside_publishes(Kind::Nginx);
}

#[test]
fn caddy_keeps_everybody_outside_from_publishing() {
    nobody_outside_publishes(Kind::Caddy);
}

#[test]
fn nginx_can_let_only_registered_connections_through() {
    only_registered_connections_pass(Kind::Nginx);
}

#[test]
fn caddy_can_let_only_registered_connections_through() {
    only_registered_connections_pass(Kind::Caddy);
}

#[test]
fn nginx_can_give_the_server_all_of_a_site() {
    the_server_has_all_of_a_site(Kind::Nginx);
}

#[test]
fn caddy_can_give_the_server_all_of_a_site() {
    the_server_has_all_of_a_site(Kind::Caddy);
}

#[test]
fn a_restart_is_announced_through_nginx() {
    a_restart_is_announced(Kind::Nginx);
}

#[test]
fn a_restart_is_announced_through_caddy() {
    a_restart_is_announced(Kind::Caddy);
}

#[test]
fn a_server_that_does_not_know_its_public_url_refuses_the_name_that_a_proxy_passes_on() {
    for kind in [Kind::Nginx, Kind::Caddy] {
        let Some(proxied) = Proxied::start(kind, &[]) else {
            continue;
        };
        let (status, body) = proxied.refusal("/rt/ws", "");
        assert_eq!(status, 421, "{kind:?}");
        assert!(body.contains("does not answer to app.example"), "{body}");
    }
}

#[test]
fn on_a_machine_without_caddy_its_tests_are_skipped_and_listed() {
    const TEST: &str = "proxies::caddy_can_give_the_server_all_of_a_site";
    let folder = tempfile::tempdir().unwrap();
    let mut test = Command::new(env::current_exe().unwrap());
    test.args(["--exact", TEST]).env("PATH", folder.path());
    let output = test.output().unwrap();
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("running 1 test"));
    assert!(skipped::take(process::id()).contains(&format!("caddy: {TEST}")));
}
