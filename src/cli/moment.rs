//! Moments on the command line.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};

/// A point in time, or so long before now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Since {
    /// `2026-12-22 18:30:00`, UTC, or with an offset.
    At(DateTime<Utc>),
    /// `7d`, `12h`, `30m`.
    Ago(TimeDelta),
}

impl Since {
    /// As seen at `now`.
    pub(super) fn before(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::At(at) => at,
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
            "write it as 7d, 12h, 30m, or as 2026-12-22 18:30:00 (UTC, or with an offset such as +07:00)"
                .to_owned()
        }),
    }
}

/// A point in time: UTC, or with an offset.
pub(super) fn moment(text: &str) -> Result<DateTime<Utc>, String> {
    let with_t = text.replacen(' ', "T", 1);
    if let Ok(at) = DateTime::parse_from_rfc3339(&with_t) {
        return Ok(at.to_utc());
    }
    // As psql prints it: +07 for +07:00.
    if let Ok(at) = DateTime::parse_from_rfc3339(&format!("{with_t}:00")) {
        return Ok(at.to_utc());
    }
    for format in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"] {
        if let Ok(at) = NaiveDateTime::parse_from_str(with_t.trim_end_matches('Z'), format) {
            return Ok(at.and_utc());
        }
    }
    NaiveDate::parse_from_str(text, "%Y-%m-%d")
        .map(|day| day.and_time(NaiveTime::MIN).and_utc())
        .map_err(|_| "write it as 2026-12-22 18:30:00".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_utc_unless_they_say_otherwise() {
        let at = |text: &str| moment(text).map(|at| at.to_rfc3339());
        assert_eq!(
            at("2026-12-22 18:30:00").as_deref(),
            Ok("2026-12-22T18:30:00+00:00")
        );
        assert_eq!(at("2026-12-22 18:30").as_deref(), Ok("2026-12-22T18:30:00+00:00"));
        assert_eq!(
            at("2026-12-22T18:30:00Z").as_deref(),
            Ok("2026-12-22T18:30:00+00:00")
        );
        assert_eq!(
            at("2026-12-22 18:30:00+07").as_deref(),
            Ok("2026-12-22T11:30:00+00:00")
        );
        assert_eq!(
            at("2026-12-22 18:30:00.5+07:00").as_deref(),
            Ok("2026-12-22T11:30:00.500+00:00")
        );
        assert_eq!(at("2026-12-22").as_deref(), Ok("2026-12-22T00:00:00+00:00"));
        assert!(at("yesterday").is_err());
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
