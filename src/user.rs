//! Identities of connections: the id of a user, which the application gives out and which is checked once, or
//! nobody.

use std::{fmt, sync::Arc};

/// The id of a user: 1 to 255 bytes of text. An integer is the same user as its digits.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserId(Arc<str>);

/// The error of text that is no id of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a user is 1 to {MAX_USER_BYTES} bytes of text")]
#[non_exhaustive]
pub struct InvalidUserId;

/// As long as a topic's name may be.
pub(crate) const MAX_USER_BYTES: usize = 255;

impl UserId {
    /// Checks `id`.
    ///
    /// # Errors
    ///
    /// If it is empty, or longer than 255 bytes.
    pub fn new(id: &str) -> Result<Self, InvalidUserId> {
        let is_valid = (1..=MAX_USER_BYTES).contains(&id.len());
        is_valid.then(|| Self(id.into())).ok_or(InvalidUserId)
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The identity of a connection: a user, or nobody in particular. It is settled before the protocol is
/// chosen, which only learns of it.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    pub(crate) user: Option<UserId>,
}

impl Identity {
    /// Nobody in particular.
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

/// As a literal, so that what a client named cannot drive a terminal.
impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_checked_and_an_integer_is_the_same_as_its_digits() {
        assert!(UserId::new(&"x".repeat(255)).is_ok());
        for id in ["", &"x".repeat(256)] {
            assert_eq!(UserId::new(id), Err(InvalidUserId));
        }
        assert_eq!(UserId::new("-7"), Ok(UserId::from(-7_i64)));
        assert_eq!(UserId::new("7"), Ok(UserId::from(7_u64)));
    }
}
