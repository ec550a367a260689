//! A whole connection (socket, gate, fastwebsockets, reader, outbox) against the oracle: what it
//! sends is what the bytes of the client call for, however they come and its own are taken. And the
//! read side of our client, which hears what the server says.
#![no_main]

use framecast::Disconnect;
use framecast_fuzz::{
    client::{self, listen},
    connection::serve,
    input::{Input, Purpose, Terms},
    oracle::decode,
    server_frame::ServerFrame,
    talk::{End, Talk},
};
use framecast_wire::{frame::Kind, protocol_error::ProtocolError, validator::Role};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some(input) = Input::parse(data) else {
        return;
    };
    let rules = input.rules();
    let talk = decode(&input.wire, rules).talk(rules.limits.message_bytes);
    match rules.role {
        Role::Client => check_client(&input, &talk),
        Role::Server => check_server(&input, &talk),
    }
});

fn check_server(input: &Input, talk: &Talk) {
    let received = serve(input);
    let (close, received): (Vec<_>, Vec<_>) = received.into_iter().partition(ServerFrame::is_close);
    let (pongs, data): (Vec<_>, Vec<_>) = received.into_iter().partition(ServerFrame::is_control);
    let data = inflated(data, input.terms);
    check_close(&close, &talk.end);
    // An end may come before what goes ahead of it: the outbox of a lost connection is
    // discarded, and whoever closes leaves the room before its last messages come round.
    let may_lose = talk.end == End::Lost && input.is_abrupt() && !input.writes().is_open();
    let may_miss = input.purpose() == Purpose::Chat && (talk.end != End::Lost || input.is_abrupt());
    check_data(&data, &expected_data(input, talk), may_lose || may_miss);
    check_pongs(&pongs, &talk.pings, may_lose);
}

/// Undoes the compression, which is as was agreed on.
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
            let is_compressed = is_large && frame.payload.len() <= MAX_COMPRESSED_ALONE;
            assert!(!(terms.keeps_context() && terms.deflate() && is_compressed));
        }
        frame
    };
    frames.into_iter().map(&mut inflated).collect()
}

fn check_client(input: &Input, talk: &Talk) {
    let heard = listen(input);
    assert_eq!(heard.messages, talk.messages);
    let (close, pongs): (Vec<_>, Vec<_>) =
        heard.answers.into_iter().partition(ServerFrame::is_close);
    assert!(pongs.iter().map(|pong| &pong.payload).eq(&talk.pings));
    let answered = close.iter().map(|close| close.payload.clone());
    match &talk.end {
        End::Lost => assert_eq!(heard.end, client::End::Lost),
        End::ByPeer(_) => assert_eq!(heard.end, client::End::Close),
        End::InvalidCode(_) => {
            assert_eq!(
                heard.end,
                client::End::ProtocolError(ProtocolError::InvalidClose)
            );
        }
        End::ProtocolError(error) => assert_eq!(heard.end, client::End::ProtocolError(*error)),
        End::Bomb => {
            assert!(matches!(heard.end, client::End::ProtocolError(error) if is_bomb(error)))
        }
    }
    let expected = match &talk.end {
        End::ByPeer(payload) => Some(payload.clone()),
        End::InvalidCode(reason) => Some(invalid_code(reason)),
        // Whoever reads closes.
        _ => None,
    };
    assert!(answered.eq(expected));
}

fn is_bomb(error: ProtocolError) -> bool {
    matches!(
        error,
        ProtocolError::InvalidCompression | ProtocolError::MessageTooBig
    )
}

/// What fastwebsockets answers to a Close whose code must not be sent.
fn invalid_code(reason: &[u8]) -> Vec<u8> {
    [&1002u16.to_be_bytes()[..], reason].concat()
}

fn expected_data(input: &Input, talk: &Talk) -> Vec<ServerFrame> {
    if input.purpose() == Purpose::EchoFrames {
        let frames = talk.data.iter();
        return frames
            .map(|frame| ServerFrame {
                first: frame.first,
                payload: frame.payload.clone(),
            })
            .collect();
    }
    let messages = talk.messages.iter();
    messages
        .map(|(kind, payload)| ServerFrame {
            first: if *kind == Kind::Text { 0x81 } else { 0x82 },
            payload: payload.clone(),
        })
        .collect()
}

fn check_data(data: &[ServerFrame], expected: &[ServerFrame], may_end_early: bool) {
    let end = if may_end_early {
        data.len().min(expected.len())
    } else {
        expected.len()
    };
    assert_eq!(data, &expected[..end]);
}

/// Every ping is answered in its order; of more than can wait, the latest is.
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
    let mut left = pings.iter();
    let mut in_order = pongs.iter();
    assert!(
        in_order.all(|pong| left.any(|ping| *ping == pong.payload)),
        "{pongs:?}"
    );
    let last = pongs.last().map(|pong| &pong.payload);
    assert!(
        may_end_early || last == pings.last(),
        "the latest ping is answered"
    );
}

fn check_close(close: &[ServerFrame], end: &End) {
    let expected = match end {
        End::Lost => vec![],
        End::ByPeer(payload) => vec![payload.clone()],
        End::InvalidCode(reason) => vec![invalid_code(reason)],
        End::ProtocolError(error) => vec![goodbye(*error)],
        End::Bomb => {
            let either = [
                ProtocolError::InvalidCompression,
                ProtocolError::MessageTooBig,
            ]
            .map(goodbye);
            assert!(matches!(close, [only] if either.contains(&only.payload)));
            return;
        }
    };
    let sent: Vec<_> = close.iter().map(|close| &close.payload).collect();
    assert_eq!(sent, expected.iter().collect::<Vec<_>>());
}

fn goodbye(error: ProtocolError) -> Vec<u8> {
    let reason = Disconnect::from(error).to_string();
    [&error.close_code().to_be_bytes()[..], reason.as_bytes()].concat()
}

/// Larger messages are not compressed for one connection alone.
const MAX_COMPRESSED_ALONE: usize = 64 * 1024;

/// What the outbox keeps of a flood.
const KEPT_PONGS: usize = 32;
