//! Draws a bar chart (SVG) of the cost of a message, as a multiple of the floor: the cost of the
//! bare system calls.
//!
//! This module performs no I/O. The colours are readable on white and on black, because the
//! viewer's background is unknown.

use std::fmt::Write as _;

use crate::{
    cells::{self, Cell},
    peers::Peer,
    results::{Results, cpu},
};

/// The panels of bars: the cell, its title, and the floor that it is compared with.
const PANELS: [(&Cell, &str, Peer); 5] = [
    (
        &cells::FANOUT_BY_16,
        "Fan-out: 1,000 subscribers, 64 B, 16 in flight",
        Peer::Batch,
    ),
    (
        &cells::FANOUT_9000,
        "Fan-out: 9,000 subscribers, 1 KiB, 16 in flight",
        Peer::Batch,
    ),
    (
        &cells::ECHO_20_BY_16,
        "Echo: 20 B, 16 in flight",
        Peer::BareTcp,
    ),
    (&cells::ECHO_1K, "Echo: 1 KiB, one at a time", Peer::BareTcp),
    (&cells::HANDSHAKE, "Open and close", Peer::BareTcp),
];

/// Width of the picture, in pixels like the other sizes.
const WIDTH: f64 = 760.0;
/// Distance of the bars from the left. The names are there.
const LEFT: f64 = 190.0;
/// Length of the longest bar. Its figure is to the right of it.
const LONGEST: f64 = 500.0;
/// Height of a bar.
const BAR: f64 = 18.0;
/// Distance from one bar to the next.
const STEP: f64 = 26.0;
/// Height of a panel's title, with the space around it.
const TITLE: f64 = 40.0;
/// Height of the picture's title.
const HEAD: f64 = 34.0;

const STYLE: &str = "<style>
text { font: 13px system-ui, sans-serif; fill: #6e7781 }
.title { font-weight: 600 }
.bar { fill: #8c959f }
.floor { fill: #8c959f; opacity: .45 }
.framecast { fill: #2f81f7 }
text.framecast { font-weight: 600 }
</style>
";

/// Draws the chart.
pub fn svg(results: &Results) -> String {
    let mut body = String::new();
    let mut y = HEAD;
    for (cell, title, floor) in PANELS {
        let bars = bars(results, cell, floor);
        if !bars.is_empty() {
            panel(&mut body, &mut y, title, &bars);
        }
    }
    let height = y + 8.0;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         aria-label=\"CPU time per message, relative to the floor\">\n{STYLE}\
         <text x=\"8\" y=\"20\">CPU time of the server per message, as a multiple of bare system calls \
         (less is better)</text>\n{body}</svg>\n"
    )
}

/// Returns each peer with its multiple of the floor, the cheapest first.
fn bars(results: &Results, cell: &Cell, floor: Peer) -> Vec<(Peer, f64)> {
    let shown = cell.peers.iter().filter(|peer| **peer != Peer::TwoShards);
    let bar = |&peer| Some((peer, results.ratio((cell, peer), (cell, floor), cpu)?));
    let mut bars: Vec<(Peer, f64)> = shown.filter_map(bar).collect();
    bars.sort_by(|(_, one), (_, other)| one.total_cmp(other));
    bars
}

/// Appends a panel at height `y`, and increases `y` by its height.
fn panel(body: &mut String, y: &mut f64, title: &str, bars: &[(Peer, f64)]) {
    let longest = bars
        .iter()
        .map(|(_, multiple)| *multiple)
        .fold(1.0, f64::max);
    // Writing to a string does not fail.
    let _ = writeln!(
        body,
        "<text class=\"title\" x=\"8\" y=\"{}\">{title}</text>",
        *y + 22.0
    );
    *y += TITLE - 6.0;
    for (peer, multiple) in bars {
        let class = match peer {
            Peer::Framecast => "framecast",
            Peer::BareTcp | Peer::OneSend | Peer::Batch => "floor",
            _ => "bar",
        };
        let text = if class == "framecast" { class } else { "" };
        let width = multiple / longest * LONGEST;
        let (baseline, end) = (*y + 13.5, LEFT + width + 6.0);
        let _ = writeln!(
            body,
            "<text class=\"{text}\" x=\"{}\" y=\"{baseline:.1}\" text-anchor=\"end\">{}</text>\
             <rect class=\"{class}\" x=\"{LEFT}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{BAR}\" rx=\"2\"/>\
             <text class=\"{text}\" x=\"{end:.1}\" y=\"{baseline:.1}\">{multiple:.2}×</text>",
            LEFT - 8.0,
            peer.name(),
        );
        *y += STEP;
    }
    *y += 6.0;
}
