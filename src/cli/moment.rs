//! Moments on the command line. Promise: people read and write times of the office's zone, whatever the machine's is; what is printed says so.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use tokio_postgres::Client;

/// A point in time as a person writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// With an offset.
    At(DateTime<Utc>),
    /// `2026-12-22 18:30:00` on the office's clock.
    Local(NaiveDateTime),
}

impl Moment {
    /// As it is in a zone. An hour that a change of clocks skips is taken as if it had not been.
    pub(super) fn of(self, zone: Tz) -> DateTime<Utc> {
        match self {
            Self::At(at) => at,
            Self::Local(local) => match zone.from_local_datetime(&local).earliest() {
                Some(at) => at.to_utc(),
                None => local.and_utc() - TimeDelta::seconds(offset(zone, local)),
            },
        }
    }
}

/// Seconds by which the zone was ahead of UTC a day before.
fn offset(zone: Tz, local: NaiveDateTime) -> i64 {
    let before = local - TimeDelta::days(1);
    let there = zone.from_utc_datetime(&before).naive_local();
    (there - before).num_seconds()
}

/// A point in time, or so long before now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Since {
    /// `2026-12-22 18:30:00`
    At(Moment),
    /// `7d`, `12h`, `30m`.
    Ago(TimeDelta),
}

impl Since {
    /// As seen at `now`.
    pub(super) fn before(self, now: DateTime<Utc>, zone: Tz) -> DateTime<Utc> {
        match self {
            Self::At(at) => at.of(zone),
            Self::Ago(ago) => now.checked_sub_signed(ago).unwrap_or(DateTime::UNIX_EPOCH),
        }
    }
}

pub(super) fn since(text: &str) -> Result<Since, String> {
    let unit = text.chars().last().unwrap_or_default();
    let number = text.strip_suffix(unit).and_then(|n| n.trim().parse::<i64>().ok());
    let ago = match (number, unit) {
        (Some(n @ 1..=100_000), 'd') => Some(TimeDelta::days(n)),
        (Some(n @ 1..=100_000), 'h') => Some(TimeDelta::hours(n)),
        (Some(n @ 1..=100_000), 'm') => Some(TimeDelta::minutes(n)),
        _ => None,
    };
    match ago {
        Some(ago) => Ok(Since::Ago(ago)),
        None => moment(text).map(Since::At).map_err(|_| {
            "write it as 7d, 12h, 30m, or as 2026-12-22 18:30:00 (the office's time, or with an offset such as +07:00)"
                .to_owned()
        }),
    }
}

/// A point in time: the office's, or with an offset.
pub(super) fn moment(text: &str) -> Result<Moment, String> {
    let with_t = text.trim().replacen(' ', "T", 1);
    // As psql prints it: +07 for +07:00.
    for written in [&with_t, &format!("{with_t}:00")] {
        if let Ok(at) = DateTime::parse_from_rfc3339(written) {
            return Ok(Moment::At(at.to_utc()));
        }
    }
    for format in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"] {
        if let Ok(at) = NaiveDateTime::parse_from_str(&with_t, format) {
            return Ok(Moment::Local(at));
        }
    }
    NaiveDate::parse_from_str(&with_t, "%Y-%m-%d")
        .map(|day| Moment::Local(day.and_time(NaiveTime::MIN)))
        .map_err(|_| {
            "write it as 2026-12-22 18:30:00, or with an offset: 2026-12-22 18:30:00+07:00".to_owned()
        })
}

/// The office's time zone.
pub(super) async fn zone(client: &Client) -> Result<Tz, tokio_postgres::Error> {
    let name: String = client
        .query_one("select sicantik_notify.office_zone()", &[])
        .await?
        .get(0);
    Ok(name.parse().unwrap_or(Tz::UTC))
}

/// A moment for people.
pub(super) fn shown(at: DateTime<Utc>, zone: Tz) -> String {
    at.with_timezone(&zone).format("%Y-%m-%d %H:%M:%S %Z").to_string()
}

/// A moment for people, where there is one.
pub(super) fn shown_or(at: Option<DateTime<Utc>>, zone: Tz, otherwise: &str) -> String {
    at.map_or_else(|| otherwise.to_owned(), |at| shown(at, zone))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_the_offices_unless_they_say_otherwise() {
        let zone = chrono_tz::Asia::Jakarta;
        let at = |text: &str| moment(text).map(|at| at.of(zone).to_rfc3339());
        for (text, said) in [
            ("2026-12-22 18:30:00", "2026-12-22T11:30:00+00:00"),
            ("2026-12-22 18:30", "2026-12-22T11:30:00+00:00"),
            ("2026-12-22T18:30:00Z", "2026-12-22T18:30:00+00:00"),
            ("2026-12-22 18:30:00+07", "2026-12-22T11:30:00+00:00"),
            ("2026-12-22 18:30:00.5+07:00", "2026-12-22T11:30:00.500+00:00"),
            ("2026-12-22", "2026-12-21T17:00:00+00:00"),
        ] {
            assert_eq!(at(text).as_deref(), Ok(said), "{text}");
        }
        assert!(at("yesterday").is_err_and(|e| e.contains("2026-12-22 18:30")));
        assert_eq!(
            moment("2026-12-22 08:00")
                .map(|at| shown(at.of(zone), zone))
                .as_deref(),
            Ok("2026-12-22 08:00:00 WIB")
        );
        // An hour that does not exist.
        let skipped = moment("2026-03-29 02:30").map(|at| at.of(chrono_tz::Europe::Berlin).to_rfc3339());
        assert_eq!(skipped.as_deref(), Ok("2026-03-29T01:30:00+00:00"));
    }

    #[test]
    fn so_long_ago() {
        assert_eq!(since("7d"), Ok(Since::Ago(TimeDelta::days(7))));
        assert_eq!(since("90m"), Ok(Since::Ago(TimeDelta::minutes(90))));
        for wrong in ["", "d", "0d", "-1d", "7 days", "é"] {
            assert!(since(wrong).is_err(), "{wrong}");
        }
    }
}
