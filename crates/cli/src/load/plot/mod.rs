//! Draws the result as SVG: latency over percentiles and over time, and the throughput. A run of
//! `load idle` has the server's memory instead.
//!
//! [`charts`] has the charts, and [`panel`] what they have in common: title, keys and axes. [`scale`]
//! places values on an axis, and [`svg`] writes the shapes.
//!
//! Pure.

mod charts;
mod panel;
mod scale;
mod svg;

use humantime::format_rfc3339_seconds;

use self::{
    panel::Place,
    svg::{Anchor, Drawing},
};
use crate::load::{Outcome, verdict::Verdict};

/// A function that draws one chart of a result at a place of the picture.
type Chart = fn(&mut Drawing, Place, &Outcome<'_>);

/// Returns the picture of a result.
pub(super) fn picture(outcome: &Outcome<'_>) -> String {
    let mut drawing = Drawing::default();
    let mut top = draw_head(&mut drawing, outcome);
    for chart in charts_of(outcome) {
        let place = Place {
            left: 0.0,
            top,
            width: WIDTH,
            height: CHART,
        };
        chart(&mut drawing, place, outcome);
        top += CHART;
    }
    let scenario = outcome.scenario;
    let title = format!("{}: {}", scenario.name, scenario.description);
    drawing.document((WIDTH, top + MARGIN / 2.0), &title)
}

/// Draws the lines above the charts: the run, the server, the date, and what the generator may have
/// distorted. Returns the height below
/// them.
fn draw_head(drawing: &mut Drawing, outcome: &Outcome<'_>) -> f64 {
    let scenario = outcome.scenario;
    let mut baseline = 34.0;
    drawing.text((MARGIN, baseline), Anchor::Start, "title", scenario.name);
    let date = format!(
        "{}, framecast {}",
        format_rfc3339_seconds(outcome.started),
        env!("CARGO_PKG_VERSION")
    );
    let verdict = verdict(outcome);
    let texts = [scenario.description.as_str(), scenario.url(), &date];
    let texts = texts.into_iter().chain(verdict.as_deref());
    for line in texts.flat_map(lines) {
        baseline += LINE;
        drawing.text((MARGIN, baseline), Anchor::Start, "quiet", &line);
    }
    if charts_of(outcome).is_empty() {
        baseline += 2.0 * LINE;
        let text = "Nothing was measured.";
        drawing.text((MARGIN, baseline), Anchor::Start, "panel", text);
    }
    baseline + LINE
}

/// Returns the text about the generator's influence on the result. `None` if it is fine.
fn verdict(outcome: &Outcome<'_>) -> Option<String> {
    let evidence = outcome.evidence();
    let warning = evidence.warning(outcome.processes)?;
    let verdict = Verdict::of(&evidence).name();
    Some(format!("Verdict on the generator: {verdict}. {warning}"))
}

/// Breaks a text into lines that fit into the picture: between two words, or within a long one such
/// as a URL.
fn lines(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_inclusive(' ') {
        for part in parts(word) {
            match lines.last_mut() {
                Some(line) if line.chars().count() + part.chars().count() <= LINE_CHARS => {
                    line.push_str(&part);
                }
                _ => lines.push(part),
            }
        }
    }
    lines
}

/// Cuts a word into parts of at most [`LINE_CHARS`] characters.
fn parts(word: &str) -> Vec<String> {
    let letters: Vec<char> = word.chars().collect();
    let parts = letters.chunks(LINE_CHARS);
    parts.map(|part| part.iter().collect()).collect()
}

/// Returns the charts of a result: those for which it has figures.
fn charts_of(outcome: &Outcome<'_>) -> Vec<Chart> {
    let report = outcome.report;
    let mut all: Vec<Chart> = Vec::new();
    if report.latency.count() > 0 {
        all.push(charts::percentiles);
    }
    if report.latency_steps.iter().flatten().next().is_some() {
        all.push(charts::latency_over_time);
    }
    if report.measured > 0 {
        all.push(charts::throughput);
    }
    // In the other scenarios the memory of messages would count as that of connections.
    if outcome.is_idle() && report.memory.len() > 1 {
        all.push(charts::memory);
    }
    all
}

/// Width of the picture in pixels: that of a page of text, where nothing is scaled down.
const WIDTH: f64 = 760.0;
/// Height of a chart.
const CHART: f64 = 330.0;
/// Height of a line of text.
const LINE: f64 = 20.0;
/// Number of characters that fit into a line, in a wide typeface.
const LINE_CHARS: usize = 100;
const MARGIN: f64 = 24.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_broken_between_words() {
        let text = "some connections, ".repeat(10);
        let broken = lines(&text);
        assert_eq!(broken.len(), 2);
        assert_eq!(broken.concat(), text);
        assert!(broken[0].ends_with(' '));
        assert_eq!(lines("short"), ["short"]);
    }

    #[test]
    fn a_long_url_is_broken_where_the_line_ends() {
        let url = format!("ws://h/{}", "é".repeat(2 * LINE_CHARS));
        let broken = lines(&url);
        assert_eq!(broken.concat(), url);
        let most = broken.iter().map(|line| line.chars().count()).max();
        assert_eq!(most, Some(LINE_CHARS));
    }
}
