//! The walker against the oracle, over splits: however the same bytes are cut, they get the same
//! verdict, the same kinds of message, and come out the same.
#![no_main]

use std::collections::VecDeque;

use framecast_fuzz::{
    input::Input,
    oracle::{Decoded, decode},
};
use framecast_wire::{
    violation::Violation,
    walk::{Mark, Rules, Walk},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some(input) = Input::parse(data) else {
        return;
    };
    let (wire, rules) = (&input.wire, input.rules());
    let decoded = decode(wire, rules);
    let mut turns = input.reads();
    let script = || turns.take().unwrap_or(1);
    let mut walks = vec![
        walked(wire, rules, || usize::MAX),
        walked(wire, rules, script),
    ];
    if wire.len() < 1000 {
        walks.push(walked(wire, rules, || 1));
    }
    let shown = shown(wire, &decoded);
    for walked in walks {
        check(&walked, wire.len(), &decoded, &shown);
    }
});

struct Walked {
    violation: Option<Violation>,
    marks: Vec<Mark>,
    /// What came out before a violation.
    passed: Vec<u8>,
    is_between_messages: bool,
}

fn walked(wire: &[u8], rules: Rules, mut next_len: impl FnMut() -> usize) -> Walked {
    let mut walk = Walk::new(rules);
    let (mut marks, mut passed, mut violation) = (VecDeque::new(), Vec::new(), None);
    let mut rest = wire;
    while !rest.is_empty() && violation.is_none() {
        let (piece, later) = rest.split_at(next_len().min(rest.len()));
        let mut piece = piece.to_vec();
        if let Err(refusal) = walk.walk(&mut piece, &mut marks) {
            piece.truncate(refusal.at);
            violation = Some(refusal.violation);
        }
        passed.extend(piece);
        rest = later;
    }
    let is_between_messages = walk.is_between_messages();
    Walked {
        violation,
        marks: marks.into(),
        passed,
        is_between_messages,
    }
}

fn check(walked: &Walked, len: usize, decoded: &Decoded, shown: &[u8]) {
    assert_eq!(walked.violation, decoded.violation);
    assert_eq!(walked.marks, decoded.marks);
    assert!(
        walked.passed.starts_with(shown),
        "all before the violation passes"
    );
    if decoded.violation.is_some() {
        assert!(walked.passed.len() < len, "the violation does not pass");
    } else {
        assert_eq!(walked.passed.len(), len);
        let is_between = shown.len() == len && !decoded.is_inside_message;
        assert_eq!(walked.is_between_messages, is_between);
    }
}

/// The whole frames as fastwebsockets is to see them: unmasked under their old keys, never text,
/// never compressed.
fn shown(wire: &[u8], decoded: &Decoded) -> Vec<u8> {
    let mut shown = Vec::new();
    for frame in &decoded.frames {
        let at = shown.len();
        shown.extend(&wire[at..][..frame.header_len]);
        shown.extend(&frame.payload);
        if matches!(frame.opcode(), 1 | 2) {
            shown[at] = frame.first & 0x80 | 0x02;
        }
    }
    shown
}
