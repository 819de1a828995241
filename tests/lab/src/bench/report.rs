//! What came out: a table for people, JSON for the rest.

use std::fmt;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use super::figure::Target;

/// A figure as measured, one value per round.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Measured {
    name: String,
    unit: &'static str,
    min: f64,
    median: f64,
    max: f64,
    runs: usize,
    command: String,
    #[serde(skip)]
    target: Target,
}

impl Measured {
    /// Of the values of all rounds.
    pub(super) fn new(
        name: impl Into<String>,
        unit: &'static str,
        target: Target,
        values: &[f64],
        command: String,
    ) -> Self {
        let Spread { min, median, max } = Spread::of(values);
        Self {
            name: name.into(),
            unit,
            min,
            median,
            max,
            runs: values.len(),
            command,
            target,
        }
    }

    /// Whether anything was promised of it.
    pub(super) fn is_promised(&self) -> bool {
        self.target != Target::None
    }

    /// Whether it is one of the transport matrix's many numbers.
    pub(super) fn is_of_the_matrix(&self) -> bool {
        self.name.starts_with("transport.")
    }

    /// Whether the median reaches the target.
    pub(super) fn met(&self) -> bool {
        self.target.met(self.median)
    }
}

/// `name  min-median-max  target  verdict` and what was run.
impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spread = Spread {
            min: self.min,
            median: self.median,
            max: self.max,
        };
        let target = match self.target {
            Target::AtLeast(least) => format!(">= {least}"),
            Target::AtMost(most) => format!("<= {most}"),
            Target::None => "-".to_owned(),
        };
        let verdict = match (self.target, self.met()) {
            (Target::None, _) => "",
            (_, true) => "ok",
            (_, false) => "BELOW TARGET",
        };
        let (name, unit, runs) = (&self.name, self.unit, self.runs);
        writeln!(
            f,
            "{name:<26} {spread:<22} {unit:<6} {target:<8} {runs} runs  {verdict}"
        )?;
        write!(f, "    {}", self.command)
    }
}

/// Smallest, middle and largest of some values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spread {
    pub(super) min: f64,
    pub(super) median: f64,
    pub(super) max: f64,
}

impl Spread {
    /// All 0 without values.
    pub(super) fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or(0.0);
        let last = sorted.len().saturating_sub(1);
        Self {
            min: at(0),
            median: (at(last / 2) + at(last.div_ceil(2))) / 2.0,
            max: at(last),
        }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { min, median, max } = self;
        let digits = if *max >= 20.0 { 0 } else { 2 };
        f.pad(&format!(
            "{min:.digits$} - {median:.digits$} - {max:.digits$}"
        ))
    }
}

/// What can't be measured here, and why not.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Impossible {
    /// As a figure's, but for its last part.
    pub(super) name: String,
    /// In the words of who refused.
    pub(super) not_possible: String,
}

/// Writes all figures as JSON, and what there could be no figure of.
pub(super) fn write(path: &Path, figures: &[Measured], others: &[Impossible]) -> Result<()> {
    let figures = figures.iter().map(serde_json::to_value);
    let all = figures.chain(others.iter().map(serde_json::to_value));
    let all: Vec<_> = all.collect::<Result<_, _>>()?;
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let text = serde_json::to_string_pretty(&all)?;
    std::fs::write(path, text + "\n").with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_min_median_max() {
        let cases: [(&[f64], _); 4] = [
            (&[], "0.00 - 0.00 - 0.00"),
            (&[2.0], "2.00 - 2.00 - 2.00"),
            (&[3.0, 1.0, 2.0], "1.00 - 2.00 - 3.00"),
            (&[40.0, 10.0, 20.0, 30.0], "10 - 25 - 40"),
        ];
        for (values, expected) in cases {
            assert_eq!(Spread::of(values).to_string(), expected);
        }
    }

    #[test]
    fn a_missed_target_is_said() {
        let measured = Measured::new(
            "a",
            "ratio",
            Target::AtLeast(0.7),
            &[0.5, 0.6],
            "bench".into(),
        );
        assert!(measured.to_string().contains("BELOW TARGET"));
        let measured = Measured::new(
            "a",
            "ratio",
            Target::AtLeast(0.7),
            &[0.7, 0.8],
            "bench".into(),
        );
        assert!(measured.to_string().contains("ok"));
    }

    #[test]
    fn json_has_the_promised_fields() {
        let measured = Measured::new(
            "guard.accept_ns@1",
            "ns",
            Target::None,
            &[1.0, 2.0, 3.0],
            "bench".into(),
        );
        let expected = serde_json::json!({
            "name": "guard.accept_ns@1", "unit": "ns", "min": 1.0, "median": 2.0, "max": 3.0,
            "runs": 3, "command": "bench",
        });
        assert_eq!(serde_json::to_value(measured).unwrap(), expected);
    }
}
