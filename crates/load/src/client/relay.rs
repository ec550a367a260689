//! Client of the HTTP API of framecast's relay, which registers connections and takes publications.

use serde::Deserialize;

use crate::{
    client::{
        dialog::{Dialog, Failure},
        http::{Answer, Rejection},
    },
    error::Error,
    plan::Target,
};

/// Returns a POST request with the JSON `body`.
pub(crate) fn post(authority: &str, path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: {authority}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Registers connections at the relay, one after the other over one HTTP connection.
#[derive(Debug)]
pub(crate) struct Registrar {
    target: Target,
    path: String,
    /// The connection for the requests. `None` before the first registration, and after one that
    /// failed.
    dialog: Option<Dialog>,
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
            dialog: None,
        }
    }

    /// Registers a connection of user `user` for `topic`. Returns the path at which the WebSocket
    /// is to be opened.
    pub(crate) fn register(&mut self, user: usize, topic: &str) -> Result<String, Error> {
        let body = format!(r#"{{"user_id":{user},"topics":["{topic}"]}}"#);
        let request = post(&self.target.authority, &self.path, &body);
        let body = self.ask(&request)?;
        let registered = serde_json::from_slice::<Registered>(&body).ok();
        let path = registered.and_then(|registered| path_of(&registered.url));
        path.ok_or(Error::NotARelay)
    }

    /// Sends `request`, and returns the body of the response. Connects again if the server has
    /// ended the connection since the last request.
    fn ask(&mut self, request: &[u8]) -> Result<Vec<u8>, Error> {
        if let Some(mut dialog) = self.dialog.take() {
            match dialog.ask(request, take_body) {
                Ok(body) => {
                    self.dialog = Some(dialog);
                    return Ok(body);
                }
                // RFC 9112 §9.3: a server may end a connection between two requests at any time.
                Err(Failure::Ended(_)) => {}
                Err(failure) => return Err(error(failure)),
            }
        }
        let mut dialog = Dialog::open(self.target.address)?;
        let body = dialog.ask(request, take_body).map_err(error)?;
        self.dialog = Some(dialog);
        Ok(body)
    }
}

fn take_body(bytes: &[u8]) -> Result<Option<Vec<u8>>, Rejection> {
    let answer = Answer::take(bytes)?;
    Ok(answer.map(|answer| answer.body.into_owned()))
}

fn error(failure: Failure) -> Error {
    match failure {
        Failure::Ended(error) | Failure::Broken(error) => Error::Register(error),
        Failure::Rejected(rejection) => Error::Rejected(rejection),
    }
}

/// Returns the path of a `ws` URL.
fn path_of(url: &str) -> Option<String> {
    let rest = url.strip_prefix("ws://")?;
    Some(rest[rest.find('/')?..].to_owned())
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::TcpListener,
        thread,
    };

    use super::*;
    use crate::plan::Scheme;

    #[test]
    fn the_path_of_a_registration_is_taken_from_its_url() {
        assert_eq!(path_of("ws://h:1/ws/a").as_deref(), Some("/ws/a"));
        assert_eq!(path_of("http://h/ws"), None);
    }

    #[test]
    fn a_connection_that_ended_between_two_registrations_is_replaced() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = Target {
            scheme: Scheme::Ws,
            address: listener.local_addr().unwrap(),
            authority: "h".into(),
            path: "/".into(),
            headers: vec![],
        };
        let server = thread::spawn(move || {
            for id in 0..2 {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 1024];
                let read = stream.read(&mut request).unwrap();
                assert!(request[..read].starts_with(b"POST /base/register HTTP/1.1\r\n"));
                let body = format!(r#"{{"url":"ws://h/ws/{id}"}}"#);
                let length = body.len();
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
                stream.write_all((head + &body).as_bytes()).unwrap();
            }
        });
        let mut registrar = Registrar::new(&target, "/base");
        assert_eq!(registrar.register(7, "t").unwrap(), "/ws/0");
        assert_eq!(registrar.register(7, "t").unwrap(), "/ws/1");
        server.join().unwrap();
    }
}
