//! Client of the HTTP API of framecast's relay, which registers connections and takes publications.

use serde::Deserialize;

use crate::{
    client::{
        answer::{Answer, Input},
        dialog::{Dialog, Failure},
        http::Rejection,
    },
    error::Error,
    plan::Target,
};

/// Returns a POST request to `target` with the JSON `body`, and with the headers of the handshakes,
/// except for those of WebSocket. A proxy before the relay may ask for them.
pub(crate) fn post(target: &Target, path: &str, body: &str) -> Vec<u8> {
    let (authority, length) = (&target.authority, body.len());
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nHost: {authority}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n"
    );
    for header in target.headers.iter().filter(|line| !is_of_websocket(line)) {
        request.push_str(header);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    request.push_str(body);
    request.into_bytes()
}

/// Returns true for a header, given as a whole line, that only an opening handshake has.
fn is_of_websocket(line: &str) -> bool {
    let start = line.get(..WEBSOCKET.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(WEBSOCKET))
}

const WEBSOCKET: &str = "sec-websocket-";

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
        let request = post(&self.target, &self.path, &body);
        let body = self.ask(&request)?;
        let registered = serde_json::from_slice::<Registered>(&body).ok();
        let path = registered.and_then(|registered| path_of(&registered.url));
        path.ok_or(Error::NotARelay)
    }

    /// Sends `request`, and returns the body of the response. Connects again if the server has
    /// ended the connection since the last request.
    fn ask(&mut self, request: &[u8]) -> Result<Vec<u8>, Error> {
        if let Some(mut dialog) = self.dialog.take().filter(Dialog::is_idle) {
            match dialog.ask(request, take_answer) {
                Ok(answer) => return Ok(self.keep(dialog, answer)),
                // RFC 9112 §9.3: a server may end a connection between two requests at any time. If
                // it has served the request nevertheless, there is a registration that nobody uses.
                Err(Failure::Ended(_)) => {}
                Err(Failure::Rejected(rejection)) if rejection.is_timeout() => {}
                Err(failure) => return Err(error(failure)),
            }
        }
        let mut dialog = Dialog::open(self.target.address)?;
        let answer = dialog.ask(request, take_answer).map_err(error)?;
        Ok(self.keep(dialog, answer))
    }

    /// Keeps `dialog` for the next request, unless `answer` was the last one. Returns its body.
    fn keep(&mut self, dialog: Dialog, answer: Answer<'_>) -> Vec<u8> {
        self.dialog = (!answer.is_last).then_some(dialog);
        answer.body.into_owned()
    }
}

fn take_answer(bytes: &[u8], input: Input) -> Result<Option<Answer<'static>>, Rejection> {
    Ok(Answer::read(bytes, input)?.map(Answer::into_owned))
}

fn error(failure: Failure) -> Error {
    match failure {
        Failure::Ended(error) | Failure::Broken(error) => Error::Register(error),
        Failure::Rejected(rejection) => Error::Rejected(rejection),
    }
}

/// Returns the path of a `ws` or `wss` URL. `None` if there is none, or if it is not encoded as a
/// request line needs it.
fn path_of(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let is_websocket = ["ws", "wss"]
        .iter()
        .any(|each| each.eq_ignore_ascii_case(scheme));
    let path = &rest[rest.find('/')?..];
    let is_encoded = path.bytes().all(|byte| byte.is_ascii_graphic());
    (is_websocket && is_encoded).then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::{TcpListener, TcpStream},
        thread,
    };

    use super::*;
    use crate::plan::tests::target;

    #[test]
    fn a_request_has_the_headers_of_the_handshakes_without_those_of_websocket() {
        let headers = [
            "Authorization: Basic eDp5",
            "Sec-WebSocket-Protocol: a",
            "x:",
        ];
        let target = Target {
            headers: headers.map(str::to_owned).into(),
            ..target()
        };
        let request = post(&target, "/publish", "{}");
        let expected = "POST /publish HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n\
                        Content-Length: 2\r\nAuthorization: Basic eDp5\r\nx:\r\n\r\n{}";
        assert_eq!(String::from_utf8(request).unwrap(), expected);
    }

    #[test]
    fn the_path_of_a_registration_is_taken_from_its_url() {
        for url in ["ws://h:1/ws/a", "WS://h/ws/a", "wss://h/ws/a"] {
            assert_eq!(path_of(url).as_deref(), Some("/ws/a"), "{url}");
        }
        for url in [
            "http://h/ws",
            "ws://h",
            "/ws/a",
            "ws://h/a b",
            "ws://h/\r\nx: y",
            "ws://h/é",
        ] {
            assert_eq!(path_of(url), None, "{url}");
        }
    }

    /// Starts a server that passes each of its connections to `serve`, with its number. Returns a
    /// registrar for it.
    fn registrar(
        connections: usize,
        serve: impl Fn(usize, TcpStream) + Send + 'static,
    ) -> (Registrar, thread::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = Target {
            address: listener.local_addr().unwrap(),
            ..target()
        };
        let server = thread::spawn(move || {
            for number in 0..connections {
                serve(number, listener.accept().unwrap().0);
            }
        });
        (Registrar::new(&target, "/base"), server)
    }

    /// Reads a request, and answers it with the registration of `id`.
    fn answer(stream: &mut TcpStream, headers: &str, id: usize) {
        let mut request = [0; 1024];
        let read = stream.read(&mut request).unwrap();
        assert!(request[..read].starts_with(b"POST /base/register HTTP/1.1\r\n"));
        let body = format!(r#"{{"url":"ws://h/ws/{id}"}}"#);
        let answer = match headers {
            "chunked" => {
                let (one, other) = body.split_at(9);
                let length = other.len();
                format!(
                    "Transfer-Encoding: chunked\r\n\r\n9\r\n{one}\r\n{length:x}\r\n{other}\r\n0\r\n\r\n"
                )
            }
            "until the end" => format!("\r\n{body}"),
            _ => format!("{headers}Content-Length: {}\r\n\r\n{body}", body.len()),
        };
        let answer = format!("HTTP/1.1 200 OK\r\n{answer}");
        stream.write_all(answer.as_bytes()).unwrap();
    }

    #[test]
    fn a_connection_that_ended_between_two_registrations_is_replaced() {
        for headers in ["", "Connection: close\r\n", "chunked", "until the end"] {
            let (mut registrar, server) = registrar(3, move |number, mut stream| {
                answer(&mut stream, headers, number);
            });
            for number in 0..3 {
                let path = registrar.register(7, "t").unwrap();
                assert_eq!(path, format!("/ws/{number}"), "{headers}");
            }
            server.join().unwrap();
        }
    }

    #[test]
    fn a_408_on_an_idle_connection_is_no_answer_to_the_next_request() {
        let timeout = b"HTTP/1.0 408 Request Time-out\r\nConnection: close\r\n\r\n";
        for crosses_a_request in [false, true] {
            let (mut registrar, server) = registrar(2, move |number, mut stream| {
                answer(&mut stream, "", number);
                if crosses_a_request && number == 0 {
                    stream.read_exact(&mut [0]).unwrap();
                }
                stream.write_all(timeout).unwrap();
            });
            assert_eq!(registrar.register(7, "t").unwrap(), "/ws/0");
            let dialog = registrar.dialog.as_ref().unwrap();
            // Until the 408 has arrived.
            while dialog.is_idle() && !crosses_a_request {
                thread::yield_now();
            }
            assert_eq!(registrar.register(7, "t").unwrap(), "/ws/1");
            server.join().unwrap();
        }
    }

    #[test]
    fn a_408_on_a_new_connection_fails_the_registration() {
        let (mut registrar, server) = registrar(1, |_, mut stream| {
            let timeout = b"HTTP/1.1 408 Request Timeout\r\n\r\n";
            stream.write_all(timeout).unwrap();
            let _ = stream.read_to_end(&mut Vec::new());
        });
        let failed = registrar.register(7, "t");
        assert!(matches!(failed, Err(Error::Rejected(_))), "{failed:?}");
        drop(registrar);
        server.join().unwrap();
    }

    #[test]
    fn a_server_that_never_answers_fails_the_registration() {
        let (mut registrar, server) = registrar(1, |_, stream| drop(stream));
        let failed = registrar.register(7, "t");
        assert!(matches!(failed, Err(Error::Register(_))), "{failed:?}");
        server.join().unwrap();
    }
}
