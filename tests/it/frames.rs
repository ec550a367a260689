//! The server's answers to sequences of frames, however TCP cuts their bytes.
//!
//! Each row of the tables is sent to the echo, the chat and a relay: in one piece, byte by byte,
//! and cut in two at every place (at many places, if it is long). Between two pieces another
//! connection of the same shard makes a round trip, so that the server has read the first piece
//! before the client sends the second one.

mod compressed;
mod protocol_errors;
mod rows;

use std::{collections::BTreeSet, io::Read, iter};

use framecast_test_support::{
    Client, TestServer,
    deflate::{OFFER, inflated},
    frames::{Frame, close, masked, ping, pong, text, with_rsv1},
};

use crate::frames::rows::Row;

/// All endpoints that a row is sent to.
const EVERYWHERE: [Endpoint; 3] = [Endpoint::Echo, Endpoint::Chat, Endpoint::Relay];

/// Bytes of the longest row that is cut at every place.
const SHORT_BYTES: usize = 80;

/// Places near each end of a longer row at which it is cut.
const CUTS_AT_AN_END: usize = 20;

/// Returns the places at which to cut a row in two: all of them, or if the row is long those near
/// its ends and seven between.
fn cuts(len: usize) -> BTreeSet<usize> {
    if len <= SHORT_BYTES {
        return (1..len).collect();
    }
    let between = (1..8).map(|eighth| len * eighth / 8);
    let ends = (1..CUTS_AT_AN_END).chain(len - CUTS_AT_AN_END..len);
    ends.chain(between).collect()
}

/// Returns the lists of places at which to cut a row: each place by itself, no place, and all
/// places of a short row together.
fn all_cuts(len: usize) -> Vec<Vec<usize>> {
    let mut all: Vec<Vec<usize>> = cuts(len).into_iter().map(|cut| vec![cut]).collect();
    all.push(Vec::new());
    if len <= SHORT_BYTES {
        all.push((1..len).collect());
    }
    all
}

/// Endpoint that a row is sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Endpoint {
    Echo,
    /// The chat, in a topic that no other connection uses.
    Chat,
    Relay,
}

impl Endpoint {
    /// Returns the answer to a message that the echo would return as `echoed`.
    fn answer(self, echoed: &Frame) -> Frame {
        match (self, echoed.0, &echoed.1[..]) {
            (Self::Echo | Self::Chat, ..) => echoed.clone(),
            (Self::Relay, 0x82, _) => text(r#"{"error":"text expected"}"#),
            (Self::Relay, _, b"ping") => text("pong"),
            // The relay answers a list of topics with the topics in force: the same list.
            (Self::Relay, _, [b'{', ..]) => text(&echoed.1),
            (Self::Relay, ..) => text(r#"{"error":"{\"topics\": [...]} or ping expected"}"#),
        }
    }
}

/// A server with a single shard, and a connection whose round trips show that the server has read
/// what other connections sent before.
///
/// `bystander` is dropped first: a server that drains would wait for its Close.
struct Fixture {
    bystander: Client,
    server: TestServer,
    /// Headers that the clients add to their opening handshake.
    headers: &'static str,
    /// Connections so far, for the names of their topics.
    connections: u32,
}

impl Fixture {
    fn new() -> Self {
        Self::with("")
    }

    /// Returns a fixture whose clients agree on permessage-deflate with the server.
    fn with_deflate() -> Self {
        Self::with(OFFER)
    }

    /// Returns a fixture whose clients add `headers` to their handshake. The server supports
    /// compression if there are any.
    fn with(headers: &'static str) -> Self {
        let server = TestServer::with(|config| {
            config.hub.shards = 1.try_into().unwrap();
            config.hub.deflate.enabled = !headers.is_empty();
        });
        Self {
            bystander: server.connect("/echo"),
            server,
            headers,
            connections: 0,
        }
    }

    /// Sends a row cut in every way, each time on a new connection, and checks the answers.
    fn check(&mut self, row: &Row, endpoints: &[Endpoint]) {
        for &endpoint in endpoints {
            for cuts in all_cuts(row.sent.len()) {
                self.check_cut(row, endpoint, &cuts);
            }
        }
    }

    /// Sends a row cut at these places to an endpoint, and checks the answers.
    fn check_cut(&mut self, row: &Row, endpoint: Endpoint, cuts: &[usize]) {
        let path = self.path(endpoint);
        let subscriber = (endpoint == Endpoint::Chat).then(|| self.server.connect(&path));
        let received = self.exchange(&path, row, cuts);
        let name = format!("{} on {path} cut at {cuts:?}", row.name);
        assert_eq!(received.last(), row.received.last(), "{name}");
        // A Pong may overtake a message, as in any server. So data and control frames are compared
        // separately.
        let (echoed, expected_control) = data_and_control(row.received.clone());
        let (messages, control) = data_and_control(received);
        assert_eq!(control, expected_control, "{name}");
        let expected: Vec<Frame> = echoed.iter().map(|it| endpoint.answer(it)).collect();
        if let Some(subscriber) = subscriber {
            // After its protocol error the sender receives no message any more, not even its own.
            assert!(expected.starts_with(&messages), "{name}");
            assert!(published_to(subscriber) == expected, "{name}");
        } else {
            assert!(messages == expected, "{name}: {messages:?}");
        }
    }

    /// Returns the path for a new connection. The path of the chat has a topic that no other
    /// connection uses.
    fn path(&mut self, endpoint: Endpoint) -> String {
        self.connections += 1;
        match endpoint {
            Endpoint::Echo => "/echo".into(),
            Endpoint::Chat => format!("/ws?topic={}", self.connections),
            Endpoint::Relay => self.server.register(r#"{"user_id":1}"#),
        }
    }

    /// Sends a row cut at these places. Returns all frames that the server sends before it ends the
    /// stream, inflated.
    fn exchange(&mut self, path: &str, row: &Row, cuts: &[usize]) -> Vec<Frame> {
        let mut client = self.server.dial().upgrade_with(path, self.headers);
        let mut start = 0;
        for &cut in cuts {
            client.send(&row.sent[start..cut]);
            self.bystander.sends(ping("read?"));
            self.bystander.receives(pong("read?"));
            start = cut;
        }
        client.send(&row.sent[start..]);
        let mut received = Vec::new();
        let end = client.stream.read_to_end(&mut received);
        assert!(end.is_ok(), "{} at {cuts:?}: {end:?}", row.name);
        let received = frames_of(&received);
        if self.headers.is_empty() {
            return received;
        }
        received.into_iter().map(inflated).collect()
    }
}

/// Returns all that was published to a subscriber before it publishes a message itself.
fn published_to(mut subscriber: Client) -> Vec<Frame> {
    let end = text("the end of this topic");
    subscriber.sends(end.clone());
    let frames = iter::repeat_with(|| subscriber.read_frame());
    frames.take_while(|frame| *frame != end).collect()
}

/// Parses the frames of a server, whose lengths must have their shortest form.
fn frames_of(wire: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    let mut rest = wire;
    while !rest.is_empty() {
        let (size, len) = match rest[1] {
            126 => (4, usize::from(u16::from_be_bytes([rest[2], rest[3]]))),
            127 => (10, usize::from_be_bytes(rest[2..10].try_into().unwrap())),
            len => (2, usize::from(len)),
        };
        let shortest = match len {
            0..=125 => 2,
            126..=0xFFFF => 4,
            _ => 10,
        };
        assert_eq!(size, shortest, "the header of {len} bytes");
        frames.push((rest[0], rest[size..size + len].to_vec()));
        rest = &rest[size + len..];
    }
    frames
}

/// Separates data frames from control frames.
fn data_and_control(frames: Vec<Frame>) -> (Vec<Frame>, Vec<Frame>) {
    frames.into_iter().partition(|(first, _)| first & 0x08 == 0)
}

#[test]
fn messages_are_answered_the_same_however_tcp_cuts_them() {
    let mut fixture = Fixture::new();
    let rows = [
        rows::messages(),
        rows::fragments_and_control(),
        rows::lengths(),
    ];
    for row in rows.into_iter().flatten() {
        fixture.check(&row, &EVERYWHERE);
    }
}

#[test]
fn a_protocol_error_is_answered_with_its_close_code_and_the_end_of_the_stream() {
    let mut fixture = Fixture::new();
    for row in protocol_errors::protocol_errors() {
        fixture.check(&row, &EVERYWHERE);
    }
}

#[test]
fn text_that_is_not_utf_8_is_refused_as_soon_as_that_is_certain() {
    let mut fixture = Fixture::new();
    for row in protocol_errors::invalid_text() {
        fixture.check(&row, &EVERYWHERE);
    }
}

#[test]
fn a_close_is_answered_with_its_own_code_or_with_that_of_its_fault() {
    let mut fixture = Fixture::new();
    for row in rows::closes() {
        fixture.check(&row, &EVERYWHERE);
    }
}

#[test]
fn frames_after_a_close_are_ignored() {
    let mut fixture = Fixture::new();
    let mut subscriber = fixture.server.connect("/ws");
    for row in rows::after_a_close() {
        let relay = fixture.path(Endpoint::Relay);
        for path in ["/echo", "/echo/raw", "/ws", &relay] {
            // In one piece: a server that has closed need not read what arrives later.
            let received = fixture.exchange(path, &row, &[]);
            assert_eq!(received, row.received, "{} {path}", row.name);
        }
    }
    // A message that was published before this one would arrive before it.
    subscriber.sends(text("on time"));
    subscriber.receives(text("on time"));
}

#[test]
fn messages_before_a_protocol_error_are_answered_before_the_close() {
    let mut fixture = Fixture::new();
    let mut rows = protocol_errors::protocol_errors();
    rows.extend(protocol_errors::invalid_text());
    rows.retain(|row| row.sent.len() <= SHORT_BYTES);
    for mut row in rows {
        let before = [text("first"), text("second")];
        row.sent.splice(0..0, masked(before.clone()));
        row.received.splice(0..0, before);
        fixture.check(&row, &[Endpoint::Echo]);
    }
}

#[test]
fn messages_before_a_protocol_error_are_published() {
    let server = TestServer::start();
    let mut subscriber = server.connect("/ws");
    let mut rows = protocol_errors::protocol_errors();
    rows.extend(protocol_errors::invalid_text());
    for row in rows {
        let mut client = server.connect("/ws");
        let before = text(&row.name);
        client.send(&[masked([before.clone()]), row.sent].concat());
        // Some rows have a message of their own before the protocol error.
        while subscriber.read_frame() != before {}
    }
}

#[test]
fn every_protocol_error_is_counted() {
    let server = TestServer::start();
    let rows = protocol_errors::protocol_errors();
    for row in &rows {
        let mut client = server.connect("/echo");
        client.send(&row.sent);
        client.stream.read_to_end(&mut Vec::new()).unwrap();
    }
    let health = server.health();
    assert_eq!(health["violations"], rows.len());
}

#[test]
fn compressed_messages_are_answered_like_plain_ones_however_tcp_cuts_them() {
    let mut fixture = Fixture::with_deflate();
    for row in compressed::messages() {
        fixture.check(&row, &EVERYWHERE);
    }
}

#[test]
fn an_invalid_compressed_message_is_answered_with_its_close_code() {
    let mut fixture = Fixture::with_deflate();
    for row in compressed::protocol_errors() {
        fixture.check(&row, &EVERYWHERE);
    }
}

#[test]
fn plain_frames_are_answered_the_same_after_an_agreement_on_compression() {
    let mut fixture = Fixture::with_deflate();
    let rows = [
        rows::messages(),
        rows::fragments_and_control(),
        rows::lengths(),
        rows::closes(),
        protocol_errors::protocol_errors(),
        protocol_errors::invalid_text(),
    ];
    // 0xC1 and 0xC2 begin a compressed message. After the agreement these rows are valid, or have
    // another error.
    let is_plain = |row: &Row| !matches!(row.sent[0], 0xC1 | 0xC2);
    for row in rows.into_iter().flatten().filter(is_plain) {
        for endpoint in EVERYWHERE {
            fixture.check_cut(&row, endpoint, &[]);
        }
    }
}

#[test]
fn a_compressed_message_is_a_protocol_error_without_an_agreement_on_compression() {
    let enabled = TestServer::with(|config| config.hub.deflate.enabled = true);
    let disabled = TestServer::start();
    let declined = "Sec-WebSocket-Extensions: permessage-deflate; unknown\r\n";
    for (server, headers) in [(&enabled, ""), (&enabled, declined), (&disabled, OFFER)] {
        let relay = server.register(r#"{"user_id":1}"#);
        for path in ["/echo", "/echo/raw", "/ws", &relay] {
            let mut client = server.dial().upgrade_with(path, headers);
            client.sends(with_rsv1(text(compressed::HELLO)));
            client.receives(close(1002, "reserved bits set"));
            client.expect_end();
        }
    }
}
