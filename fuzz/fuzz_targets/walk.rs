//! The walker against the oracle, over splits: however the same bytes are cut, they get the same
//! verdict, the same kinds of message, and come out the same.
#![no_main]

use std::collections::VecDeque;

use framecast::wire::{
    frame::Kind,
    violation::Violation,
    walk::{Limits, Walk},
};
use framecast_fuzz::{
    input::Input,
    oracle::{Decoded, Frame, decode},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some(input) = Input::parse(data) else {
        return;
    };
    let decoded = decode(&input.wire, input.limits());
    check(
        &walked(&input.wire, input.limits(), || usize::MAX),
        &input.wire,
        &decoded,
    );
    let mut turns = input.reads();
    let script = || turns.take().unwrap_or(1);
    check(
        &walked(&input.wire, input.limits(), script),
        &input.wire,
        &decoded,
    );
    if input.wire.len() < 1000 {
        check(
            &walked(&input.wire, input.limits(), || 1),
            &input.wire,
            &decoded,
        );
    }
});

struct Walked {
    violation: Option<Violation>,
    kinds: Vec<Kind>,
    /// What came out before a violation.
    passed: Vec<u8>,
    is_between_messages: bool,
}

fn walked(wire: &[u8], limits: Limits, mut next_len: impl FnMut() -> usize) -> Walked {
    let mut walk = Walk::new(limits);
    let (mut kinds, mut passed, mut violation) = (VecDeque::new(), Vec::new(), None);
    let mut rest = wire;
    while !rest.is_empty() && violation.is_none() {
        let (piece, later) = rest.split_at(next_len().min(rest.len()));
        let mut piece = piece.to_vec();
        if let Err(refusal) = walk.walk(&mut piece, &mut kinds) {
            piece.truncate(refusal.at);
            violation = Some(refusal.violation);
        }
        passed.extend(piece);
        rest = later;
    }
    let is_between_messages = walk.is_between_messages();
    Walked {
        violation,
        kinds: kinds.into(),
        passed,
        is_between_messages,
    }
}

fn check(walked: &Walked, wire: &[u8], decoded: &Decoded) {
    assert_eq!(walked.violation, decoded.violation);
    assert_eq!(walked.kinds, decoded.kinds);
    let mut shown = Vec::new();
    for frame in &decoded.frames {
        let header = &wire[shown.len()..][..frame.header_len];
        shown.extend(self::shown(header, frame));
    }
    assert!(
        walked.passed.starts_with(&shown),
        "all before the violation passes"
    );
    if decoded.violation.is_some() {
        assert!(
            walked.passed.len() < wire.len(),
            "the violation does not pass"
        );
    } else {
        assert_eq!(walked.passed.len(), wire.len());
        let is_between = shown.len() == wire.len() && !decoded.is_inside_message;
        assert_eq!(walked.is_between_messages, is_between);
    }
}

/// A frame as fastwebsockets is to see it: unmasked under its old key, and never text.
fn shown(header: &[u8], frame: &Frame) -> Vec<u8> {
    let mut shown = [header, &frame.payload].concat();
    if frame.opcode() == 1 {
        shown[0] ^= 0x03;
    }
    shown
}
