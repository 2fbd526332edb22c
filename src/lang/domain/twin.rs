//! The compiler's twin: the same tests answered in Rust, where neither collation nor PostgreSQL's reading of
//! input has a say.

use std::cmp::Ordering;

use chrono::{NaiveDate, NaiveDateTime};
use serde_json::{Map, Value as Json};

use super::alias::Aliases;
use super::ast::{Domain, Leaf};
use super::coerce::{Kind, Scalar};
use super::plan::{Comparison, Nulls, Planned, Planner, Test};
use super::render::{by_company, translated};
use super::tree::{Opposite, is_never, opposite};
use crate::host::catalog::Model;

/// Whether the row, as `to_jsonb` shows it, meets the domain; `None`: ask SQL.
///
/// Never answers for a domain that [`compile`](super::compile()) refuses or that PostgreSQL might.
pub fn matches(domain: &Domain, model: &Model, aliases: &Aliases, row: &Map<String, Json>) -> Option<bool> {
    if is_never(domain) {
        return Some(false);
    }
    let planner = Planner {
        model,
        aliases,
        notes: Vec::new(),
    };
    match (Twin { planner, row }).walk(domain, false)? {
        Truth::True => Some(true),
        Truth::False | Truth::Null => Some(false),
        Truth::Unknown => None,
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

struct Twin<'m> {
    planner: Planner<'m>,
    row: &'m Map<String, Json>,
}

impl Twin<'_> {
    /// `None` where the domain as a whole must go to SQL. Every leaf is looked at, so that an error in one of
    /// them is never hidden.
    fn walk(&mut self, domain: &Domain, negate: bool) -> Option<Truth> {
        let (parts, and) = match domain {
            Domain::True => return Some(Truth::from(!negate)),
            Domain::False => return Some(Truth::from(negate)),
            Domain::Not(inner) => return self.walk(inner, !negate),
            Domain::Leaf(leaf) => return self.leaf(leaf, negate),
            Domain::And(parts) => (parts, !negate),
            Domain::Or(parts) => (parts, negate),
        };
        let parts = parts
            .iter()
            .map(|part| self.walk(part, negate))
            .collect::<Option<Vec<_>>>()?;
        let decisive = Truth::from(!and);
        Some(if parts.contains(&decisive) {
            decisive
        } else if parts.contains(&Truth::Unknown) {
            Truth::Unknown
        } else if parts.contains(&Truth::Null) {
            Truth::Null
        } else {
            Truth::from(and)
        })
    }

    fn leaf(&mut self, leaf: &Leaf, negate: bool) -> Option<Truth> {
        let opposite = match negate.then(|| opposite(leaf)) {
            Some(Opposite::Const(value)) => {
                self.planner.plan(leaf, leaf.operator.plain()).ok()?;
                return Some(value.into());
            }
            Some(Opposite::Operator(operator)) => Some(operator),
            Some(Opposite::Not) | None => None,
        };
        let planned = self
            .planner
            .plan(leaf, opposite.unwrap_or(leaf.operator.plain()))
            .ok()?;
        if !readable(&planned.test) {
            return None;
        }
        let truth = self.test(&planned);
        Some(match truth {
            truth if !negate || opposite.is_some() => truth,
            Truth::True => Truth::False,
            Truth::False => Truth::True,
            other => other,
        })
    }

    fn test(&self, planned: &Planned<'_>) -> Truth {
        if let Test::Const(value) = planned.test {
            return value.into();
        }
        if translated(planned.field) || by_company(planned.field) {
            return Truth::Unknown;
        }
        let cell = self.row.get(&planned.field.name).unwrap_or(&Json::Null);
        if cell.is_null() {
            return of_null(&planned.test);
        }
        match &planned.test {
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
                let found = shown(planned.kind, cell).and_then(|text| like(&text, pattern));
                found.map_or(Truth::Unknown, |found| (found != *negative).into())
            }
        }
    }
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
    let answers: Vec<Truth> = values
        .iter()
        .map(|value| compare(Comparison::Eq, cell, value))
        .collect();
    if answers.contains(&Truth::True) {
        (!negative).into()
    } else if answers.contains(&Truth::Unknown) {
        Truth::Unknown
    } else {
        negative.into()
    }
}

fn order(cell: &Json, value: &Scalar) -> Option<Ordering> {
    match value {
        Scalar::Text(_) => None,
        Scalar::Int(value) => Some(cell.as_i64()?.cmp(value)),
        Scalar::Float(value) | Scalar::Numeric(value) => numbers(cell, *value),
        Scalar::Boolean(value) => Some(cell.as_bool()?.cmp(value)),
        Scalar::Date(moment) => {
            let cell = NaiveDate::parse_from_str(cell.as_str()?, "%Y-%m-%d").ok()?;
            Some(cell.cmp(moment.exact.as_ref()?))
        }
        Scalar::Datetime(moment) => {
            let cell = NaiveDateTime::parse_from_str(cell.as_str()?, "%Y-%m-%dT%H:%M:%S%.f").ok()?;
            Some(cell.cmp(moment.exact.as_ref()?))
        }
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
