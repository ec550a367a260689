//! The report of a run, and the recorder that gathers it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    account::{
        connections::Connections, latencies::Latencies, meter::MemorySample, sequence::Tally,
        timeline::LatencySteps, usage::Cpu,
    },
    clock::Moment,
};

/// The results of a run, or of one process of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// The length of the measured time.
    pub duration: Duration,
    /// Counts of the messages that were received, and of the faults among them. An idle run counts
    /// the connections that are still open at the end as received messages. A handshake run counts
    /// the finished handshakes.
    pub tally: Tally,
    /// The same counts as in `tally`, for the churners: the subscribers that connect and leave
    /// while the streams run.
    pub churners: Tally,
    /// Number of echo messages, idle connections or handshakes that were scheduled. For each of
    /// them one reply, open connection or finished handshake is expected.
    pub sent: u64,
    /// Number of publications that were made in each stream.
    pub published: Vec<u64>,
    /// Number of publications in each stream that were scheduled and never made, because the
    /// publisher had no connection or too many bytes to send.
    pub unpublished: Vec<u64>,
    /// Number of subscribers of each topic, including those that the server disconnected. Stream
    /// `s` is for topic `s` modulo the number of topics.
    pub followers: Vec<u64>,
    /// Number of replies, deliveries or handshakes that arrived in the measured time.
    pub measured: u64,
    /// Number of arrivals in each of [`STEPS`] equal steps of the measured time. An interrupted run
    /// has fewer steps.
    pub timeline: Vec<u64>,
    /// Times from the scheduled sending of a message to its arrival, for messages scheduled in the
    /// measured time. In a handshake run: from the scheduled connect to the end of the handshake.
    pub latency: Latencies,
    /// The same times as in `latency`, for each step of the measured time, by the scheduled time.
    pub latency_steps: LatencySteps,
    /// Times from the scheduled sending of a message until the generator sent it, in an open loop,
    /// for messages scheduled in the measured time. Those that the server held up do not count.
    pub sent_late: Latencies,
    /// Number of messages of an open loop that the server held up: it did not read fast enough. In a
    /// handshake run: number of connections that waited because as many were open as the plan
    /// allows.
    pub held_up: u64,
    /// Times from the first delivery of a publication to its last one.
    pub spread: Latencies,
    /// Connections that were opened, and those that failed or ended.
    pub connections: Connections,
    /// Number of times that a closed loop published although the messages in flight had not
    /// arrived. It does so after a second without any arrival, because it takes these messages for
    /// lost.
    pub stalls: u64,
    /// CPU time that the generator used in the measured time. If it has several processes, that of
    /// the busiest one.
    pub generator: Cpu,
    /// The memory of the server over the run, if its process is known.
    pub memory: Vec<MemorySample>,
}

impl Report {
    /// Returns how many messages should have been received: one for each of [`sent`](Self::sent),
    /// and one for each publication at each subscriber of its topic. Publications that were
    /// scheduled and never made count, too.
    pub fn expected(&self) -> u64 {
        self.sent + self.deliveries(&self.published) + self.deliveries(&self.unpublished)
    }

    /// Returns how many deliveries should follow from `publications`, the number of publications in
    /// each stream.
    fn deliveries(&self, publications: &[u64]) -> u64 {
        let topics = self.followers.len().max(1);
        let followers = |stream| self.followers.get(stream % topics).copied().unwrap_or(0);
        let publications = publications.iter().enumerate();
        publications
            .map(|(stream, count)| count * followers(stream))
            .sum()
    }

    /// Returns the share of the expected messages that was received. A duplicate counts once.
    pub fn delivery_ratio(&self) -> f64 {
        match self.expected() {
            0 => 1.0,
            expected => self.tally.distinct() as f64 / expected as f64,
        }
    }

    /// Returns `measured` divided by the seconds of the measured time.
    pub fn per_second(&self) -> f64 {
        match self.duration.as_secs_f64() {
            0.0 => 0.0,
            seconds => self.measured as f64 / seconds,
        }
    }

    /// Adds the results of another process of the same run.
    pub(crate) fn add(&mut self, other: &Self) {
        self.duration = self.duration.max(other.duration);
        self.tally += other.tally;
        self.churners += other.churners;
        self.sent += other.sent;
        add_each(&mut self.published, &other.published);
        add_each(&mut self.unpublished, &other.unpublished);
        add_each(&mut self.followers, &other.followers);
        self.measured += other.measured;
        add_each(&mut self.timeline, &other.timeline);
        self.latency.add(&other.latency);
        self.latency_steps.add(&other.latency_steps);
        self.sent_late.add(&other.sent_late);
        self.held_up += other.held_up;
        self.spread.add(&other.spread);
        self.connections.add(&other.connections);
        self.stalls += other.stalls;
        self.generator = self.generator.busier(other.generator);
    }
}

fn add_each(sums: &mut Vec<u64>, others: &[u64]) {
    sums.resize(sums.len().max(others.len()), 0);
    for (sum, other) in sums.iter_mut().zip(others) {
        *sum += other;
    }
}

/// Number of steps of the timeline: as many as a chart can show.
pub const STEPS: u32 = 100;

/// Builds the report while a run goes on.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    pub report: Report,
    window: Option<Window>,
    /// The last time at which the server held up a message.
    held_up: Moment,
}

/// The measured time: from `from` up to, but without, `to`.
#[derive(Clone, Copy, Debug)]
struct Window {
    from: Moment,
    to: Moment,
    step_nanos: u64,
}

impl Window {
    fn contains(&self, moment: Moment) -> bool {
        self.from <= moment && moment < self.to
    }

    /// Returns the index of the step of a moment that is not before the window.
    fn step(&self, moment: Moment) -> usize {
        let nanos = moment.as_nanos().saturating_sub(self.from.as_nanos());
        usize::try_from(nanos / self.step_nanos).unwrap_or(usize::MAX)
    }
}

impl Recorder {
    /// Sets the measured time: it begins at `from` and lasts for `duration`.
    pub(crate) fn measure(&mut self, from: Moment, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.window = Some(Window {
            from,
            to: from + duration,
            step_nanos: (nanos / u64::from(STEPS)).max(1),
        });
        self.report.duration = duration;
        self.report.timeline = vec![0; STEPS as usize];
    }

    /// Ends the measured time at `to`, which may be earlier than the end that
    /// [`measure`](Self::measure) has set.
    pub(crate) fn end(&mut self, to: Moment) {
        if let Some(window) = &mut self.window {
            window.to = to;
            let duration = to.since(window.from);
            let begun = (duration.as_nanos()).div_ceil(window.step_nanos.into());
            let timeline = &mut self.report.timeline;
            timeline.truncate(usize::try_from(begun).unwrap_or(usize::MAX));
            self.report.duration = duration;
        }
    }

    /// Records the arrival at `now` of a message that was scheduled to be sent at `scheduled`.
    pub(crate) fn arrived(&mut self, scheduled: Moment, now: Moment) {
        let Some(window) = self.window else {
            return;
        };
        // The scheduled time decides whether a latency counts. By the time of arrival, slow
        // messages that arrive after the measured time would be left out.
        if window.contains(scheduled) {
            let latency = now.since(scheduled);
            self.report.latency.record(latency);
            // The steps do not always divide the window, which can then have a part of one more.
            let step = window.step(scheduled).min(STEPS as usize - 1);
            self.report.latency_steps.record(step, latency);
        }
        if window.contains(now) {
            self.report.measured += 1;
            if let Some(count) = self.report.timeline.get_mut(window.step(now)) {
                *count += 1;
            }
        }
    }

    /// Records that a message of an open loop is sent at `now`, which was scheduled for `scheduled`.
    pub(crate) fn sent(&mut self, scheduled: Moment, now: Moment) {
        if !self.window.is_some_and(|window| window.contains(scheduled)) {
            return;
        }
        // Those that were due while the server held up another one wait for that one, too.
        if scheduled <= self.held_up {
            self.report.held_up += 1;
        } else {
            self.report.sent_late.record(now.since(scheduled));
        }
    }

    /// Records that the server holds up the next message at `now`.
    pub(crate) fn held_up(&mut self, now: Moment) {
        self.held_up = self.held_up.max(now);
    }

    /// Records the time from the `first` to the `last` delivery of a publication that all
    /// subscribers have received.
    pub(crate) fn spread(&mut self, first: Moment, last: Moment) {
        if self.window.is_some_and(|window| window.contains(first)) {
            self.report.spread.record(last.since(first));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nanos(nanos: u64) -> Moment {
        Moment::from_nanos(nanos)
    }

    /// Returns a recorder that measures from 1000 to 2000 ns, in steps of 10 ns.
    fn recorder() -> Recorder {
        let mut recorder = Recorder::default();
        recorder.measure(nanos(1000), Duration::from_nanos(1000));
        recorder
    }

    #[test]
    fn a_late_arrival_counts_for_latency_by_its_schedule_but_not_for_throughput() {
        let mut recorder = recorder();
        // Scheduled in the measured time, and arrived after it.
        recorder.arrived(nanos(1999), nanos(5000));
        assert_eq!(recorder.report.latency.count(), 1);
        assert_eq!(recorder.report.latency.max(), Duration::from_nanos(3001));
        assert_eq!(recorder.report.measured, 0);
        // Scheduled before the measured time, and arrived in it.
        recorder.arrived(nanos(999), nanos(1005));
        assert_eq!(recorder.report.latency.count(), 1);
        assert_eq!(recorder.report.measured, 1);
        assert_eq!(recorder.report.timeline[0], 1);
    }

    #[test]
    fn an_arrival_after_an_early_end_does_not_count_for_throughput() {
        let mut recorder = recorder();
        recorder.arrived(nanos(1100), nanos(1120));
        recorder.end(nanos(1125));
        recorder.arrived(nanos(1110), nanos(1126));
        assert_eq!(recorder.report.latency.count(), 2);
        assert_eq!(recorder.report.measured, 1);
        assert_eq!(recorder.report.duration, Duration::from_nanos(125));
        // 125 ns are 12 whole steps and a half. The first message arrived after 120 ns.
        assert_eq!(recorder.report.timeline.len(), 13);
        assert_eq!(recorder.report.timeline[12], 1);
    }

    #[test]
    fn a_message_that_the_server_holds_up_is_not_sent_late_by_the_generator() {
        let mut recorder = recorder();
        recorder.sent(nanos(1100), nanos(1107));
        // The server holds up the message of 1110, and with it that of 1120.
        recorder.held_up(nanos(1125));
        for scheduled in [1110, 1120, 1130] {
            recorder.sent(nanos(scheduled), nanos(1131));
        }
        // Before and after the measured time.
        recorder.sent(nanos(999), nanos(1131));
        recorder.sent(nanos(2000), nanos(2100));
        assert_eq!(recorder.report.held_up, 2);
        assert_eq!(recorder.report.sent_late.count(), 2);
        assert_eq!(recorder.report.sent_late.max(), Duration::from_nanos(7));
    }

    #[test]
    fn a_latency_counts_in_the_step_of_its_schedule() {
        let mut recorder = recorder();
        recorder.arrived(nanos(1005), nanos(1995));
        let steps: Vec<_> = recorder.report.latency_steps.iter().collect();
        assert_eq!(steps.len(), 1);
        assert!(steps[0].unwrap().max >= Duration::from_nanos(980));
    }

    #[test]
    fn every_subscriber_should_receive_every_publication_of_its_streams() {
        let report = Report {
            published: vec![10, 5, 1],
            followers: vec![3, 2],
            tally: Tally {
                received: 43,
                duplicates: 1,
                ..Tally::default()
            },
            ..Report::default()
        };
        // Streams 0 and 2 are for topic 0, which has 3 followers.
        assert_eq!(report.expected(), 10 * 3 + 5 * 2 + 3);
        assert!((report.delivery_ratio() - 42.0 / 43.0).abs() < 1e-9);
    }

    #[test]
    fn a_publication_that_was_due_and_never_made_counts_as_missing_at_every_subscriber() {
        let report = Report {
            published: vec![1, 1],
            unpublished: vec![0, 2],
            followers: vec![3],
            tally: Tally {
                received: 6,
                ..Tally::default()
            },
            ..Report::default()
        };
        // 2 publications that were made and 2 that were not, for 3 followers.
        assert_eq!(report.expected(), 2 * 3 + 2 * 3);
        assert!((report.delivery_ratio() - 0.5).abs() < 1e-9);
    }

    #[test]
    fn reports_of_several_processes_add_up() {
        let mut one = Report {
            published: vec![10],
            followers: vec![3],
            timeline: vec![1, 2],
            ..Report::default()
        };
        let mut two = Report {
            followers: vec![4],
            timeline: vec![5, 6],
            ..Report::default()
        };
        two.latency.record(Duration::from_millis(1));
        one.add(&two);
        assert_eq!(one.expected(), 10 * (3 + 4));
        assert_eq!(one.timeline, [6, 8]);
        assert_eq!(one.latency.count(), 1);
    }
}
