//! Values as Python sees them: what a domain's text evaluates to.

use std::fmt::Write;

use chrono::{NaiveDate, NaiveDateTime, Timelike};

use super::error::Span;

/// A Python value of a domain.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `None`
    None,
    /// `True`, `False`
    Bool(bool),
    /// An int that fits eight bytes.
    Int(i64),
    /// A float.
    Float(f64),
    /// A str.
    Str(String),
    /// A `datetime.date`, which only an interpreter makes.
    Date(NaiveDate),
    /// A naive `datetime.datetime`, which only an interpreter makes.
    Datetime(NaiveDateTime),
    /// A list.
    List(Vec<Node>),
    /// A tuple.
    Tuple(Vec<Node>),
}

/// A value and where it stands in the source.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Its bytes in the source; the whole text for a value that was computed.
    pub span: Span,
}

impl Value {
    /// The elements of a list or tuple.
    pub fn items(&self) -> Option<&[Node]> {
        match self {
            Self::List(items) | Self::Tuple(items) => Some(items),
            _ => None,
        }
    }

    /// Python's `bool(value)`.
    pub fn truthy(&self) -> bool {
        match self {
            Self::None => false,
            Self::Bool(b) => *b,
            Self::Int(i) => *i != 0,
            Self::Float(f) => *f != 0.0,
            Self::Str(s) => !s.is_empty(),
            Self::Date(_) | Self::Datetime(_) => true,
            Self::List(items) | Self::Tuple(items) => !items.is_empty(),
        }
    }

    /// `False` or `None`: in a domain, "not set".
    pub fn is_unset(&self) -> bool {
        matches!(self, Self::None | Self::Bool(false))
    }

    /// Python's `str(value)`.
    pub fn to_python_str(&self) -> String {
        match self {
            Self::Str(s) => s.clone(),
            other => other.repr(),
        }
    }

    /// What Python would call the type.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Bool(_) => "a bool",
            Self::Int(_) => "an int",
            Self::Float(_) => "a float",
            Self::Str(_) => "a str",
            Self::Date(_) => "a date",
            Self::Datetime(_) => "a datetime",
            Self::List(_) => "a list",
            Self::Tuple(_) => "a tuple",
        }
    }

    /// Python's `repr(value)`; dates as `str()` shows them.
    pub fn repr(&self) -> String {
        match self {
            Self::None => "None".into(),
            Self::Bool(true) => "True".into(),
            Self::Bool(false) => "False".into(),
            Self::Int(i) => i.to_string(),
            Self::Float(f) => float_repr(*f),
            Self::Str(s) => str_repr(s),
            Self::Date(d) => d.format("%Y-%m-%d").to_string(),
            Self::Datetime(d) => datetime_text(d),
            Self::List(items) => format!("[{}]", join(items)),
            Self::Tuple(items) if items.len() == 1 => format!("({},)", join(items)),
            Self::Tuple(items) => format!("({})", join(items)),
        }
    }
}

fn join(items: &[Node]) -> String {
    items
        .iter()
        .map(|n| n.value.repr())
        .collect::<Vec<_>>()
        .join(", ")
}

/// `2026-12-22 10:00:00`, with microseconds where there are any.
pub(super) fn datetime_text(at: &NaiveDateTime) -> String {
    let whole = at.nanosecond() / 1000 == 0;
    at.format(if whole {
        "%Y-%m-%d %H:%M:%S"
    } else {
        "%Y-%m-%d %H:%M:%S%.6f"
    })
    .to_string()
}

/// Python's shortest text of a float: `3.0`, `0.1`, `1e+20`, `1e-05`.
pub(super) fn float_repr(f: f64) -> String {
    if f.is_nan() {
        return "nan".into();
    }
    if f.is_infinite() {
        return if f > 0.0 { "inf".into() } else { "-inf".into() };
    }
    let scientific = format!("{f:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        return format!("{f:?}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

fn str_repr(s: &str) -> String {
    let quote = if s.contains('\'') && !s.contains('"') {
        '"'
    } else {
        '\''
    };
    let mut out = String::from(quote);
    for c in s.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if c < ' ' || c == '\x7f' => {
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_print_as_python_prints_them() {
        for (f, text) in [
            (3.0, "3.0"),
            (0.1, "0.1"),
            (1e20, "1e+20"),
            (1.5e-7, "1.5e-07"),
            (0.0001, "0.0001"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (-2.5, "-2.5"),
            (1e100, "1e+100"),
        ] {
            assert_eq!(float_repr(f), text);
        }
    }
}
