//! A whole connection (socket, gate, fastwebsockets, reader, outbox) against the oracle: what it
//! sends is what the bytes of the client call for, however they come and its own are taken.
#![no_main]

use framecast::wire::{close::Disconnect, frame::Kind};
use framecast_fuzz::{
    connection::serve,
    input::{Input, Purpose},
    oracle::decode,
    server_frame::ServerFrame,
    talk::{End, Talk},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some(input) = Input::parse(data) else {
        return;
    };
    let talk = decode(&input.wire, input.limits()).talk();
    let received = serve(&input);
    let (close, received): (Vec<_>, Vec<_>) = received.into_iter().partition(ServerFrame::is_close);
    let (pongs, data): (Vec<_>, Vec<_>) = received.into_iter().partition(ServerFrame::is_control);
    check_close(&close, &talk.end);
    // An end may come before what goes ahead of it: the outbox of a lost connection is
    // discarded, and whoever closes leaves the room before its last messages come round.
    let may_lose = talk.end == End::Lost && input.is_abrupt() && !input.writes().is_open();
    let may_miss = input.purpose() == Purpose::Chat && (talk.end != End::Lost || input.is_abrupt());
    check_data(&data, &expected_data(&input, &talk), may_lose || may_miss);
    check_pongs(&pongs, &talk.pings, may_lose);
});

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
        End::Lost => None,
        End::ByPeer(payload) => Some(payload.clone()),
        End::InvalidCode(reason) => Some([&1002u16.to_be_bytes()[..], reason].concat()),
        End::Violation(violation) => {
            let reason = Disconnect::from(*violation).to_string();
            Some([&violation.close_code().to_be_bytes()[..], reason.as_bytes()].concat())
        }
    };
    let sent: Vec<_> = close.iter().map(|close| &close.payload).collect();
    assert_eq!(sent, expected.iter().collect::<Vec<_>>());
}

/// What the outbox keeps of a flood.
const KEPT_PONGS: usize = 32;
