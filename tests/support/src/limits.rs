//! The server's limits and defaults, as the README and `docs/` state them.
//!
//! These constants repeat the values of the library instead of using them, so that a test fails
//! when a value changes.

/// Bytes of the largest message, by default.
pub const MESSAGE_BYTES: usize = 64 * 1024;

/// Largest number of fragments of a message, by default.
pub const FRAGMENTS: usize = 1024;

/// Bytes of the smallest message that is compressed, by default.
pub const COMPRESSED_BYTES: usize = 64;

/// Largest number of topics of a connection.
pub const TOPICS: usize = 128;

/// Largest number of bytes in the name of a topic or a user.
pub const NAME_BYTES: usize = 255;

/// Bytes of the largest payload of a control frame (RFC 6455 §5.5). It is also the largest payload
/// whose length is written in 7 bits (§5.2).
pub const CONTROL_BYTES: usize = 125;
