//! The one table: what, measured, against, ratio, target, met.

use std::fmt;

/// What is asked of a figure.
#[derive(Clone, Copy)]
pub enum Target {
    AtMost(f64),
    AtLeast(f64),
    /// Named, not judged.
    None,
}

struct Row {
    what: String,
    measured: String,
    against: String,
    value: f64,
    unit: &'static str,
    target: Target,
}

#[derive(Default)]
pub struct Table {
    rows: Vec<Row>,
}

impl Table {
    /// A ratio of two figures of one run.
    pub fn ratio(&mut self, what: &str, measured: String, against: String, ratio: f64, target: Target) {
        self.push(what, measured, against, ratio, "", target);
    }

    /// A figure that is judged by itself.
    pub fn figure(&mut self, what: &str, value: f64, unit: &'static str, against: &str, target: Target) {
        self.push(what, String::new(), against.to_owned(), value, unit, target);
    }

    fn push(
        &mut self,
        what: &str,
        measured: String,
        against: String,
        value: f64,
        unit: &'static str,
        target: Target,
    ) {
        let row = Row {
            what: what.to_owned(),
            measured,
            against,
            value,
            unit,
            target,
        };
        eprintln!("   {}", row.cells().join(" | "));
        self.rows.push(row);
    }
}

impl Row {
    fn cells(&self) -> [String; 6] {
        let number = |value: f64| match value.abs() {
            v if v >= 1000.0 => format!("{value:.0}"),
            v if v >= 20.0 => format!("{value:.1}"),
            _ => format!("{value:.2}"),
        };
        let value = format!("{}{}", number(self.value), self.unit);
        let (target, met) = match self.target {
            Target::AtMost(t) => (format!("≤ {}{}", number(t), self.unit), Some(self.value <= t)),
            Target::AtLeast(t) => (format!("≥ {}{}", number(t), self.unit), Some(self.value >= t)),
            Target::None => ("–".into(), None),
        };
        let met = match met {
            Some(true) => "yes",
            Some(false) => "NO",
            None => "–",
        };
        [
            self.what.clone(),
            self.measured.clone(),
            self.against.clone(),
            value,
            target,
            met.into(),
        ]
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["what", "measured", "against", "ratio", "target", "met"].map(str::to_owned);
        let rows: Vec<[String; 6]> = std::iter::once(head)
            .chain(self.rows.iter().map(Row::cells))
            .collect();
        let width = |column: usize| rows.iter().map(|r| r[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..6).map(width).collect();
        for (number, row) in rows.iter().enumerate() {
            for (cell, width) in row.iter().zip(&widths) {
                write!(f, "| {cell}{} ", " ".repeat(width - cell.chars().count()))?;
            }
            writeln!(f, "|")?;
            if number == 0 {
                for width in &widths {
                    write!(f, "|{}", "-".repeat(width + 2))?;
                }
                writeln!(f, "|")?;
            }
        }
        Ok(())
    }
}

/// The middle of them.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
    }
}

/// The value that this part of them does not exceed.
pub fn percentile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    sorted
        .get(((last as f64) * part).round() as usize)
        .copied()
        .unwrap_or(f64::NAN)
}

/// The median of pairwise ratios.
pub fn paired(ours: &[f64], floor: &[f64]) -> f64 {
    let ratios: Vec<f64> = ours.iter().zip(floor).map(|(o, f)| o / f).collect();
    median(&ratios)
}
