//! Parses responses of HTTP servers (RFC 9112), as far as a load client needs them.
//!
//! Both sides use httparse: the server within hyper and only for requests, the generator for
//! responses.
//!
//! Pure.

use std::borrow::Cow;

use httparse::{EMPTY_HEADER, Header, ParserConfig, Response, Status};

/// The reason why a server's response is not the expected one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The response is not HTTP, its head is too long, or it does not say how long its body is.
    #[error("the server's answer is not HTTP")]
    NotHttp,
    /// A server that should send every byte back has sent other bytes.
    #[error("the server does not send back what it is sent")]
    NotBack,
    /// A 101 without this header, which RFC 6455 §4.1 requires.
    #[error("the server's 101 lacks `{0}`")]
    NotUpgraded(&'static str),
    /// The server answered status 421, because it does not serve the name in `Host`. The text has
    /// the number and the reason phrase.
    #[error("the server answered {0}: it does not answer to this name (see serve --allow-host)")]
    Name(String),
    /// The server answered another status than the expected one, such as `503 Service Unavailable`.
    #[error("the server answered {0}")]
    Status(String),
    /// A 101 with this header, whose extension or subprotocol was not offered (RFC 6455 §4.1).
    #[error("the server accepted what was not offered ({0})")]
    Unoffered(&'static str),
    /// A 101 without `Sec-WebSocket-Accept`, or with the wrong value of it (RFC 6455 §4.1).
    #[error("the server's answer does not belong to this handshake (wrong Sec-WebSocket-Accept)")]
    WrongAccept,
}

/// The head of a response.
#[derive(Debug)]
pub(crate) struct Head<'a> {
    pub status: u16,
    /// Length of the head in bytes, including the empty line at its end and the interim responses
    /// (1xx) before it.
    pub len: usize,
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

    fn values(&self, name: &str) -> impl Iterator<Item = Cow<'a, str>> {
        let headers = self.headers.iter();
        headers
            .filter(move |header| header.name.eq_ignore_ascii_case(name))
            .map(|header| unfolded(header.value))
    }

    /// Returns the rejection with the status of this head.
    pub(crate) fn rejection(&self) -> Rejection {
        let line = format!("{} {}", self.status, self.reason);
        let line = line.trim_end().to_owned();
        match self.status {
            421 => Rejection::Name(line),
            _ => Rejection::Status(line),
        }
    }
}

/// Returns a header's value in one line, each fold replaced by a space (RFC 9112 §5.2).
fn unfolded(value: &[u8]) -> Cow<'_, str> {
    let value = String::from_utf8_lossy(value);
    if value.contains('\n') {
        let lines: Vec<_> = value.lines().map(str::trim).collect();
        return Cow::Owned(lines.join(" ").trim().to_owned());
    }
    value
}

/// A response of status 200.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer<'a> {
    pub body: Cow<'a, [u8]>,
    /// Length of the response on the wire in bytes: its head and its body.
    pub len: usize,
}

impl<'a> Answer<'a> {
    /// Parses the response at the start of `bytes`. `None` if it is not complete yet.
    pub(crate) fn take(bytes: &'a [u8]) -> Result<Option<Self>, Rejection> {
        let Some(head) = Head::read(bytes)? else {
            return Ok(None);
        };
        if head.status != 200 {
            return Err(head.rejection());
        }
        if head.has_token("transfer-encoding", "chunked") {
            let chunks = take_chunks(&bytes[head.len..])?;
            return Ok(chunks.map(|(body, len)| Self {
                body: Cow::Owned(body),
                len: head.len + len,
            }));
        }
        let length = head.header("content-length");
        let length = length.and_then(|length| length.parse().ok());
        let end = length.and_then(|length| head.len.checked_add(length));
        let end = end.ok_or(Rejection::NotHttp)?;
        let body = bytes.get(head.len..end);
        Ok(body.map(|body| Self {
            body: Cow::Borrowed(body),
            len: end,
        }))
    }
}

/// Parses a chunked body (RFC 9112 §7.1). Returns it with its length on the wire, or `None` if it
/// is not complete yet.
fn take_chunks(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, Rejection> {
    let (mut body, mut rest) = (Vec::new(), bytes);
    loop {
        let size = httparse::parse_chunk_size(rest).map_err(|_| Rejection::NotHttp)?;
        let Status::Complete((line_len, size)) = size else {
            return Ok(None);
        };
        rest = &rest[line_len..];
        if size == 0 {
            let mut trailers = [EMPTY_HEADER; MAX_HEADERS];
            let parsed = httparse::parse_headers(rest, &mut trailers);
            let Status::Complete((len, _)) = parsed.map_err(|_| Rejection::NotHttp)? else {
                return Ok(None);
            };
            return Ok(Some((body, bytes.len() - rest.len() + len)));
        }
        let size = usize::try_from(size).map_err(|_| Rejection::NotHttp)?;
        let Some((chunk, after)) = rest.split_at_checked(size) else {
            return Ok(None);
        };
        let Some((end, after)) = after.split_at_checked(2) else {
            return Ok(None);
        };
        if end != b"\r\n" {
            return Err(Rejection::NotHttp);
        }
        body.extend_from_slice(chunk);
        rest = after;
    }
}

/// Most headers of a response. Arbitrary: as many as hyper accepts.
const MAX_HEADERS: usize = 100;

/// Longest head of a response. Arbitrary: as long as most servers accept in a request.
const MAX_HEAD_BYTES: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_are_parsed_one_by_one() {
        let answers = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}HTTP/1.1 2";
        let answer = Answer::take(answers).unwrap().unwrap();
        assert_eq!(answer.body.as_ref(), b"{}");
        let rest = &answers[answer.len..];
        assert_eq!(rest, b"HTTP/1.1 2");
        assert_eq!(Answer::take(rest), Ok(None));
    }

    #[test]
    fn a_response_is_complete_with_its_last_byte() {
        for whole in [
            &b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"[..],
            // Without a reason phrase, and with a header that is not ASCII.
            b"HTTP/1.0 200\r\ncontent-length: 5\r\nx: caf\xe9\r\n\r\nhello",
            // Folded header lines.
            b"HTTP/1.1 200 OK\r\nX: a\r\n\tb\r\nContent-Length:\r\n 5\r\n\r\nhello",
            // An interim response before it.
            b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
            // Two chunks, one with an extension, and a trailer.
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\na: b\r\n\r\n",
        ] {
            for cut in 0..whole.len() {
                assert_eq!(Answer::take(&whole[..cut]), Ok(None), "{cut}");
            }
            let answer = Answer::take(whole).unwrap().unwrap();
            assert_eq!(answer.body.as_ref(), b"hello");
            assert_eq!(answer.len, whole.len());
        }
    }

    #[test]
    fn a_response_that_is_not_http_is_rejected_without_waiting_for_more() {
        let endless = format!("HTTP/1.1 200 OK\r\nx: {}", "x".repeat(MAX_HEAD_BYTES));
        let interim = "HTTP/1.1 100 Continue\r\n\r\n".repeat(1000);
        for bytes in [
            "SSH-2.0\r\n",
            "HTTP/2 200\r\n",
            // No length, a wrong length, a wrong size of a chunk, and a chunk longer than its size.
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nx\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nab\r\n",
            &endless,
            &interim,
        ] {
            let taken = Answer::take(bytes.as_bytes());
            assert_eq!(taken, Err(Rejection::NotHttp), "{bytes:.40}");
        }
    }

    #[test]
    fn another_status_is_rejected_with_its_reason_phrase() {
        let rejected = |head: &str| Answer::take(head.as_bytes()).unwrap_err();
        let rejection = rejected("HTTP/1.1 413 Payload Too Large\r\ncontent-length: 0\r\n\r\n");
        assert_eq!(rejection, Rejection::Status("413 Payload Too Large".into()));
        let rejection = rejected("HTTP/1.0 503\r\n\r\n");
        assert_eq!(rejection, Rejection::Status("503".into()));
        let rejection = rejected("HTTP/1.1 421 Misdirected Request\r\n\r\n");
        assert!(rejection.to_string().contains("--allow-host"));
    }
}
