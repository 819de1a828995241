//! Scales and SVG elements of one panel of a chart.

use std::fmt::Write;

/// A rectangle of the picture with a time axis and a value axis from 0.
#[derive(Debug, Clone, Copy)]
pub(super) struct Panel {
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) top: f64,
    pub(super) bottom: f64,
    /// Seconds at the right edge.
    pub(super) seconds: f64,
    /// Value at the top edge.
    pub(super) most: f64,
}

impl Panel {
    /// Where a moment is.
    pub(super) fn x(&self, at: f64) -> f64 {
        let share = (at / self.seconds).clamp(0.0, 1.0);
        self.left + share * (self.right - self.left)
    }

    /// Where a value is.
    pub(super) fn y(&self, value: f64) -> f64 {
        let share = (value / self.most).clamp(0.0, 1.0);
        self.bottom - share * (self.bottom - self.top)
    }

    /// The points as a path, `M x y L x y ...`.
    pub(super) fn line(&self, points: &[(f64, f64)]) -> String {
        let mut path = String::new();
        for (index, (at, value)) in points.iter().enumerate() {
            let command = if index == 0 { 'M' } else { 'L' };
            let _ = write!(path, "{command}{:.1} {:.1} ", self.x(*at), self.y(*value));
        }
        path
    }

    /// The area between the points and the time axis.
    pub(super) fn area(&self, points: &[(f64, f64)]) -> String {
        let (Some(first), Some(last)) = (points.first(), points.last()) else {
            return String::new();
        };
        let closed = [&[(first.0, 0.0)], points, &[(last.0, 0.0)]].concat();
        self.line(&closed) + "Z"
    }

    /// Grid lines and their labels; `label` writes a value.
    pub(super) fn grid(&self, label: impl Fn(f64) -> String) -> String {
        let mut text = String::new();
        for value in ticks(self.most) {
            let (left, right, y) = (self.left, self.right, self.y(value));
            let _ = writeln!(
                text,
                r#"<path class="grid" d="M{left} {y:.1}H{right}"/><text class="tick" x="{:.1}" y="{:.1}" text-anchor="end">{}</text>"#,
                left - 8.0,
                y + 4.0,
                label(value)
            );
        }
        text
    }
}

/// Rates between cumulative counts, each drawn over its whole interval.
pub(super) fn steps(rates: &[(f64, f64, f64)]) -> Vec<(f64, f64)> {
    let ends = |(from, to, rate): &(f64, f64, f64)| [(*from, *rate), (*to, *rate)];
    rates.iter().flat_map(ends).collect()
}

/// The least round number (1, 2, 5 times a power of ten) times a few that covers `value`.
pub(super) fn round_up(value: f64) -> f64 {
    let step = step(value);
    (value / step).ceil().max(1.0) * step
}

fn ticks(most: f64) -> impl Iterator<Item = f64> {
    let step = step(most);
    let count = (most / step).round() as usize;
    (0..=count).map(move |index| index as f64 * step)
}

/// A round step of which three to six make `value`.
fn step(value: f64) -> f64 {
    let rough = value.max(1.0) / 4.0;
    let power = 10_f64.powf(rough.log10().floor());
    let factor = match rough / power {
        share if share < 1.5 => 1.0,
        share if share < 3.5 => 2.0,
        share if share < 7.5 => 5.0,
        _ => 10.0,
    };
    factor * power
}

#[cfg(test)]
mod tests {
    use super::*;

    const PANEL: Panel = Panel {
        left: 10.0,
        right: 110.0,
        top: 0.0,
        bottom: 50.0,
        seconds: 10.0,
        most: 100.0,
    };

    #[test]
    fn moments_and_values_have_their_places() {
        assert_eq!((PANEL.x(5.0), PANEL.y(100.0)), (60.0, 0.0));
        assert_eq!((PANEL.x(11.0), PANEL.y(-1.0)), (110.0, 50.0));
    }

    #[test]
    fn an_area_ends_on_the_axis() {
        assert_eq!(
            PANEL.area(&[(0.0, 100.0)]),
            "M10.0 50.0 L10.0 0.0 L10.0 50.0 Z"
        );
        assert_eq!(PANEL.area(&[]), "");
    }

    #[test]
    fn scales_are_round() {
        for (value, rounded) in [(81.0, 100.0), (1_010_000.0, 1_200_000.0), (0.0, 0.2)] {
            assert_eq!(round_up(value), rounded, "{value}");
        }
        assert_eq!(
            ticks(100.0).collect::<Vec<_>>(),
            [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]
        );
    }
}
