//! Names of topics, which clients choose and which are checked once. [`list`] has lists of topics.

pub(crate) mod list;

use std::{borrow::Borrow, fmt, sync::Arc};

/// The name of a topic: 1 to 255 bytes of text without control characters.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicName(Arc<str>);

/// The error of a name that is not valid for a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a topic name is 1 to {MAX_NAME_BYTES} bytes of text without control characters")]
#[non_exhaustive]
pub struct InvalidTopicName;

/// Length of the longest name in bytes, which is that of Centrifugo: long enough for a path, and
/// short enough that a million names fit into memory.
const MAX_NAME_BYTES: usize = 255;

impl TopicName {
    /// Makes a name of `name`, which is checked.
    ///
    /// # Errors
    ///
    /// `name` is empty, longer than 255 bytes, or has control characters.
    pub fn new(name: &str) -> Result<Self, InvalidTopicName> {
        let is_valid =
            (1..=MAX_NAME_BYTES).contains(&name.len()) && !name.contains(char::is_control);
        is_valid.then(|| Self(name.into())).ok_or(InvalidTopicName)
    }

    /// Returns true if both names are clones of one name, and do not just have equal text.
    pub(crate) fn is_clone_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Returns the name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Lets maps and sets of names be searched by unchecked text.
impl Borrow<str> for TopicName {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

/// Formats the name as an escaped literal, so that a client's text in a log can't control a
/// terminal.
impl fmt::Debug for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_1_to_255_bytes_without_control_characters() {
        assert!(TopicName::new("cats and dogs/é").is_ok());
        assert!(TopicName::new(&"x".repeat(255)).is_ok());
        for name in ["", "a\nb", "\u{1b}[31m", &"x".repeat(256)] {
            assert_eq!(TopicName::new(name), Err(InvalidTopicName), "{name:?}");
        }
    }
}
