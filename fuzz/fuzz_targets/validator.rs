//! The validator against the oracle: however the bytes are split, the verdict, the kinds of
//! messages and the rewritten bytes are the same.
#![no_main]

use std::collections::VecDeque;

use framecast_fuzz::{
    input::Input,
    oracle::{Decoded, decode},
};
use framecast_wire::{
    protocol_error::ProtocolError,
    validator::{MessageInfo, Rules, Validator},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some(input) = Input::parse(data) else {
        return;
    };
    let (wire, rules) = (&input.wire, input.rules());
    let decoded = decode(wire, rules);
    let mut reads = input.reads();
    let scripted = || reads.next_amount().unwrap_or(1);
    let mut verdicts = vec![
        validated(wire, rules, || usize::MAX),
        validated(wire, rules, scripted),
    ];
    if wire.len() < 1000 {
        verdicts.push(validated(wire, rules, || 1));
    }
    let shown = shown(wire, &decoded);
    for validated in verdicts {
        check(&validated, wire.len(), &decoded, &shown);
    }
});

struct Validated {
    error: Option<ProtocolError>,
    infos: Vec<MessageInfo>,
    /// The rewritten bytes before an error.
    passed: Vec<u8>,
    is_between_messages: bool,
}

fn validated(wire: &[u8], rules: Rules, mut next_len: impl FnMut() -> usize) -> Validated {
    let mut validator = Validator::new(rules);
    let (mut infos, mut passed, mut error) = (VecDeque::new(), Vec::new(), None);
    let mut rest = wire;
    while !rest.is_empty() && error.is_none() {
        let (piece, later) = rest.split_at(next_len().min(rest.len()));
        let mut piece = piece.to_vec();
        if let Err(found) = validator.validate(&mut piece, &mut infos) {
            piece.truncate(found.at);
            error = Some(found.error);
        }
        passed.extend(piece);
        rest = later;
    }
    let is_between_messages = validator.is_between_messages();
    Validated {
        error,
        infos: infos.into(),
        passed,
        is_between_messages,
    }
}

fn check(validated: &Validated, len: usize, decoded: &Decoded, shown: &[u8]) {
    assert_eq!(validated.error, decoded.error);
    assert_eq!(validated.infos, decoded.infos);
    assert!(
        validated.passed.starts_with(shown),
        "the whole frames before the error pass"
    );
    if decoded.error.is_some() {
        assert!(validated.passed.len() < len, "the error does not pass");
    } else {
        assert_eq!(validated.passed.len(), len);
        let is_between = shown.len() == len && !decoded.is_inside_message;
        assert_eq!(validated.is_between_messages, is_between);
    }
}

/// Returns the whole frames as the validator must rewrite them for fastwebsockets: the payload
/// unmasked, the key unchanged, every message binary and not compressed, a Close with 1013 for 1014.
fn shown(wire: &[u8], decoded: &Decoded) -> Vec<u8> {
    let mut shown = Vec::new();
    for frame in &decoded.frames {
        let at = shown.len();
        shown.extend(&wire[at..][..frame.header_len]);
        shown.extend(&frame.payload);
        if matches!(frame.opcode(), 1 | 2) {
            shown[at] = frame.first & 0x80 | 0x02;
        }
        if frame.opcode() == 8 && frame.payload.starts_with(&1014_u16.to_be_bytes()) {
            shown[at + frame.header_len + 1] = 1013_u16.to_be_bytes()[1];
        }
    }
    shown
}
