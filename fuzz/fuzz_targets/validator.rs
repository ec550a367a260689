//! Compares the validator with the oracle. However the bytes are split, both must find the same
//! error and the same infos of messages, and the validator must rewrite the bytes as it should.
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
    let rewritten = rewritten(wire, &decoded);
    for validated in verdicts {
        check(&validated, wire.len(), &decoded, &rewritten);
    }
});

/// The result of the validator.
struct Validated {
    error: Option<ProtocolError>,
    infos: Vec<MessageInfo>,
    /// The bytes that the validator lets through to fastwebsockets, as it has rewritten them. They
    /// end where it has found an error, if it has found one.
    passed: Vec<u8>,
    is_between_messages: bool,
}

/// Validates `wire` in pieces. Each call of `next_len` returns how many bytes the next piece has,
/// unless fewer are left.
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

/// Compares the result of the validator with that of the oracle. `len` is the number of bytes on
/// the wire. `rewritten` are the whole frames before the error, as the validator must rewrite them.
fn check(validated: &Validated, len: usize, decoded: &Decoded, rewritten: &[u8]) {
    assert_eq!(validated.error, decoded.error);
    assert_eq!(validated.infos, decoded.infos);
    assert!(
        validated.passed.starts_with(rewritten),
        "the whole frames before the error pass"
    );
    if decoded.error.is_some() {
        assert!(validated.passed.len() < len, "the error does not pass");
    } else {
        assert_eq!(validated.passed.len(), len);
        let is_between = rewritten.len() == len && !decoded.is_inside_message;
        assert_eq!(validated.is_between_messages, is_between);
    }
}

/// Returns the whole frames before the error as the validator must rewrite them for fastwebsockets:
/// the payload unmasked, the key unchanged, every message binary and not marked as compressed, and
/// a Close with 1013 for 1014.
fn rewritten(wire: &[u8], decoded: &Decoded) -> Vec<u8> {
    let mut rewritten = Vec::new();
    for frame in &decoded.frames {
        let at = rewritten.len();
        rewritten.extend(&wire[at..][..frame.header_len]);
        rewritten.extend(&frame.payload);
        if matches!(frame.opcode(), 1 | 2) {
            rewritten[at] = frame.first & 0x80 | 0x02;
        }
        if frame.opcode() == 8 && frame.payload.starts_with(&1014_u16.to_be_bytes()) {
            rewritten[at + frame.header_len + 1] = 1013_u16.to_be_bytes()[1];
        }
    }
    rewritten
}
