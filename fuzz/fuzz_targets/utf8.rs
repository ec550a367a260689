//! Text checked while it arrives, in fragments cut anywhere: refused on the very byte after which
//! nothing could make it valid any more, or at its end.
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

/// How many bytes a naive check takes, or `None` if it takes all and they are whole.
fn bytes_valid(text: &[u8]) -> Option<usize> {
    let error = str::from_utf8(text).err()?;
    if error.error_len().is_none() {
        return Some(text.len());
    }
    let is_hopeless = |&len: &usize| {
        str::from_utf8(&text[..=len]).is_err_and(|error| error.error_len().is_some())
    };
    (error.valid_up_to()..text.len()).find(is_hopeless)
}

/// How many bytes the validator takes, one by one.
fn bytes_taken(cuts: [u8; 4], text: &[u8]) -> Option<usize> {
    let mut validator = Validator::new(RULES);
    let (mut rest, mut first) = (text, 0x01);
    // A cut of 0 makes an empty fragment; the 1 makes an end.
    for cut in cuts.iter().chain([&1]).cycle() {
        let (payload, later) = rest.split_at(usize::from(*cut).min(125).min(rest.len()));
        let fin = if later.is_empty() { 0x80 } else { 0x00 };
        let header = [fin | first, 0x80 | payload.len() as u8, 0, 0, 0, 0];
        for (index, byte) in header.iter().chain(payload).enumerate() {
            let validated = validator.validate(&mut [*byte], &mut VecDeque::new());
            if let Err(found) = validated {
                assert_eq!(found.error, ProtocolError::InvalidUtf8);
                let taken = text.len() - rest.len() + index.saturating_sub(header.len());
                // The last byte of a text that is cut off is refused with its end.
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
