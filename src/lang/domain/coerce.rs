//! Forcing a value to the type of its column, as Odoo 18 does before it compares.

use chrono::{NaiveDate, NaiveDateTime};

use super::alias::Note;
use super::dates::{self, DayPart, Moment};
use super::error::{DomainError, ErrorKind};
use super::numbers;
use super::value::{Node, Value, float_repr};
use crate::host::catalog::{Field, FieldType};

/// How a column behaves in a domain.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    /// char, text, html: NULL counts as `''`.
    Text,
    /// selection, reference: text in which NULL is its own value.
    Selection,
    /// integer: NULL counts as 0.
    Int,
    /// float in a double precision column: NULL counts as 0.
    Float,
    /// float, monetary in a numeric column: NULL counts as 0.
    Numeric,
    Boolean,
    Date,
    Datetime,
    Many2one,
    /// many2one_reference: a whole number in which NULL is its own value.
    Pointer,
    /// The key of the record.
    Id,
    /// json and binary: set or not set.
    Opaque,
}

impl Kind {
    /// The kind of a column; `None` for fields that no domain can compare.
    pub(super) fn of(field: &Field) -> Option<Self> {
        if field.name == "id" {
            return Some(Self::Id);
        }
        let double = field.column_type.as_deref() == Some("double precision");
        Some(match field.ttype {
            FieldType::Char | FieldType::Text | FieldType::Html => Self::Text,
            FieldType::Selection | FieldType::Reference => Self::Selection,
            FieldType::Integer => Self::Int,
            FieldType::Many2oneReference => Self::Pointer,
            FieldType::Float | FieldType::Monetary if double => Self::Float,
            FieldType::Float | FieldType::Monetary => Self::Numeric,
            FieldType::Boolean => Self::Boolean,
            FieldType::Date => Self::Date,
            FieldType::Datetime => Self::Datetime,
            FieldType::Many2one => Self::Many2one,
            FieldType::Json | FieldType::Binary => Self::Opaque,
            FieldType::One2many
            | FieldType::Many2many
            | FieldType::Properties
            | FieldType::PropertiesDefinition => return None,
        })
    }

    fn is_whole_or_real(self) -> bool {
        self.is_number() || self == Self::Pointer
    }

    pub(super) fn is_number(self) -> bool {
        matches!(self, Self::Int | Self::Float | Self::Numeric)
    }

    /// What Odoo shows for NULL, where that is an ordinary value.
    pub(super) fn falsy(self) -> Option<Scalar> {
        match self {
            Self::Text => Some(Scalar::Text(String::new())),
            Self::Int => Some(Scalar::Int(0)),
            Self::Float => Some(Scalar::Float(0.0)),
            Self::Numeric => Some(Scalar::Numeric(0.0)),
            _ => None,
        }
    }
}

/// A value of a column's type, ready to be bound.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scalar {
    Text(String),
    Int(i64),
    Float(f64),
    Numeric(f64),
    Boolean(bool),
    Date(Moment<NaiveDate>),
    Datetime(Moment<NaiveDateTime>),
}

impl Scalar {
    /// The value as a float, if it is a number.
    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Self::Int(i) => Some(*i as f64),
            Self::Float(f) | Self::Numeric(f) => Some(*f),
            _ => None,
        }
    }

    /// The text in which the value is bound, and which PostgreSQL casts.
    pub(super) fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Int(i) => i.to_string(),
            Self::Float(f) | Self::Numeric(f) => float_repr(f),
            Self::Boolean(b) => b.to_string(),
            Self::Date(moment) => moment.text,
            Self::Datetime(moment) => moment.text,
        }
    }
}

/// The value of a leaf as the column's type has it. Lists and "not set" on columns without a falsy value have
/// been dealt with before.
pub(super) fn scalar(
    digits: Option<i32>,
    kind: Kind,
    node: &Node,
    part: DayPart,
    notes: &mut Vec<Note>,
) -> Result<Scalar, DomainError> {
    // A list where one value belongs is read as the column's type reads it: as a text, as 0 if it is empty.
    if node
        .value
        .items()
        .is_some_and(|items| !items.is_empty() || !kind.is_whole_or_real())
        && !matches!(
            kind,
            Kind::Text | Kind::Selection | Kind::Boolean | Kind::Date | Kind::Datetime
        )
    {
        return Err(unfit(node, "a single value").hint("a list goes with `in` or `not in`"));
    }
    Ok(match kind {
        Kind::Text | Kind::Selection => Scalar::Text(text(node)?),
        Kind::Int | Kind::Pointer => Scalar::Int(integer(node)?),
        Kind::Float => Scalar::Float(float(node)?),
        Kind::Numeric => Scalar::Numeric(rounded(float(node)?, digits)),
        Kind::Boolean => Scalar::Boolean(node.value.truthy()),
        Kind::Date => Scalar::Date(dates::date(node, notes)?),
        Kind::Datetime => Scalar::Datetime(dates::datetime(node, part, notes)?),
        Kind::Many2one => many2one(node)?,
        Kind::Id => Scalar::Int(id(node)?),
        Kind::Opaque => {
            return Err(unfit(node, "`False`")
                .hint("such a field can only be compared with `False`, or by its text with `like`"));
        }
    })
}

fn unfit(node: &Node, wanted: &str) -> DomainError {
    let shown = node.value.repr();
    let shown = if shown.chars().count() > 40 {
        node.value.type_name().to_owned()
    } else {
        shown
    };
    DomainError::new(
        ErrorKind::Type,
        node.span,
        format!("{shown} where {wanted} belongs"),
    )
}

/// The text of any value; PostgreSQL has no text with a NUL.
pub(super) fn text(node: &Node) -> Result<String, DomainError> {
    let text = node.value.to_python_str();
    if text.contains('\0') {
        return Err(DomainError::new(
            ErrorKind::Type,
            node.span,
            "a text cannot hold the character NUL",
        ));
    }
    Ok(text)
}

fn integer(node: &Node) -> Result<i64, DomainError> {
    match &node.value {
        Value::Int(i) => Ok(*i),
        Value::Float(f) if f.is_finite() => Ok(*f as i64),
        Value::Str(s) if s.is_empty() => Ok(0),
        Value::Str(s) => digits(s).ok_or_else(|| unfit(node, "a whole number")),
        Value::Bool(b) => Ok(i64::from(*b)),
        Value::None => Ok(0),
        Value::List(items) | Value::Tuple(items) if items.is_empty() => Ok(0),
        _ => Err(unfit(node, "a whole number")),
    }
}

/// Python's `int(text)`, held at the ends of eight bytes.
fn digits(text: &str) -> Option<i64> {
    let text = text.trim();
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let groups: Vec<&str> = rest.split('_').collect();
    if groups
        .iter()
        .any(|g| g.is_empty() || !g.bytes().all(|c| c.is_ascii_digit()))
    {
        return None;
    }
    let limit = if negative { i64::MIN } else { i64::MAX };
    let sign = if negative { "-" } else { "" };
    Some(format!("{sign}{}", groups.concat()).parse().unwrap_or(limit))
}

fn float(node: &Node) -> Result<f64, DomainError> {
    let float = match &node.value {
        Value::Int(i) => *i as f64,
        Value::Float(f) => *f,
        Value::Str(s) if s.is_empty() => 0.0,
        Value::Str(s) => numbers::plain(s.trim())
            .and_then(|s| s.parse().ok())
            .unwrap_or(f64::NAN),
        Value::Bool(b) => f64::from(*b),
        Value::None => 0.0,
        Value::List(items) | Value::Tuple(items) if items.is_empty() => 0.0,
        _ => f64::NAN,
    };
    if float.is_finite() {
        Ok(float)
    } else {
        Err(unfit(node, "a finite number"))
    }
}

/// Half away from zero, as Odoo rounds: a value that is a half but for the last bit of it counts as one.
fn rounded(value: f64, digits: Option<i32>) -> f64 {
    let Some(digits) = digits else { return value };
    let unit = 10f64.powi(digits);
    let scaled = value * unit;
    let nudged = scaled.abs() * (1.0 + f64::EPSILON);
    (nudged + 0.5).floor().copysign(value) / unit
}

/// A key in a list of keys: PostgreSQL finds the type that all of them have.
pub(super) fn key(node: &Node, all: &[Node]) -> Result<Scalar, DomainError> {
    let real = all.iter().any(|n| matches!(n.value, Value::Float(_)));
    let wide = all
        .iter()
        .any(|n| matches!(n.value, Value::Int(i) if i32::try_from(i).is_err()));
    let unfit = || unfit(node, "the id of a record");
    match &node.value {
        Value::Int(i) => Ok(Scalar::Int(*i)),
        Value::Float(f) if f.is_finite() && f.fract() == 0.0 => Ok(Scalar::Int(*f as i64)),
        Value::Float(f) if f.is_finite() => Ok(Scalar::Numeric(*f)),
        Value::Str(text) if real => text.trim().parse().map(Scalar::Numeric).map_err(|_| unfit()),
        Value::Str(text) => {
            let id: i64 = text.trim().parse().map_err(|_| unfit())?;
            let fits = wide || i32::try_from(id).is_ok();
            fits.then_some(Scalar::Int(id)).ok_or_else(unfit)
        }
        _ => Err(unfit()),
    }
}

fn many2one(node: &Node) -> Result<Scalar, DomainError> {
    match node.value {
        Value::Int(i) => Ok(Scalar::Int(i)),
        Value::Float(f) if f.is_finite() && f.fract() == 0.0 => Ok(Scalar::Int(f as i64)),
        Value::Float(f) if f.is_finite() => Ok(Scalar::Numeric(f)),
        _ => {
            Err(unfit(node, "the id of a record").hint("`False` means \"not set\"; `!= False` means \"set\""))
        }
    }
}

pub(super) fn id(node: &Node) -> Result<i64, DomainError> {
    let id = match &node.value {
        Value::Int(i) => Some(*i),
        Value::Str(s) => s.trim().parse().ok(),
        _ => None,
    };
    id.filter(|id| i32::try_from(*id).is_ok())
        .ok_or_else(|| unfit(node, "the id of a record"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn python_ints() {
        for (text, value) in [
            ("30", Some(30)),
            (" -3 ", Some(-3)),
            ("+1_0", Some(10)),
            ("1__0", None),
            ("", None),
            ("3.5", None),
            ("abc", None),
            ("٣", None),
            ("99999999999999999999", Some(i64::MAX)),
            ("-99999999999999999999", Some(i64::MIN)),
        ] {
            assert_eq!(digits(text), value, "{text}");
        }
    }
}
