//! Which web pages may use the server: cross-site WebSocket hijacking ends here.
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
        ACCESS_CONTROL_MAX_AGE, HOST, HeaderValue, ORIGIN, VARY,
    },
};

use super::reply::Refusal;

/// Checks the origin of a request.
///
/// # Errors
///
/// [`Refusal::ForeignOrigin`], if it is neither this server's own nor one of `allowed`.
pub(crate) fn check(headers: &HeaderMap, allowed: &[String]) -> Result<(), Refusal> {
    let mut origins = headers.get_all(ORIGIN).iter();
    let Some(origin) = origins.next() else {
        return Ok(());
    };
    let is_allowed = allowed
        .iter()
        .any(|each| each == "*" || each.as_bytes() == origin.as_bytes());
    if origins.next().is_none() && (is_allowed || is_own(origin, headers)) {
        return Ok(());
    }
    Err(Refusal::ForeignOrigin)
}

/// The page came from this server: its origin names the host that the request is for. The scheme
/// is not compared, because a proxy in front may have taken TLS off.
fn is_own(origin: &HeaderValue, headers: &HeaderMap) -> bool {
    let (Ok(origin), Some(Ok(host))) =
        (origin.to_str(), headers.get(HOST).map(HeaderValue::to_str))
    else {
        return false;
    };
    let authority = origin
        .strip_prefix("http://")
        .or_else(|| origin.strip_prefix("https://"));
    authority.is_some_and(|authority| !authority.is_empty() && authority.eq_ignore_ascii_case(host))
}

/// Lets the page that sent the request read the response (CORS); the origin was checked.
pub(crate) fn allow(request: &HeaderMap, response: &mut HeaderMap) {
    response.append(VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = request.get(ORIGIN) {
        response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    }
}

/// Answers a browser that asks before it sends what a plain form could not.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(origins: &[&str], host: &str, allowed: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().unwrap());
        for origin in origins {
            headers.append(ORIGIN, origin.parse().unwrap());
        }
        let allowed: Vec<String> = allowed.iter().map(ToString::to_string).collect();
        check(&headers, &allowed).is_ok()
    }

    #[test]
    fn no_origin_and_the_own_origin_pass() {
        assert!(verdict(&[], "a.example", &[]));
        assert!(verdict(&["http://a.example"], "a.example", &[]));
        assert!(verdict(&["https://A.example:8443"], "a.example:8443", &[]));
        assert!(verdict(&["http://[::1]:8080"], "[::1]:8080", &[]));
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
            "http://a.example:80",
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
    fn allowed_origins_match_to_the_letter() {
        let allowed = ["https://c.example", "http://localhost:3000"];
        assert!(verdict(&["https://c.example"], "a.example", &allowed));
        assert!(verdict(&["http://localhost:3000"], "a.example", &allowed));
        for origin in [
            "http://c.example",
            "https://c.example:444",
            "https://x.c.example",
            "http://localhost",
        ] {
            assert!(!verdict(&[origin], "a.example", &allowed), "{origin}");
        }
        assert!(verdict(&["null"], "a.example", &["*"]));
    }
}
