//! What every sequence of frames is answered with, byte for byte, however TCP cuts it.
//!
//! Each row of the table is sent in one piece, byte by byte, and cut in two at every place (at
//! many, if it is long). Between two pieces another connection of the same shard makes a round
//! trip, so that the first piece has been read before the second one is sent.

mod rows;
mod violations;

use std::{collections::BTreeSet, io::Read};

use self::rows::Row;
use crate::support::{Client, TestServer, frame, text};

/// Where to cut: everywhere, or at the ends and at some places between.
fn cuts(len: usize) -> BTreeSet<usize> {
    if len <= 80 {
        return (1..len).collect();
    }
    let between = (1..8).map(|eighth| len * eighth / 8);
    (1..20).chain(len - 20..len).chain(between).collect()
}

/// A server of a single shard, and a connection that makes sure that others have been read.
///
/// The bystander goes first: a draining server would wait for its Close.
struct Bench {
    bystander: Client,
    server: TestServer,
}

impl Bench {
    fn new() -> Self {
        let server = TestServer::with(|config| config.shards = 1.try_into().unwrap());
        let bystander = server.connect("/echo");
        Self { bystander, server }
    }

    /// Sends a row cut at these places; all that comes back before the end of the stream.
    fn talk(&mut self, path: &str, row: &Row, cuts: &[usize]) -> Vec<Frame> {
        let mut client = self.server.connect(path);
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
        frames_of(&received)
    }

    /// Sends a row in every way, each on a new connection.
    fn talk_in_every_way(
        &mut self,
        row: &Row,
        path: impl Fn(&TestServer) -> String,
        check: impl Fn(&str, Vec<Frame>),
    ) {
        let len = row.sent.len();
        let mut ways: Vec<Vec<usize>> = cuts(len).into_iter().map(|cut| vec![cut]).collect();
        ways.push(Vec::new());
        if len <= 80 {
            ways.push((1..len).collect());
        }
        for cuts in ways {
            let path = path(&self.server);
            let received = self.talk(&path, row, &cuts);
            check(&format!("{} on {path} cut at {cuts:?}", row.name), received);
        }
    }

    fn check_on_echo(&mut self, row: &Row) {
        let path = |_: &TestServer| "/echo".to_owned();
        self.talk_in_every_way(row, path, |name, received| {
            let expected = frames_of(&row.received);
            assert_eq!(received.last(), expected.last(), "{name}");
            // A pong may overtake a message, as it could in any server.
            assert!(lanes(received) == lanes(expected), "{name}");
        });
    }

    fn check_end(&mut self, row: &Row, path: impl Fn(&TestServer) -> String) {
        let expected = frames_of(&row.received);
        self.talk_in_every_way(row, path, |name, received| {
            assert_eq!(received.last(), expected.last(), "{name}");
        });
    }
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
        bench.check_on_echo(&row);
    }
}

#[test]
fn a_violation_is_answered_with_its_close_code_and_the_end_of_the_stream() {
    let mut bench = Bench::new();
    for row in violations::violations() {
        bench.check_on_echo(&row);
        bench.check_end(&row, |_| "/ws".into());
        bench.check_end(&row, |server| server.register(r#"{"user_id":1}"#));
    }
}

#[test]
fn text_that_is_not_utf_8_is_refused_as_soon_as_that_is_certain() {
    let mut bench = Bench::new();
    for row in violations::invalid_text() {
        bench.check_on_echo(&row);
        bench.check_end(&row, |_| "/ws".into());
        bench.check_end(&row, |server| server.register(r#"{"user_id":1}"#));
    }
}

#[test]
fn a_close_is_answered_with_its_code_or_with_what_is_wrong_with_it() {
    let mut bench = Bench::new();
    for row in rows::closes() {
        bench.check_on_echo(&row);
        bench.check_end(&row, |_| "/ws".into());
    }
}

#[test]
fn nothing_behind_a_close_is_looked_at() {
    let mut bench = Bench::new();
    let mut listener = bench.server.connect("/ws");
    for row in rows::behind_a_close() {
        for path in ["/echo", "/echo/raw", "/ws"] {
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
        bench.check_on_echo(&row);
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
