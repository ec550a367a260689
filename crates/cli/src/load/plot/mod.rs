//! Draws the result as SVG: latency over percentiles, and over time beside the throughput. A run of
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
use crate::load::Outcome;

/// A function that draws one chart of a result at a place of the picture.
type Chart = fn(&mut Drawing, Place, &Outcome<'_>);

/// Returns the picture of a result.
pub(super) fn picture(outcome: &Outcome<'_>) -> String {
    let scenario = outcome.scenario;
    let title = format!("{}: {}", scenario.name, scenario.description);
    let mut drawing = Drawing::default();
    drawing.text((MARGIN, 34.0), Anchor::Start, "title", &title);
    let source = format!(
        "{}, {}, framecast {}",
        scenario.url(),
        format_rfc3339_seconds(outcome.started),
        env!("CARGO_PKG_VERSION")
    );
    drawing.text((MARGIN, 56.0), Anchor::Start, "quiet", &source);
    let charts = charts_of(outcome);
    let (places, height) = places(charts.len());
    for (chart, place) in charts.iter().zip(places) {
        chart(&mut drawing, place, outcome);
    }
    drawing.document((WIDTH, height), &title)
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

/// Returns the places of `count` charts, at most two beside each other, and the height of the
/// picture. A chart that is alone in its row takes the whole width.
fn places(count: usize) -> (Vec<Place>, f64) {
    let rows = count.div_ceil(2);
    let places = (0..count).map(|index| {
        let (row, is_left) = (index / 2, index.is_multiple_of(2));
        let is_alone = is_left && index + 1 == count;
        Place {
            left: if is_left { 0.0 } else { WIDTH / 2.0 },
            top: HEAD + ROW * row as f64,
            width: if is_alone { WIDTH } else { WIDTH / 2.0 },
            height: ROW,
        }
    });
    (places.collect(), HEAD + ROW * rows as f64 + MARGIN)
}

/// Width of the picture in pixels: that of a window on a small screen.
const WIDTH: f64 = 1200.0;
/// Height of the title and the line below it.
const HEAD: f64 = 76.0;
/// Height of a row of charts.
const ROW: f64 = 370.0;
const MARGIN: f64 = 24.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_that_is_alone_in_its_row_takes_the_whole_width() {
        let widths = |count| {
            let (places, _) = places(count);
            let widths = places.iter().map(|place| place.width);
            widths.collect::<Vec<_>>()
        };
        assert_eq!(widths(1), [1200.0]);
        assert_eq!(widths(2), [600.0, 600.0]);
        assert_eq!(widths(3), [600.0, 600.0, 1200.0]);
        assert_eq!(widths(0), [0.0; 0]);
        assert!(places(3).1 > places(2).1);
    }
}
