//! Compares a connection of our server, or of our client, with tungstenite. From the same bytes
//! both must read the same messages and the same end, with some [exceptions](may_differ). There is
//! no compression, which tungstenite lacks.
#![no_main]

use std::io::{self, Cursor, Read, Write};

use framecast_fuzz::{
    client::read_all,
    connection::serve,
    conversation,
    input::{Input, Purpose, Script},
    oracle::decode,
};
use framecast_wire::{frame::Kind, protocol_error::ProtocolError, validator::Role};
use libfuzzer_sys::fuzz_target;
use tungstenite::{
    Error, Message, WebSocket,
    protocol::{Role as TheirRole, WebSocketConfig},
};

/// A message as it would be in a single frame: the first byte of the frame, and the payload.
type Received = (u8, Vec<u8>);

/// The way in which the connection ends: without a Close, by a Close of the peer, or by an error.
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
    let is_lossy = input.is_abrupt() && !input.writes().never_blocks();
    let is_echo = input.purpose() == Purpose::Echo && !is_lossy;
    // What the server has read is known only if it echoes everything.
    if rules.deflate || rules.role == Role::Server && !is_echo {
        return;
    }
    let ours = match rules.role {
        Role::Client => read_by_client(&input),
        Role::Server => echoed(&input),
    };
    // The target `connection` checks that our end is that of the oracle, so the oracle's is used
    // here.
    let end = decode(&input.wire, rules)
        .conversation(rules.limits.message_bytes)
        .end;
    let (theirs, their_end) = tungstenite(&input);
    if may_differ(&end, their_end) {
        assert!(theirs.starts_with(&ours), "{ours:?}\n{theirs:?}");
        return;
    }
    let our_end = match end {
        conversation::End::Lost => End::Lost,
        conversation::End::ByPeer(_) => End::ByPeer,
        conversation::End::ProtocolError(_)
        | conversation::End::InvalidCode(_)
        | conversation::End::InvalidOrTooBig => End::Refused,
    };
    assert_eq!((ours, our_end), (theirs, their_end), "{end:?}");
});

/// Returns the messages that our server echoes.
fn echoed(input: &Input) -> Vec<Received> {
    let frames = serve(input).into_iter();
    let data = frames.filter(|frame| !frame.is_control());
    data.map(|frame| (frame.first, frame.payload)).collect()
}

/// Returns the messages that our client reads.
fn read_by_client(input: &Input) -> Vec<Received> {
    let messages = read_all(input).messages.into_iter();
    let first = |kind| if kind == Kind::Text { 0x81 } else { 0x82 };
    messages
        .map(|(kind, payload)| (first(kind), payload))
        .collect()
}

/// Returns true if tungstenite 0.30 may read on where we end the connection, or may end it in
/// another way.
fn may_differ(ours: &conversation::End, theirs: End) -> bool {
    match ours {
        // tungstenite answers with 1002, too, but reports a normal end.
        conversation::End::InvalidCode(_) => theirs == End::ByPeer,
        conversation::End::ProtocolError(error) => match error {
            // §5.2 requires the shortest form. tungstenite accepts any.
            ProtocolError::LengthEncoding => true,
            // tungstenite has no such limit.
            ProtocolError::TooManyFragments => true,
            // tungstenite checks a frame when the frame is whole. We report an error at the byte
            // that causes it. If the stream ends behind that byte, tungstenite finds no error.
            _ => theirs == End::Lost,
        },
        _ => false,
    }
}

/// Returns the messages and the end that tungstenite reads.
fn tungstenite(input: &Input) -> (Vec<Received>, End) {
    let limit = Some(input.rules().limits.message_bytes);
    let config = WebSocketConfig::default()
        .read_buffer_size(4096)
        .max_message_size(limit)
        .max_frame_size(limit);
    let stream = Stream {
        sends: Cursor::new(&input.wire),
        reads: input.reads(),
    };
    let role = match input.terms.role() {
        Role::Client => TheirRole::Client,
        Role::Server => TheirRole::Server,
    };
    let mut socket = WebSocket::from_raw_socket(stream, role, Some(config));
    let mut messages = Vec::new();
    let end = loop {
        match socket.read() {
            Ok(Message::Text(text)) => messages.push((0x81, text.as_bytes().to_vec())),
            Ok(Message::Binary(bytes)) => messages.push((0x82, bytes.to_vec())),
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
    (messages, end)
}

/// A socket whose reads follow the script of the input, and whose writes take everything.
struct Stream<'a> {
    sends: Cursor<&'a Vec<u8>>,
    reads: Script<4>,
}

impl Read for Stream<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let amount = self.reads.next_amount();
        let len = into.len().min(amount.ok_or(io::ErrorKind::WouldBlock)?);
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
