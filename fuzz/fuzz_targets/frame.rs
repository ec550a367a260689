//! Encodes frames as the server does, and checks that a strict parser returns the same frames. A
//! close reason that is too long must be cut between characters.
#![no_main]

use arbitrary::Arbitrary;
use framecast::internals;
use framecast_fuzz::server_frame::ServerFrame;
use framecast_wire::frame::{Frame, Kind};
use libfuzzer_sys::fuzz_target;

/// A frame to be encoded.
#[derive(Arbitrary, Debug)]
enum Sent<'a> {
    Binary(&'a [u8]),
    /// A Close whose reason is repeated `times` times, so that it is often too long.
    Close {
        code: u16,
        reason: &'a str,
        times: u8,
    },
    Fragment {
        is_text: Option<bool>,
        is_final: bool,
        payload: &'a [u8],
    },
    /// A binary message of this many bytes (modulo 200,000), which is more than an input can hold.
    Large(u32),
    Text(&'a str),
}

fuzz_target!(|frames: Vec<Sent<'_>>| {
    let mut wire = Vec::new();
    let mut expected = Vec::new();
    for sent in &frames {
        let (frame, first, payload) = encode(sent);
        assert_eq!(frame.wire_len(), frame.as_bytes().len());
        wire.extend(frame.as_bytes());
        expected.push(ServerFrame { first, payload });
    }
    let mut rest = &wire[..];
    for frame in expected {
        assert_eq!(ServerFrame::take(&mut rest), frame);
    }
    assert!(rest.is_empty());
});

/// Encodes a frame. Returns it, and the first byte and the payload that it must have.
fn encode(sent: &Sent<'_>) -> (Frame, u8, Vec<u8>) {
    match *sent {
        Sent::Binary(payload) => (Frame::binary(payload), 0x82, payload.to_vec()),
        Sent::Text(text) => (Frame::text(text), 0x81, text.into()),
        Sent::Large(len) => {
            let payload = vec![b'x'; len as usize % 200_000];
            (Frame::binary(&payload), 0x82, payload)
        }
        Sent::Fragment {
            is_text,
            is_final,
            payload,
        } => {
            let kind = is_text.map(|is_text| if is_text { Kind::Text } else { Kind::Binary });
            let opcode = kind.map_or(0, |kind| if kind == Kind::Text { 1 } else { 2 });
            let fin = if is_final { 0x80 } else { 0 };
            (
                internals::fragment(kind, is_final, payload),
                fin | opcode,
                payload.to_vec(),
            )
        }
        Sent::Close {
            code,
            reason,
            times,
        } => {
            let reason = reason.repeat(usize::from(times % 64));
            let mut payload = code.to_be_bytes().to_vec();
            for character in reason.chars() {
                let bytes = character.to_string().into_bytes();
                // A control frame holds 125 bytes.
                if payload.len() + bytes.len() > 125 {
                    break;
                }
                payload.extend(bytes);
            }
            (internals::close(code, &reason), 0x88, payload)
        }
    }
}
