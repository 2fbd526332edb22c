//! Schedules against an independent calendar: one that knows nothing but a clock on the wall, looked at every minute. It lists the
//! minutes at which that clock shows a wanted time for the first time, or has jumped over one.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::HashSet;

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, TimeDelta, Timelike, Utc};
use chrono_tz::Tz;
use proptest::prelude::*;
use sicantik_notifyd::schedule::calendar::{Schedule, Unit};

/// One field of an expression as a set, and whether it is a star.
#[derive(Clone, Debug)]
struct Field {
    text: String,
    values: Vec<u32>,
    star: bool,
}

fn field(low: u32, high: u32) -> BoxedStrategy<Field> {
    let star = Just(Field {
        text: "*".into(),
        values: (low..=high).collect(),
        star: true,
    });
    let one = (low..=high).prop_map(|v| Field {
        text: v.to_string(),
        values: vec![v],
        star: false,
    });
    let list = prop::collection::btree_set(low..=high, 1..4).prop_map(|set| Field {
        text: set.iter().map(u32::to_string).collect::<Vec<_>>().join(","),
        values: set.into_iter().collect(),
        star: false,
    });
    let range = (low..=high, low..=high).prop_map(|(a, b)| {
        let (a, b) = (a.min(b), a.max(b));
        Field {
            text: format!("{a}-{b}"),
            values: (a..=b).collect(),
            star: false,
        }
    });
    prop_oneof![3 => star, 3 => one, 2 => list, 1 => range].boxed()
}

#[derive(Clone, Debug)]
struct Expression {
    text: String,
    fields: Vec<Field>,
}

fn expression() -> impl Strategy<Value = Expression> {
    let hours = prop_oneof![
        field(0, 23),
        // Where clocks change.
        (0_u32..=4).prop_map(|v| Field {
            text: v.to_string(),
            values: vec![v],
            star: false,
        })
    ];
    (field(0, 59), hours, field(1, 31), field(1, 12), field(0, 6)).prop_map(|(a, b, c, d, e)| {
        let fields = vec![a, b, c, d, e];
        let text = fields
            .iter()
            .map(|f| f.text.as_str())
            .collect::<Vec<_>>()
            .join(" ");
        Expression { text, fields }
    })
}

impl Expression {
    /// As crontab(5): where day and weekday are both restricted, either will do.
    fn wants(&self, at: NaiveDateTime) -> bool {
        let has = |i: usize, v: u32| self.fields[i].values.contains(&v);
        let (day, weekday) = (has(2, at.day()), has(4, at.weekday().num_days_from_sunday()));
        let days = match (self.fields[2].star, self.fields[4].star) {
            (false, false) => day || weekday,
            _ => day && weekday,
        };
        has(0, at.minute()) && has(1, at.hour()) && has(3, at.month()) && days
    }
}

/// The minutes in which the clock on the wall of that zone comes to a wanted time.
fn walk(
    zone: Tz,
    from: DateTime<Utc>,
    minutes: i64,
    wants: impl Fn(NaiveDateTime) -> bool,
) -> Vec<DateTime<Utc>> {
    let show = |at: DateTime<Utc>| at.with_timezone(&zone).naive_local();
    // What was shown before the walk began: a clock may just have been set back.
    let mut shown: HashSet<NaiveDateTime> =
        (1..=3 * 60).map(|m| show(from - TimeDelta::minutes(m))).collect();
    let mut before = show(from - TimeDelta::minutes(1));
    let mut found = Vec::new();
    for m in 0..minutes {
        let at = from + TimeDelta::minutes(m);
        let now = show(at);
        let mut due = shown.insert(now) && wants(now);
        // Jumped over.
        let mut skipped = before + TimeDelta::minutes(1);
        while skipped < now {
            due |= shown.insert(skipped) && wants(skipped);
            skipped += TimeDelta::minutes(1);
        }
        if due {
            found.push(at);
        }
        before = now;
    }
    found
}

fn zone() -> impl Strategy<Value = Tz> {
    prop::sample::select(vec![
        chrono_tz::Asia::Jakarta,
        chrono_tz::Europe::Berlin,
        chrono_tz::America::New_York,
        chrono_tz::Australia::Lord_Howe,
        chrono_tz::UTC,
    ])
}

/// Near what is difficult: clock changes of these zones, ends of years and months, leap days; and anywhere.
fn moment() -> impl Strategy<Value = DateTime<Utc>> {
    let near = prop::sample::select(vec![
        "2026-03-29T00:00:00Z", // Berlin forward
        "2026-10-25T00:00:00Z", // Berlin back
        "2026-03-08T06:00:00Z", // New York forward
        "2026-11-01T05:00:00Z", // New York back
        "2026-04-04T15:00:00Z", // Lord Howe back by half an hour
        "2026-10-03T15:30:00Z", // Lord Howe forward
        "2026-12-31T17:00:00Z", // Jakarta's new year
        "2027-01-01T00:00:00Z",
        "2028-02-28T20:00:00Z",
        "2026-02-28T20:00:00Z",
        "2026-04-30T20:00:00Z",
    ]);
    let near = (near, -300_i64..300)
        .prop_map(|(at, minutes)| at.parse::<DateTime<Utc>>().unwrap() + TimeDelta::minutes(minutes));
    let anywhere = (0_i64..3 * 366 * 24 * 60)
        .prop_map(|m| "2026-01-01T00:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::minutes(m));
    prop_oneof![3 => near, 1 => anywhere]
}

/// All runs after a moment, and before another.
fn runs(schedule: &Schedule, zone: Tz, after: DateTime<Utc>, end: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    std::iter::successors(schedule.next(zone, after), |at| schedule.next(zone, *at))
        .take_while(|at| *at < end)
        .collect()
}

/// Wanted local times of an interval, by addition alone.
fn wanted(number: i64, unit: Unit, anchor: NaiveDateTime, until: NaiveDateTime) -> HashSet<NaiveDateTime> {
    let mut set = HashSet::new();
    for k in 0.. {
        let at = match unit {
            Unit::Days => anchor + TimeDelta::days(k * number),
            Unit::Weeks => anchor + TimeDelta::days(7 * k * number),
            Unit::Months => {
                let month = i64::from(anchor.month0()) + k * number;
                let (year, month) = (anchor.year() + (month / 12) as i32, (month % 12) as u32 + 1);
                let day = (1..=anchor.day())
                    .rev()
                    .find_map(|day| NaiveDate::from_ymd_opt(year, month, day))
                    .unwrap();
                day.and_time(anchor.time())
            }
            _ => unreachable!("these are not local times"),
        };
        if at > until {
            return set;
        }
        set.insert(at);
    }
    set
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn expressions_agree_with_the_clock_on_the_wall(
        written in expression(), zone in zone(), from in moment(), before in 1_i64..60_000_000,
    ) {
        let schedule = Schedule::cron(&written.text).unwrap();
        // Two days, by the minute.
        let minutes = 2 * 24 * 60;
        let expected = walk(zone, from, minutes, |at| written.wants(at));
        // Strictly after: the walk includes its first minute. Clocks are not at whole seconds when they are read.
        let found = runs(&schedule, zone, from - TimeDelta::microseconds(before), from + TimeDelta::minutes(minutes));
        prop_assert_eq!(found, expected, "{} in {}", written.text, zone);
    }

    #[test]
    fn intervals_agree_with_the_clock_on_the_wall(
        number in 1_i64..40,
        unit in prop::sample::select(vec![Unit::Days, Unit::Weeks, Unit::Months]),
        zone in zone(),
        from in moment(),
        back in 0_i64..500,
        hour in prop_oneof![0_u32..24, 0_u32..4],
        minute in 0_u32..60,
        last_of_month in any::<bool>(),
        before in 1_i64..60_000_000,
    ) {
        let mut day = (from - TimeDelta::days(back)).date_naive();
        if last_of_month {
            day = day.with_day(1).unwrap() + chrono::Months::new(1) - TimeDelta::days(1);
        }
        let anchor = day.and_hms_opt(hour, minute, 0).unwrap();
        let schedule = Schedule::Every { number: number as u32, unit, anchor };
        let minutes = 3 * 24 * 60;
        let until = (from + TimeDelta::minutes(minutes)).naive_utc() + TimeDelta::days(2);
        let set = wanted(number, unit, anchor, until);
        let expected = walk(zone, from, minutes, |at| set.contains(&at));
        let found = runs(&schedule, zone, from - TimeDelta::microseconds(before), from + TimeDelta::minutes(minutes));
        prop_assert_eq!(found, expected, "every {} {:?} from {} in {}", number, unit, anchor, zone);
    }

    #[test]
    fn minutes_and_hours_keep_their_length_whatever_the_clocks_do(
        number in 1_u32..3000,
        hours in any::<bool>(),
        zone in zone(),
        from in moment(),
        back in 0_i64..100,
    ) {
        let anchor = (from - TimeDelta::days(back)).date_naive().and_hms_opt(0, 0, 0).unwrap();
        let unit = if hours { Unit::Hours } else { Unit::Minutes };
        let schedule = Schedule::Every { number, unit, anchor };
        let step = TimeDelta::minutes(i64::from(number) * if hours { 60 } else { 1 });
        let upcoming = schedule.upcoming(zone, from, 5);
        prop_assert!(upcoming[0] > from);
        prop_assert!(upcoming.windows(2).all(|w| w[1] - w[0] == step), "{upcoming:?}");
        prop_assert!(upcoming[0] - step <= from || upcoming[0] == first(zone, anchor));
    }
}

fn first(zone: Tz, anchor: NaiveDateTime) -> DateTime<Utc> {
    sicantik_notifyd::schedule::calendar::instant(zone, anchor).unwrap()
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

#[test]
fn a_skipped_time_runs_after_the_gap_and_a_doubled_one_once() {
    let half_past_two = Schedule::cron("30 2 * * *").unwrap();
    let berlin = chrono_tz::Europe::Berlin;
    assert_eq!(
        half_past_two.upcoming(berlin, at("2026-03-28T12:00:00Z"), 2),
        [at("2026-03-29T01:00:00Z"), at("2026-03-30T00:30:00Z")]
    );
    assert_eq!(
        half_past_two.upcoming(berlin, at("2026-10-24T12:00:00Z"), 2),
        [at("2026-10-25T00:30:00Z"), at("2026-10-26T01:30:00Z")]
    );
    // Half an hour.
    let quarter_past_two = Schedule::cron("15 2 * * *").unwrap();
    let lord_howe = chrono_tz::Australia::Lord_Howe;
    assert_eq!(
        quarter_past_two.upcoming(lord_howe, at("2026-10-03T12:00:00Z"), 1),
        [at("2026-10-03T15:30:00Z")]
    );
}

#[test]
fn a_month_that_is_too_short_ends_at_its_end_and_the_next_one_goes_back_to_the_day() {
    let schedule = Schedule::Every {
        number: 1,
        unit: Unit::Months,
        anchor: "2026-01-31T08:00:00".parse().unwrap(),
    };
    let days: Vec<String> = schedule
        .upcoming(chrono_tz::Asia::Jakarta, at("2026-02-01T00:00:00Z"), 4)
        .iter()
        .map(|at| {
            at.with_timezone(&chrono_tz::Asia::Jakarta)
                .format("%m-%d %H:%M")
                .to_string()
        })
        .collect();
    assert_eq!(days, ["02-28 08:00", "03-31 08:00", "04-30 08:00", "05-31 08:00"]);
}

#[test]
fn sunday_is_zero_and_seven_and_the_date_line_was_moved_once() {
    let sunday = |text: &str| {
        Schedule::cron(text)
            .unwrap()
            .upcoming(chrono_tz::UTC, at("2026-01-01T00:00:00Z"), 2)
    };
    assert_eq!(sunday("0 8 * * 0"), sunday("0 8 * * 7"));
    // Samoa had no 30 December 2011: what would have run then runs as the 31st begins.
    let noon = Schedule::cron("0 12 30 * *").unwrap();
    assert_eq!(
        noon.upcoming(chrono_tz::Pacific::Apia, at("2011-12-01T00:00:00Z"), 1),
        [at("2011-12-30T10:00:00Z")]
    );
}
