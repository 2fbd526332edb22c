//! What a condition on a column tests, with Odoo 18's NULL rules, before it becomes SQL or an answer in Rust.

use super::alias::{Aliases, Note};
use super::ast::Leaf;
use super::coerce::{self, Kind, Scalar};
use super::dates::{self, DayPart};
use super::error::{DomainError, ErrorKind};
use super::operator::Operator;
use super::relation;
use super::secret;
use super::value::{Node, Value};
use crate::host::catalog::{Field, Model};

/// What NULL in the column does to a test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Nulls {
    /// As SQL has it: the result is NULL.
    Plain,
    /// `… OR c IS NULL`
    Pass,
    /// `… AND c IS NOT NULL`
    Fail,
}

/// `c op v`
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Comparison {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

/// A test of one column.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Test {
    Const(bool),
    IsNull,
    NotNull,
    /// `c = TRUE`, or `c IS NULL OR c = FALSE`
    Boolean(bool),
    Compare(Comparison, Scalar, Nulls),
    /// `c IN (…)` or its negation; never empty. With a NULL among the values it is never false, or never true.
    Among {
        negative: bool,
        values: Vec<Scalar>,
        null: bool,
        nulls: Nulls,
    },
    /// `c LIKE …`; no pattern is `LIKE NULL`.
    Pattern {
        negative: bool,
        fold: bool,
        pattern: Option<String>,
        nulls: Nulls,
    },
}

/// A condition on a column of the row.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Planned<'m> {
    pub(super) field: &'m Field,
    pub(super) kind: Kind,
    pub(super) test: Test,
}

/// Plans conditions on one model and gathers the notes.
pub(super) struct Planner<'m> {
    pub(super) model: &'m Model,
    pub(super) aliases: &'m Aliases,
    pub(super) notes: Vec<Note>,
}

impl<'m> Planner<'m> {
    /// Plans a leaf, `operator` being its own or, under a `!`, the opposite one.
    pub(super) fn plan(&mut self, leaf: &Leaf, operator: Operator) -> Result<Planned<'m>, DomainError> {
        if leaf.field.contains('.') {
            relation::check_path(leaf, self.model, self.aliases)?;
            return Err(relation::beyond_the_row(leaf));
        }
        let field = self
            .aliases
            .resolve(self.model, &leaf.field, leaf.field_span, &mut self.notes)?;
        secret::check(self.model, field, leaf.field_span)?;
        if relation::reaches(operator, field, &leaf.value) {
            return Err(relation::beyond_the_row(leaf));
        }
        let kind = match (&field.column_type, Kind::of(field)) {
            (Some(_), Some(kind)) => kind,
            _ => return Err(no_column(self.model, field, leaf)),
        };
        let test = self.test(field, kind, operator, &leaf.value)?;
        Ok(Planned { field, kind, test })
    }

    fn test(
        &mut self,
        field: &Field,
        kind: Kind,
        operator: Operator,
        value: &Node,
    ) -> Result<Test, DomainError> {
        use Operator as Op;
        let list = value.value.items();
        match (operator, list, &value.value) {
            (Op::EqOrUnset, _, v) if v.is_unset() => Ok(Test::Const(true)),
            (Op::Eq | Op::In, Some(items), _) => self.among(field, kind, false, items),
            (Op::Ne | Op::Differs | Op::NotIn, Some(items), _) => self.among(field, kind, true, items),
            // No list: `in` is `=`, and `not in` is `!=`.
            (Op::In, None, Value::Bool(_)) | (Op::Eq | Op::EqOrUnset, ..) => {
                self.equal(field, kind, false, value)
            }
            (Op::NotIn, None, Value::Bool(_)) | (Op::Ne | Op::Differs, ..) => {
                self.equal(field, kind, true, value)
            }
            (Op::In | Op::NotIn, None, _) => Err(not_a_list(operator, value)),
            (Op::Lt, ..) => self.order(field, kind, Comparison::Lt, value),
            (Op::Le, ..) => self.order(field, kind, Comparison::Le, value),
            (Op::Gt, ..) => self.order(field, kind, Comparison::Gt, value),
            (Op::Ge, ..) => self.order(field, kind, Comparison::Ge, value),
            _ => self.pattern(field, kind, operator, value),
        }
    }

    fn equal(
        &mut self,
        field: &Field,
        kind: Kind,
        negative: bool,
        value: &Node,
    ) -> Result<Test, DomainError> {
        let comparison = if negative { Comparison::Ne } else { Comparison::Eq };
        let set = if negative { Test::NotNull } else { Test::IsNull };
        let truthy = value.value.truthy();
        match (kind, &value.value) {
            (Kind::Boolean, Value::None) => return Ok(set),
            (Kind::Boolean, _) => return Ok(Test::Boolean(truthy != negative)),
            (Kind::Many2one | Kind::Id, _) if !truthy => return Ok(set),
            (_, v) if v.is_unset() => {
                let Some(falsy) = kind.falsy() else { return Ok(set) };
                let nulls = if negative { Nulls::Plain } else { Nulls::Pass };
                return Ok(Test::Compare(comparison, falsy, nulls));
            }
            _ => {}
        }
        let scalar = self.scalar(field, kind, value, DayPart::Start)?;
        // The value as it was written decides, not what the column's type makes of it: `'0'` is no `0`.
        let nulls = if truthy == negative {
            Nulls::Pass
        } else {
            Nulls::Plain
        };
        Ok(Test::Compare(comparison, scalar, nulls))
    }

    fn order(
        &mut self,
        field: &Field,
        kind: Kind,
        comparison: Comparison,
        value: &Node,
    ) -> Result<Test, DomainError> {
        let unset = match kind {
            Kind::Boolean | Kind::Pointer => false,
            Kind::Many2one => !value.value.truthy(),
            kind => value.value.is_unset() && !kind.is_number(),
        };
        if unset {
            return Ok(Test::Const(false));
        }
        let end = matches!(comparison, Comparison::Gt | Comparison::Le);
        let part = if end { DayPart::End } else { DayPart::Start };
        let scalar = coerce::scalar(self.digits(field), kind, value, part, &mut self.notes)?;
        let nulls = if kind.is_number() {
            zero_rule(comparison, &scalar)
        } else {
            Nulls::Plain
        };
        Ok(Test::Compare(comparison, scalar, nulls))
    }

    fn among(
        &mut self,
        field: &Field,
        kind: Kind,
        negative: bool,
        items: &[Node],
    ) -> Result<Test, DomainError> {
        let (mut values, mut unset, mut null) = (Vec::new(), false, false);
        for item in items {
            if item.value.is_unset() {
                unset = true;
            } else if kind == Kind::Many2one && !item.value.truthy() {
                null = true;
            } else if kind == Kind::Boolean {
                values.push(Scalar::Boolean(item.value.truthy()));
            } else {
                values.push(self.item(field, kind, item, items)?);
            }
        }
        if kind == Kind::Boolean {
            let any = values.contains(&Scalar::Boolean(true));
            values = [(any, true), (unset, false)]
                .into_iter()
                .filter(|(wanted, _)| *wanted)
                .map(|(_, value)| Scalar::Boolean(value))
                .collect();
        } else if let Some(falsy) = kind.falsy() {
            let listed = items.iter().any(|item| is_falsy(kind, &item.value));
            if unset && !listed {
                values.push(falsy);
            }
            unset |= listed;
        }
        let nulls = match (negative, unset) {
            (true, true) => Nulls::Fail,
            (true, false) | (false, true) => Nulls::Pass,
            (false, false) => Nulls::Plain,
        };
        Ok(match (values.is_empty() && !null, negative, unset) {
            (true, false, false) => Test::Const(false),
            (true, false, true) => Test::IsNull,
            (true, true, false) => Test::Const(true),
            (true, true, true) => Test::NotNull,
            (false, ..) => Test::Among {
                negative,
                values,
                null,
                nulls,
            },
        })
    }

    fn item(
        &mut self,
        field: &Field,
        kind: Kind,
        item: &Node,
        items: &[Node],
    ) -> Result<Scalar, DomainError> {
        match kind {
            Kind::Many2one | Kind::Id => coerce::key(item, items),
            _ => self.scalar(field, kind, item, DayPart::Untouched),
        }
    }

    /// The family of `like`: the value is not escaped, the column is cast to text.
    fn pattern(
        &mut self,
        field: &Field,
        kind: Kind,
        operator: Operator,
        value: &Node,
    ) -> Result<Test, DomainError> {
        use Operator as Op;
        let negative = matches!(operator, Op::NotLike | Op::NotIlike);
        let fold = matches!(operator, Op::Ilike | Op::NotIlike | Op::EqIlike);
        let truthy = value.value.truthy();
        let whole = matches!(operator, Op::EqLike | Op::EqIlike);
        if !whole && !truthy {
            return Ok(Test::Const(!negative));
        }
        let nulls = if truthy == negative {
            Nulls::Pass
        } else {
            Nulls::Plain
        };
        let pattern = match kind {
            Kind::Datetime if truthy => Some(dates::as_text(value)),
            _ if !whole => Some(coerce::text(value)?),
            Kind::Many2one if !truthy => None,
            Kind::Numeric => Some(self.scalar(field, kind, value, DayPart::Start)?.into_text()),
            Kind::Int | Kind::Float | Kind::Boolean | Kind::Pointer | Kind::Many2one => {
                return Err(no_text(field, operator, value));
            }
            _ if value.value.is_unset() => None,
            _ => Some(coerce::text(value)?),
        };
        let pattern = match whole {
            true => pattern,
            false => pattern.map(|text| format!("%{text}%")),
        };
        Ok(Test::Pattern {
            negative,
            fold,
            pattern,
            nulls,
        })
    }

    /// Digits after the point to which a number is rounded before it is compared.
    fn digits(&self, field: &Field) -> Option<i32> {
        let known = |(model, name, _): &&(&str, &str, i32)| *model == self.model.name && *name == field.name;
        DIGITS.iter().find(known).map(|(_, _, digits)| *digits)
    }

    /// The value in the column's type, a selection's value by its alias.
    fn scalar(
        &mut self,
        field: &Field,
        kind: Kind,
        node: &Node,
        part: DayPart,
    ) -> Result<Scalar, DomainError> {
        let scalar = coerce::scalar(self.digits(field), kind, node, part, &mut self.notes)?;
        Ok(match scalar {
            Scalar::Text(text) if kind == Kind::Selection => Scalar::Text(self.aliases.selection_value(
                self.model,
                field,
                &text,
                node.span,
                &mut self.notes,
            )),
            other => other,
        })
    }
}

/// Numbers with fixed digits, which the catalogue does not tell.
const DIGITS: &[(&str, &str, i32)] = &[
    ("res.partner", "partner_latitude", 7),
    ("res.partner", "partner_longitude", 7),
    ("res.currency", "rounding", 6),
];

/// Whether a value of a list is the one that NULL counts as.
fn is_falsy(kind: Kind, value: &Value) -> bool {
    match value {
        Value::Int(0) => kind.is_number(),
        Value::Float(f) => kind.is_number() && *f == 0.0,
        Value::Str(text) => !kind.is_number() && text.is_empty(),
        _ => false,
    }
}

/// NULL counts as 0: it passes exactly when 0 does.
fn zero_rule(comparison: Comparison, scalar: &Scalar) -> Nulls {
    let number = scalar.number().unwrap_or(f64::NAN);
    let passes = match comparison {
        Comparison::Eq => 0.0 == number,
        Comparison::Ne => 0.0 != number,
        Comparison::Lt => 0.0 < number,
        Comparison::Le => 0.0 <= number,
        Comparison::Gt => 0.0 > number,
        Comparison::Ge => 0.0 >= number,
    };
    if passes { Nulls::Pass } else { Nulls::Plain }
}

fn no_text(field: &Field, operator: Operator, value: &Node) -> DomainError {
    let message = format!(
        "`{}` compares texts, `{}` holds none",
        operator.as_str(),
        field.name
    );
    DomainError::new(ErrorKind::Type, value.span, message)
        .hint("use `=`, or `like`, which reads the value as a text")
}

fn not_a_list(operator: Operator, value: &Node) -> DomainError {
    let message = format!(
        "`{}` needs a list, this is {}",
        operator.as_str(),
        value.value.type_name()
    );
    let remedy = if operator == Operator::In { "=" } else { "!=" };
    DomainError::new(ErrorKind::Type, value.span, message)
        .hint(format!("put brackets around it, or write `{remedy}`"))
}

pub(super) fn no_column(model: &Model, field: &Field, leaf: &Leaf) -> DomainError {
    let message = match field.column_type {
        None => format!(
            "`{}` of {} is computed when it is read, it has no column",
            field.name, model.name
        ),
        Some(_) => format!(
            "`{}` of {} is of a type that no domain can compare",
            field.name, model.name
        ),
    };
    let error = DomainError::new(ErrorKind::Field, leaf.field_span, message);
    match &field.related {
        Some(path) => error.hint(format!("write `{path}`, where its value comes from")),
        None => error,
    }
}
