//! Parses heads of HTTP responses (RFC 9112), as far as a load client needs them.
//!
//! The generator shares no code with the server, so that no fault hides on both sides. httparse is
//! one of few exceptions: the server's HTTP library, hyper, parses requests with it; this file
//! parses responses with it.
//!
//! Pure: this file does no I/O.

use std::borrow::Cow;

use httparse::{EMPTY_HEADER, Header, ParserConfig, Response, Status};

use crate::{
    client::answer::MAX_BODY_BYTES,
    display::{first_line, reason},
};

/// The reason why a server's response is not the expected one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The response is not HTTP, its head is too long, or what it says about the length of its body
    /// is contradictory.
    #[error("the server's answer is not HTTP")]
    NotHttp,
    /// A server that should send every byte back has sent other bytes.
    #[error("the server does not send back what it is sent")]
    NotBack,
    /// A 101 without this header, which RFC 6455 §4.1 requires.
    #[error("the server's 101 lacks `{0}`")]
    NotUpgraded(&'static str),
    /// A 101 with more than one header of this name, which may be there once (RFC 6455 §11.3).
    #[error("the server's 101 has more than one {0}")]
    Repeated(&'static str),
    /// The server answered status 421, because it does not serve the name in `Host`, without a
    /// reason in the body. The text is the status code and the reason phrase.
    #[error("the server answered {0}: it does not answer to this name (see serve --allow-host)")]
    Name(String),
    /// The server did not answer the expected status.
    #[error("the server answered {line}")]
    Status {
        /// The status code that it answered.
        code: u16,
        /// The code and the reason phrase, such as `503 Service Unavailable`, and the target of a
        /// redirection or the reason in the body.
        line: String,
    },
    /// A response over the generator's limit.
    #[error("the server's answer is longer than {MAX_BODY_BYTES} bytes")]
    TooBig,
    /// A 101 with this header, whose extension or subprotocol was not offered (RFC 6455 §4.1).
    #[error("the server accepted what was not offered ({0})")]
    Unoffered(&'static str),
    /// A 101 without `Sec-WebSocket-Accept`, or with the wrong value of it (RFC 6455 §4.1).
    #[error("the server's answer does not belong to this handshake (wrong Sec-WebSocket-Accept)")]
    WrongAccept,
}

impl Rejection {
    /// Returns true for a 408, after which the client may send the request again over another
    /// connection (RFC 9110 §15.5.9). Some servers send one before they end an idle connection,
    /// and it crosses the next request.
    pub(crate) fn is_timeout(&self) -> bool {
        matches!(self, Self::Status { code: 408, .. })
    }
}

/// The head of a response.
#[derive(Debug)]
pub(crate) struct Head<'a> {
    pub status: u16,
    /// Length of the head in bytes, including the empty line at its end and the interim responses
    /// (1xx) before it.
    pub len: usize,
    /// The minor version of HTTP/1.
    pub version: u8,
    reason: &'a str,
    headers: [Header<'a>; MAX_HEADERS],
}

impl<'a> Head<'a> {
    /// Parses the head at the start of `bytes`. `None` if it is not complete yet. Skips interim
    /// responses such as 103 (RFC 9110 §15.2), but not 101: after that no HTTP follows.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Option<Self>, Rejection> {
        let mut skipped = 0;
        while skipped < MAX_HEAD_BYTES {
            let Some(mut head) = Self::read_one(&bytes[skipped..])? else {
                let is_too_long = bytes.len() - skipped > MAX_HEAD_BYTES;
                return if is_too_long {
                    Err(Rejection::NotHttp)
                } else {
                    Ok(None)
                };
            };
            head.len += skipped;
            if head.status == 101 || head.status >= 200 {
                return Ok(Some(head));
            }
            skipped = head.len;
        }
        Err(Rejection::NotHttp)
    }

    /// Parses the head at the start of `bytes`, which may be that of an interim response.
    fn read_one(bytes: &'a [u8]) -> Result<Option<Self>, Rejection> {
        let mut headers = [EMPTY_HEADER; MAX_HEADERS];
        let mut response = Response::new(&mut headers);
        let parsed = ParserConfig::default()
            // RFC 9112 §5.2: a user agent accepts folded header lines in responses.
            .allow_obsolete_multiline_headers_in_responses(true)
            .parse_response(&mut response, bytes);
        let Status::Complete(len) = parsed.map_err(|_| Rejection::NotHttp)? else {
            return Ok(None);
        };
        let (status, reason) = (response.code, response.reason);
        Ok(Some(Self {
            status: status.ok_or(Rejection::NotHttp)?,
            len,
            version: response.version.unwrap_or_default(),
            reason: reason.unwrap_or_default(),
            headers,
        }))
    }

    /// Returns the value of the first header named `name`, in one line.
    pub(crate) fn header(&self, name: &str) -> Option<Cow<'a, str>> {
        self.values(name).next()
    }

    /// Returns true if the list in header `name` contains `token`, in upper or lower case. The list
    /// may be spread over several headers of this name (RFC 9110 §5.3, §5.6.1).
    pub(crate) fn has_token(&self, name: &str, token: &str) -> bool {
        self.values(name).any(|value| {
            let mut tokens = value.split(',');
            tokens.any(|each| each.trim().eq_ignore_ascii_case(token))
        })
    }

    /// Returns the values of all headers named `name`, each in one line.
    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = Cow<'a, str>> {
        let headers = self.headers.iter();
        headers
            .filter(move |header| header.name.eq_ignore_ascii_case(name))
            .map(|header| unfolded(header.value))
    }

    /// Returns the rejection that reports the status of this head. Its reason is the target of a
    /// redirection, or that in the body, which begins with `rest`.
    pub(crate) fn rejection(&self, rest: &[u8]) -> Rejection {
        let code = self.status;
        let mut line = format!("{code} {}", self.reason).trim_end().to_owned();
        let location = self.header("location");
        let target = location.filter(|_| (300..400).contains(&code));
        let reason = match target {
            Some(target) => format!("it redirects to {}", first_line(&target)),
            None => reason(&String::from_utf8_lossy(&self.begun_body(rest))),
        };
        if code == 421 && reason.is_empty() {
            return Rejection::Name(line);
        }
        if !reason.is_empty() {
            line.push_str(": ");
            line.push_str(&reason);
        }
        Rejection::Status { code, line }
    }
}

/// Returns a header's value in one line: replaces each line fold (RFC 9112 §5.2) by a space.
fn unfolded(value: &[u8]) -> Cow<'_, str> {
    let value = String::from_utf8_lossy(value);
    if value.contains('\n') {
        let lines: Vec<_> = value.lines().map(str::trim).collect();
        return Cow::Owned(lines.join(" ").trim().to_owned());
    }
    value
}

/// Largest number of headers of a response. Arbitrary: as many as hyper accepts.
pub(super) const MAX_HEADERS: usize = 100;

/// Largest size of a response's head, in bytes. Arbitrary: most servers accept request heads of
/// this size.
pub(super) const MAX_HEAD_BYTES: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_status_is_rejected_with_its_reason_phrase() {
        let rejected = |head: &str| {
            let head = Head::read(head.as_bytes()).unwrap();
            head.unwrap().rejection(b"")
        };
        let rejection = rejected("HTTP/1.1 413 Payload Too Large\r\ncontent-length: 0\r\n\r\n");
        let text = "the server answered 413 Payload Too Large";
        assert_eq!(rejection.to_string(), text);
        let rejection = rejected("HTTP/1.0 503\r\n\r\n");
        assert_eq!(rejection.to_string(), "the server answered 503");
        assert!(!rejection.is_timeout());
        assert!(rejected("HTTP/1.1 408 Request Timeout\r\n\r\n").is_timeout());
        let rejection = rejected("HTTP/1.1 421 Misdirected Request\r\n\r\n");
        assert!(rejection.to_string().contains("--allow-host"));
    }

    #[test]
    fn a_redirection_is_rejected_with_its_target() {
        let rejected = |status, target: &str| {
            let head = format!("HTTP/1.1 {status}\r\nLocation: {target}\r\n\r\n");
            let head = Head::read(head.as_bytes()).unwrap().unwrap();
            head.rejection(b"").to_string()
        };
        let moved = "301 Moved Permanently";
        assert_eq!(
            rejected(moved, "https://app.example/ws?a=%20"),
            format!("the server answered {moved}: it redirects to https://app.example/ws?a=%20")
        );
        // The first character reverses the reading direction.
        let escaped = rejected("308 x", "/\u{202e}é a");
        assert!(escaped.ends_with(" to /\\u{202e}é a"), "{escaped}");
        assert!(rejected("302 x", &"x".repeat(121)).ends_with("x…"));
        // A Location of another status is no redirection.
        assert_eq!(rejected("404 x", "/"), "the server answered 404 x");
    }

    #[test]
    fn a_refusal_is_rejected_with_the_reason_in_its_body() {
        let rejected = |head: &str, body: &str| {
            let bytes = format!("HTTP/1.1 403 Forbidden\r\n{head}\r\n{body}");
            let head = Head::read(bytes.as_bytes()).unwrap().unwrap();
            let rejection = head.rejection(&bytes.as_bytes()[head.len..]);
            let text = rejection.to_string();
            let reason = text.strip_prefix("the server answered 403 Forbidden");
            reason.unwrap().to_owned()
        };
        assert_eq!(rejected("", ""), "");
        assert_eq!(rejected("", "\r\nno\u{1b}[2J\nat all"), ": no\\u{1b}[2J");
        let length = "Content-Length: 14\r\n";
        assert_eq!(rejected(length, r#"{"error":"no"}HTTP/1.1"#), ": no");
        // The rest of the body has not arrived.
        assert_eq!(rejected("Content-Length: 80\r\n", "no"), ": no");
        let chunked = "Transfer-Encoding: chunked\r\n";
        assert_eq!(rejected(chunked, "1\r\nn\r\n1\r\no\r\n0\r\n\r\n"), ": no");
        assert_eq!(rejected(chunked, "1\r\nn\r\nFF\r\no"), ": no");
        for cut in ["", "1", "x\r\n"] {
            assert_eq!(rejected(chunked, cut), "", "{cut}");
        }
        let long = "x".repeat(1 << 20);
        assert_eq!(rejected("", &long), format!(": {}…", "x".repeat(120)));
    }
}
