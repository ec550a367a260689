//! The HTTP side of framecast's relay: registering connections, and publishing.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde::Deserialize;

use crate::{
    client::handshake::{Head, Rejection},
    error::Error,
    plan::Target,
};

/// Returns a request that posts `body`.
pub(crate) fn post(authority: &str, path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: {authority}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Takes the answer that `bytes` begin with, and returns its body and where it ends, if it is all there.
pub(crate) fn take_answer(bytes: &[u8]) -> Result<Option<(&[u8], usize)>, Rejection> {
    let Some(head) = Head::read(bytes)? else {
        return Ok(None);
    };
    if head.status != 200 {
        return Err(head.rejection());
    }
    let length = head.header("content-length");
    let length: Option<usize> = length.and_then(|length| length.parse().ok());
    let end = length.and_then(|length| head.len.checked_add(length));
    let end = end.ok_or(Rejection::NotHttp)?;
    Ok(bytes.get(head.len..end).map(|body| (body, end)))
}

/// Registers connections, one after the other on one connection of its own.
#[derive(Debug)]
pub(crate) struct Registrar {
    target: Target,
    path: String,
    /// Absent before the first registration.
    stream: Option<TcpStream>,
}

#[derive(Deserialize)]
struct Registered {
    url: String,
}

impl Registrar {
    /// Returns a registrar for the relay at `target`, below the path `base`.
    pub(crate) fn new(target: &Target, base: &str) -> Self {
        Self {
            target: target.clone(),
            path: format!("{base}/register"),
            stream: None,
        }
    }

    /// Registers user `user` with `topic`, and returns the path to connect to.
    pub(crate) fn register(&mut self, user: usize, topic: &str) -> Result<String, Error> {
        let body = format!(r#"{{"user_id":{user},"topics":["{topic}"]}}"#);
        let request = post(&self.target.authority, &self.path, &body);
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => {
                let address = self.target.address;
                let stream = connect(address).map_err(|error| Error::Connect(address, error))?;
                self.stream.insert(stream)
            }
        };
        stream.write_all(&request).map_err(Error::Register)?;
        let mut answer = Vec::new();
        loop {
            if let Some((body, _)) = take_answer(&answer).map_err(Error::Rejected)? {
                let registered = serde_json::from_slice::<Registered>(body).ok();
                let path = registered.and_then(|registered| path_of(&registered.url));
                return path.ok_or(Error::NotARelay);
            }
            let mut buffer = [0; 1024];
            match stream.read(&mut buffer).map_err(Error::Register)? {
                0 => return Err(Error::Register(io::ErrorKind::UnexpectedEof.into())),
                read => answer.extend_from_slice(&buffer[..read]),
            }
        }
    }
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    Ok(stream)
}

/// Returns the path of a `ws` URL.
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
        let refused = Rejection::Status("413 Payload Too Large".into());
        assert_eq!(take_answer(answer), Err(refused));
    }

    #[test]
    fn the_path_of_a_registration_is_taken_from_its_url() {
        assert_eq!(path_of("ws://h:1/ws/a").as_deref(), Some("/ws/a"));
        assert_eq!(path_of("http://h/ws"), None);
    }
}
