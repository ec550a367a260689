//! Writes SVG: shapes and texts, whose colours follow the reader's light or dark mode.
//!
//! Pure.

use std::fmt::Write as _;

/// A picture that is drawn shape by shape. Coordinates are pixels from the upper left corner.
#[derive(Debug, Default)]
pub(super) struct Drawing(String);

/// The end of a text that is at its coordinates.
#[derive(Clone, Copy, Debug)]
pub(super) enum Anchor {
    End,
    Middle,
    Start,
}

impl Drawing {
    pub(super) fn text(&mut self, at: (f64, f64), anchor: Anchor, class: &str, text: &str) {
        let anchor = match anchor {
            Anchor::End => "end",
            Anchor::Middle => "middle",
            Anchor::Start => "start",
        };
        let ((x, y), text) = (at, escape(text));
        self.line_of(format_args!(
            r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}" class="{class}">{text}</text>"#
        ));
    }

    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), class: &str) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.line_of(format_args!(
            r#"<line x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}" class="{class}"/>"#
        ));
    }

    /// Draws a line through `points`. A single point becomes a dot.
    pub(super) fn curve(&mut self, points: &[(f64, f64)], class: &str) {
        match points {
            [] => {}
            [point] => self.dot(*point, class),
            points => {
                let points = path(points);
                self.line_of(format_args!(
                    r#"<polyline points="{points}" class="line {class}"/>"#
                ));
            }
        }
    }

    /// Fills the area between `points` and the height `base`.
    pub(super) fn area(&mut self, points: &[(f64, f64)], base: f64, class: &str) {
        if let ([first, ..], [.., last]) = (points, points) {
            let points = path(points);
            let (left, right) = (first.0, last.0);
            self.line_of(format_args!(
                r#"<polygon points="{left:.1},{base:.1} {points} {right:.1},{base:.1}" class="area {class}"/>"#
            ));
        }
    }

    pub(super) fn dot(&mut self, at: (f64, f64), class: &str) {
        let (x, y) = at;
        self.line_of(format_args!(
            r#"<circle cx="{x:.1}" cy="{y:.1}" r="4" class="dot {class}"/>"#
        ));
    }

    /// Returns the whole document, of `size` pixels. `title` is what a screen reader says.
    pub(super) fn document(self, size: (f64, f64), title: &str) -> String {
        let ((width, height), title) = (size, escape(title));
        let body = self.0;
        format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img">
<title>{title}</title>
<style>
{STYLE}</style>
<rect width="100%" height="100%" class="paper"/>
{body}</svg>
"#
        )
    }

    fn line_of(&mut self, shape: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = writeln!(self.0, "{shape}");
    }
}

fn path(points: &[(f64, f64)]) -> String {
    let points = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}"));
    points.collect::<Vec<_>>().join(" ")
}

/// Escapes the characters that XML does not take in a text. Control characters, which it does not
/// take at all, become spaces.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => escaped.push(' '),
            character if character.is_control() => escaped.push(' '),
            character => escaped.push(character),
        }
    }
    escaped
}

/// The colours, light and dark, each with a contrast of at least 4.5 to the paper where it is text.
/// Without custom properties, which viewers other than browsers do not know: those show it light.
/// Where shapes coincide, red is drawn first and blue last: each is smaller than the one below it.
const STYLE: &str = "\
text { font: 13px system-ui, sans-serif; fill: #1f2328; font-variant-numeric: tabular-nums }
.title { font-size: 19px; font-weight: 600 }
.panel { font-size: 15px; font-weight: 600 }
.quiet { fill: #59636e }
.paper { fill: #ffffff }
.grid { stroke: #d1d9e0 }
.axis { stroke: #59636e }
.line { fill: none; stroke-linejoin: round }
.area { stroke: none; fill-opacity: 0.18 }
.limit { stroke: #8250df; stroke-width: 1.5; stroke-dasharray: 6 4 }
.line.blue { stroke: #0969da } .dot.blue, .area.blue, text.blue { fill: #0969da }
.line.amber { stroke: #9a6700 } .dot.amber, .area.amber, text.amber { fill: #9a6700 }
.line.red { stroke: #cf222e } .dot.red, .area.red, text.red { fill: #cf222e }
.line.red { stroke-width: 4 } .line.amber { stroke-width: 2 } .line.blue { stroke-width: 1.5 }
.dot.red { r: 5px } .dot.amber { r: 4px } .dot.blue { r: 3px }
text.threshold { fill: #8250df; paint-order: stroke; stroke: #ffffff; stroke-width: 4 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 }
.quiet { fill: #9198a1 }
.paper { fill: #0d1117 }
.grid { stroke: #30363d }
.axis { stroke: #9198a1 }
.area { fill-opacity: 0.28 }
.limit { stroke: #c297ff }
.line.blue { stroke: #58a6ff } .dot.blue, .area.blue, text.blue { fill: #58a6ff }
.line.amber { stroke: #e3b341 } .dot.amber, .area.amber, text.amber { fill: #e3b341 }
.line.red { stroke: #ff7b72 } .dot.red, .area.red, text.red { fill: #ff7b72 }
text.threshold { fill: #c297ff; stroke: #0d1117 }
}
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_can_not_become_markup() {
        let mut drawing = Drawing::default();
        let text = "ws://h/?a=1&b=\"<script>\u{1b}";
        drawing.text((1.0, 2.0), Anchor::Start, "quiet", text);
        let document = drawing.document((10.0, 20.0), text);
        let escaped = "ws://h/?a=1&amp;b=&quot;&lt;script&gt; ";
        assert_eq!(document.matches(escaped).count(), 2);
        assert!(document.starts_with("<svg ") && document.ends_with("</svg>\n"));
        assert!(document.contains("prefers-color-scheme: dark"));
    }

    #[test]
    fn a_line_of_one_point_is_a_dot_and_one_of_none_is_nothing() {
        let mut drawing = Drawing::default();
        drawing.curve(&[], "blue");
        drawing.area(&[], 0.0, "blue");
        assert_eq!(drawing.0, "");
        drawing.curve(&[(1.0, 2.0)], "blue");
        assert!(drawing.0.starts_with("<circle "));
        drawing.curve(&[(1.0, 2.0), (3.0, 4.0)], "blue");
        assert!(drawing.0.contains(r#"points="1.0,2.0 3.0,4.0""#));
    }

    #[test]
    fn every_class_with_a_colour_has_one_in_the_dark_too() {
        let (light, dark) = STYLE.split_once("@media").unwrap();
        for class in [
            ".quiet",
            ".paper",
            ".grid",
            ".axis",
            ".limit",
            ".blue",
            ".amber",
            ".red",
            ".threshold",
        ] {
            assert!(light.contains(class) && dark.contains(class), "{class}");
        }
    }
}
