//! Date and datetime values: how far we read them ourselves, and where PostgreSQL decides.
//!
//! Odoo 18 behaviour: text goes to PostgreSQL as it is, except that a date-only text (10 characters) against a
//! datetime column stands for the start or the end of that day. What PostgreSQL would surely refuse is refused here.

use chrono::{NaiveDate, NaiveDateTime, NaiveTime};

use super::alias::{Note, NoteKind};
use super::error::{DomainError, ErrorKind, Span};
use super::value::{Node, Value, datetime_text};

/// A moment as it is bound, and what it is if we can tell without PostgreSQL.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Moment<T> {
    pub(super) text: String,
    pub(super) exact: Option<T>,
}

/// The part of the day that a date-only value means against a datetime column.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum DayPart {
    /// As it stands: in lists.
    Untouched,
    /// `<`, `>=`, `=`, `!=`
    Start,
    /// `>`, `<=`
    End,
}

/// A value against a date column; a time of day is dropped.
pub(super) fn date(node: &Node, notes: &mut Vec<Note>) -> Result<Moment<NaiveDate>, DomainError> {
    let exact = match &node.value {
        Value::Date(day) => Some(*day),
        Value::Datetime(at) => Some(at.date()),
        Value::Str(text) => {
            let exact = read(text, node.span, notes)?.map(|at| at.date());
            return Ok(Moment {
                text: text.clone(),
                exact,
            });
        }
        // PostgreSQL reads 20261231.
        Value::Int(_) | Value::List(_) | Value::Tuple(_) => return Ok(as_it_is(node)),
        other => return Err(not_a_date(other, node.span)),
    };
    let text = exact
        .map(|day| day.format("%Y-%m-%d").to_string())
        .unwrap_or_default();
    Ok(Moment { text, exact })
}

/// A value against a datetime column.
pub(super) fn datetime(
    node: &Node,
    part: DayPart,
    notes: &mut Vec<Note>,
) -> Result<Moment<NaiveDateTime>, DomainError> {
    match &node.value {
        Value::Datetime(at) => Ok(Moment {
            text: datetime_text(at),
            exact: Some(*at),
        }),
        Value::Date(day) => {
            let end = NaiveTime::from_hms_micro_opt(23, 59, 59, 999_999).unwrap_or_default();
            let at = day.and_time(if part == DayPart::End { end } else { NaiveTime::MIN });
            Ok(Moment {
                text: datetime_text(&at),
                exact: Some(at),
            })
        }
        Value::Str(text) => {
            let exact = read(text, node.span, notes)?;
            Ok(widen(text, exact, part))
        }
        Value::Int(_) | Value::List(_) | Value::Tuple(_) => Ok(as_it_is(node)),
        other => Err(not_a_date(other, node.span)),
    }
}

/// The text of a list; PostgreSQL reads a date in brackets.
fn as_it_is<T>(node: &Node) -> Moment<T> {
    Moment {
        text: node.value.to_python_str(),
        exact: None,
    }
}

/// A datetime as the text that a pattern is made of: a date is its midnight.
pub(super) fn as_text(node: &Node) -> String {
    match &node.value {
        Value::Date(day) => datetime_text(&day.and_time(NaiveTime::MIN)),
        Value::Str(text) if text.chars().count() == 10 => format!("{text} 00:00:00"),
        other => other.to_python_str(),
    }
}

fn widen(text: &str, exact: Option<NaiveDateTime>, part: DayPart) -> Moment<NaiveDateTime> {
    if text.chars().count() != 10 || part == DayPart::Untouched {
        return Moment {
            text: text.to_owned(),
            exact,
        };
    }
    let end = NaiveTime::from_hms_opt(23, 59, 59).unwrap_or_default();
    match part {
        DayPart::End => {
            let exact = exact.map(|at| at.date().and_time(end));
            Moment {
                text: format!("{text} 23:59:59"),
                exact,
            }
        }
        _ => Moment {
            text: format!("{text} 00:00:00"),
            exact,
        },
    }
}

fn not_a_date(value: &Value, span: Span) -> DomainError {
    DomainError::new(ErrorKind::Type, span, format!("{} is not a date", value.repr()))
        .hint("write a text such as '2026-12-31'; `False` means \"not set\"")
}

const WORDS: [&str; 7] = [
    "today",
    "tomorrow",
    "yesterday",
    "now",
    "epoch",
    "infinity",
    "-infinity",
];

/// The moment that the text means. `None`: PostgreSQL decides, with a note unless the text is of a known kind.
fn read(text: &str, span: Span, notes: &mut Vec<Note>) -> Result<Option<NaiveDateTime>, DomainError> {
    let bad = || not_a_date(&Value::Str(text.to_owned()), span);
    if WORDS.contains(&text.trim().to_ascii_lowercase().as_str()) {
        return Ok(None);
    }
    if text.bytes().filter(u8::is_ascii_digit).count() < 4 || text.contains('\0') {
        return Err(bad());
    }
    let (day, time) = split(text);
    match civil(day) {
        Day::Exact(day) => match clock(time) {
            Some(time) => return Ok(Some(day.and_time(time))),
            None if zoned(time) => {
                let message = format!("the offset in '{text}' is ignored: the column holds UTC");
                notes.push(Note::new(NoteKind::Date, span, message));
                return Ok(None);
            }
            None => {}
        },
        Day::Wrong => return Err(bad()),
        Day::Reversed => return Err(bad().hint("write year, month, day: '2026-12-31'")),
        Day::Unknown => {}
    }
    let message =
        format!("'{text}' is read by PostgreSQL as it likes (month before day); write '2026-12-31'");
    notes.push(Note::new(NoteKind::Date, span, message));
    Ok(None)
}

fn split(text: &str) -> (&str, &str) {
    match text.find(['T', ' ']) {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, ""),
    }
}

enum Day {
    Exact(NaiveDate),
    Wrong,
    Reversed,
    Unknown,
}

fn civil(day: &str) -> Day {
    let shape: String = day
        .chars()
        .map(|c| if c.is_ascii_digit() { '9' } else { c })
        .collect();
    let number =
        |range: std::ops::Range<usize>| day.get(range).and_then(|s| s.parse::<u32>().ok()).unwrap_or(0);
    match shape.as_str() {
        "9999-99-99" => exact(number(0..4), number(5..7), number(8..10)),
        "99999999" => exact(number(0..4), number(4..6), number(6..8)),
        "9999-99" | "9999-9" | "9999" => Day::Wrong,
        "99-99-9999" | "99/99/9999" if number(0..2) > 12 => Day::Reversed,
        _ => Day::Unknown,
    }
}

fn exact(year: u32, month: u32, day: u32) -> Day {
    let year = i32::try_from(year).unwrap_or(0);
    match NaiveDate::from_ymd_opt(year, month, day) {
        Some(day) if year > 0 => Day::Exact(day),
        _ => Day::Wrong,
    }
}

/// `HH:MM`, `HH:MM:SS`, up to six digits of fraction; nothing is midnight.
fn clock(time: &str) -> Option<NaiveTime> {
    if time.is_empty() {
        return Some(NaiveTime::MIN);
    }
    let (whole, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let shape: String = whole
        .chars()
        .map(|c| if c.is_ascii_digit() { '9' } else { c })
        .collect();
    let fraction_fits = (1..=6).contains(&fraction.len()) && fraction.bytes().all(|c| c.is_ascii_digit());
    let known = matches!(
        (shape.as_str(), time.contains('.')),
        ("99:99", false) | ("99:99:99", _)
    );
    if !known || !fraction_fits {
        return None;
    }
    let number = |at: usize| whole.get(at..at + 2).map_or(Some(0), |s| s.parse().ok());
    let micro: u32 = format!("{fraction:0<6}").parse().ok()?;
    NaiveTime::from_hms_micro_opt(number(0)?, number(3)?, number(6)?, micro)
}

/// A time with an offset at its end.
fn zoned(time: &str) -> bool {
    let zone = time.find(['+', '-', 'Z', 'z']).unwrap_or(time.len());
    zone < time.len() && clock(time[..zone].trim_end()).is_some()
}
