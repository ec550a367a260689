//! A chart with its axes, in a part of the picture.

use crate::load::plot::{
    scale::Scale,
    svg::{Anchor, Drawing},
};

/// The place of a chart in the picture, in pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// An axis: its scale, and its ticks with their labels.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    pub(super) scale: Scale,
    pub(super) ticks: Vec<(f64, String)>,
    /// The text below a horizontal axis.
    pub(super) unit: &'static str,
}

impl Axis {
    /// Returns an axis whose ticks are at round values, with labels by `label`.
    pub(super) fn new(scale: Scale, unit: &'static str, label: impl Fn(f64) -> String) -> Self {
        let ticks = scale.ticks();
        Self {
            scale,
            ticks: ticks.into_iter().map(|tick| (tick, label(tick))).collect(),
            unit,
        }
    }
}

/// One entry of the line below the title of a chart: a class, whose colour it has, and its text.
pub(super) type Key<'a> = (&'a str, String);

/// A chart whose axes are drawn.
#[derive(Debug)]
pub(super) struct Panel<'a> {
    drawing: &'a mut Drawing,
    place: Place,
    x: Scale,
    y: Scale,
}

impl<'a> Panel<'a> {
    /// Draws the title of a chart, the line of `keys` below it, and the axes.
    pub(super) fn new(
        drawing: &'a mut Drawing,
        place: Place,
        title: &str,
        keys: &[Key<'_>],
        (x, y): (&Axis, &Axis),
    ) -> Self {
        let mut panel = Self {
            drawing,
            place,
            x: x.scale,
            y: y.scale,
        };
        panel.draw_head(title, keys);
        panel.draw_axes(x, y);
        panel
    }

    fn draw_head(&mut self, title: &str, keys: &[Key<'_>]) {
        let (x, y) = (self.inner_left(), self.place.top + 20.0);
        self.drawing.text((x, y), Anchor::Start, "panel", title);
        // The keys share the width evenly: no text is measured.
        let width = self.inner_width() / keys.len().max(1) as f64;
        for (index, (class, text)) in keys.iter().enumerate() {
            let x = x + width * index as f64;
            self.drawing.dot((x + 4.0, y + 18.0), class);
            let at = (x + 14.0, y + 22.5);
            self.drawing.text(at, Anchor::Start, class, text);
        }
    }

    fn draw_axes(&mut self, x: &Axis, y: &Axis) {
        let (left, right) = (self.inner_left(), self.inner_left() + self.inner_width());
        let (top, bottom) = (self.inner_top(), self.bottom());
        for (tick, label) in &y.ticks {
            let height = self.y_of(*tick);
            self.drawing.line((left, height), (right, height), "grid");
            let at = (left - 8.0, height + 4.5);
            self.drawing.text(at, Anchor::End, "quiet", label);
        }
        for (tick, label) in &x.ticks {
            let place = self.x_of(*tick);
            self.drawing.line((place, top), (place, bottom), "grid");
            let at = (place, bottom + 18.0);
            self.drawing.text(at, Anchor::Middle, "quiet", label);
        }
        self.drawing.line((left, bottom), (right, bottom), "axis");
        let at = ((left + right) / 2.0, bottom + 36.0);
        self.drawing.text(at, Anchor::Middle, "quiet", x.unit);
    }

    /// Draws a line through `points`.
    pub(super) fn curve(&mut self, points: &[(f64, f64)], class: &str) {
        let points = self.on_paper(points);
        self.drawing.curve(&points, class);
    }

    /// Draws a line through `points`, and fills the area below it.
    pub(super) fn filled_curve(&mut self, points: &[(f64, f64)], class: &str) {
        let (points, base) = (self.on_paper(points), self.bottom());
        self.drawing.area(&points, base, class);
        self.drawing.curve(&points, class);
    }

    /// Fills the area below `points`, whose heights are shares of the height of the chart, and writes
    /// `name` at its right end, just above the axis: a curve that ends with its maximum is far from
    /// there.
    pub(super) fn backdrop(&mut self, points: &[(f64, f64)], name: &str, class: &str) {
        let base = self.bottom();
        let height = base - self.inner_top();
        let points: Vec<_> = points
            .iter()
            .map(|(x, share)| (self.x_of(*x), base - share * height))
            .collect();
        self.drawing.area(&points, base, class);
        if let Some((x, _)) = points.last() {
            let at = (x - 6.0, base - 8.0);
            self.drawing.text(at, Anchor::End, class, name);
        }
    }

    pub(super) fn dot(&mut self, (x, y): (f64, f64), class: &str) {
        let at = (self.x_of(x), self.y_of(y));
        self.drawing.dot(at, class);
    }

    /// Draws a horizontal line at `value`, with its name above it.
    pub(super) fn limit(&mut self, value: f64, name: &str) {
        let (left, right) = (self.inner_left(), self.inner_left() + self.inner_width());
        let height = self.y_of(value);
        self.drawing.line((left, height), (right, height), "limit");
        let at = (left + 6.0, height - 5.0);
        self.drawing.text(at, Anchor::Start, "threshold", name);
    }

    fn on_paper(&self, points: &[(f64, f64)]) -> Vec<(f64, f64)> {
        let points = points.iter();
        points
            .map(|(x, y)| (self.x_of(*x), self.y_of(*y)))
            .collect()
    }

    fn x_of(&self, value: f64) -> f64 {
        self.inner_left() + self.x.place(value) * self.inner_width()
    }

    fn y_of(&self, value: f64) -> f64 {
        self.bottom() - self.y.place(value) * (self.bottom() - self.inner_top())
    }

    fn inner_left(&self) -> f64 {
        self.place.left + LEFT
    }

    fn inner_width(&self) -> f64 {
        self.place.width - LEFT - RIGHT
    }

    fn inner_top(&self) -> f64 {
        self.place.top + TOP
    }

    fn bottom(&self) -> f64 {
        self.place.top + self.place.height - BOTTOM
    }
}

/// Space for the labels of the vertical axis, such as `10,000,000/s`.
const LEFT: f64 = 96.0;
/// Space for the right half of the last label of the horizontal axis.
const RIGHT: f64 = 32.0;
/// Space for the title and the keys, and for the name of a limit at the top.
const TOP: f64 = 64.0;
/// Space for the labels and the unit of the horizontal axis.
const BOTTOM: f64 = 48.0;
