//! Pages of other origins: those that may use the server, and the CORS headers for their browsers.

use framecast_test_support::{TestServer, frames::text};

use crate::http::{METHODS, PATHS, error_of, without_body};

/// An origin that is not the server's.
const OTHER: &str = "https://app.example";

/// Starts a server that pages of `origin` may use.
fn with_allowed(origin: &str) -> TestServer {
    TestServer::with(|config| config.hub.access.allowed_origins = vec![origin.into()])
}

#[test]
fn a_foreign_page_is_refused_on_every_path_with_every_method() {
    let server = with_allowed(OTHER);
    for (path, _) in PATHS.into_iter().chain([("/nowhere", "")]) {
        for method in METHODS {
            if method == "HEAD" {
                let headers = "Origin: http://b.example\r\n";
                assert_eq!(without_body(&server, method, path, headers).status, 403);
                continue;
            }
            for origin in [
                "http://b.example",
                "null",
                "https://app.example.b.example",
                "",
            ] {
                let answer = server.http(method, path, &format!("Origin: {origin}\r\n"), "");
                assert_eq!(answer.status, 403, "{method} {path} {origin}");
                assert_eq!(
                    error_of(&answer),
                    "pages of this origin may not use this server"
                );
                let allowed = answer.header("access-control-allow-origin");
                assert_eq!(allowed, None, "{method} {path} {origin}");
            }
        }
    }
}

#[test]
fn a_foreign_page_changes_nothing() {
    let server = TestServer::start();
    let path = server.register(r#"{"user_id": 1, "topics": ["t"]}"#);
    let mut client = server.connect(&path);
    let origin = "Origin: http://b.example\r\nContent-Type: text/plain\r\n";
    let publish = r#"{"topic": "t", "message": "forged"}"#;
    let register = r#"{"user_id": 2}"#;
    let delete = path.replace("/ws/", "/register/");
    for (method, path, body) in [
        ("POST", "/publish", publish),
        ("POST", "/register", register),
        ("DELETE", &delete, ""),
    ] {
        assert_eq!(server.http(method, path, origin, body).status, 403);
    }
    assert_eq!(server.health()["registrations"], 1);
    server.post("/publish", r#"{"topic": "t", "message": "honest"}"#);
    client.receives(text("honest"));
    client.close();
}

#[test]
fn an_allowed_page_may_read_every_response() {
    let server = with_allowed(OTHER);
    for origin in [OTHER, "http://a.localhost", "https://A.localhost"] {
        let headers = format!("Origin: {origin}\r\n");
        for (method, path, body, status) in [
            ("GET", "/health", "", 200),
            ("POST", "/register", r#"{"user_id": 1}"#, 200),
            ("POST", "/publish", "{", 400),
            ("GET", "/nowhere", "", 404),
            ("GET", "/publish", "", 405),
            ("GET", "/ws", "", 426),
        ] {
            let answer = server.http(method, path, &headers, body);
            assert_eq!(answer.status, status, "{path}");
            let allowed = answer.header("access-control-allow-origin");
            assert_eq!(allowed, Some(origin), "{path}");
            assert_eq!(answer.header("vary"), Some("Origin"), "{path}");
            let credentials = answer.header("access-control-allow-credentials");
            assert_eq!(credentials, None, "{path}");
        }
    }
}

#[test]
fn a_response_without_an_origin_allows_none_and_varies_by_origin() {
    let answer = with_allowed(OTHER).http("GET", "/health", "", "");
    assert_eq!(answer.header("access-control-allow-origin"), None);
    assert_eq!(answer.header("vary"), Some("Origin"));
}

#[test]
fn a_preflight_is_answered_with_the_methods_of_the_path() {
    let server = with_allowed(OTHER);
    let preflight = format!(
        "Origin: {OTHER}\r\nAccess-Control-Request-Method: POST\r\n\
         Access-Control-Request-Headers: content-type\r\n"
    );
    for (path, methods) in PATHS {
        let answer = without_body(&server, "OPTIONS", path, &preflight);
        assert_eq!(answer.status, 204, "{path}");
        for (name, value) in [
            ("allow", methods),
            ("access-control-allow-origin", OTHER),
            ("access-control-allow-methods", methods),
            ("access-control-allow-headers", "content-type"),
            ("access-control-max-age", "600"),
            ("vary", "Origin"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{path}: {name}");
        }
    }
    let answer = server.http("OPTIONS", "/nowhere", &preflight, "");
    assert_eq!(answer.status, 404);
    assert_eq!(answer.header("access-control-allow-methods"), None);
}

#[test]
fn a_star_allows_every_page() {
    let server = with_allowed("*");
    for origin in ["http://b.example", "null"] {
        let answer = server.http("GET", "/health", &format!("Origin: {origin}\r\n"), "");
        assert_eq!(answer.status, 200);
        let allowed = answer.header("access-control-allow-origin");
        assert_eq!(allowed, Some(origin));
    }
    let two = "Origin: http://b.example\r\nOrigin: http://c.example\r\n";
    assert_eq!(server.http("GET", "/health", two, "").status, 403);
}
