//! The schedule of a cron trigger as it is written in its row. What cannot be read is a problem that names the column and the
//! remedy; the trigger then does not run, and nothing else is concerned.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use chrono_tz::Tz;
use serde_json::{Map, Value};

use super::calendar::{Schedule, Unit};

/// When an interval of days, weeks or months begins where `anchor_at` says nothing: offices are open then.
const MORNING: NaiveTime = match NaiveTime::from_hms_opt(8, 0, 0) {
    Some(time) => time,
    None => NaiveTime::MIN,
};

/// When a trigger runs.
#[derive(Clone, Debug)]
pub struct Timing {
    /// In local time.
    pub schedule: Schedule,
    /// Of this zone.
    pub zone: Tz,
    /// The same as long as the schedule is.
    pub fingerprint: String,
    /// What happens to times that were missed.
    pub catch_up: CatchUp,
}

/// `trigger.catch_up`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CatchUp {
    /// The latest of them.
    Once,
    /// Each of them, within bounds.
    All,
    /// None.
    Skip,
}

/// Why a schedule cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Column.
    pub place: &'static str,
    /// What is wrong.
    pub text: String,
    /// What to do.
    pub remedy: String,
    /// There is no schedule at all.
    pub absent: bool,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}; {}", self.place, self.text, self.remedy)
    }
}

fn problem(place: &'static str, text: impl Into<String>, remedy: impl Into<String>) -> Problem {
    Problem {
        place,
        text: text.into(),
        remedy: remedy.into(),
        absent: false,
    }
}

impl Timing {
    /// Of a row of `trigger`, as JSON.
    ///
    /// # Errors
    /// [`Problem`].
    pub fn read(row: &Map<String, Value>) -> Result<Self, Problem> {
        let text = |column: &str| {
            row.get(column)
                .and_then(Value::as_str)
                .map(str::trim)
                .filter(|t| !t.is_empty())
        };
        let named = text("timezone").unwrap_or("Asia/Jakarta");
        let zone: Tz = named.parse().map_err(|_| {
            problem(
                "timezone",
                format!("{named:?} is no time zone"),
                "name one of the IANA list, such as Asia/Jakarta",
            )
        })?;
        let (schedule, fingerprint) = match text("cron_expression") {
            Some(expression) => (expression_of(expression)?, format!("cron {expression} in {zone}")),
            None => interval_of(row, zone)?,
        };
        let fingerprint = match text("retimed_at") {
            Some(since) => format!("{fingerprint} since {since}"),
            None => fingerprint,
        };
        Ok(Self {
            schedule,
            zone,
            fingerprint,
            catch_up: match text("catch_up") {
                Some("all") => CatchUp::All,
                Some("skip") => CatchUp::Skip,
                _ => CatchUp::Once,
            },
        })
    }

    /// The first run after a moment.
    ///
    /// # Errors
    /// [`Problem`]: it never runs.
    pub fn next(&self, after: DateTime<Utc>) -> Result<DateTime<Utc>, Problem> {
        self.schedule.next(self.zone, after).ok_or_else(|| {
            problem(
                match self.schedule {
                    Schedule::Cron(_) => "cron_expression",
                    Schedule::Every { .. } => "interval_number",
                },
                "no date fits: it never runs",
                "correct it; the fields are minute hour day month weekday, and day and month must exist together",
            )
        })
    }

    /// The next runs after a moment, in words.
    pub fn upcoming(&self, after: DateTime<Utc>, count: usize) -> Vec<String> {
        self.schedule
            .upcoming(self.zone, after, count)
            .iter()
            .map(|at| {
                at.with_timezone(&self.zone)
                    .format("%a %Y-%m-%d %H:%M %Z")
                    .to_string()
            })
            .collect()
    }
}

fn expression_of(expression: &str) -> Result<Schedule, Problem> {
    const FIELDS: &str = "write five fields, minute hour day month weekday, such as 0 8 * * 1-5";
    if let Some((number, unit)) = as_interval(expression) {
        return Err(problem(
            "cron_expression",
            format!("{expression:?} is an interval, not an expression of five fields"),
            format!("clear cron_expression, and set interval_number = {number}, interval_type = '{unit}'"),
        ));
    }
    let fields = expression.split_whitespace().count();
    if fields != 5 {
        return Err(problem(
            "cron_expression",
            format!("{expression:?} has {fields} fields"),
            FIELDS,
        ));
    }
    Schedule::cron(expression).map_err(|error| {
        let error = error.to_string();
        problem(
            "cron_expression",
            format!("{expression:?}: {}", error.trim_end_matches('.')),
            FIELDS,
        )
    })
}

/// `1,days`, as the module that is replaced took it for one; `2 hours`, `day`.
fn as_interval(expression: &str) -> Option<(u32, &'static str)> {
    let parts: Vec<&str> = expression
        .split([',', ';', '/', ' ', '|'])
        .map(|p| p.trim_matches(['(', ')', '\'', '"', ' ']))
        .filter(|p| !p.is_empty())
        .collect();
    let (number, unit) = match parts[..] {
        [number, unit] => (number.parse().ok()?, unit),
        [unit] => (1, unit),
        _ => return None,
    };
    let unit = match unit.to_lowercase().as_str() {
        "minute" | "minutes" | "menit" => "minutes",
        "hour" | "hours" | "hourly" | "@hourly" | "jam" => "hours",
        "day" | "days" | "daily" | "@daily" | "hari" => "days",
        "week" | "weeks" | "weekly" | "@weekly" | "minggu" => "weeks",
        "month" | "months" | "monthly" | "@monthly" | "bulan" => "months",
        _ => return None,
    };
    Some((number, unit))
}

fn interval_of(row: &Map<String, Value>, zone: Tz) -> Result<(Schedule, String), Problem> {
    let number = row.get("interval_number").and_then(Value::as_i64);
    let named = row.get("interval_type").and_then(Value::as_str);
    let number = match (number, named) {
        (None, None) => {
            return Err(Problem {
                absent: true,
                ..problem(
                    "cron_expression",
                    "it has no schedule and never runs",
                    "set cron_expression, or interval_number and interval_type",
                )
            });
        }
        (Some(number), Some(_)) => number,
        (None, Some(_)) => {
            return Err(problem(
                "interval_number",
                "it is empty: it never runs",
                "set it, such as 1",
            ));
        }
        (Some(_), None) => {
            return Err(problem(
                "interval_type",
                "it is empty: it never runs",
                "set it to minutes, hours, days, weeks or months",
            ));
        }
    };
    let (Some(unit), Ok(number)) = (named.and_then(Unit::named), u32::try_from(number)) else {
        return Err(problem(
            "interval_number",
            "the interval cannot be read",
            "set interval_number to a whole number from 1, and interval_type to minutes, hours, days, weeks or months",
        ));
    };
    let anchor = match row.get("anchor_at").and_then(Value::as_str) {
        Some(written) => written.parse::<NaiveDateTime>().map_err(|_| {
            problem(
                "anchor_at",
                format!("{written:?} cannot be read"),
                "write a local time such as 2026-01-01 08:00",
            )
        })?,
        None => default_anchor(row, unit, zone),
    };
    let schedule = Schedule::Every { number, unit, anchor };
    let fingerprint = format!(
        "every {number} {} from {anchor} in {zone}",
        named.unwrap_or_default()
    );
    Ok((schedule, fingerprint))
}

fn default_anchor(row: &Map<String, Value>, unit: Unit, zone: Tz) -> NaiveDateTime {
    let made = row
        .get("created_at")
        .and_then(Value::as_str)
        .and_then(|at| DateTime::parse_from_rfc3339(at).ok());
    let day = made.map_or(NaiveDate::default(), |at| at.with_timezone(&zone).date_naive());
    day.and_time(match unit {
        Unit::Minutes | Unit::Hours => NaiveTime::MIN,
        Unit::Days | Unit::Weeks | Unit::Months => MORNING,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(row: Value) -> Result<Timing, Problem> {
        Timing::read(row.as_object().expect("an object"))
    }

    #[test]
    fn the_mistakes_of_the_old_module_name_their_remedy() {
        for (written, remedy) in [
            ("1,days", "interval_number = 1, interval_type = 'days'"),
            ("30, minutes", "interval_number = 30, interval_type = 'minutes'"),
            ("(2, 'weeks')", "interval_number = 2, interval_type = 'weeks'"),
            ("@daily", "interval_number = 1, interval_type = 'days'"),
            ("0 8 * *", "five fields"),
            ("0 0 8 * * *", "five fields"),
            ("61 8 * * *", "five fields"),
            ("x", "five fields"),
            ("0 25 * * *", "five fields"),
        ] {
            let problem = read(json!({"cron_expression": written})).expect_err(written);
            assert_eq!(problem.place, "cron_expression");
            assert!(problem.remedy.contains(remedy), "{written}: {problem}");
            assert!(problem.text.contains(written), "{written}: {problem}");
        }
    }

    #[test]
    fn what_is_missing_is_said() {
        assert!(read(json!({})).expect_err("nothing").absent);
        let place = |row| read(row).expect_err("incomplete").place;
        assert_eq!(place(json!({"interval_number": 1})), "interval_type");
        assert_eq!(place(json!({"interval_type": "days"})), "interval_number");
        assert_eq!(
            place(json!({"cron_expression": "0 8 * * *", "timezone": "WIB"})),
            "timezone"
        );
    }

    #[test]
    fn a_date_that_does_not_exist_never_runs() {
        let timing = read(json!({"cron_expression": "0 8 30 2 *"})).expect("well formed");
        let problem = timing.next(DateTime::UNIX_EPOCH).expect_err("never");
        assert!(problem.to_string().contains("never runs"), "{problem}");
    }

    #[test]
    fn days_begin_at_eight_and_minutes_at_midnight() {
        let row = |unit: &str| json!({"interval_number": 1, "interval_type": unit, "created_at": "2026-03-01T20:30:00+00:00"});
        let first = |unit: &str| {
            read(row(unit))
                .expect("readable")
                .upcoming("2026-03-02T00:59:00Z".parse().expect("a time"), 1)
                .remove(0)
        };
        assert_eq!(first("days"), "Mon 2026-03-02 08:00 WIB");
        assert_eq!(first("minutes"), "Mon 2026-03-02 08:00 WIB");
        assert_eq!(first("weeks"), "Mon 2026-03-02 08:00 WIB");
    }
}
