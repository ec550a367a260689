//! HTTP requests of one client that are not answered yet. They are kept to be sent again.
//!
//! Pure: this file does no I/O.

use std::{collections::VecDeque, mem};

/// The requests of one client that are not answered yet.
///
/// A server may end a connection between two responses at any time: because it was idle, or because
/// it has served enough requests ([RFC 9112 §9.3, §9.6]). Requests that were on their way are then
/// not served, and are sent again over the next connection. If that one ends without any answer,
/// too, they are not sent a third time: the server does not answer. If the server has served a
/// request and has ended the connection without an answer, the subscribers get the publication
/// twice. A run fails because of a duplicate if any request was sent again.
///
/// [RFC 9112 §9.3, §9.6]: https://www.rfc-editor.org/rfc/rfc9112#section-9.3
#[derive(Debug, Default)]
pub(super) struct Requests {
    unanswered: VecDeque<Request>,
    /// The sum of the lengths of `unanswered`.
    bytes: usize,
    /// Number of the requests at the start of `unanswered` that were sent over the present
    /// connection.
    sent: usize,
    connection: Connection,
    /// Number of requests that were sent again since the last [`take_resent`](Self::take_resent).
    resent: u64,
}

#[derive(Debug)]
struct Request {
    bytes: Vec<u8>,
    /// True if it was sent, over this or an earlier connection.
    was_sent: bool,
}

/// The connection over which the requests are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Connection {
    /// The server has announced in its last response that it ends this connection.
    Ending,
    /// It replaces one that has ended without notice, and has not answered yet. The oldest request
    /// is sent alone, the others after its answer (RFC 9112 §9.3.2): the first request of a pipeline
    /// may be the one because of which the server ended the connection.
    OldestAlone,
    /// It replaces one whose end was announced, and has not answered yet.
    Replacement,
    /// It is the first one, or has answered.
    #[default]
    Serving,
}

impl Requests {
    pub(super) fn push(&mut self, bytes: Vec<u8>) {
        self.bytes += bytes.len();
        let was_sent = false;
        self.unanswered.push_back(Request { bytes, was_sent });
    }

    /// Appends to `wire` the bytes of all requests that can be sent now and are not sent yet.
    pub(super) fn send(&mut self, wire: &mut Vec<u8>) {
        let sendable = match self.connection {
            Connection::OldestAlone => self.unanswered.len().min(1),
            _ => self.unanswered.len(),
        };
        for request in self.unanswered.range_mut(self.sent..sendable) {
            wire.extend_from_slice(&request.bytes);
            self.resent += u64::from(request.was_sent);
            request.was_sent = true;
        }
        self.sent = sendable;
    }

    /// Removes the oldest request, which was answered.
    pub(super) fn take_answered(&mut self) {
        let request = self.unanswered.pop_front();
        self.bytes -= request.map_or(0, |request| request.bytes.len());
        self.sent = self.sent.saturating_sub(1);
        self.connection = Connection::Serving;
    }

    /// Removes the oldest request, which was answered by the last response on the connection.
    pub(super) fn take_last_answered(&mut self) {
        self.take_answered();
        self.connection = Connection::Ending;
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
        let connection = self.connection;
        matches!(connection, Connection::Serving | Connection::Ending)
    }

    /// Notes that another connection is opened, over which the requests are to be sent.
    pub(super) fn replace_connection(&mut self) {
        let is_retry = self.unanswered.iter().any(|request| request.was_sent);
        self.connection = match self.connection {
            Connection::Serving if is_retry => Connection::OldestAlone,
            _ => Connection::Replacement,
        };
        self.sent = 0;
    }

    /// Returns how many requests were sent again since the last call.
    pub(super) fn take_resent(&mut self) -> u64 {
        mem::take(&mut self.resent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns three requests that were sent, of which the first was answered. The answer is passed
    /// to `take`.
    fn two_of_three(take: fn(&mut Requests)) -> Requests {
        let mut requests = Requests::default();
        for request in ["a", "bc", "d"] {
            requests.push(request.into());
        }
        assert_eq!(sent(&mut requests), b"abcd");
        take(&mut requests);
        assert_eq!(requests.len(), 3);
        assert!(requests.may_be_sent_again());
        assert_eq!(requests.take_resent(), 0);
        requests
    }

    fn sent(requests: &mut Requests) -> Vec<u8> {
        let mut wire = Vec::new();
        requests.send(&mut wire);
        wire
    }

    #[test]
    fn after_an_end_without_notice_the_oldest_request_is_sent_alone_until_it_is_answered() {
        let mut requests = two_of_three(Requests::take_answered);
        requests.replace_connection();
        requests.push("e".into());
        assert_eq!(sent(&mut requests), b"bc");
        assert_eq!(sent(&mut requests), b"");
        assert_eq!(requests.take_resent(), 1);
        assert!(!requests.may_be_sent_again());
        // An answer shows that the server still serves.
        requests.take_answered();
        assert!(requests.may_be_sent_again());
        assert_eq!(sent(&mut requests), b"de");
        // The third request was sent for the second time, the fourth for the first time.
        assert_eq!(requests.take_resent(), 1);
    }

    #[test]
    fn after_an_announced_end_all_requests_are_sent_at_once() {
        let mut requests = two_of_three(Requests::take_last_answered);
        requests.replace_connection();
        assert_eq!(sent(&mut requests), b"bcd");
        assert_eq!(requests.take_resent(), 2);
        assert!(!requests.may_be_sent_again());
        requests.take_answered();
        assert!(requests.may_be_sent_again());
        assert_eq!(sent(&mut requests), b"");
    }

    #[test]
    fn requests_that_were_never_sent_are_sent_at_once() {
        let mut requests = Requests::default();
        requests.push("a".into());
        sent(&mut requests);
        requests.take_answered();
        // The connection ends while it is idle.
        for request in ["b", "c"] {
            requests.push(request.into());
        }
        requests.replace_connection();
        assert_eq!(sent(&mut requests), b"bc");
        assert_eq!(requests.take_resent(), 0);
    }
}
