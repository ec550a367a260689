//! The HTTP side of framecast's relay: registering connections, and publishing.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde::Deserialize;

use crate::{
    client::opening::{Head, Refusal},
    error::Error,
};

/// A request that posts `body`.
pub(crate) fn post(authority: &str, path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: {authority}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Takes the answer that `bytes` begin with: its body and where it ends, if it is all there.
pub(crate) fn take_answer(bytes: &[u8]) -> Result<Option<(&[u8], usize)>, Refusal> {
    let Some(head) = Head::read(bytes)? else {
        return Ok(None);
    };
    if head.status != 200 {
        return Err(head.refusal());
    }
    let length = head.header("content-length");
    let length: Option<usize> = length.and_then(|length| length.parse().ok());
    let end = length.and_then(|length| head.len.checked_add(length));
    let end = end.ok_or(Refusal::NotHttp)?;
    Ok(bytes.get(head.len..end).map(|body| (body, end)))
}

/// Registers connections, one after the other on one connection of its own.
#[derive(Debug)]
pub(crate) struct Registrar {
    stream: TcpStream,
    authority: String,
    path: String,
}

#[derive(Deserialize)]
struct Registered {
    url: String,
}

impl Registrar {
    /// `base` is the path in front of `/register`.
    pub(crate) fn connect(address: SocketAddr, authority: &str, base: &str) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        Ok(Self {
            stream,
            authority: authority.to_owned(),
            path: format!("{base}/register"),
        })
    }

    /// The path to connect to for a new registration of user `user` with `topic`.
    pub(crate) fn register(&mut self, user: usize, topic: &str) -> Result<String, Error> {
        let body = format!(r#"{{"user_id":{user},"topics":["{topic}"]}}"#);
        let request = post(&self.authority, &self.path, &body);
        self.stream.write_all(&request).map_err(Error::Register)?;
        let mut answer = Vec::new();
        loop {
            if let Some((body, _)) = take_answer(&answer).map_err(Error::Refused)? {
                let registered = serde_json::from_slice::<Registered>(body);
                let path = registered
                    .ok()
                    .and_then(|registered| path_of(&registered.url));
                return path.ok_or(Error::NotARelay);
            }
            let mut buffer = [0; 1024];
            match self.stream.read(&mut buffer).map_err(Error::Register)? {
                0 => return Err(Error::Register(io::ErrorKind::UnexpectedEof.into())),
                read => answer.extend_from_slice(&buffer[..read]),
            }
        }
    }
}

/// The path of a `ws` URL.
fn path_of(url: &str) -> Option<String> {
    let rest = url.strip_prefix("ws://")?;
    Some(rest[rest.find('/')?..].to_owned())
}

/// Arbitrary: a server that needs longer for this is not one to measure.
const TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_taken_one_by_one() {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}HTTP/1.1 2";
        let (body, end) = take_answer(answer).unwrap().unwrap();
        assert_eq!(body, b"{}");
        assert_eq!(&answer[end..], b"HTTP/1.1 2");
        assert_eq!(take_answer(&answer[end..]), Ok(None));
    }

    #[test]
    fn a_refused_publication_is_told_by_its_status() {
        let answer = b"HTTP/1.1 413 Payload Too Large\r\ncontent-length: 0\r\n\r\n";
        let refused = Refusal::Status("413 Payload Too Large".into());
        assert_eq!(take_answer(answer), Err(refused));
    }

    #[test]
    fn the_path_of_a_registration_is_taken_from_its_url() {
        assert_eq!(path_of("ws://h:1/ws/a").as_deref(), Some("/ws/a"));
        assert_eq!(path_of("http://h/ws"), None);
    }
}
