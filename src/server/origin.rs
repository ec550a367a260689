//! The check of the web page that has sent a request, against cross-site WebSocket hijacking.
//!
//! A browser sends the origin of the page with every WebSocket handshake and with every request
//! to another site ([RFC 6454 §7], [RFC 6455 §10.2]). Clients that are not browsers send none.
//!
//! [RFC 6454 §7]: https://www.rfc-editor.org/rfc/rfc6454#section-7
//! [RFC 6455 §10.2]: https://www.rfc-editor.org/rfc/rfc6455#section-10.2

use hyper::{
    HeaderMap,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_MAX_AGE, HeaderValue, ORIGIN, VARY,
    },
};

use crate::{
    authority::{Authority, Origin},
    config::{Access, PageOrigin},
    server::response::Rejection,
};

/// Checks the origin of a request that is for `host`.
///
/// # Errors
///
/// [`Rejection::ForeignOrigin`], if the origin is neither this server's own nor an allowed one.
pub(crate) fn check(
    headers: &HeaderMap,
    host: Option<&Authority>,
    access: &Access,
) -> Result<(), Rejection> {
    let mut origins = headers.get_all(ORIGIN).iter();
    let Some(origin) = origins.next() else {
        return Ok(());
    };
    let may_use = origin.len() <= MAX_ORIGIN_BYTES
        && (is_allowed(origin, access) || is_own(origin, host, access));
    if origins.next().is_none() && may_use {
        return Ok(());
    }
    let origin = String::from_utf8_lossy(origin.as_bytes());
    Err(Rejection::ForeignOrigin(origin.into()))
}

/// Returns true if `origin` is one of the allowed origins, or means the same as one of them.
fn is_allowed(origin: &HeaderValue, access: &Access) -> bool {
    let allowed = &access.allowed_origins;
    if allowed.is_empty() {
        return false;
    }
    if allowed.iter().any(|each| each == "*") {
        return true;
    }
    let parsed = origin
        .to_str()
        .ok()
        .and_then(|text| PageOrigin::parse(text).ok());
    parsed.is_some_and(|origin| {
        let mut allowed = allowed.iter();
        allowed.any(|each| PageOrigin::parse(each).is_ok_and(|each| each == origin))
    })
}

/// Returns true if the page with this origin came from this server: the origin is that of the
/// public URL, or has the host and port that the request is for. In the second case the schemes are
/// not compared, because a proxy may have removed TLS. The origin's scheme only decides which port
/// is meant if none is named.
fn is_own(origin: &HeaderValue, host: Option<&Authority>, access: &Access) -> bool {
    let origin = origin.to_str().ok().and_then(Origin::parse);
    origin.is_some_and(|origin| {
        host.is_some_and(|host| origin.is_at(host))
            || access.public().is_some_and(|url| {
                url.origin.scheme == origin.scheme && origin.is_at(&url.origin.authority)
            })
    })
}

/// Adds the headers that allow the page that sent the request to read the response (CORS). The
/// origin of the page was checked before.
pub(crate) fn allow(request: &HeaderMap, response: &mut HeaderMap) {
    response.append(VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = request.get(ORIGIN) {
        response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    }
}

/// Adds the headers that answer a CORS preflight. A browser sends a preflight before a request that
/// a plain form could not send.
pub(crate) fn allow_preflight(methods: &'static str, response: &mut HeaderMap) {
    let headers = [
        (ACCESS_CONTROL_ALLOW_METHODS, methods),
        (ACCESS_CONTROL_ALLOW_HEADERS, "content-type"),
        (ACCESS_CONTROL_MAX_AGE, "600"),
    ];
    for (name, value) in headers {
        response.insert(name, HeaderValue::from_static(value));
    }
}

/// Greatest length of an origin, in bytes. It is sent back in the response, whose buffer must not
/// grow with it. A scheme and a host have at most half as much.
const MAX_ORIGIN_BYTES: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns true if a server that allows the origins `allowed` lets in a request for `host`
    /// whose headers `Origin` have the values `origins`.
    fn verdict(origins: &[&str], host: &str, allowed: &[&str]) -> bool {
        let access = Access {
            allowed_origins: allowed.iter().map(ToString::to_string).collect(),
            ..Access::default()
        };
        is_let_in(origins, Authority::parse(host).as_ref(), &access)
    }

    /// Returns true if a server with the rules `access` lets in a request for `host` whose headers
    /// `Origin` have the values `origins`.
    fn is_let_in(origins: &[&str], host: Option<&Authority>, access: &Access) -> bool {
        let mut headers = HeaderMap::new();
        for origin in origins {
            headers.append(ORIGIN, origin.parse().unwrap());
        }
        check(&headers, host, access).is_ok()
    }

    #[test]
    fn a_request_without_an_origin_or_with_the_servers_own_is_let_in() {
        assert!(verdict(&[], "a.example", &[]));
        assert!(verdict(&["http://a.example"], "a.example", &[]));
        assert!(verdict(&["https://A.example:8443"], "a.example:8443", &[]));
        assert!(verdict(&["http://[::1]:8080"], "[::1]:8080", &[]));
    }

    #[test]
    fn an_origin_that_is_longer_than_any_is_refused_though_all_are_allowed() {
        let origin = |bytes: usize| format!("http://{}", "x".repeat(bytes - 7));
        assert!(verdict(&[&origin(MAX_ORIGIN_BYTES)], "a.example", &["*"]));
        assert!(!verdict(
            &[&origin(MAX_ORIGIN_BYTES + 1)],
            "a.example",
            &["*"]
        ));
    }

    #[test]
    fn the_default_port_of_the_scheme_need_not_be_named() {
        for (origin, host) in [
            ("https://a.example", "a.example:443"),
            ("https://a.example:443", "a.example"),
            ("http://a.example", "a.example:80"),
            ("http://a.example:80", "a.example"),
        ] {
            assert!(verdict(&[origin], host, &[]), "{origin} {host}");
        }
        for (origin, host) in [
            ("https://a.example", "a.example:80"),
            ("http://a.example", "a.example:443"),
            ("https://a.example", "a.example:8443"),
            ("http://a.example:8080", "a.example:80"),
        ] {
            assert!(!verdict(&[origin], host, &[]), "{origin} {host}");
        }
    }

    #[test]
    fn a_page_of_the_public_url_is_the_servers_own() {
        let access = Access {
            public_url: Some("https://App.Example/rt".into()),
            ..Access::default()
        };
        let inner = Authority::parse("10.0.0.1:8080");
        for host in [inner.as_ref(), None] {
            for origin in ["https://app.example", "https://app.example:443"] {
                assert!(is_let_in(&[origin], host, &access), "{origin}");
            }
            for origin in [
                "http://app.example",
                "http://app.example:443",
                "https://app.example:8443",
                "https://app.example.",
                "https://x.app.example",
                "https://app.example/rt",
                "null",
            ] {
                assert!(!is_let_in(&[origin], host, &access), "{origin}");
            }
        }
        assert!(is_let_in(
            &["http://10.0.0.1:8080"],
            inner.as_ref(),
            &access
        ));
        assert!(!is_let_in(&["http://10.0.0.1:8080"], None, &access));
    }

    #[test]
    fn foreign_origins_are_refused() {
        let foreign = [
            "null",
            "",
            "http://",
            "a.example",
            "ftp://a.example",
            "http://a.example.",
            "http://a.example:8080",
            "http://b.example",
            "http://a.example.evil.com",
            "http://evil.com/a.example",
            "http://a.example@evil.com",
            "http://a.example/",
            "http:// a.example",
            "file://",
            "http://xa.example",
        ];
        for origin in foreign {
            assert!(
                !verdict(&[origin], "a.example", &["https://c.example"]),
                "{origin}"
            );
        }
        assert!(!verdict(
            &["http://a.example", "http://a.example"],
            "a.example",
            &[]
        ));
    }

    #[test]
    fn an_allowed_origin_is_compared_by_meaning() {
        let allowed = ["HTTPS://C.example:443", "http://localhost:3000"];
        for origin in ["https://c.example", "http://localhost:3000"] {
            assert!(verdict(&[origin], "a.example", &allowed), "{origin}");
        }
        for origin in [
            "http://c.example",
            "http://c.example:443",
            "https://c.example:444",
            "https://c.example/",
            "https://c.example.",
            "https://x.c.example",
            "http://localhost",
            "capacitor://localhost:3000",
        ] {
            assert!(!verdict(&[origin], "a.example", &allowed), "{origin}");
        }
        assert!(verdict(&["null"], "a.example", &["*"]));
    }

    #[test]
    fn an_application_with_a_scheme_of_its_own_is_foreign_unless_it_is_allowed() {
        for origin in [
            "capacitor://localhost",
            "ionic://localhost",
            "tauri://localhost",
            "chrome-extension://mhjfbmdgcfjbbpaeojofohoefgiehjai",
            "safari-web-extension://7A3C0D3E-61F5-4B9A-9C8E-0F1D2C3B4A59",
            "file://",
        ] {
            assert!(!verdict(&[origin], "localhost", &[]), "{origin}");
            assert!(!verdict(&[origin], "localhost", &["http://localhost"]));
            assert!(verdict(&[origin], "a.example", &["https://b", origin]));
        }
        let allowed = ["chrome-extension://mhjfbmdgcfjbbpaeojofohoefgiehjai"];
        for origin in [
            "chrome-extension://mhjfbmdgcfjbbpaeojofohoefgiehjaj",
            "moz-extension://mhjfbmdgcfjbbpaeojofohoefgiehjai",
            "chrome-extension://MHJFBMDGCFJBBPAEOJOFOHOEFGIEHJAI",
        ] {
            assert!(!verdict(&[origin], "a.example", &allowed), "{origin}");
        }
    }
}
