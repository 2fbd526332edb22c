//! Which conditions reach beyond the row, and what they must have.

use super::alias::{Aliases, unknown_field};
use super::ast::Leaf;
use super::error::{DomainError, ErrorKind};
use super::operator::Operator;
use super::value::{Node, Value};
use crate::host::catalog::{Field, FieldType, Model};

/// A path whose first step is checked: it must be a relation.
pub(super) fn check_path(leaf: &Leaf, model: &Model, aliases: &Aliases) -> Result<(), DomainError> {
    if leaf.field.split('.').any(str::is_empty) {
        let message = format!("the path `{}` has an empty step", leaf.field);
        return Err(DomainError::new(ErrorKind::Field, leaf.field_span, message));
    }
    let (first, _) = leaf.field.split_once('.').unwrap_or((&leaf.field, ""));
    let field = match model.fields.get(first) {
        Some(field) => field,
        None => aliases
            .resolve(model, first, leaf.field_span, &mut Vec::new())
            .map_err(|_| unknown_field(model, first, leaf.field_span))?,
    };
    if is_relation(field) {
        return Ok(());
    }
    let message = format!("`{first}` of {} is not a relation, it has no fields", model.name);
    Err(DomainError::new(ErrorKind::Field, leaf.field_span, message))
}

/// Whether a condition on a field of the model itself reaches beyond the row.
pub(super) fn reaches(operator: Operator, field: &Field, value: &Node) -> bool {
    use Operator::{Any, ChildOf, NotAny, ParentOf};
    match (operator, field.ttype) {
        (Any | NotAny | ChildOf | ParentOf, _) => true,
        (_, FieldType::One2many | FieldType::Many2many) => true,
        (_, FieldType::Many2one) => is_name(value),
        _ => false,
    }
}

/// The error for `any` on something else than a relation.
pub(super) fn not_a_relation(field: &Field, leaf: &Leaf, operator: Operator) -> DomainError {
    let message = format!(
        "`{}` needs a relation, `{}` is none",
        operator.as_str(),
        field.name
    );
    DomainError::new(ErrorKind::Field, leaf.span, message)
}

/// What the twin cannot answer: it sees one row.
pub(super) fn beyond_the_row(leaf: &Leaf) -> DomainError {
    let message = format!("the condition on `{}` reaches beyond the row", leaf.field);
    DomainError::new(ErrorKind::Field, leaf.span, message)
}

pub(super) fn is_relation(field: &Field) -> bool {
    matches!(
        field.ttype,
        FieldType::Many2one | FieldType::One2many | FieldType::Many2many
    )
}

/// A text, or a list with nothing but texts.
pub(super) fn is_name(value: &Node) -> bool {
    let text = |node: &Node| matches!(node.value, Value::Str(_));
    match value.value.items() {
        Some(items) => !items.is_empty() && items.iter().all(text),
        None => text(value),
    }
}

/// `!=`, `not in`, `not like`, `not ilike`: on lists of records they mean "none of the lines".
pub(super) fn is_negative(operator: Operator) -> bool {
    use Operator::{Ne, NotIlike, NotIn, NotLike};
    matches!(operator, Ne | NotIn | NotLike | NotIlike)
}

/// The operator with which names are searched; its negation is on the membership.
pub(super) fn searched(operator: Operator, value: &Node) -> Operator {
    use Operator::{Eq, Ge, Gt, In, Le, Lt};
    let positive = if is_negative(operator) {
        operator.opposite().unwrap_or(operator)
    } else {
        operator
    };
    let list = value.value.items().is_some();
    match positive {
        Lt | Le | Gt | Ge => {
            if list {
                In
            } else {
                Eq
            }
        }
        Eq if list => In,
        In if !list => Eq,
        other => other,
    }
}
