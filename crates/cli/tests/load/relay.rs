//! Runs with `--relay`, against servers that end their HTTP connections as RFC 9112 allows.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use crate::{
    scripted::{Peer, scripted_from_request},
    support::Run,
};

/// The responses of a scripted relay.
#[derive(Clone, Copy)]
struct Style {
    /// The head of each response, without its `Content-Length`.
    head: &'static str,
    body: Body,
    /// Responses on one connection, after which the relay ends it.
    responses: usize,
    /// The bytes after the last response.
    farewell: &'static str,
    /// The fate of the first publication.
    first: First,
}

/// The way in which a relay treats a publication.
#[derive(Clone, Copy)]
enum First {
    /// The relay answers it like any other.
    Answered,
    /// The relay resets the connection without reading the body.
    Reset,
    /// The relay publishes it, and ends the connection without an answer.
    Unanswered,
}

/// The form of a response's body.
#[derive(Clone, Copy)]
enum Body {
    Chunked,
    WithLength,
    UntilTheEnd,
}

const STYLE: Style = Style {
    head: "HTTP/1.1 200 OK\r\n",
    body: Body::WithLength,
    responses: usize::MAX,
    farewell: "",
    first: First::Answered,
};

impl Style {
    fn response(self, body: &str) -> String {
        let (head, length) = (self.head, body.len());
        match self.body {
            Body::WithLength => format!("{head}Content-Length: {length}\r\n\r\n{body}"),
            Body::UntilTheEnd => format!("{head}\r\n{body}"),
            Body::Chunked => format!(
                "{head}Transfer-Encoding: chunked\r\n\r\n{length:X};a=b\r\n{body}\r\n0\r\n\r\n"
            ),
        }
    }
}

/// A scripted relay, with the number of its HTTP connections.
struct Relay {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Relay {
    fn start(style: Style) -> Self {
        let connections = Arc::<AtomicUsize>::default();
        let hub = Hub::default();
        let address = scripted_from_request(Arc::new({
            let connections = Arc::clone(&connections);
            move |peer| {
                if serve(peer, style, &hub).is_some() {
                    connections.fetch_add(1, Ordering::Relaxed);
                }
            }
        }));
        Self {
            address,
            connections,
        }
    }

    fn run(&self, arguments: &[&str]) -> Run {
        // The relay answers no closing handshake.
        let crowd = ["--relay", "--subscribers", "3", "--abort"];
        let url = format!("ws://{}", self.address);
        Run::of("fanout", &url, &[&crowd, arguments].concat())
    }

    /// Returns the number of HTTP connections that the relay has ended.
    fn ended(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

/// The state that all connections of a relay share.
#[derive(Default)]
struct Hub {
    subscribers: Mutex<Vec<Peer>>,
    /// True once the first publication has arrived.
    has_published: AtomicBool,
}

impl Hub {
    /// Sends the message of a request with this body to all subscribers.
    fn publish(&self, body: &str) {
        let (_, message) = body.split_once(r#""message":""#).unwrap();
        let message = message.strip_suffix("\"}").unwrap();
        let mut subscribers = self.subscribers.lock().unwrap();
        subscribers.iter_mut().for_each(|peer| peer.send(message));
    }
}

/// Serves one connection. Returns `Some` once the relay has ended it.
fn serve(mut peer: Peer, style: Style, hub: &Hub) -> Option<()> {
    for _ in 0..style.responses {
        let head = peer.read_head()?;
        if head.starts_with("GET /ws/") {
            // Under one lock, so that the list has the subscriber before the next publication.
            let mut subscribers = hub.subscribers.lock().unwrap();
            peer.upgrade(&head);
            subscribers.push(peer);
            return None;
        }
        let is_first =
            head.starts_with("POST /publish ") && !hub.has_published.swap(true, Ordering::Relaxed);
        if is_first && matches!(style.first, First::Reset) {
            peer.reset();
            return Some(());
        }
        let (_, length) = head.split_once("\r\nContent-Length: ").unwrap();
        let body = peer.read_body(length.trim_end().parse().unwrap())?;
        let response = if head.starts_with("POST /register ") {
            r#"{"url":"ws://h/ws/ID"}"#
        } else {
            hub.publish(&body);
            r#"{"queued":3}"#
        };
        if is_first && matches!(style.first, First::Unanswered) {
            peer.end();
            return Some(());
        }
        peer.write(style.response(response).as_bytes());
    }
    peer.write(style.farewell.as_bytes());
    peer.end();
    Some(())
}

const ONE_AT_A_TIME: [&str; 2] = ["--in-flight", "1"];
const MANY_AT_A_TIME: [&str; 2] = ["--in-flight", "9"];
const SLOWLY: [&str; 2] = ["--rate", "30"];

#[test]
fn a_relay_may_end_a_connection_between_two_responses_without_a_word() {
    for pace in [ONE_AT_A_TIME, MANY_AT_A_TIME, SLOWLY] {
        let relay = Relay::start(Style {
            responses: 1,
            ..STYLE
        });
        let run = relay.run(&pace);
        run.assert_whole();
        // Three subscribers and the publisher, each once, however often the relay ends.
        assert_eq!(run.count("connections.opened"), 4);
        assert_eq!(run.count("connections.disconnected"), 0);
        assert!(relay.ended() > 4);
    }
}

#[test]
fn a_relay_may_announce_that_it_ends_a_connection() {
    for head in [
        "HTTP/1.1 200 OK\r\nConnection: close\r\n",
        "HTTP/1.0 200 OK\r\n",
    ] {
        for pace in [ONE_AT_A_TIME, MANY_AT_A_TIME] {
            let style = Style {
                head,
                responses: 1,
                ..STYLE
            };
            Relay::start(style).run(&pace).assert_whole();
        }
    }
}

#[test]
fn a_relay_may_end_a_connection_after_some_requests_that_were_sent_at_once() {
    let relay = Relay::start(Style {
        responses: 4,
        ..STYLE
    });
    relay.run(&MANY_AT_A_TIME).assert_whole();
}

#[test]
fn a_relay_may_send_a_408_before_it_ends_an_idle_connection() {
    let relay = Relay::start(Style {
        responses: 1,
        farewell: "HTTP/1.0 408 Request Time-out\r\nConnection: close\r\n\r\nslow",
        ..STYLE
    });
    relay.run(&ONE_AT_A_TIME).assert_whole();
}

// A server that closes a socket with unread bytes resets the connection.
#[test]
fn a_relay_may_reset_a_connection_between_two_responses() {
    for pace in [ONE_AT_A_TIME, MANY_AT_A_TIME] {
        let relay = Relay::start(Style {
            first: First::Reset,
            ..STYLE
        });
        let run = relay.run(&pace);
        run.assert_whole();
        assert!(run.count("connections.resent") > 0);
        assert!(run.stdout.contains("\n  sent again "), "{}", run.stdout);
    }
}

// The duplicates were reported, and the run passed.
#[test]
fn a_relay_that_serves_a_publication_without_an_answer_fails_the_run() {
    let relay = Relay::start(Style {
        first: First::Unanswered,
        ..STYLE
    });
    let run = relay.run(&ONE_AT_A_TIME);
    assert_eq!(run.code, Some(1));
    // A later request may cross the end of a connection, and is then sent again, too.
    let resent = run.count("connections.resent");
    assert!(resent >= 1, "{resent}");
    let reason = "the server serves requests without an answer: 3 duplicates, ";
    let line = run.error_line();
    assert!(
        line.starts_with(&format!("framecast: {reason}{resent} request")),
        "{line}"
    );
    assert_eq!(run.count("duplicates"), 3);
}

#[test]
fn no_request_is_sent_again_to_a_relay_that_answers_all() {
    let run = Relay::start(STYLE).run(&MANY_AT_A_TIME);
    run.assert_whole();
    assert_eq!(run.count("connections.resent"), 0);
    assert!(!run.stdout.contains("sent again"), "{}", run.stdout);
}

#[test]
fn a_relay_may_answer_in_any_form_of_http_1() {
    for style in [
        Style {
            body: Body::Chunked,
            ..STYLE
        },
        Style {
            head: "HTTP/1.1 202 Accepted\r\n",
            ..STYLE
        },
        Style {
            head: "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n",
            ..STYLE
        },
        Style {
            body: Body::UntilTheEnd,
            responses: 1,
            ..STYLE
        },
    ] {
        Relay::start(style).run(&SLOWLY).assert_whole();
    }
}

#[test]
fn headers_of_the_command_line_are_those_of_the_requests_over_http_too() {
    let heads = Arc::<Mutex<Vec<String>>>::default();
    let address = scripted_from_request(Arc::new({
        let heads = Arc::clone(&heads);
        move |mut peer| {
            heads.lock().unwrap().extend(peer.read_head());
            peer.write(b"HTTP/1.1 503 Service Unavailable\r\n\r\n");
        }
    }));
    let added = ["Host: a.example", "Authorization: Basic eDp5"];
    let arguments = ["--relay", "--header", added[0], "--header", added[1]];
    let run = Run::of("fanout", &format!("ws://{address}"), &arguments);
    assert_eq!(run.code, Some(1));
    let heads = heads.lock().unwrap();
    assert_eq!(heads.len(), 1);
    assert_eq!(heads[0].matches("\r\nHost: ").count(), 1);
    for header in added {
        assert!(
            heads[0].contains(&format!("\r\n{header}\r\n")),
            "{}",
            heads[0]
        );
    }
}

#[test]
fn a_relay_that_never_answers_a_publication_fails_the_run() {
    let subscribers = Mutex::new(Vec::new());
    let attempts = Arc::<AtomicUsize>::default();
    let address = scripted_from_request(Arc::new({
        let attempts = Arc::clone(&attempts);
        move |mut peer| {
            let Some(head) = peer.read_head() else {
                return;
            };
            if head.starts_with("GET ") {
                peer.upgrade(&head);
                subscribers.lock().unwrap().push(peer);
            } else if head.starts_with("POST /register ") {
                peer.write(STYLE.response(r#"{"url":"ws://h/ws/ID"}"#).as_bytes());
                peer.end();
            } else {
                attempts.fetch_add(1, Ordering::Relaxed);
                peer.end();
            }
        }
    }));
    let arguments = ["--relay", "--subscribers", "1", "--rate", "30"];
    let run = Run::of("fanout", &format!("ws://{address}"), &arguments);
    assert_eq!(run.code, Some(1));
    assert_eq!(
        run.error_line(),
        "framecast: the server has ended 1 connection"
    );
    assert_eq!(attempts.load(Ordering::Relaxed), 2);
}
