//! Compares a whole connection of the server (socket, gate, fastwebsockets, reader, outbox) with
//! the oracle. However reads and writes are split, the server must send the frames that the oracle
//! derives from the client's bytes. If our role in the input is the client, the read side of our
//! client is compared instead.
#![no_main]

use framecast::Disconnect;
use framecast_fuzz::{
    client::{self, read_all},
    connection::serve,
    conversation::{Conversation, End},
    input::{Input, Purpose, Terms},
    oracle::decode,
    server_frame::ServerFrame,
};
use framecast_wire::{frame::Kind, protocol_error::ProtocolError, validator::Role};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some(input) = Input::parse(data) else {
        return;
    };
    let rules = input.rules();
    let conversation = decode(&input.wire, rules).conversation(rules.limits.message_bytes);
    match rules.role {
        Role::Client => check_client(&input, &conversation),
        Role::Server => check_server(&input, &conversation),
    }
});

/// Runs the server, and checks the frames that the client has received.
fn check_server(input: &Input, conversation: &Conversation) {
    let received = serve(input);
    let (close, received): (Vec<_>, Vec<_>) = received.into_iter().partition(ServerFrame::is_close);
    let (pongs, data): (Vec<_>, Vec<_>) = received.into_iter().partition(ServerFrame::is_control);
    let data = inflated(data, input.terms);
    check_close(&close, &conversation.end);
    // The last frames may be missing, for one of two reasons. The outbox of a lost connection is
    // discarded. And a chat client that closes is unsubscribed before the last messages that it has
    // published are delivered to it.
    let may_lose =
        conversation.end == End::Lost && input.is_abrupt() && !input.writes().never_blocks();
    let may_be_unsubscribed =
        input.purpose() == Purpose::Chat && (conversation.end != End::Lost || input.is_abrupt());
    check_data(
        &data,
        &expected_data(input, conversation),
        may_lose || may_be_unsubscribed,
    );
    check_pongs(&pongs, &conversation.pings, may_lose);
}

/// Returns the frames inflated, and checks that they were compressed as agreed.
fn inflated(frames: Vec<ServerFrame>, terms: Terms) -> Vec<ServerFrame> {
    let mut inflater = terms.inflater();
    let mut inflated = |frame: ServerFrame| {
        let (is_deflated, sent) = (frame.first & 0x40 != 0, frame.payload.len());
        let frame = frame.inflated(&mut inflater);
        let is_large = frame.payload.len() >= terms.min_bytes();
        if is_deflated {
            assert!(terms.deflate() && is_large);
            assert!(terms.keeps_context() || sent < frame.payload.len());
        } else {
            // With a context a message is compressed even if it grows. Without a context the server
            // may send it uncompressed.
            let is_compressed = is_large && frame.payload.len() <= MAX_COMPRESSED_ALONE;
            assert!(!(terms.keeps_context() && terms.deflate() && is_compressed));
        }
        frame
    };
    frames.into_iter().map(&mut inflated).collect()
}

/// Runs our client, and checks the messages that it returns and the frames that it sends.
fn check_client(input: &Input, conversation: &Conversation) {
    let received = read_all(input);
    assert_eq!(received.messages, conversation.messages);
    let (close, pongs): (Vec<_>, Vec<_>) = received
        .answers
        .into_iter()
        .partition(ServerFrame::is_close);
    assert!(
        pongs
            .iter()
            .map(|pong| &pong.payload)
            .eq(&conversation.pings)
    );
    let answered = close.iter().map(|close| close.payload.clone());
    match &conversation.end {
        End::Lost => assert_eq!(received.end, client::End::Lost),
        End::ByPeer(_) => assert_eq!(received.end, client::End::Close),
        End::InvalidCode(_) => {
            assert_eq!(
                received.end,
                client::End::ProtocolError(ProtocolError::InvalidClose)
            );
        }
        End::ProtocolError(error) => assert_eq!(received.end, client::End::ProtocolError(*error)),
        End::InvalidOrTooBig => {
            assert!(
                matches!(received.end, client::End::ProtocolError(error) if is_invalid_or_too_big(error))
            )
        }
    }
    let expected = match &conversation.end {
        End::ByPeer(payload) => Some(payload.clone()),
        End::InvalidCode(reason) => Some(answer_to_invalid_code(reason)),
        // After a protocol error fastwebsockets sends no Close. The caller of the read side does,
        // which is not part of this run.
        _ => None,
    };
    assert!(answered.eq(expected));
}

/// Returns true for the two errors of which either may be reported (see [`End::InvalidOrTooBig`]).
fn is_invalid_or_too_big(error: ProtocolError) -> bool {
    matches!(
        error,
        ProtocolError::InvalidCompression | ProtocolError::MessageTooBig
    )
}

/// Returns the payload of fastwebsockets' answer to a Close whose code must not be sent.
fn answer_to_invalid_code(reason: &[u8]) -> Vec<u8> {
    [&1002u16.to_be_bytes()[..], reason].concat()
}

/// Returns the data frames that the server must send, uncompressed.
fn expected_data(input: &Input, conversation: &Conversation) -> Vec<ServerFrame> {
    if input.purpose() == Purpose::EchoFrames {
        let frames = conversation.data.iter();
        return frames
            .map(|frame| ServerFrame {
                first: frame.first,
                payload: frame.payload.clone(),
            })
            .collect();
    }
    let messages = conversation.messages.iter();
    messages
        .map(|(kind, payload)| ServerFrame {
            first: if *kind == Kind::Text { 0x81 } else { 0x82 },
            payload: payload.clone(),
        })
        .collect()
}

/// Checks the data frames that were received. If `may_end_early`, the last ones may be missing.
fn check_data(data: &[ServerFrame], expected: &[ServerFrame], may_end_early: bool) {
    let end = if may_end_early {
        data.len().min(expected.len())
    } else {
        expected.len()
    };
    assert_eq!(data, &expected[..end]);
}

/// Checks that every Ping is answered, in the order of the Pings. If there are more than
/// [`KEPT_PONGS`] Pings, the outbox may have replaced Pongs by later ones. Then only the last Ping
/// must be answered. If `may_end_early`, the last Pongs may be missing.
fn check_pongs(pongs: &[ServerFrame], pings: &[Vec<u8>], may_end_early: bool) {
    assert!(pongs.iter().all(|pong| pong.first == 0x8A), "{pongs:?}");
    if pings.len() <= KEPT_PONGS {
        let end = if may_end_early {
            pongs.len()
        } else {
            pings.len()
        };
        let payloads: Vec<_> = pongs.iter().map(|pong| &pong.payload).collect();
        assert_eq!(payloads, pings[..end].iter().collect::<Vec<_>>());
        return;
    }
    // Each Pong must answer a Ping that is later than the Ping of the previous Pong.
    let mut later_pings = pings.iter();
    let mut in_order = pongs.iter();
    assert!(
        in_order.all(|pong| later_pings.any(|ping| *ping == pong.payload)),
        "{pongs:?}"
    );
    let last = pongs.last().map(|pong| &pong.payload);
    assert!(
        may_end_early || last == pings.last(),
        "the latest ping is answered"
    );
}

/// Checks the frames with the opcode of a Close that the server has sent: there must be the one
/// that `end` calls for, or none.
fn check_close(close: &[ServerFrame], end: &End) {
    let expected = match end {
        End::Lost => vec![],
        End::ByPeer(payload) => vec![payload.clone()],
        End::InvalidCode(reason) => vec![answer_to_invalid_code(reason)],
        End::ProtocolError(error) => vec![close_payload(*error)],
        End::InvalidOrTooBig => {
            let either = [
                ProtocolError::InvalidCompression,
                ProtocolError::MessageTooBig,
            ]
            .map(close_payload);
            assert!(matches!(close, [only] if either.contains(&only.payload)));
            return;
        }
    };
    let sent: Vec<_> = close.iter().map(|close| &close.payload).collect();
    assert_eq!(sent, expected.iter().collect::<Vec<_>>());
}

/// Returns the payload of the Close that the server sends after this error.
fn close_payload(error: ProtocolError) -> Vec<u8> {
    let reason = Disconnect::from(error).to_string();
    [&error.close_code().to_be_bytes()[..], reason.as_bytes()].concat()
}

/// Size of the largest message that the server compresses in the context of a single connection, in
/// bytes.
const MAX_COMPRESSED_ALONE: usize = 64 * 1024;

/// Largest number of Pongs that wait in the outbox. Each further Pong replaces the last one.
const KEPT_PONGS: usize = 32;
