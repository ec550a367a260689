//! Requests as bytes: what is taken for an opening handshake is one by a strict reading of RFC
//! 6455 §4.2.1 too, and what is refused is not; a refusal is one line of JSON.
#![no_main]

use framecast::internals;
use framecast_fuzz::reply;
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
    let query = request.uri().query().unwrap_or_default();
    match internals::chat(&request) {
        Ok(topics) => {
            assert!(is_handshake(&parsed), "accepted: {parsed:?}");
            assert!(!topics.is_empty());
            topics
                .iter()
                .for_each(|topic| reply::check_topic(topic.as_str()));
            if !query.contains("topic") && !query.contains('%') {
                assert_eq!(topics[0].as_str(), "lobby");
            }
        }
        Err(refusal) => {
            let status = refusal.status();
            reply::check_refusal(refusal);
            // Of a handshake, only its topics can be wrong.
            let is_about_topics = status == StatusCode::BAD_REQUEST && !query.is_empty();
            assert!(
                is_about_topics || !is_handshake(&parsed),
                "{status}: {parsed:?}"
            );
        }
    }
});

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

/// A handshake for a chat connection by a program, or by a page of this server.
fn is_handshake(request: &httparse::Request<'_, '_>) -> bool {
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
    let is_own = |origin: &[u8]| {
        // What a browser sends is in lower case, but for what it was given as host.
        let authority = origin
            .strip_prefix(b"http://")
            .or(origin.strip_prefix(b"https://"));
        let host = values("host").concat();
        authority.is_some_and(|own| !own.is_empty() && own.eq_ignore_ascii_case(&host))
    };
    request.method == Some("GET")
        && request.version == Some(1)
        && values("host").len() == 1
        && has_token("upgrade", "websocket")
        && has_token("connection", "upgrade")
        && values("sec-websocket-version") == [b"13"]
        && matches!(values("sec-websocket-key")[..], [key] if is_key(key))
        && values("content-length").is_empty()
        && values("transfer-encoding").is_empty()
        && matches!(values("origin")[..], [] | [_])
        && values("origin").iter().all(|origin| is_own(origin))
}

/// 16 bytes in base64.
fn is_key(key: &[u8]) -> bool {
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/".contains(byte);
    key.len() == 24 && key.ends_with(b"==") && key[..22].iter().all(is_digit)
}
