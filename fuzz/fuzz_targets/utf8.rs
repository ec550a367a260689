//! Compares the validator with a naive check of UTF-8, on texts that are cut into fragments
//! anywhere. The validator must refuse a text at the first byte after which it cannot become valid
//! any more, or at the end of the text.
#![no_main]

use std::collections::VecDeque;

use framecast_wire::{
    protocol_error::ProtocolError,
    validator::{MessageLimits, Role, Rules, Validator},
};
use libfuzzer_sys::fuzz_target;

const RULES: Rules = Rules {
    role: Role::Server,
    deflate: false,
    limits: MessageLimits {
        message_bytes: 5000,
        fragments: u32::MAX,
    },
};

fuzz_target!(|data: &[u8]| {
    let Some((cuts, text)) = data.split_first_chunk::<4>() else {
        return;
    };
    if text.len() > 4096 {
        return;
    }
    assert_eq!(bytes_taken(*cuts, text), bytes_valid(text));
});

/// Returns the result of a naive check: the number of bytes before the byte at which the text must
/// be refused, or `None` if the text is valid.
fn bytes_valid(text: &[u8]) -> Option<usize> {
    let error = str::from_utf8(text).err()?;
    if error.error_len().is_none() {
        // The text ends inside a code point, so it must be refused at its end.
        return Some(text.len());
    }
    let is_first_wrong = |&index: &usize| {
        str::from_utf8(&text[..=index]).is_err_and(|error| error.error_len().is_some())
    };
    (error.valid_up_to()..text.len()).find(is_first_wrong)
}

/// Feeds the text to the validator byte by byte, in fragments whose lengths are the `cuts`, one
/// after the other and again from the first. Returns the number of bytes before the byte at which
/// the validator refuses the text, or `None` if it is accepted.
fn bytes_taken(cuts: [u8; 4], text: &[u8]) -> Option<usize> {
    let mut validator = Validator::new(RULES);
    let (mut rest, mut first) = (text, 0x01);
    // A cut of 0 makes an empty fragment. The appended 1 makes sure that the loop ends.
    for cut in cuts.iter().chain([&1]).cycle() {
        let (payload, later) = rest.split_at(usize::from(*cut).min(125).min(rest.len()));
        let fin = if later.is_empty() { 0x80 } else { 0x00 };
        let header = [fin | first, 0x80 | payload.len() as u8, 0, 0, 0, 0];
        for (index, byte) in header.iter().chain(payload).enumerate() {
            let validated = validator.validate(&mut [*byte], &mut VecDeque::new());
            if let Err(found) = validated {
                assert_eq!(found.error, ProtocolError::InvalidUtf8);
                let taken = text.len() - rest.len() + index.saturating_sub(header.len());
                // If the text ends inside a code point, the validator refuses its last byte, which
                // the naive check counts as accepted.
                let is_cut = taken + 1 == text.len() && bytes_valid(text) == Some(text.len());
                return Some(taken + usize::from(is_cut));
            }
        }
        (rest, first) = (later, 0x00);
        if rest.is_empty() {
            break;
        }
    }
    assert!(validator.is_between_messages());
    None
}
