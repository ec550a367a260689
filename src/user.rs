//! Identities of connections: a user, whose id the application chooses and which is checked once,
//! or anonymous.

use std::{fmt, sync::Arc};

/// The id of a user: 1 to 255 bytes of text. The integer 7 and the text "7" are the same user.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserId(Arc<str>);

/// The error of text that is not a valid id of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a user is 1 to {MAX_USER_BYTES} bytes of text")]
#[non_exhaustive]
pub struct InvalidUserId;

/// Bytes of the longest id: as many as a topic's name may have.
pub(crate) const MAX_USER_BYTES: usize = 255;

impl UserId {
    /// Makes an id of `id`, which is checked.
    ///
    /// # Errors
    ///
    /// `id` is empty, or longer than 255 bytes.
    pub fn new(id: &str) -> Result<Self, InvalidUserId> {
        let is_valid = (1..=MAX_USER_BYTES).contains(&id.len());
        is_valid.then(|| Self(id.into())).ok_or(InvalidUserId)
    }

    /// Returns the id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The identity of a connection: a user, or anonymous. It is known before the connection's protocol
/// is made, and the protocol can't change it.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    pub(crate) user: Option<UserId>,
}

impl Identity {
    /// Returns the identity of a connection without a user.
    #[must_use]
    pub fn anonymous() -> Self {
        Self::default()
    }
}

impl From<UserId> for Identity {
    fn from(user: UserId) -> Self {
        Self { user: Some(user) }
    }
}

impl From<i64> for UserId {
    fn from(number: i64) -> Self {
        Self(number.to_string().into())
    }
}

impl From<u64> for UserId {
    fn from(number: u64) -> Self {
        Self(number.to_string().into())
    }
}

/// Formats the id as an escaped literal, so that its text in a log can't control a terminal.
impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_1_to_255_bytes_and_an_integer_is_the_same_as_its_digits() {
        assert!(UserId::new(&"x".repeat(255)).is_ok());
        for id in ["", &"x".repeat(256)] {
            assert_eq!(UserId::new(id), Err(InvalidUserId));
        }
        assert_eq!(UserId::new("-7"), Ok(UserId::from(-7_i64)));
        assert_eq!(UserId::new("7"), Ok(UserId::from(7_u64)));
    }
}
