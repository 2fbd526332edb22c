//! How many records a batch takes. A batch is one transaction and cannot be cut short without losing its work, so its size
//! is chosen such that it stays within the budget: halved after a slow one, doubled after a quick full one, one record after a
//! failure. Pure.

use std::time::Duration;

/// What a batch may take.
const BUDGET: Duration = Duration::from_secs(2);

/// The size of the next batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    records: u32,
    most: u32,
}

impl Pace {
    /// Begins with the largest size.
    pub fn new(most: u32) -> Self {
        let most = most.max(1);
        Self { records: most, most }
    }

    /// Records of the next batch.
    pub fn records(self) -> u32 {
        self.records
    }

    /// A batch was evaluated; full: it got as many records as it asked for.
    pub fn took(&mut self, time: Duration, full: bool) {
        if time > BUDGET {
            self.records = (self.records / 2).max(1);
        } else if full && time < BUDGET / 2 {
            self.records = self.records.saturating_mul(2).min(self.most);
        }
    }

    /// The more cautious of two.
    pub fn min(self, other: Self) -> Self {
        Self {
            records: self.records.min(other.records),
            ..self
        }
    }

    /// A batch failed: one record by itself, then more as long as that works.
    pub fn failed(&mut self) {
        self.records = 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_batches_shrink_and_quick_full_ones_grow() {
        let (slow, quick) = (Duration::from_secs(3), Duration::from_millis(50));
        let mut pace = Pace::new(500);
        pace.took(slow, true);
        assert_eq!(pace.records(), 250);
        pace.took(quick, false);
        assert_eq!(
            pace.records(),
            250,
            "a small batch says nothing about a large one"
        );
        pace.took(Duration::from_millis(1500), true);
        assert_eq!(pace.records(), 250);
        pace.took(quick, true);
        pace.took(quick, true);
        assert_eq!(pace.records(), 500, "never more than the most");
        pace.failed();
        for doubled in [1, 2, 4, 8] {
            assert_eq!(pace.records(), doubled);
            pace.took(quick, true);
        }
        for _ in 0..20 {
            pace.took(slow, true);
        }
        assert_eq!(pace.records(), 1, "never less than one");
        assert_eq!(Pace::new(0).records(), 1);
    }
}
