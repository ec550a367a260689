//! The opening handshake of a load client ([RFC 6455 §4.1]), and HTTP as far as it needs it.
//!
//! [RFC 6455 §4.1]: https://www.rfc-editor.org/rfc/rfc6455#section-4.1

use crate::plan::Scheme;

/// The reason why a server's answer is not the one that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// It is not HTTP.
    #[error("the server's answer is not HTTP")]
    NotHttp,
    /// It is not what was sent, of a server that is to send every byte back.
    #[error("the server does not send back what it is sent")]
    NotBack,
    /// 421; the status line.
    #[error("the server answered {0}: it does not answer to this name (see serve --allow-host)")]
    Name(String),
    /// Another status than was asked for; the status line.
    #[error("the server answered {0}")]
    Status(String),
    /// The wrong `Sec-WebSocket-Accept` (§4.1).
    #[error("the server's answer does not belong to this handshake (wrong Sec-WebSocket-Accept)")]
    WrongAccept,
}

/// Returns the request for `path`; each of `headers` is a whole line.
pub(crate) fn request(authority: &str, path: &str, headers: &[String]) -> Vec<u8> {
    let mut request = format!(
        "GET {path} HTTP/1.1\r\nHost: {authority}\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n"
    );
    for header in headers {
        request.push_str(header);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    request.into_bytes()
}

/// Checks the answer that `bytes` begin with, and returns its length, or `None` if it is not all
/// there.
pub(crate) fn check(scheme: Scheme, bytes: &[u8]) -> Result<Option<usize>, Rejection> {
    match scheme {
        Scheme::Tcp => check_back(bytes),
        Scheme::Ws => check_switch(bytes),
    }
}

/// Checks that the answer is the request.
fn check_back(bytes: &[u8]) -> Result<Option<usize>, Rejection> {
    let begun = &bytes[..bytes.len().min(METHOD.len())];
    if METHOD.starts_with(begun) {
        Ok(end_of_head(bytes).map(|end| end + 4))
    } else {
        Err(Rejection::NotBack)
    }
}

/// Checks that the answer is a 101 to this request.
fn check_switch(bytes: &[u8]) -> Result<Option<usize>, Rejection> {
    let Some(head) = Head::read(bytes)? else {
        return Ok(None);
    };
    if head.status != 101 {
        return Err(head.rejection());
    }
    match head.header("sec-websocket-accept") {
        Some(ACCEPT) => Ok(Some(head.len)),
        _ => Err(Rejection::WrongAccept),
    }
}

/// The key of RFC 6455 §1.3 and the answer to it: a load client does not need a secret one, and
/// so it needs no SHA-1.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The head of an HTTP answer.
#[derive(Debug)]
pub(crate) struct Head<'a> {
    pub status: u16,
    /// Its bytes, with the empty line.
    pub len: usize,
    text: &'a str,
}

impl<'a> Head<'a> {
    /// Reads the head that `bytes` begin with, if it is all there.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Option<Self>, Rejection> {
        let begun = &bytes[..bytes.len().min(STATUS_LINE.len())];
        if !STATUS_LINE.starts_with(begun) {
            return Err(Rejection::NotHttp);
        }
        let Some(end) = end_of_head(bytes) else {
            let is_too_long = bytes.len() > MAX_HEAD_BYTES;
            return if is_too_long {
                Err(Rejection::NotHttp)
            } else {
                Ok(None)
            };
        };
        let text = str::from_utf8(&bytes[..end]).map_err(|_| Rejection::NotHttp)?;
        let status = text.split(' ').nth(1).and_then(|code| code.get(..3));
        let status = status.and_then(|code| code.parse().ok());
        Ok(Some(Self {
            status: status.ok_or(Rejection::NotHttp)?,
            len: end + 4,
            text,
        }))
    }

    /// Returns the value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&'a str> {
        self.text.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// Returns the rejection that the status stands for.
    pub(crate) fn rejection(&self) -> Rejection {
        // Status and reason, without the version.
        let line = self.text.lines().next().unwrap_or_default();
        let line = line.split_once(' ').map_or("", |(_, status)| status);
        let line = line.chars().filter(|c| !c.is_control()).collect();
        match self.status {
            421 => Rejection::Name(line),
            _ => Rejection::Status(line),
        }
    }
}

/// Returns where the empty line begins, with the end of the line before it.
fn end_of_head(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|bytes| bytes == b"\r\n\r\n")
}

const METHOD: &[u8] = b"GET ";
const STATUS_LINE: &[u8] = b"HTTP/1.1 ";

/// Arbitrary: as much as most servers take themselves.
const MAX_HEAD_BYTES: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_asks_for_the_path_with_all_headers() {
        let request = request("h:1", "/ws?topic=a", &["Origin: http://x".into()]);
        let request = String::from_utf8(request).unwrap();
        assert!(request.starts_with("GET /ws?topic=a HTTP/1.1\r\nHost: h:1\r\n"));
        assert!(request.ends_with("\r\nOrigin: http://x\r\n\r\n"));
    }

    #[test]
    fn only_a_101_with_the_right_accept_is_taken() {
        let answer = |status: &str, accept: &str| {
            let head = format!("HTTP/1.1 {status}\r\nsec-websocket-accept: {accept}\r\n\r\n");
            check(Scheme::Ws, head.as_bytes())
        };
        assert!(answer("101 Switching Protocols", ACCEPT).is_ok_and(|len| len.is_some()));
        assert_eq!(answer("101 x", KEY), Err(Rejection::WrongAccept));
        let refused = Rejection::Status("503 Service Unavailable".into());
        assert_eq!(answer("503 Service Unavailable", ACCEPT), Err(refused));
        let refused = answer("421 Misdirected Request", ACCEPT).unwrap_err();
        assert!(refused.to_string().contains("--allow-host"), "{refused}");
        assert_eq!(check(Scheme::Ws, b"SSH-2.0\r\n"), Err(Rejection::NotHttp));
    }

    #[test]
    fn frames_behind_the_answer_are_left() {
        let head = format!("HTTP/1.1 101 x\r\nSec-WebSocket-Accept: {ACCEPT}\r\n\r\n");
        assert_eq!(
            check(Scheme::Ws, &head.as_bytes()[..head.len() - 1]),
            Ok(None)
        );
        let both = [head.as_bytes(), b"\x81\x02hi"].concat();
        assert_eq!(check(Scheme::Ws, &both), Ok(Some(head.len())));
    }

    #[test]
    fn a_bare_echo_sends_the_request_back() {
        let request = request("h", "/", &[]);
        let len = request.len();
        let both = [request.as_slice(), b"\x81\x80\0\0\0\0"].concat();
        assert_eq!(check(Scheme::Tcp, &both), Ok(Some(len)));
        assert_eq!(check(Scheme::Tcp, &both[..len - 1]), Ok(None));
        let answer = b"HTTP/1.1 101 x\r\n\r\n";
        assert_eq!(check(Scheme::Tcp, answer), Err(Rejection::NotBack));
    }
}
