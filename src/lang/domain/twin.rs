//! The compiler's twin: the same tests answered in Rust, where neither collation nor PostgreSQL's reading of
//! input has a say.

use std::cmp::Ordering;

use chrono::{NaiveDate, NaiveDateTime};
use serde_json::{Map, Value as Json};

use super::alias::Aliases;
use super::ast::{Domain, Leaf};
use super::coerce::{Kind, Scalar};
use super::plan::{Comparison, Nulls, Planner, Test};
use super::render::{by_company, translated};
use super::tree::{Opposite, is_never, opposite};
use crate::host::catalog::Model;

/// A domain on one row, as `to_jsonb` shows it, planned once and answered as often as there are rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Twin(Part);

impl Twin {
    /// `None` where the domain as a whole must go to SQL: [`compile`](super::compile()) refuses it, PostgreSQL might, or it looks
    /// beyond the row.
    pub fn new(domain: &Domain, model: &Model, aliases: &Aliases) -> Option<Self> {
        if is_never(domain) {
            return Some(Self(Part::Const(false)));
        }
        let notes = Vec::new();
        let mut planner = Planner {
            model,
            aliases,
            notes,
        };
        part(&mut planner, domain, false).map(Self)
    }

    /// Whether the row meets it; `None`: ask SQL.
    pub fn matches(&self, row: &Map<String, Json>) -> Option<bool> {
        match self.0.truth(row) {
            Truth::True => Some(true),
            Truth::False | Truth::Null => Some(false),
            Truth::Unknown => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Truth {
    True,
    False,
    Null,
    Unknown,
}

impl From<bool> for Truth {
    fn from(value: bool) -> Self {
        if value { Self::True } else { Self::False }
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Const(bool),
    All(Vec<Part>),
    Any(Vec<Part>),
    Test(Column),
    Not(Column),
}

/// A test of one column of the row.
#[derive(Clone, Debug, PartialEq)]
struct Column {
    name: String,
    kind: Kind,
    /// Its values are read with settings that only the server knows.
    foreign: bool,
    test: Test,
}

/// Every leaf is looked at, so that an error in one of them is never hidden.
fn part(planner: &mut Planner<'_>, domain: &Domain, negate: bool) -> Option<Part> {
    let (parts, all) = match domain {
        Domain::True => return Some(Part::Const(!negate)),
        Domain::False => return Some(Part::Const(negate)),
        Domain::Not(inner) => return part(planner, inner, !negate),
        Domain::Leaf(of) => return leaf(planner, of, negate),
        Domain::And(parts) => (parts, !negate),
        Domain::Or(parts) => (parts, negate),
    };
    let parts: Option<Vec<Part>> = parts.iter().map(|p| part(planner, p, negate)).collect();
    parts.map(if all { Part::All } else { Part::Any })
}

fn leaf(planner: &mut Planner<'_>, leaf: &Leaf, negate: bool) -> Option<Part> {
    let opposite = match negate.then(|| opposite(leaf)) {
        Some(Opposite::Const(value)) => {
            planner.plan(leaf, leaf.operator.plain()).ok()?;
            return Some(Part::Const(value));
        }
        Some(Opposite::Operator(operator)) => Some(operator),
        Some(Opposite::Not) | None => None,
    };
    let planned = planner
        .plan(leaf, opposite.unwrap_or(leaf.operator.plain()))
        .ok()?;
    if !readable(&planned.test) {
        return None;
    }
    let column = Column {
        name: planned.field.name.clone(),
        kind: planned.kind,
        foreign: translated(planned.field) || by_company(planned.field),
        test: planned.test,
    };
    Some(match negate && opposite.is_none() {
        true => Part::Not(column),
        false => Part::Test(column),
    })
}

impl Part {
    fn truth(&self, row: &Map<String, Json>) -> Truth {
        match self {
            Self::Const(value) => (*value).into(),
            Self::Test(column) => column.truth(row),
            Self::Not(column) => match column.truth(row) {
                Truth::True => Truth::False,
                Truth::False => Truth::True,
                other => other,
            },
            Self::All(parts) => joined(parts, row, true),
            Self::Any(parts) => joined(parts, row, false),
        }
    }
}

/// SQL's AND and OR: one part may decide; else what is not known outweighs NULL.
fn joined(parts: &[Part], row: &Map<String, Json>, all: bool) -> Truth {
    let mut joined = Truth::from(all);
    for part in parts {
        match part.truth(row) {
            truth if truth == Truth::from(!all) => return truth,
            Truth::Unknown => joined = Truth::Unknown,
            Truth::Null if joined != Truth::Unknown => joined = Truth::Null,
            _ => {}
        }
    }
    joined
}

impl Column {
    fn truth(&self, row: &Map<String, Json>) -> Truth {
        if let Test::Const(value) = self.test {
            return value.into();
        }
        if self.foreign {
            return Truth::Unknown;
        }
        let cell = row.get(&self.name).unwrap_or(&Json::Null);
        if cell.is_null() {
            return of_null(&self.test);
        }
        if !fits(self.kind, cell) {
            return Truth::Unknown;
        }
        match &self.test {
            Test::Const(value) => (*value).into(),
            Test::IsNull => Truth::False,
            Test::NotNull => Truth::True,
            Test::Boolean(wanted) => cell.as_bool().map_or(Truth::Unknown, |is| (is == *wanted).into()),
            Test::Compare(comparison, value, _) => compare(*comparison, cell, value),
            Test::Among {
                negative,
                values,
                null,
                ..
            } => match among(*negative, cell, values) {
                // A NULL among the values: what is not found may be that.
                Truth::False if *null && !negative => Truth::Null,
                Truth::True if *null && *negative => Truth::Null,
                truth => truth,
            },
            Test::Pattern { fold: true, .. } => Truth::Unknown,
            Test::Pattern { pattern: None, .. } => Truth::Null,
            Test::Pattern {
                negative,
                pattern: Some(pattern),
                ..
            } => {
                let found = shown(self.kind, cell).and_then(|text| like(&text, pattern));
                found.map_or(Truth::Unknown, |found| (found != *negative).into())
            }
        }
    }
}

/// Whether PostgreSQL can read the cell as what its column is: what it cannot, it must refuse.
fn fits(kind: Kind, cell: &Json) -> bool {
    match kind {
        Kind::Text | Kind::Selection => cell.is_string(),
        Kind::Int | Kind::Many2one | Kind::Pointer | Kind::Id => cell.is_i64(),
        Kind::Float | Kind::Numeric => cell.is_number(),
        Kind::Boolean => cell.is_boolean(),
        Kind::Date => date(cell).is_some(),
        Kind::Datetime => moment(cell).is_some(),
        Kind::Opaque => true,
    }
}

fn date(cell: &Json) -> Option<NaiveDate> {
    NaiveDate::parse_from_str(cell.as_str()?, "%Y-%m-%d").ok()
}

fn moment(cell: &Json) -> Option<NaiveDateTime> {
    NaiveDateTime::parse_from_str(cell.as_str()?, "%Y-%m-%dT%H:%M:%S%.f").ok()
}

/// False if PostgreSQL must read a value, and may refuse it.
fn readable(test: &Test) -> bool {
    let exact = |value: &Scalar| match value {
        Scalar::Date(moment) => moment.exact.is_some(),
        Scalar::Datetime(moment) => moment.exact.is_some(),
        _ => true,
    };
    match test {
        Test::Compare(_, value, _) => exact(value),
        Test::Among { values, .. } => values.iter().all(exact),
        _ => true,
    }
}

fn of_null(test: &Test) -> Truth {
    match test {
        Test::Const(value) => (*value).into(),
        Test::IsNull => Truth::True,
        Test::NotNull => Truth::False,
        Test::Boolean(true) => Truth::Null,
        Test::Boolean(false) => Truth::True,
        Test::Compare(_, _, nulls) | Test::Among { nulls, .. } | Test::Pattern { nulls, .. } => match nulls {
            Nulls::Plain => Truth::Null,
            Nulls::Pass => Truth::True,
            Nulls::Fail => Truth::False,
        },
    }
}

fn compare(comparison: Comparison, cell: &Json, value: &Scalar) -> Truth {
    if let (Scalar::Text(value), Some(cell)) = (value, cell.as_str()) {
        return match comparison {
            Comparison::Eq => (cell == value).into(),
            Comparison::Ne => (cell != value).into(),
            _ => Truth::Unknown,
        };
    }
    let Some(order) = order(cell, value) else {
        return Truth::Unknown;
    };
    Truth::from(match comparison {
        Comparison::Eq => order.is_eq(),
        Comparison::Ne => order.is_ne(),
        Comparison::Lt => order.is_lt(),
        Comparison::Le => order.is_le(),
        Comparison::Gt => order.is_gt(),
        Comparison::Ge => order.is_ge(),
    })
}

fn among(negative: bool, cell: &Json, values: &[Scalar]) -> Truth {
    let mut certain = true;
    for value in values {
        match compare(Comparison::Eq, cell, value) {
            Truth::True => return (!negative).into(),
            Truth::Unknown => certain = false,
            Truth::False | Truth::Null => {}
        }
    }
    match certain {
        true => negative.into(),
        false => Truth::Unknown,
    }
}

fn order(cell: &Json, value: &Scalar) -> Option<Ordering> {
    match value {
        Scalar::Text(_) => None,
        Scalar::Int(value) => Some(cell.as_i64()?.cmp(value)),
        Scalar::Float(value) | Scalar::Numeric(value) => numbers(cell, *value),
        Scalar::Boolean(value) => Some(cell.as_bool()?.cmp(value)),
        Scalar::Date(moment) => Some(date(cell)?.cmp(moment.exact.as_ref()?)),
        Scalar::Datetime(moment) => Some(self::moment(cell)?.cmp(moment.exact.as_ref()?)),
    }
}

/// The order of two numbers unless they are so near that the last digit decides, which JSON may have lost.
fn numbers(cell: &Json, value: f64) -> Option<Ordering> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let (number, whole) = (cell.as_f64()?, cell.is_i64() && value.fract() == 0.0);
    let near = (number - value).abs() <= 1e-9 * number.abs().max(value.abs());
    let exact = whole && number.abs() < EXACT && value.abs() < EXACT;
    if near && !exact {
        None
    } else {
        number.partial_cmp(&value)
    }
}

/// What `::text` shows, for types where no setting has a say.
fn shown(kind: Kind, cell: &Json) -> Option<String> {
    match kind {
        Kind::Text | Kind::Selection => cell.as_str().map(str::to_owned),
        Kind::Int | Kind::Many2one | Kind::Id => cell.as_i64().map(|i| i.to_string()),
        Kind::Boolean => cell.as_bool().map(|b| b.to_string()),
        _ => None,
    }
}

enum Step {
    Many,
    One,
    Char(char),
}

/// SQL's `LIKE`; `None` for a pattern that ends in a lone backslash.
fn like(text: &str, pattern: &str) -> Option<bool> {
    let mut steps = Vec::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        steps.push(match c {
            '%' => Step::Many,
            '_' => Step::One,
            '\\' => Step::Char(chars.next()?),
            c => Step::Char(c),
        });
    }
    let text: Vec<char> = text.chars().collect();
    let (mut at, mut step, mut retry) = (0, 0, None);
    while at < text.len() {
        match steps.get(step) {
            Some(Step::Many) => {
                retry = Some((at, step + 1));
                step += 1;
            }
            Some(Step::One) => (at, step) = (at + 1, step + 1),
            Some(Step::Char(c)) if *c == text[at] => (at, step) = (at + 1, step + 1),
            _ => {
                let Some((from, after)) = retry else {
                    return Some(false);
                };
                retry = Some((from + 1, after));
                (at, step) = (from + 1, after);
            }
        }
    }
    Some(steps[step..].iter().all(|step| matches!(step, Step::Many)))
}
