//! Numbered streams to topics: who publishes which, and how far the subscribers have got.

use crate::client::event::ClientKey;

/// A publisher with a topic. Stream `s` is for topic `s` modulo their number.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    /// The connection that publishes it, while there is one.
    pub key: Option<ClientKey>,
    pub published: u64,
    /// Publications that were due and were never made.
    pub unpublished: u64,
    /// Subscribers that are there.
    pub followers: u64,
    /// The sum of how far each of them has got.
    pub progress: u64,
}

impl Stream {
    /// Returns how many publications may follow now so that, on average over the subscribers, not more
    /// than `in_flight` are under way.
    pub(crate) fn room(&self, in_flight: u64) -> u64 {
        match self.progress.checked_div(self.followers) {
            Some(everywhere) => (everywhere + in_flight).saturating_sub(self.published),
            None => 0,
        }
    }

    /// Returns true if each subscriber has got all, or has gone.
    pub(crate) fn is_settled(&self) -> bool {
        self.followers * self.published <= self.progress
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_when_all_subscribers_have_advanced() {
        let mut stream = Stream {
            followers: 2,
            ..Stream::default()
        };
        assert_eq!(stream.room(3), 3);
        stream.published = 3;
        stream.progress = 5;
        assert_eq!(stream.room(3), 2);
        assert!(!stream.is_settled());
        stream.progress = 6;
        assert!(stream.is_settled());
    }

    #[test]
    fn nothing_is_published_to_nobody() {
        assert_eq!(Stream::default().room(3), 0);
    }
}
