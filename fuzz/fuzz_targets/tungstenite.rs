//! The same bytes through our connection, or our client, and through tungstenite: the same
//! messages, and the same end but for [what is allowed](may_differ). It knows no compression.
#![no_main]

use std::io::{self, Cursor, Read, Write};

use framecast_fuzz::{
    client::listen,
    connection::serve,
    input::{Input, Purpose, Turns},
    oracle::decode,
    talk,
};
use framecast_wire::{frame::Kind, protocol_error::ProtocolError, validator::Role};
use libfuzzer_sys::fuzz_target;
use tungstenite::{
    Error, Message, WebSocket,
    protocol::{Role as TheirRole, WebSocketConfig},
};

/// A message: its first byte as a single frame, and its payload.
type Told = (u8, Vec<u8>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Lost,
    ByPeer,
    Refused,
}

fuzz_target!(|data: &[u8]| {
    let Some(input) = Input::parse(data) else {
        return;
    };
    let rules = input.rules();
    let is_lossy = input.is_abrupt() && !input.writes().is_open();
    let is_echo = input.purpose() == Purpose::Echo && !is_lossy;
    if rules.deflate || rules.role == Role::Server && !is_echo {
        return; // Not all that is read comes back.
    }
    let ours = match rules.role {
        Role::Client => heard(&input),
        Role::Server => echoed(&input),
    };
    // The `connection` target sees to it that ours ends as the oracle says.
    let end = decode(&input.wire, rules)
        .talk(rules.limits.message_bytes)
        .end;
    let (theirs, their_end) = tungstenite(&input);
    if may_differ(&end, their_end) {
        assert!(theirs.starts_with(&ours), "{ours:?}\n{theirs:?}");
        return;
    }
    let our_end = match end {
        talk::End::Lost => End::Lost,
        talk::End::ByPeer(_) => End::ByPeer,
        talk::End::ProtocolError(_) | talk::End::InvalidCode(_) | talk::End::Bomb => End::Refused,
    };
    assert_eq!((ours, our_end), (theirs, their_end), "{end:?}");
});

fn echoed(input: &Input) -> Vec<Told> {
    let frames = serve(input).into_iter();
    let data = frames.filter(|frame| !frame.is_control());
    data.map(|frame| (frame.first, frame.payload)).collect()
}

fn heard(input: &Input) -> Vec<Told> {
    let messages = listen(input).messages.into_iter();
    let first = |kind| if kind == Kind::Text { 0x81 } else { 0x82 };
    messages
        .map(|(kind, payload)| (first(kind), payload))
        .collect()
}

/// Where tungstenite 0.30 goes on, or ends in another way, and why we don't.
fn may_differ(ours: &talk::End, theirs: End) -> bool {
    match ours {
        // It answers with 1002, too, but reports a normal end.
        talk::End::InvalidCode(_) => theirs == End::ByPeer,
        talk::End::ProtocolError(error) => match error {
            // §5.2 wants the shortest form; it takes any.
            ProtocolError::LengthEncoding => true,
            // It has no such limit.
            ProtocolError::TooManyFragments => true,
            // It judges a frame when all of it is there: we do when the byte is that is wrong.
            _ => theirs == End::Lost,
        },
        _ => false,
    }
}

fn tungstenite(input: &Input) -> (Vec<Told>, End) {
    let limit = Some(input.rules().limits.message_bytes);
    let config = WebSocketConfig::default()
        .read_buffer_size(4096)
        .max_message_size(limit)
        .max_frame_size(limit);
    let stream = Stream {
        sends: Cursor::new(&input.wire),
        turns: input.reads(),
    };
    let role = match input.terms.role() {
        Role::Client => TheirRole::Client,
        Role::Server => TheirRole::Server,
    };
    let mut socket = WebSocket::from_raw_socket(stream, role, Some(config));
    let mut told = Vec::new();
    let end = loop {
        match socket.read() {
            Ok(Message::Text(text)) => told.push((0x81, text.as_bytes().to_vec())),
            Ok(Message::Binary(bytes)) => told.push((0x82, bytes.to_vec())),
            Ok(Message::Close(_)) => break End::ByPeer,
            Ok(_) => {}
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(Error::Protocol(
                tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
            )) => break End::Lost,
            Err(Error::Protocol(_) | Error::Capacity(_) | Error::Utf8(_)) => break End::Refused,
            Err(error) => panic!("{error:?}"),
        }
    };
    (told, end)
}

/// Sends as it is scripted, and takes everything.
struct Stream<'a> {
    sends: Cursor<&'a Vec<u8>>,
    turns: Turns<4>,
}

impl Read for Stream<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let step = self.turns.take().ok_or(io::ErrorKind::WouldBlock)?;
        let len = into.len().min(step);
        self.sends.read(&mut into[..len])
    }
}

impl Write for Stream<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
