//! What reaches beyond the row: paths, x2many fields, names of related records, `any`, hierarchies.
//!
//! The one place that knows which conditions these are; for now they are refused.

use super::alias::{Aliases, unknown_field};
use super::ast::Leaf;
use super::error::{DomainError, ErrorKind};
use super::operator::Operator;
use super::value::{Node, Value};
use crate::host::catalog::{Field, FieldType, Model};

/// How a condition reaches beyond the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// `partner_id.city`
    Path,
    /// A one2many or many2many field.
    Lines,
    /// Text against a many2one.
    Name,
    /// `any`, `not any`
    Any,
    /// `child_of`, `parent_of`
    Hierarchy,
}

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

/// How a condition on a field of the model itself reaches beyond the row, if it does.
pub(super) fn reach(operator: Operator, field: &Field, value: &Node) -> Result<Option<Reach>, DomainError> {
    use Operator::{Any, ChildOf, NotAny, ParentOf};
    match operator {
        Any | NotAny if is_relation(field) => return Ok(Some(Reach::Any)),
        Any | NotAny => {
            let message = format!(
                "`{}` needs a relation, `{}` is none",
                operator.as_str(),
                field.name
            );
            return Err(DomainError::new(ErrorKind::Field, value.span, message));
        }
        ChildOf | ParentOf => return Ok(Some(Reach::Hierarchy)),
        _ => {}
    }
    Ok(match field.ttype {
        FieldType::One2many | FieldType::Many2many => Some(Reach::Lines),
        FieldType::Many2one if is_name(value) => Some(Reach::Name),
        _ => None,
    })
}

/// The refusal of what is not compiled yet.
pub(super) fn unsupported(reach: Reach, leaf: &Leaf) -> DomainError {
    let what = match reach {
        Reach::Path => format!("the path `{}`", leaf.field),
        Reach::Lines => format!("`{}`, a list of records,", leaf.field),
        Reach::Name => format!("the name of a record in `{}`", leaf.field),
        Reach::Any | Reach::Hierarchy => format!("`{}`", leaf.operator.as_str()),
    };
    let error = DomainError::new(
        ErrorKind::Field,
        leaf.span,
        format!("{what} is not supported on this base yet"),
    );
    match reach {
        Reach::Name => error.hint("write the id of the record"),
        _ => error,
    }
}

fn is_relation(field: &Field) -> bool {
    matches!(
        field.ttype,
        FieldType::Many2one | FieldType::One2many | FieldType::Many2many
    )
}

/// A text, or a list with nothing but texts.
fn is_name(value: &Node) -> bool {
    let text = |node: &Node| matches!(node.value, Value::Str(_));
    match value.value.items() {
        Some(items) => !items.is_empty() && items.iter().all(text),
        None => text(value),
    }
}
