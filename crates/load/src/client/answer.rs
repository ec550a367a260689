//! Parses whole HTTP responses, head and body.
//!
//! Pure: this file does no I/O.

use std::borrow::Cow;

use httparse::{EMPTY_HEADER, Status};

use crate::client::http::{Head, MAX_HEADERS, Rejection};

/// A response of a 2xx status, which says that the request was served.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer<'a> {
    pub body: Cow<'a, [u8]>,
    /// Length of the response on the wire in bytes: its head and its body.
    pub len: usize,
    /// True if the server ends the connection after this response (RFC 9112 §9.6).
    pub is_last: bool,
}

impl<'a> Answer<'a> {
    /// Parses the response at the start of `bytes`, which were received on a connection that is
    /// open. `None` if it is not complete yet.
    pub(crate) fn take(bytes: &'a [u8]) -> Result<Option<Self>, Rejection> {
        Self::read(bytes, Input::Open)
    }

    /// Parses the response at the start of `bytes`. `None` if it is not complete.
    pub(crate) fn read(bytes: &'a [u8], input: Input) -> Result<Option<Self>, Rejection> {
        let Some(head) = Head::read(bytes)? else {
            return Ok(None);
        };
        if !(200..300).contains(&head.status) {
            return Err(head.rejection(&bytes[head.len..]));
        }
        let rest = &bytes[head.len..];
        let framing = head.framing()?;
        let (body, len) = match framing {
            Framing::Chunked => match take_chunks(rest)? {
                Some((body, len)) => (Cow::Owned(body), len),
                None if rest.len() > MAX_BODY_BYTES => return Err(Rejection::TooBig),
                None => return Ok(None),
            },
            Framing::Length(len) if len > MAX_BODY_BYTES => return Err(Rejection::TooBig),
            Framing::Length(len) => match rest.get(..len) {
                Some(body) => (Cow::Borrowed(body), len),
                None => return Ok(None),
            },
            Framing::UntilEnd if rest.len() > MAX_BODY_BYTES => return Err(Rejection::TooBig),
            Framing::UntilEnd if input == Input::Ended => (Cow::Borrowed(rest), rest.len()),
            Framing::UntilEnd => return Ok(None),
        };
        Ok(Some(Self {
            body,
            len: head.len + len,
            is_last: framing == Framing::UntilEnd || head.is_last(),
        }))
    }

    /// Returns the same response with a body of its own.
    pub(crate) fn into_owned(self) -> Answer<'static> {
        Answer {
            body: Cow::Owned(self.body.into_owned()),
            len: self.len,
            is_last: self.is_last,
        }
    }
}

/// The state of the connection on which a response is received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// The server has ended it.
    Ended,
    Open,
}

/// The way in which the end of a body is found (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Chunked,
    /// The body has so many bytes.
    Length(usize),
    /// The body ends with the connection.
    UntilEnd,
}

impl Head<'_> {
    fn framing(&self) -> Result<Framing, Rejection> {
        if self.status == 204 {
            return Ok(Framing::Length(0));
        }
        if let Some(codings) = self.values("transfer-encoding").last() {
            if self.header("content-length").is_some() {
                // RFC 9112 §6.3: an error, because it may hide a second response.
                return Err(Rejection::NotHttp);
            }
            // The codings that were applied, in their order. Only the last one is an end.
            let mut codings = codings.rsplit(',').map(str::trim);
            let last = codings.find(|coding| !coding.is_empty());
            let is_chunked = last.is_some_and(|last| last.eq_ignore_ascii_case("chunked"));
            return Ok(if is_chunked {
                Framing::Chunked
            } else {
                Framing::UntilEnd
            });
        }
        let mut framing = Framing::UntilEnd;
        for value in self.values("content-length") {
            // A repeated length is valid, two different ones are not (RFC 9110 §8.6).
            for digits in value.split(',').map(str::trim) {
                let is_number = digits.bytes().all(|digit| digit.is_ascii_digit());
                let length = digits.parse().ok().filter(|_| is_number);
                let length = Framing::Length(length.ok_or(Rejection::NotHttp)?);
                if framing != Framing::UntilEnd && framing != length {
                    return Err(Rejection::NotHttp);
                }
                framing = length;
            }
        }
        Ok(framing)
    }

    /// Returns the begin of the body, as much as `rest` has of it: the bytes that were received after
    /// the head. At most [`MAX_REASON_BYTES`].
    pub(super) fn begun_body<'b>(&self, rest: &'b [u8]) -> Cow<'b, [u8]> {
        let rest = &rest[..rest.len().min(MAX_REASON_BYTES)];
        match self.framing() {
            Ok(Framing::Chunked) => Cow::Owned(begun_chunks(rest)),
            Ok(Framing::Length(len)) => Cow::Borrowed(&rest[..rest.len().min(len)]),
            Ok(Framing::UntilEnd) => Cow::Borrowed(rest),
            // The body can't be found.
            Err(_) => Cow::Borrowed(&[]),
        }
    }

    /// Returns true if the connection must not be used after this response: the server ends it; or
    /// a transfer coding in a version of HTTP that has none may hide the end of the response (RFC
    /// 9112 §6.1).
    fn is_last(&self) -> bool {
        let is_kept = match self.version {
            0 => {
                self.has_token("connection", "keep-alive")
                    && self.header("transfer-encoding").is_none()
            }
            _ => true,
        };
        !is_kept || self.has_token("connection", "close")
    }
}

/// Returns as much of a chunked body as `bytes`, its begin, have of it.
fn begun_chunks(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Status::Complete((line_len, size))) = httparse::parse_chunk_size(bytes) {
        let rest = &bytes[line_len..];
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let (chunk, after) = rest.split_at(size.min(rest.len()));
        body.extend_from_slice(chunk);
        bytes = after.strip_prefix(b"\r\n").unwrap_or_default();
    }
    body
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

/// Longest body of a response. Arbitrary: the bodies that a relay answers with are far shorter.
pub(super) const MAX_BODY_BYTES: usize = 1 << 20;

/// Largest number of bytes that are read of the body of a refusal. Arbitrary: more than enough for
/// its first line.
const MAX_REASON_BYTES: usize = 8 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::http::MAX_HEAD_BYTES;

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
            b"HTTP/1.1 202 Accepted\r\nContent-Length: 5, 5\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\ncontent-length: 5\r\n\r\nhello",
            // Two chunks, one with an extension, and a trailer.
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\na: b\r\n\r\n",
            // Another coding before it, which changes nothing here, in two lines.
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: x\r\ntransfer-encoding: chunked,\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
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
            // Wrong and contradictory lengths, a wrong size of a chunk, and a chunk longer than its
            // size.
            "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: +1\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length:\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 1, 2\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
            // Two ways to find the end.
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\ncontent-length: 5\r\n\r\nhello",
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
    fn a_body_without_a_length_ends_with_the_connection() {
        for head in [
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.0 200 OK\r\n\r\n",
            // `chunked` is an end only as the last coding.
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, x\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n",
        ] {
            let whole = format!("{head}hello");
            assert_eq!(Answer::take(whole.as_bytes()), Ok(None));
            let answer = Answer::read(whole.as_bytes(), Input::Ended)
                .unwrap()
                .unwrap();
            assert_eq!(answer.body.as_ref(), b"hello");
            assert!(answer.is_last);
        }
        for cut in [
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
        ] {
            assert_eq!(
                Answer::read(cut.as_bytes(), Input::Ended),
                Ok(None),
                "{cut}"
            );
        }
    }

    #[test]
    fn a_response_may_announce_the_end_of_the_connection() {
        for (version, connection, is_last) in [
            ("1.1", "", false),
            ("1.1", "Connection: keep-alive\r\n", false),
            ("1.1", "Connection: foo, Close\r\n", true),
            ("1.0", "", true),
            ("1.0", "Connection: Keep-Alive\r\n", false),
        ] {
            let head = format!("HTTP/{version} 204 No Content\r\n{connection}\r\n");
            let answer = Answer::take(head.as_bytes()).unwrap().unwrap();
            assert_eq!(answer.is_last, is_last, "{head}");
            assert_eq!(answer.len, head.len());
        }
    }

    // HTTP/1.0 has no transfer codings, so a proxy may have passed one on that it did not read.
    #[test]
    fn a_transfer_coding_in_http_1_0_ends_the_use_of_the_connection() {
        for (version, is_last) in [("1.0", true), ("1.1", false)] {
            let head = format!("HTTP/{version} 200 OK\r\nConnection: keep-alive\r\n");
            let whole = format!("{head}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
            let answer = Answer::take(whole.as_bytes()).unwrap().unwrap();
            assert_eq!(answer.is_last, is_last, "{version}");
        }
    }

    #[test]
    fn a_body_over_the_limit_is_rejected() {
        let length = MAX_BODY_BYTES + 1;
        let body = "x".repeat(length);
        for bytes in [
            format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n"),
            format!("HTTP/1.1 200 OK\r\n\r\n{body}"),
            format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffff\r\n{body}"),
        ] {
            assert_eq!(Answer::take(bytes.as_bytes()), Err(Rejection::TooBig));
        }
    }
}
