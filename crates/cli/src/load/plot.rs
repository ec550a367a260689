//! Draws the result as SVG: latency over percentiles and, if messages were measured, throughput
//! over time.

use anyhow::anyhow;
use framecast_load::{Latencies, STEPS};
use plotters::{coord::Shift, prelude::*};

use crate::load::{
    Outcome,
    figures::{rounded, time},
};

type Panel<'a> = DrawingArea<SVGBackend<'a>, Shift>;

pub(super) fn svg(outcome: &Outcome<'_>) -> anyhow::Result<String> {
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let title = format!(
            "{}: {}",
            outcome.scenario.name, outcome.scenario.description
        );
        let root = root.margin(MARGIN, 0, 0, 0);
        let root = root.titled(&title, ("sans-serif", 20))?;
        if outcome.report.measured > 0 {
            let (left, right) = root.split_horizontally(SIZE.0 / 2);
            latency(&left, &outcome.report.latency)?;
            throughput(&right, outcome)?;
        } else {
            latency(&root, &outcome.report.latency)?;
        }
        root.present()?;
    }
    Ok(text)
}

const SIZE: (u32, u32) = (1200, 480);
/// Space around a chart, and so below its title, in pixels.
const MARGIN: u32 = 12;
/// Most labels on the axis of percentiles. Each further nine gets a label (90, 99 and 99.9 %), and
/// a result rarely has more than nine nines.
const LABELS: usize = 9;

const COLOUR: RGBColor = RGBColor(0x1f, 0x5f, 0xbf);

/// Draws latency over percentiles. The horizontal axis counts "nines": 1 is the 90th percentile, 2
/// the 99th, 3 the 99.9th.
fn latency(panel: &Panel<'_>, latencies: &Latencies) -> anyhow::Result<()> {
    let points = distribution(latencies);
    let most = points.iter().map(|(_, micros)| *micros).fold(1.0, f64::max);
    let nines = points.iter().map(|(nines, _)| *nines).fold(2.0, f64::max);
    let panel = panel.titled("latency over percentiles", ("sans-serif", 16))?;
    let mut chart = ChartBuilder::on(&panel)
        .margin(MARGIN)
        // Space for the right half of the last label.
        .margin_right(2 * MARGIN)
        .x_label_area_size(40)
        .y_label_area_size(90)
        .build_cartesian_2d(0.0..nines, 0.0..most * 1.05)
        .map_err(failed)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_labels(LABELS)
        .label_style(("sans-serif", 13))
        .x_label_formatter(&|nines| percentile(*nines))
        .y_label_formatter(&|micros| micros_label(*micros))
        .x_desc("percentile")
        .draw()
        .map_err(failed)?;
    chart
        .draw_series(LineSeries::new(points, COLOUR.stroke_width(2)))
        .map_err(failed)?;
    Ok(())
}

fn throughput(panel: &Panel<'_>, outcome: &Outcome<'_>) -> anyhow::Result<()> {
    let report = outcome.report;
    let seconds = report.duration.as_secs_f64();
    let step = outcome.plan.duration.as_secs_f64() / f64::from(STEPS);
    let points: Vec<(f64, f64)> = report
        .timeline
        .iter()
        .enumerate()
        .map(|(index, count)| ((index as f64 + 0.5) * step, *count as f64 / step))
        .collect();
    let most = points.iter().map(|(_, rate)| *rate).fold(1.0, f64::max);
    let panel = panel.titled("throughput over time", ("sans-serif", 16))?;
    let mut chart = ChartBuilder::on(&panel)
        .margin(MARGIN)
        // Space for the right half of the last label.
        .margin_right(2 * MARGIN)
        .x_label_area_size(40)
        .y_label_area_size(90)
        .build_cartesian_2d(0.0..seconds, 0.0..most * 1.05)
        .map_err(failed)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .label_style(("sans-serif", 13))
        .y_label_formatter(&|rate| rounded(*rate) + "/s")
        .x_desc("seconds")
        .draw()
        .map_err(failed)?;
    let area = AreaSeries::new(points, 0.0, COLOUR.mix(0.2)).border_style(COLOUR.stroke_width(2));
    chart.draw_series(area).map_err(failed)?;
    Ok(())
}

/// Returns the points of the chart of latencies, each with its nines (2 for the 99th percentile)
/// and its latency in microseconds.
fn distribution(latencies: &Latencies) -> Vec<(f64, f64)> {
    let histogram = latencies.histogram();
    // Higher percentiles would depend on a single sample.
    let last = (latencies.count().max(2) as f64).log10();
    let steps = 200;
    (0..=steps)
        .map(|step| last * f64::from(step) / f64::from(steps))
        .map(|nines| {
            let share = 1.0 - 10_f64.powf(-nines);
            (nines, histogram.value_at_quantile(share) as f64 / 1e3)
        })
        .collect()
}

/// Formats nines as a percentile: `0 %`, `90 %`, `99 %`, `99.9 %`.
fn percentile(nines: f64) -> String {
    let share = 100.0 * (1.0 - 10_f64.powf(-nines));
    // The first two nines are before the decimal point.
    let wanted = (nines - 2.0).max(0.0).ceil();
    // Converts `wanted` to an integer, at most 8, without a cast.
    let decimals = (0..8)
        .take_while(|digit| f64::from(*digit) < wanted)
        .count();
    format!("{share:.decimals$} %")
}

fn micros_label(micros: f64) -> String {
    if micros <= 0.0 {
        return "0".to_owned();
    }
    time(std::time::Duration::from_secs_f64(micros / 1e6))
}

fn failed(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("drawing the plot: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nines_are_labelled_as_percentiles() {
        let labels = [0.0, 1.0, 2.0, 3.0, 4.0].map(percentile);
        assert_eq!(labels, ["0 %", "90 %", "99 %", "99.9 %", "99.99 %"]);
    }
}
