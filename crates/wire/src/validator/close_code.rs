//! The close code of the peer's Close frame (§5.5.1, §7.4), checked as it arrives.
//!
//! fastwebsockets checks the code, too, but its list lacks 1014, and it answers a wrong code with
//! the peer's own reason. So the code is checked here first, and fastwebsockets is shown 1013 in
//! place of 1014. The Close with which it answers gets the [peer's code](restored) back.

use crate::{close::CloseCode, header::MASK, protocol_error::ProtocolError};

/// The part of a Close frame's code that has arrived.
#[derive(Debug, Default)]
pub(super) struct ArrivingCode {
    state: State,
    /// True if the code was 1014 and is shown as 1013.
    pub(super) is_replaced: bool,
}

#[derive(Debug, Default)]
enum State {
    /// No code is expected: it has passed, or the frame has none.
    #[default]
    Passed,
    Nothing,
    First(u8),
}

impl ArrivingCode {
    /// Begins a Close frame with a payload of `length` bytes.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::InvalidClose`] if the payload is one byte, which is half of a code.
    pub(super) fn begin(&mut self, length: u64) -> Result<(), ProtocolError> {
        self.state = match length {
            0 => State::Passed,
            1 => return Err(ProtocolError::InvalidClose),
            _ => State::Nothing,
        };
        Ok(())
    }

    /// Checks the code if it is in `payload`, the next bytes of the frame, and replaces 1014.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::InvalidCloseCode`] if the code must not be sent.
    #[inline]
    pub(super) fn take(&mut self, payload: &mut [u8]) -> Result<(), ProtocolError> {
        if matches!(self.state, State::Passed) {
            return Ok(());
        }
        self.check(payload)
    }

    #[cold]
    fn check(&mut self, payload: &mut [u8]) -> Result<(), ProtocolError> {
        for byte in payload {
            match self.state {
                State::Passed => break,
                State::Nothing => self.state = State::First(*byte),
                State::First(first) => {
                    self.state = State::Passed;
                    let code = u16::from_be_bytes([first, *byte]);
                    CloseCode::new(code).map_err(|_| ProtocolError::InvalidCloseCode)?;
                    if code == BAD_GATEWAY {
                        *byte ^= DIFFERENCE;
                        self.is_replaced = true;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Returns fastwebsockets' answer to a Close that was shown with another code, with the code that
/// the peer has sent. Both may be masked.
pub(crate) fn restored(answer: &[u8]) -> Vec<u8> {
    let mut answer = answer.to_vec();
    let is_masked = answer.get(1).is_some_and(|second| second & MASK != 0);
    let second_byte_of_code = if is_masked { 2 + 4 + 1 } else { 2 + 1 };
    if let Some(byte) = answer.get_mut(second_byte_of_code) {
        *byte ^= DIFFERENCE;
    }
    answer
}

/// Bad gateway, in the IANA registry since 2018.
const BAD_GATEWAY: u16 = 1014;

/// Try again later. Its second byte alone differs from that of 1014, and may be changed under a
/// mask.
const STAND_IN: u16 = 1013;

const DIFFERENCE: u8 = (BAD_GATEWAY ^ STAND_IN).to_be_bytes()[1];

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(payload: &[u8], piece: usize) -> Result<(Vec<u8>, bool), ProtocolError> {
        let mut code = ArrivingCode::default();
        code.begin(payload.len() as u64)?;
        let mut shown = payload.to_vec();
        for piece in shown.chunks_mut(piece) {
            code.take(piece)?;
        }
        Ok((shown, code.is_replaced))
    }

    #[test]
    fn a_code_is_checked_however_it_is_split() {
        for piece in 1..4 {
            for payload in [&b""[..], b"\x03\xE8", b"\x03\xF5later", b"\x0B\xB8\xFF"] {
                assert_eq!(shown(payload, piece), Ok((payload.to_vec(), false)));
            }
            for payload in [
                &b"\0\0"[..],
                b"\x03\xED",
                b"\x03\xF7x",
                b"\x0B\xB7",
                b"\xFF\xFF",
            ] {
                assert_eq!(shown(payload, piece), Err(ProtocolError::InvalidCloseCode));
            }
            assert_eq!(shown(b"\x03", piece), Err(ProtocolError::InvalidClose));
        }
    }

    #[test]
    fn the_code_1014_is_shown_as_1013_and_restored_in_the_answer() {
        for piece in 1..4 {
            let replaced = Ok((b"\x03\xF5\x03\xF6".to_vec(), true));
            assert_eq!(shown(b"\x03\xF6\x03\xF6", piece), replaced);
        }
        assert_eq!(restored(b"\x88\x03\x03\xF5x"), b"\x88\x03\x03\xF6x");
        let masked = b"\x88\x82\x10\x20\x30\x40\x13\xD5";
        assert_eq!(restored(masked), b"\x88\x82\x10\x20\x30\x40\x13\xD6");
    }
}
