//! Pings that wait for their Pong, to measure the round trip time.
//!
//! Pure: the clock is an argument.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Most unanswered Pings that are remembered. Arbitrary: more than a person types in one round
/// trip.
const MAX_WAITING: usize = 32;

/// Unanswered Pings, oldest first.
///
/// Invariant: at most [`MAX_WAITING`] of them.
#[derive(Debug, Default)]
pub(crate) struct Pings {
    waiting: VecDeque<(Vec<u8>, Instant)>,
}

impl Pings {
    /// Remembers a Ping. Forgets the oldest one if there are too many.
    pub(crate) fn on_ping(&mut self, payload: Vec<u8>, now: Instant) {
        if self.waiting.len() == MAX_WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back((payload, now));
    }

    /// Returns the round trip time of the Ping that this Pong answers, if it answers one.
    pub(crate) fn on_pong(&mut self, payload: &[u8], now: Instant) -> Option<Duration> {
        let answered = self.waiting.iter().position(|(ping, _)| ping == payload)?;
        // RFC 6455 §5.5.3: a peer may answer only the latest of several Pings, so earlier ones get
        // no Pong.
        let (_, sent) = self.waiting.drain(..=answered).next_back()?;
        Some(now.duration_since(sent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    #[test]
    fn a_pong_answers_the_ping_with_its_payload() {
        let start = Instant::now();
        let mut pings = Pings::default();
        pings.on_ping(b"a".to_vec(), start);
        pings.on_ping(b"b".to_vec(), start + MILLISECOND);

        let now = start + 3 * MILLISECOND;
        assert_eq!(pings.on_pong(b"a", now), Some(3 * MILLISECOND));
        assert_eq!(pings.on_pong(b"b", now), Some(2 * MILLISECOND));
        assert_eq!(pings.on_pong(b"b", now), None);
    }

    #[test]
    fn a_pong_for_a_ping_discards_the_earlier_pings() {
        let start = Instant::now();
        let mut pings = Pings::default();
        pings.on_ping(b"a".to_vec(), start);
        pings.on_ping(b"b".to_vec(), start);
        assert_eq!(pings.on_pong(b"b", start), Some(Duration::ZERO));
        assert_eq!(pings.on_pong(b"a", start), None);
    }

    #[test]
    fn an_unsolicited_pong_answers_nothing() {
        assert_eq!(Pings::default().on_pong(b"", Instant::now()), None);
    }

    #[test]
    fn the_number_of_remembered_pings_is_limited() {
        let start = Instant::now();
        let mut pings = Pings::default();
        for number in 0..=MAX_WAITING {
            pings.on_ping(number.to_string().into_bytes(), start);
        }
        assert_eq!(pings.waiting.len(), MAX_WAITING);
        assert_eq!(pings.on_pong(b"0", start), None);
    }
}
