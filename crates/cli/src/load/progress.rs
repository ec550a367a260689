//! Shows the progress of a run on standard error: as a bar on a terminal, otherwise as one line per
//! second.

use std::{
    io::{self, IsTerminal as _, Write as _},
    mem::discriminant,
    time::Duration,
};

use framecast_load::{Moment, Phase, Progress};

use crate::load::figures::{count, plural, rate};

#[derive(Debug)]
pub(super) struct Display {
    is_terminal: bool,
    /// Time of the first call of `show`.
    begun: Option<Moment>,
    /// The progress that was printed last.
    shown: Option<Progress>,
}

impl Display {
    pub(super) fn new() -> Self {
        Self {
            is_terminal: io::stderr().is_terminal(),
            begun: None,
            shown: None,
        }
    }

    pub(super) fn show(&mut self, progress: &Progress) {
        if !self.is_due(progress) {
            return;
        }
        let per_second = self.per_second(progress);
        let text = text(progress, per_second);
        // Fails if standard error is closed.
        let _ = if self.is_terminal {
            write!(io::stderr(), "\r{} {text}\x1b[K", bar(share(progress)))
        } else {
            writeln!(io::stderr(), "{text}")
        };
        self.shown = Some(*progress);
    }

    /// Returns true if `progress` should be printed: on a terminal always, otherwise at the begin
    /// of each phase except the first one (connecting), and when a second has passed since the last
    /// line.
    fn is_due(&mut self, progress: &Progress) -> bool {
        let begun = *self.begun.get_or_insert(progress.now);
        let (is_new, last) = match &self.shown {
            // A line about connecting is printed only after a second of it.
            None => (!matches!(progress.phase, Phase::Connecting { .. }), begun),
            Some(shown) => {
                let is_new = discriminant(&shown.phase) != discriminant(&progress.phase);
                (is_new, shown.now)
            }
        };
        self.is_terminal || is_new || progress.now.since(last) >= LINE_INTERVAL
    }

    /// Returns the messages per second that have arrived since progress was last printed.
    fn per_second(&self, progress: &Progress) -> f64 {
        let Some(shown) = &self.shown else {
            return 0.0;
        };
        let seconds = progress.now.since(shown.now).as_secs_f64();
        progress.received.saturating_sub(shown.received) as f64 / seconds.max(f64::EPSILON)
    }
}

impl Drop for Display {
    /// Clears the bar.
    fn drop(&mut self) {
        if self.is_terminal && self.shown.is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

/// Time between two printed lines within a phase, if standard error is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(1);

fn text(progress: &Progress, per_second: f64) -> String {
    let mut text = match progress.phase {
        Phase::Connecting { open, wanted } => {
            let (open, wanted) = (count(open as u64), count(wanted as u64));
            return format!("connecting  {open} of {wanted}");
        }
        Phase::WarmUp => "warming up".to_owned(),
        Phase::Measuring { from, duration } => {
            let (done, whole) = (
                elapsed(progress.now, from).as_secs_f64(),
                duration.as_secs_f64(),
            );
            format!("measuring  {done:.1} of {whole} s")
        }
        Phase::Settling => "waiting for messages in flight".to_owned(),
    };
    if per_second > 0.0 {
        text = format!("{text}  {}/s", rate(per_second));
    }
    if progress.lost > 0 {
        text = format!("{text}  {} lost", plural(progress.lost, "connection"));
    }
    text
}

fn elapsed(now: Moment, from: Moment) -> Duration {
    now.since(from)
}

/// Returns the share of the phase that is done, from 0 to 1.
fn share(progress: &Progress) -> f64 {
    match progress.phase {
        Phase::Connecting { open, wanted } => open as f64 / wanted.max(1) as f64,
        Phase::WarmUp => 0.0,
        Phase::Measuring { from, duration } => {
            elapsed(progress.now, from).as_secs_f64() / duration.as_secs_f64()
        }
        Phase::Settling => 1.0,
    }
}

/// Draws a bar that is filled up to `share`, from 0 to 1, with a resolution of an eighth of a
/// column.
fn bar(share: f64) -> String {
    let whole = BAR_COLUMNS * 8;
    let done = (1..=whole)
        .take_while(|eighth| *eighth as f64 <= share * whole as f64)
        .count();
    let mut bar = "█".repeat(done / 8);
    if let Some(rest) = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"].get(done % 8) {
        bar.push_str(rest);
    }
    let empty = BAR_COLUMNS - bar.chars().count();
    format!("▕{bar}{}▏", " ".repeat(empty))
}

const BAR_COLUMNS: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_is_filled_by_the_share() {
        assert_eq!(bar(0.0), format!("▕{}▏", " ".repeat(24)));
        assert_eq!(bar(0.5), format!("▕{}{}▏", "█".repeat(12), " ".repeat(12)));
        assert_eq!(bar(1.0), format!("▕{}▏", "█".repeat(24)));
        // More than the whole.
        assert_eq!(bar(7.0), bar(1.0));
        // A part of one column, filled up with spaces, and the two ends of the bar.
        assert_eq!(bar(0.02).chars().count(), BAR_COLUMNS + 2);
    }

    #[test]
    fn a_line_shows_the_phase_and_the_rate() {
        let progress = |phase| Progress {
            phase,
            now: Moment::from_nanos(2_500_000_000),
            received: 0,
            open: 0,
            lost: 0,
        };
        let connecting = Phase::Connecting {
            open: 10,
            wanted: 2000,
        };
        assert_eq!(text(&progress(connecting), 0.0), "connecting  10 of 2,000");
        let measuring = Phase::Measuring {
            from: Moment::from_nanos(1_000_000_000),
            duration: Duration::from_secs(5),
        };
        let line = text(&progress(measuring), 12_345.0);
        assert_eq!(line, "measuring  1.5 of 5 s  12,345/s");
        let lost = |lost| {
            let settling = progress(Phase::Settling);
            text(&Progress { lost, ..settling }, 0.0)
        };
        let settling = "waiting for messages in flight";
        assert_eq!(lost(1), format!("{settling}  1 connection lost"));
        assert_eq!(lost(2000), format!("{settling}  2,000 connections lost"));
    }
}
