//! HTTP requests of one client that are not answered yet. They are kept to be sent again.
//!
//! Pure: this file does no I/O.

use std::collections::VecDeque;

/// The requests of one client that are not answered yet.
///
/// A server may end a connection between two responses at any time: because it was idle, or because
/// it has served enough requests ([RFC 9112 §9.3, §9.6]). Requests that were on their way are then
/// not served, and are sent again over the next connection. If that one ends without any answer,
/// too, they are not sent a third time: the server does not answer. A server that has served a
/// request and has ended the connection without an answer is found out, because the subscribers get
/// the publication twice.
///
/// [RFC 9112 §9.3, §9.6]: https://www.rfc-editor.org/rfc/rfc9112#section-9.3
#[derive(Debug, Default)]
pub(super) struct Requests {
    unanswered: VecDeque<Vec<u8>>,
    /// The sum of the lengths of `unanswered`.
    bytes: usize,
    /// True if they were sent again, and none has been answered since.
    is_resent: bool,
}

impl Requests {
    pub(super) fn push(&mut self, request: Vec<u8>) {
        self.bytes += request.len();
        self.unanswered.push_back(request);
    }

    /// Removes the oldest request, which was answered.
    pub(super) fn take_answered(&mut self) {
        let request = self.unanswered.pop_front().unwrap_or_default();
        self.bytes -= request.len();
        self.is_resent = false;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.unanswered.is_empty()
    }

    /// Returns the number of bytes of the requests.
    pub(super) fn len(&self) -> usize {
        self.bytes
    }

    /// Returns true if another connection may be opened for them after the one before has ended.
    pub(super) fn may_be_sent_again(&self) -> bool {
        !self.is_resent
    }

    /// Returns the bytes of all requests, to be sent over a new connection.
    pub(super) fn send_again(&mut self) -> Vec<u8> {
        self.is_resent = !self.is_empty();
        self.unanswered.iter().flatten().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_without_an_answer_are_sent_again_once() {
        let mut requests = Requests::default();
        for request in ["a", "bc", "d"] {
            requests.push(request.into());
        }
        requests.take_answered();
        assert_eq!(requests.len(), 3);
        assert!(requests.may_be_sent_again());
        assert_eq!(requests.send_again(), b"bcd");
        assert!(!requests.may_be_sent_again());
        // An answer shows that the server still serves.
        requests.take_answered();
        assert!(requests.may_be_sent_again());
        assert_eq!(requests.send_again(), b"d");
    }

    #[test]
    fn a_connection_for_no_request_is_no_second_attempt() {
        let mut requests = Requests::default();
        assert_eq!(requests.send_again(), b"");
        assert!(requests.may_be_sent_again());
    }
}
