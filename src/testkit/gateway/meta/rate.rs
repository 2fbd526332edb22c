//! Meta's two limits of pace, both off until a test wants them.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// How often one user may be written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairRate {
    /// Time that one message uses up.
    pub every: Duration,
    /// How many may come at once, within one `every`; each still costs its time, so a burst is paid for by silence.
    pub burst: u32,
}

impl PairRate {
    /// As published: one in 6 s, and up to 45 at once on credit.
    pub const PUBLISHED: Self = Self {
        every: Duration::from_secs(6),
        burst: 45,
    };
    /// One in 6 s without credit: shows a client that lives on bursts.
    pub const STRICT: Self = Self {
        every: Duration::from_secs(6),
        burst: 1,
    };
}

#[derive(Debug, Default)]
pub(super) struct Rates {
    pair: Option<PairRate>,
    throughput: Option<u32>,
    debts: HashMap<String, Debt>,
    last_second: VecDeque<Duration>,
}

#[derive(Debug)]
struct Debt {
    burst_began: Duration,
    in_burst: u32,
    free_again: Duration,
}

impl Rates {
    pub fn set_pair(&mut self, rate: Option<PairRate>) {
        self.pair = rate;
        self.debts.clear();
    }

    pub fn set_throughput(&mut self, per_second: Option<u32>) {
        self.throughput = per_second;
        self.last_second.clear();
    }

    /// True when one more message fits this second; not counted yet, as the pair may still refuse it.
    pub fn second_has_room(&mut self, now: Duration) -> bool {
        let Some(limit) = self.throughput else { return true };
        while self
            .last_second
            .front()
            .is_some_and(|at| now.saturating_sub(*at) >= Duration::from_secs(1))
        {
            self.last_second.pop_front();
        }
        self.last_second.len() < limit as usize
    }

    /// Counts a message against its second.
    pub fn count_second(&mut self, now: Duration) {
        if self.throughput.is_some() {
            self.last_second.push_back(now);
        }
    }

    /// True, and counted, when this user may be written to now.
    pub fn pair_has_room(&mut self, to: &str, now: Duration) -> bool {
        let Some(rate) = self.pair else { return true };
        let Some(debt) = self.debts.get_mut(to) else {
            let debt = Debt {
                burst_began: now,
                in_burst: 1,
                free_again: now + rate.every,
            };
            self.debts.insert(to.to_owned(), debt);
            return true;
        };
        if now >= debt.free_again {
            *debt = Debt {
                burst_began: now,
                in_burst: 1,
                free_again: now + rate.every,
            };
            return true;
        }
        let on_credit = now.saturating_sub(debt.burst_began) < rate.every && debt.in_burst < rate.burst;
        if on_credit {
            debt.in_burst += 1;
            debt.free_again += rate.every;
        }
        on_credit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_paid_for_by_silence() {
        let mut rates = Rates::default();
        rates.set_pair(Some(PairRate::PUBLISHED));
        let second = Duration::from_secs;
        assert!((0..20).all(|_| rates.pair_has_room("62812", second(0))));
        assert!(!rates.pair_has_room("62812", second(119)));
        assert!(rates.pair_has_room("62899", second(119)));
        assert!(rates.pair_has_room("62812", second(120)));

        rates.set_pair(Some(PairRate::PUBLISHED));
        assert_eq!(
            (0..60)
                .filter(|_| rates.pair_has_room("62812", second(0)))
                .count(),
            45
        );
    }

    #[test]
    fn a_second_ends() {
        let mut rates = Rates::default();
        rates.set_throughput(Some(2));
        let mut fits = |millis| {
            let now = Duration::from_millis(millis);
            let fits = rates.second_has_room(now);
            if fits {
                rates.count_second(now);
            }
            fits
        };
        assert!(fits(0) && fits(900));
        assert!(!fits(999));
        assert!(fits(1000));
        assert!(!fits(1899));
    }
}
