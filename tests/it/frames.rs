//! What every sequence of frames is answered with, byte for byte, however TCP cuts it.
//!
//! Each row of the table is sent to the echo, the chat and a relay: in one piece, byte by byte, and
//! cut in two at every place (at many, if it is long). Between two pieces another connection of the
//! same shard makes a round trip, so that the first piece has been read before the second one is
//! sent.

mod compressed;
mod rows;
mod violations;

use std::{collections::BTreeSet, io::Read};

use framecast_test_support::{
    Client, TestServer,
    deflate::{OFFER, inflated},
    frame, text,
};

use self::rows::Row;

/// Where to cut: everywhere, or at the ends and at some places between.
fn cuts(len: usize) -> BTreeSet<usize> {
    if len <= 80 {
        return (1..len).collect();
    }
    let between = (1..8).map(|eighth| len * eighth / 8);
    (1..20).chain(len - 20..len).chain(between).collect()
}

/// All ways to cut: not at all, in two, and into bytes.
fn ways(len: usize) -> Vec<Vec<usize>> {
    let mut ways: Vec<Vec<usize>> = cuts(len).into_iter().map(|cut| vec![cut]).collect();
    ways.push(Vec::new());
    if len <= 80 {
        ways.push((1..len).collect());
    }
    ways
}

/// Whom a row is sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Endpoint {
    Echo,
    /// A room of the row's own.
    Chat,
    Relay,
}

const EVERYWHERE: [Endpoint; 3] = [Endpoint::Echo, Endpoint::Chat, Endpoint::Relay];

impl Endpoint {
    /// What comes back for a message that the echo sends back as this frame.
    fn answer(self, echoed: &Frame) -> Frame {
        let answer: &[u8] = match (self, echoed.0, &echoed.1[..]) {
            (Self::Echo | Self::Chat, ..) => return echoed.clone(),
            (Self::Relay, 0x82, _) => br#"{"error":"text expected"}"#,
            (Self::Relay, _, b"ping") => b"pong",
            // The topics in force, as they were asked for.
            (Self::Relay, _, [b'{', ..]) => &echoed.1,
            (Self::Relay, ..) => br#"{"error":"{\"topics\": [...]} or ping expected"}"#,
        };
        (0x81, answer.to_vec())
    }
}

/// A server of a single shard, and a connection that makes sure that others have been read.
///
/// The bystander goes first: a draining server would wait for its Close.
struct Bench {
    bystander: Client,
    server: TestServer,
    /// What the clients say besides in their opening handshake.
    headers: &'static str,
    rooms: u32,
}

impl Bench {
    fn new() -> Self {
        Self::with("")
    }

    /// One whose clients offer permessage-deflate, and get it.
    fn with_deflate() -> Self {
        Self::with(OFFER)
    }

    fn with(headers: &'static str) -> Self {
        let server = TestServer::with(|config| {
            config.hub.shards = 1.try_into().unwrap();
            config.hub.deflate.enabled = !headers.is_empty();
        });
        Self {
            bystander: server.connect("/echo"),
            server,
            headers,
            rooms: 0,
        }
    }

    /// Sends a row in every way, each on a new connection, and checks all that comes back.
    fn check(&mut self, row: &Row, endpoints: &[Endpoint]) {
        for &endpoint in endpoints {
            for cuts in ways(row.sent.len()) {
                self.check_way(row, endpoint, &cuts);
            }
        }
    }

    fn check_way(&mut self, row: &Row, endpoint: Endpoint, cuts: &[usize]) {
        let path = self.path(endpoint);
        let listener = (endpoint == Endpoint::Chat).then(|| self.server.connect(&path));
        let received = self.talk(&path, row, cuts);
        let name = format!("{} on {path} cut at {cuts:?}", row.name);
        let expected = frames_of(&row.received);
        assert_eq!(received.last(), expected.last(), "{name}");
        // A pong may overtake a message, as it could in any server.
        let (messages, control) = lanes(expected);
        let (received, received_control) = lanes(received);
        assert_eq!(received_control, control, "{name}");
        let answers: Vec<Frame> = messages.iter().map(|it| endpoint.answer(it)).collect();
        if let Some(listener) = listener {
            // The sender hears nobody any more once it is refused, not even itself.
            assert!(answers.starts_with(&received), "{name}");
            assert!(heard(listener) == answers, "{name}");
        } else {
            assert!(received == answers, "{name}: {received:?}");
        }
    }

    fn path(&mut self, endpoint: Endpoint) -> String {
        self.rooms += 1;
        match endpoint {
            Endpoint::Echo => "/echo".into(),
            Endpoint::Chat => format!("/ws?topic={}", self.rooms),
            Endpoint::Relay => self.server.register(r#"{"user_id":1}"#),
        }
    }

    /// Sends a row cut at these places; all that comes back before the end of the stream, without
    /// compression.
    fn talk(&mut self, path: &str, row: &Row, cuts: &[usize]) -> Vec<Frame> {
        let mut client = self.server.dial().upgrade_with(path, self.headers);
        let mut start = 0;
        for &cut in cuts {
            client.send(&row.sent[start..cut]);
            self.bystander.send(&frame(0x89, b"read?"));
            self.bystander.expect(b"\x8A\x05read?");
            start = cut;
        }
        client.send(&row.sent[start..]);
        let mut received = Vec::new();
        let end = client.stream.read_to_end(&mut received);
        assert!(end.is_ok(), "{} at {cuts:?}: {end:?}", row.name);
        let received = frames_of(&received).into_iter();
        let may_be_compressed = !self.headers.is_empty();
        received
            .map(|frame| {
                if may_be_compressed {
                    inflated(frame)
                } else {
                    frame
                }
            })
            .collect()
    }
}

/// What a listener has heard: all that was published before it says something itself.
fn heard(mut listener: Client) -> Vec<Frame> {
    const LAST: &str = "nothing comes behind this";
    listener.send(&text(LAST));
    let frames = std::iter::repeat_with(|| listener.read_frame());
    frames
        .take_while(|frame| *frame != (0x81, LAST.into()))
        .collect()
}

/// The first byte and the payload.
type Frame = (u8, Vec<u8>);

fn frames_of(wire: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    let mut rest = wire;
    while !rest.is_empty() {
        let (size, len) = match rest[1] {
            126 => (4, usize::from(u16::from_be_bytes([rest[2], rest[3]]))),
            127 => (10, usize::from_be_bytes(rest[2..10].try_into().unwrap())),
            len => (2, usize::from(len)),
        };
        frames.push((rest[0], rest[size..size + len].to_vec()));
        rest = &rest[size + len..];
    }
    frames
}

/// Data frames, and control frames.
fn lanes(frames: Vec<Frame>) -> (Vec<Frame>, Vec<Frame>) {
    frames.into_iter().partition(|(first, _)| first & 0x08 == 0)
}

#[test]
fn messages_come_back_as_they_were_however_they_are_cut() {
    let mut bench = Bench::new();
    let rows = [
        rows::messages(),
        rows::fragments_and_control(),
        rows::lengths(),
    ];
    for row in rows.into_iter().flatten() {
        bench.check(&row, &EVERYWHERE);
    }
}

#[test]
fn a_violation_is_answered_with_its_close_code_and_the_end_of_the_stream() {
    let mut bench = Bench::new();
    for row in violations::violations() {
        bench.check(&row, &EVERYWHERE);
    }
}

#[test]
fn text_that_is_not_utf_8_is_refused_as_soon_as_that_is_certain() {
    let mut bench = Bench::new();
    for row in violations::invalid_text() {
        bench.check(&row, &EVERYWHERE);
    }
}

#[test]
fn a_close_is_answered_with_its_code_or_with_what_is_wrong_with_it() {
    let mut bench = Bench::new();
    for row in rows::closes() {
        bench.check(&row, &EVERYWHERE);
    }
}

#[test]
fn nothing_behind_a_close_is_looked_at() {
    let mut bench = Bench::new();
    let mut listener = bench.server.connect("/ws");
    for row in rows::behind_a_close() {
        let relay = bench.path(Endpoint::Relay);
        for path in ["/echo", "/echo/raw", "/ws", &relay] {
            // In one piece: a server that has closed need not take what comes then.
            let received = bench.talk(path, &row, &[]);
            assert_eq!(received, frames_of(&row.received), "{} {path}", row.name);
        }
    }
    // What was said would be there by now.
    listener.send(&text("on time"));
    assert_eq!(listener.read_text(), "on time");
}

#[test]
fn what_came_before_a_violation_is_answered_first() {
    let mut bench = Bench::new();
    let violations = violations::violations()
        .into_iter()
        .chain(violations::invalid_text());
    for mut row in violations.filter(|row| row.sent.len() <= 80) {
        row.sent
            .splice(0..0, [text("first"), text("second")].concat());
        row.received.splice(0..0, *b"\x81\x05first\x81\x06second");
        bench.check(&row, &[Endpoint::Echo]);
    }
}

#[test]
fn what_a_chat_client_said_before_a_violation_is_published() {
    let server = TestServer::start();
    let mut listener = server.connect("/ws");
    for row in violations::violations()
        .into_iter()
        .chain(violations::invalid_text())
    {
        let mut client = server.connect("/ws");
        client.send(&[text(&row.name), row.sent].concat());
        // Some rows have a message in front of the violation.
        while listener.read_frame() != (0x81, row.name.clone().into_bytes()) {}
    }
}

#[test]
fn every_violation_is_counted() {
    let server = TestServer::start();
    let rows = violations::violations();
    for row in &rows {
        let mut client = server.connect("/echo");
        client.send(&row.sent);
        client.stream.read_to_end(&mut Vec::new()).unwrap();
    }
    let health = server.health();
    assert_eq!(health["violations"], rows.len());
}

#[test]
fn compressed_messages_are_answered_like_others_however_they_are_cut() {
    let mut bench = Bench::with_deflate();
    for row in compressed::messages() {
        bench.check(&row, &EVERYWHERE);
    }
}

#[test]
fn what_is_wrong_with_a_compressed_message_is_answered_with_its_close_code() {
    let mut bench = Bench::with_deflate();
    for row in compressed::violations() {
        bench.check(&row, &EVERYWHERE);
    }
}

#[test]
fn nothing_else_changes_where_compression_was_agreed_on() {
    let mut bench = Bench::with_deflate();
    let rows = [
        rows::messages(),
        rows::fragments_and_control(),
        rows::lengths(),
        rows::closes(),
        violations::violations(),
        violations::invalid_text(),
    ];
    let is_plain = |row: &Row| !matches!(row.sent[0], 0xC1 | 0xC2);
    for row in rows.into_iter().flatten().filter(is_plain) {
        bench.check_way(&row, Endpoint::Echo, &[]);
        bench.check_way(&row, Endpoint::Chat, &[]);
        bench.check_way(&row, Endpoint::Relay, &[]);
    }
}

#[test]
fn a_compressed_message_is_a_violation_where_that_was_not_agreed_on() {
    let enabled = TestServer::with(|config| config.hub.deflate.enabled = true);
    let disabled = TestServer::start();
    let elsewhere = "Sec-WebSocket-Extensions: permessage-deflate; unknown\r\n";
    for (server, headers) in [(&enabled, ""), (&enabled, elsewhere), (&disabled, OFFER)] {
        for path in [
            "/echo",
            "/echo/raw",
            "/ws",
            &server.register(r#"{"user_id":1}"#),
        ] {
            let mut client = server.dial().upgrade_with(path, headers);
            client.send(&frame(0xC1, b"\xF2\x48\xCD\xC9\xC9\x07\x00"));
            let refused = (1002, "reserved bits set".to_owned());
            assert_eq!(client.read_close(), refused, "{path} {headers}");
            client.expect_end();
        }
    }
}
