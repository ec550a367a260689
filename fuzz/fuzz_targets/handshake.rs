//! Compares the server's check of opening handshakes with a second, strict one (RFC 6455 §4.2.1).
//! Both must accept the same requests. A rejection must have one line of JSON.
#![no_main]

use framecast::internals;
use framecast_fuzz::response;
use http::{Request, StatusCode, Version};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|head: &[u8]| {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut parsed = httparse::Request::new(&mut headers);
    if !matches!(parsed.parse(head), Ok(httparse::Status::Complete(_))) {
        return;
    }
    let Some(request) = to_request(&parsed) else {
        return;
    };
    let target = request.uri().authority().map(ToString::to_string);
    let Some(is_handshake) = is_handshake(&parsed, target.as_deref()) else {
        // The strict check does not decide. A rejection must still be well-formed.
        let _ = internals::chat(&request).map_err(response::check_rejection);
        return;
    };
    let query = request.uri().query().unwrap_or_default();
    match internals::chat(&request) {
        Ok(topics) => {
            assert!(is_handshake, "accepted: {parsed:?}");
            assert!(!topics.is_empty());
            topics
                .iter()
                .for_each(|topic| response::check_topic(topic.as_str()));
            // If the query names no topic, not even an escaped one, the connection gets the default
            // topic.
            if !query.contains("topic") && !query.contains('%') {
                assert_eq!(topics[0].as_str(), "lobby");
            }
        }
        Err(rejection) => {
            let status = rejection.status();
            response::check_rejection(rejection);
            // In a valid handshake, only the topics can be wrong.
            let is_about_topics = status == StatusCode::BAD_REQUEST && !query.is_empty();
            assert!(is_about_topics || !is_handshake, "{status}: {parsed:?}");
        }
    }
});

/// Converts the parsed request to the type that the server takes. Returns `None` if its parts do
/// not fit that type.
fn to_request(parsed: &httparse::Request<'_, '_>) -> Option<Request<()>> {
    let version = if parsed.version? == 1 {
        Version::HTTP_11
    } else {
        Version::HTTP_10
    };
    let request = Request::builder()
        .method(parsed.method?)
        .uri(parsed.path?)
        .version(version);
    let headers = parsed.headers.iter();
    let request = headers.fold(request, |request, header| {
        request.header(header.name, header.value)
    });
    request.body(()).ok()
}

/// Returns true if the request is an opening handshake that the server must accept: it comes from a
/// program, which sends no `Origin`, or from a page of this server. `target` is the authority in
/// the request's target, if it has one. Returns `None` if a host in the request is not [`simple`],
/// and this check cannot decide.
fn is_handshake(request: &httparse::Request<'_, '_>, target: Option<&str>) -> Option<bool> {
    let values = |name: &str| -> Vec<&[u8]> {
        let named = request
            .headers
            .iter()
            .filter(|header| header.name.eq_ignore_ascii_case(name));
        named.map(|header| header.value).collect()
    };
    let has_token = |name: &str, token: &str| {
        let joined = values(name).join(&b',');
        let mut tokens = joined.split(|byte| *byte == b',');
        tokens.any(|each| each.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    };
    let hosts = values("host").into_iter().map(Some);
    // The hosts that the request is for: `Host`, and behind it the authority of the target, which
    // has precedence.
    let own = hosts.chain([target.map(str::as_bytes)]).flatten();
    let own: Option<Vec<_>> = own.map(simple).collect();
    let origins = values("origin").into_iter().map(|origin| {
        let (default_port, authority) = match origin.strip_prefix(b"http://") {
            Some(authority) => (80, authority),
            None => (443, origin.strip_prefix(b"https://").unwrap_or_default()),
        };
        let parsed = simple(authority);
        parsed.map(|(host, port)| (host, port.unwrap_or(default_port), default_port))
    });
    let origins: Option<Vec<_>> = origins.collect();
    let (own, origins) = (own?, origins?);
    let is_own = |(host, port, default_port): &(String, u16, u16)| {
        own.last().is_some_and(|(own_host, own_port)| {
            own_host == host && own_port.unwrap_or(*default_port) == *port
        })
    };
    let is_handshake = request.method == Some("GET")
        && request.version == Some(1)
        && values("host").len() == 1
        && has_token("upgrade", "websocket")
        && has_token("connection", "upgrade")
        && values("sec-websocket-version") == [b"13"]
        && matches!(values("sec-websocket-key")[..], [key] if is_key(key))
        && values("content-length").is_empty()
        && values("transfer-encoding").is_empty()
        && origins.len() < 2
        && origins.iter().all(is_own);
    Some(is_handshake)
}

/// Returns the host of an authority, in lower case, and its port, if it has one. Returns `None` if
/// the host has other characters than letters, digits, hyphens and dots.
fn simple(authority: &[u8]) -> Option<(String, Option<u16>)> {
    let text = str::from_utf8(authority).ok()?.to_ascii_lowercase();
    let (host, port) = match text.split_once(':') {
        Some((host, port)) if port.len() < 5 && port.bytes().all(|byte| byte.is_ascii_digit()) => {
            (host, Some(port.parse().ok()?))
        }
        Some(_) => return None,
        None => (text.as_str(), None),
    };
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
    let is_simple = (1..256).contains(&host.len()) && host.bytes().all(is_letter);
    is_simple.then(|| (host.to_owned(), port))
}

/// Returns true if `key` is 16 bytes in base64.
fn is_key(key: &[u8]) -> bool {
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/".contains(byte);
    key.len() == 24 && key.ends_with(b"==") && key[..22].iter().all(is_digit)
}
