//! Where a claim begins to look. The index of ready messages keeps what was claimed until no snapshot of the server may want it any more:
//! under one that is held for long (a report, a dump, a forgotten transaction) a look from the index's beginning walks past every
//! message that has gone since, and takes a hundred times as long.
//!
//! So, while looks are measured to be slow, most of them begin, for each priority, where the last one found its first message. That is a
//! hint and may miss something: what became ready with an older time. (Not the order of one recipient's messages: the claim takes the
//! first of each that it meets.) A look at everything comes again and again, as often as a
//! twentieth of the time allows, and at least every ten seconds.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

/// An empty look takes a millisecond or two.
const SLOW: Duration = Duration::from_millis(5);
/// What each claimed message may add.
const SLOW_EACH: Duration = Duration::from_micros(200);
/// So many slow ones in a row: a single one is the machine's affair.
const IN_A_ROW: usize = 3;
/// Between two looks at everything, while they are slow.
const OFTEN: Duration = Duration::from_secs(1);
const SELDOM: Duration = Duration::from_secs(10);
const SHARE: u32 = 20;
/// A message is found although its transaction took so long to commit.
const MARGIN: Duration = Duration::from_secs(3);

/// Before there was a message.
const AGES: f64 = 1e9;

/// What earlier looks have found.
#[derive(Debug, Default)]
pub struct Lookout {
    /// What the last looks at everything took beyond what they claimed, slow ones only.
    slow: Vec<Duration>,
    everything: Option<Instant>,
    /// For each priority that was ever met: the first message of the last look that found one; none: there was none.
    first: BTreeMap<i32, Option<DateTime<Utc>>>,
    /// When there was nothing at all the last time.
    nothing: Option<Instant>,
}

/// From where on a look is to be: priorities, the first time of each (none: that long ago), seconds.
#[derive(Debug, Default, PartialEq)]
pub struct Bounds {
    pub(super) priorities: Option<Vec<i32>>,
    pub(super) since: Vec<Option<DateTime<Utc>>>,
    pub(super) seconds: f64,
}

impl Lookout {
    /// Where the next look begins; without priorities it is one at everything.
    pub(super) fn bounds(&self, now: Instant) -> Bounds {
        let Some(everything) = self.everything else {
            return Bounds::default();
        };
        if self.slow.len() < IN_A_ROW || now.saturating_duration_since(everything) >= self.interval() {
            return Bounds::default();
        }
        Bounds {
            priorities: Some(self.first.keys().copied().collect()),
            since: self.first.values().copied().collect(),
            seconds: self.nothing.map_or(AGES, |at| {
                (now.saturating_duration_since(at) + MARGIN).as_secs_f64()
            }),
        }
    }

    fn interval(&self) -> Duration {
        let least = self.slow.iter().min().copied().unwrap_or_default();
        (least * SHARE).clamp(OFTEN, SELDOM)
    }

    /// What a look that began at `begun` has found: how many messages, and priority and time of those that have one.
    pub(super) fn found(
        &mut self,
        bounds: &Bounds,
        begun: Instant,
        took: Duration,
        claimed: usize,
        messages: impl Iterator<Item = (i32, DateTime<Utc>)>,
    ) {
        let claimed = u32::try_from(claimed).unwrap_or(u32::MAX);
        let mut first = BTreeMap::<i32, DateTime<Utc>>::new();
        for (priority, at) in messages {
            first
                .entry(priority)
                .and_modify(|f| *f = at.min(*f))
                .or_insert(at);
        }
        if bounds.priorities.is_none() {
            self.everything = Some(begun);
            if took > SLOW + SLOW_EACH.saturating_mul(claimed) {
                self.slow.push(took);
                if self.slow.len() > IN_A_ROW {
                    self.slow.remove(0);
                }
            } else {
                self.slow.clear();
            }
        }
        if claimed == 0 {
            self.first.values_mut().for_each(|f| *f = None);
            self.nothing = Some(begun);
        }
        // Of the others nothing is known: the limit may have been reached before them.
        self.first
            .extend(first.into_iter().map(|(priority, at)| (priority, Some(at))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap_or_default()
    }

    const LONG: Duration = Duration::from_millis(100);

    /// Looks at everything that each took long, and found nothing.
    fn slow(lookout: &mut Lookout, begun: Instant, times: usize) {
        for _ in 0..times {
            lookout.found(&Bounds::default(), begun, LONG, 0, std::iter::empty());
        }
    }

    #[test]
    fn a_quick_look_is_one_at_everything() {
        let (mut lookout, now) = (Lookout::default(), Instant::now());
        assert_eq!(lookout.bounds(now), Bounds::default());
        slow(&mut lookout, now, IN_A_ROW - 1);
        assert_eq!(lookout.bounds(now), Bounds::default());
        lookout.found(
            &Bounds::default(),
            now,
            Duration::from_millis(1),
            0,
            std::iter::empty(),
        );
        slow(&mut lookout, now, IN_A_ROW - 1);
        assert_eq!(lookout.bounds(now), Bounds::default());
    }

    #[test]
    fn many_messages_may_take_their_time() {
        let (mut lookout, now) = (Lookout::default(), Instant::now());
        for _ in 0..IN_A_ROW {
            lookout.found(&Bounds::default(), now, LONG, 500, (0..500).map(|n| (5, at(n))));
        }
        assert_eq!(lookout.bounds(now), Bounds::default());
    }

    #[test]
    fn slow_looks_begin_where_the_last_one_found_something() {
        let (mut lookout, now) = (Lookout::default(), Instant::now());
        lookout.found(
            &Bounds::default(),
            now,
            LONG,
            3,
            [(9, at(50)), (5, at(7)), (5, at(3))].into_iter(),
        );
        slow(&mut lookout, now, IN_A_ROW);
        let bounds = lookout.bounds(now);
        assert_eq!(bounds.priorities, Some(vec![5, 9]));
        assert_eq!(bounds.since, [None, None]);
        lookout.found(&bounds, now, LONG, 2, [(5, at(80)), (5, at(70))].into_iter());
        let bounds = lookout.bounds(now + Duration::from_millis(500));
        assert_eq!(bounds.since, [Some(at(70)), None]);
        assert!((bounds.seconds - 3.5).abs() < 0.01);
    }

    #[test]
    fn everything_is_looked_at_again() {
        let (mut lookout, now) = (Lookout::default(), Instant::now());
        slow(&mut lookout, now, IN_A_ROW);
        assert!(lookout.bounds(now + LONG * (SHARE - 1)).priorities.is_some());
        assert_eq!(lookout.bounds(now + LONG * SHARE), Bounds::default());
        // However slow it is.
        for _ in 0..IN_A_ROW {
            lookout.found(
                &Bounds::default(),
                now,
                Duration::from_secs(5),
                0,
                std::iter::empty(),
            );
        }
        assert_eq!(lookout.bounds(now + SELDOM), Bounds::default());
    }
}
