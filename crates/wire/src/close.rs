//! The close codes that may be sent in a Close frame ([RFC 6455
//! §7.4](https://www.rfc-editor.org/rfc/rfc6455#section-7.4)).

use std::fmt;

/// A close code that may be sent: 1000 to 1003, 1007 to 1014 and 3000 to 4999.
///
/// All other codes are reserved, or are only reported locally and never sent (1005, 1006, 1015).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CloseCode(
    // The two bytes of the code on the wire. A `u16` has an alignment of 2, which makes types that
    // contain it larger.
    [u8; 2],
);

/// The error of a number that is no close code, or is a code that must not be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a close code that may be sent")]
#[non_exhaustive]
pub struct InvalidCloseCode;

impl CloseCode {
    /// 1000, normal closure: the connection has fulfilled its purpose.
    pub const NORMAL: Self = Self(1000_u16.to_be_bytes());

    /// Checks that `code` may be sent.
    ///
    /// # Errors
    ///
    /// [`InvalidCloseCode`] if it must not be sent.
    pub fn new(code: u16) -> Result<Self, InvalidCloseCode> {
        // §7.4.1 and the IANA registry; 1004, 1005, 1006 and 1015 never appear in a frame.
        let may_be_sent = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
        let code = Self(code.to_be_bytes());
        may_be_sent.then_some(code).ok_or(InvalidCloseCode)
    }

    /// Returns the code as a number.
    #[must_use]
    pub fn get(self) -> u16 {
        u16::from_be_bytes(self.0)
    }
}

impl fmt::Debug for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CloseCode").field(&self.get()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_codes_that_may_be_sent_are_accepted() {
        for code in [1000, 1003, 1007, 1014, 3000, 4999] {
            assert_eq!(CloseCode::new(code).map(CloseCode::get), Ok(code));
        }
        for code in [0, 999, 1004, 1005, 1006, 1015, 2999, 5000] {
            assert_eq!(CloseCode::new(code), Err(InvalidCloseCode), "{code}");
        }
    }
}
