//! Numbered streams of publications: the publisher of each, and the progress of its subscribers.

use crate::client::event::ClientKey;

/// The publications of one publisher to one topic. Stream `s` is for topic `s` modulo the number of
/// topics.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    /// The connection of the publisher, while it is open.
    pub key: Option<ClientKey>,
    pub published: u64,
    /// Number of publications that were scheduled and never made.
    pub unpublished: u64,
    /// Number of subscribers of the topic that are still connected.
    pub followers: u64,
    /// The sum of [`Track::next`](crate::account::sequence::Track::next) over these subscribers.
    pub progress: u64,
}

impl Stream {
    /// Returns how many publications may be made now so that, on average over the subscribers, at
    /// most `in_flight` have not arrived.
    pub(crate) fn credit(&self, in_flight: u64) -> u64 {
        match self.progress.checked_div(self.followers) {
            Some(average) => (average + in_flight).saturating_sub(self.published),
            None => 0,
        }
    }

    /// Returns true if every subscriber that is still connected has received all publications.
    pub(crate) fn is_settled(&self) -> bool {
        self.followers * self.published <= self.progress
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_credit_when_all_subscribers_have_advanced() {
        let mut stream = Stream {
            followers: 2,
            ..Stream::default()
        };
        assert_eq!(stream.credit(3), 3);
        stream.published = 3;
        stream.progress = 5;
        assert_eq!(stream.credit(3), 2);
        assert!(!stream.is_settled());
        stream.progress = 6;
        assert!(stream.is_settled());
    }

    #[test]
    fn nothing_is_published_without_a_subscriber() {
        assert_eq!(Stream::default().credit(3), 0);
    }
}
