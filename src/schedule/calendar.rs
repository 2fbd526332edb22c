//! When a schedule runs: a pure function of the schedule, its time zone and a moment. Promises: local times that the clocks skip
//! run at the first moment after the gap; local times that come twice run the first time only; months end where they end
//! (31st → 30th → 31st); days and weeks keep their local time whatever the clocks do, minutes and hours their length.

use chrono::{DateTime, Days, Months, NaiveDateTime, TimeDelta, TimeZone, Timelike, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::errors::CronError;
use croner::parser::{CronParser, Seconds, Year};

/// The longest gap that clocks ever made (a day, where the date line was moved), in minutes.
const LONGEST_GAP: i64 = 2 * 24 * 60;

/// Unit of an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Unit {
    Minutes,
    Hours,
    Days,
    Weeks,
    Months,
}

impl Unit {
    /// By its name in `interval_type`.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "minutes" => Self::Minutes,
            "hours" => Self::Hours,
            "days" => Self::Days,
            "weeks" => Self::Weeks,
            "months" => Self::Months,
            _ => return None,
        })
    }
}

/// When something is to run, in local time.
#[derive(Clone, Debug)]
pub enum Schedule {
    /// At the minutes that an expression of five fields names.
    Cron(Box<Cron>),
    /// At `anchor`, and every so often after it.
    Every {
        /// So many.
        number: u32,
        /// Of these.
        unit: Unit,
        /// The first run.
        anchor: NaiveDateTime,
    },
}

impl Schedule {
    /// An expression of five fields.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn cron(expression: &str) -> Result<Self, CronError> {
        let parser = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .build();
        Ok(Self::Cron(Box::new(parser.parse(expression)?)))
    }

    /// The first run after a moment; `None`: never again.
    pub fn next(&self, zone: Tz, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Cron(cron) => {
                // In a time zone without any changes, that is in local times; what they mean is ours to say.
                // The crate passes fractions of a second on: without them, it finds whole minutes.
                let mut local = after
                    .with_timezone(&zone)
                    .naive_local()
                    .with_nanosecond(0)?
                    .and_utc();
                loop {
                    local = cron.find_next_occurrence(&local, false).ok()?;
                    let at = instant(zone, local.naive_utc())?;
                    if at > after {
                        return Some(at);
                    }
                }
            }
            Self::Every { number, unit, anchor } => {
                every(i64::from((*number).max(1)), *unit, *anchor, zone, after)
            }
        }
    }

    /// The next runs after a moment, at most so many.
    pub fn upcoming(&self, zone: Tz, after: DateTime<Utc>, count: usize) -> Vec<DateTime<Utc>> {
        std::iter::successors(self.next(zone, after), |at| self.next(zone, *at))
            .take(count)
            .collect()
    }
}

/// What a local time means: its first moment, or the first moment after the gap in which it would lie.
pub fn instant(zone: Tz, local: NaiveDateTime) -> Option<DateTime<Utc>> {
    (0..=LONGEST_GAP).find_map(|minutes| {
        let local = local.checked_add_signed(TimeDelta::minutes(minutes))?;
        zone.from_local_datetime(&local)
            .earliest()
            .map(|at| at.with_timezone(&Utc))
    })
}

fn every(
    number: i64,
    unit: Unit,
    anchor: NaiveDateTime,
    zone: Tz,
    after: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let local = after.with_timezone(&zone).naive_local();
    let days = |step: i64| step_of_days(number, step, zone, anchor, local, after);
    match unit {
        Unit::Minutes => steady(TimeDelta::try_minutes(number)?, instant(zone, anchor)?, after),
        Unit::Hours => steady(TimeDelta::try_hours(number)?, instant(zone, anchor)?, after),
        Unit::Days => days(1),
        Unit::Weeks => days(7),
        Unit::Months => {
            let between = months(local) - months(anchor);
            first_after((between / number - 1).max(0), zone, after, |k| {
                let months = u32::try_from(k.checked_mul(number)?).ok()?;
                anchor.checked_add_months(Months::new(months))
            })
        }
    }
}

fn months(at: NaiveDateTime) -> i64 {
    use chrono::Datelike;
    i64::from(at.year()) * 12 + i64::from(at.month0())
}

fn steady(step: TimeDelta, first: DateTime<Utc>, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
    if after < first {
        return Some(first);
    }
    let seconds = step.num_seconds().max(1);
    let passed = (after - first).num_seconds() / seconds;
    let at = first.checked_add_signed(TimeDelta::try_seconds(seconds.checked_mul(passed + 1)?)?)?;
    Some(at)
}

fn step_of_days(
    number: i64,
    days: i64,
    zone: Tz,
    anchor: NaiveDateTime,
    local: NaiveDateTime,
    after: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let step = number.checked_mul(days)?;
    let passed = (local - anchor).num_days() / step;
    first_after((passed - 1).max(0), zone, after, |k| {
        let days = u64::try_from(k.checked_mul(step)?).ok()?;
        anchor.checked_add_days(Days::new(days))
    })
}

/// The first of a growing series of local times that lies after a moment, begun at or before it.
fn first_after(
    from: i64,
    zone: Tz,
    after: DateTime<Utc>,
    nth: impl Fn(i64) -> Option<NaiveDateTime>,
) -> Option<DateTime<Utc>> {
    for k in from.. {
        let at = instant(zone, nth(k)?)?;
        if at > after {
            return Some(at);
        }
    }
    None
}
