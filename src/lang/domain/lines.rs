//! Conditions on a many2one by name and on lists of records by id, name, or being empty.

use super::ast::Leaf;
use super::coerce;
use super::compile::Compiler;
use super::error::{DomainError, ErrorKind};
use super::operator::Operator;
use super::reach::Filter;
use super::relation::{is_negative, searched};
use super::scope::{Condition, Scope};
use super::sql::{Param, Sql};
use super::value::{Node, Value};
use crate::host::catalog::{Field, FieldType};

impl<'m> Compiler<'m> {
    /// Text against a many2one searches the names of the comodel, archived ones included.
    pub(super) fn many2one_name(
        &mut self,
        scope: &Scope<'m>,
        field: &'m Field,
        leaf: &Leaf,
        operator: Operator,
    ) -> Result<Condition, DomainError> {
        let comodel = self.comodel(scope.model, field, leaf)?;
        let search = searched(operator, &leaf.value);
        let found = self.subselect(comodel, Filter::NONE, "id", leaf, &mut |c, s| {
            c.name_condition(s, search, leaf)
        })?;
        Ok(self.member(scope, field, is_negative(operator), found))
    }

    /// A one2many or many2many against ids, a name, or `False`. Any operator that does not negate means "one of".
    pub(super) fn lines(
        &mut self,
        scope: &Scope<'m>,
        field: &'m Field,
        leaf: &Leaf,
        operator: Operator,
    ) -> Result<Condition, DomainError> {
        let negative = is_negative(operator);
        match &leaf.value.value {
            Value::Bool(false) => self.empty(scope, field, leaf, !negative),
            // Nothing is searched for among nothing.
            Value::Str(text) if text.is_empty() && matches!(operator, Operator::In | Operator::NotIn) => {
                Ok(Condition::Const(negative))
            }
            Value::Str(_) => {
                let search = match operator {
                    Operator::In | Operator::NotIn => return Err(not_ids(&leaf.value)),
                    other => other.opposite().filter(|_| negative).unwrap_or(other),
                };
                let follow = self.follow(field, leaf, negative, false);
                self.any(scope, follow, &mut |c, s, _| c.name_condition(s, search, leaf))
            }
            _ => {
                let loose = self
                    .comodel(scope.model, field, leaf)
                    .ok()
                    .zip(field.relation_field.as_ref())
                    .and_then(|(comodel, inverse)| comodel.fields.get(inverse))
                    .is_some_and(|inverse| inverse.ttype == FieldType::Many2oneReference);
                let ids = ids(field, &leaf.value, loose)?;
                self.among(scope, field, leaf, negative, ids)
            }
        }
    }

    /// Rows without a line (`empty`), or with one.
    fn empty(
        &mut self,
        scope: &Scope<'m>,
        field: &'m Field,
        leaf: &Leaf,
        empty: bool,
    ) -> Result<Condition, DomainError> {
        if field.ttype == FieldType::Many2many {
            return self.linked(scope, field, leaf, empty, None);
        }
        let comodel = self.comodel(scope.model, field, leaf)?;
        let inverse = self.inverse(comodel, field, leaf)?;
        let filter = Filter {
            here: scope.active,
            below: scope.active,
        };
        let owner = scope.model;
        let found = self.subselect(comodel, filter, inverse, leaf, &mut |c, s| {
            Ok(c.of_lines(owner, s, inverse, Condition::Const(true)))
        })?;
        Ok(self.owner(scope, empty, found))
    }

    /// Rows one of whose lines, or none of whose lines, has one of those ids. Archived lines count.
    fn among(
        &mut self,
        scope: &Scope<'m>,
        field: &'m Field,
        leaf: &Leaf,
        negative: bool,
        ids: Vec<i64>,
    ) -> Result<Condition, DomainError> {
        let ids = self.pool.bind(Param::IntArray(ids), "");
        let among = Sql::text(" = ANY(").add(ids).then(")");
        if field.ttype == FieldType::Many2many {
            return self.linked(scope, field, leaf, negative, Some(among));
        }
        let comodel = self.comodel(scope.model, field, leaf)?;
        let inverse = self.inverse(comodel, field, leaf)?;
        let owner = scope.model;
        let found = self.subselect(comodel, Filter::NONE, inverse, leaf, &mut |c, s| {
            let id = c.read(s, "id").add(among.clone());
            Ok(c.of_lines(owner, s, inverse, Condition::Sql(id)))
        })?;
        Ok(self.owner(scope, negative, found))
    }
}

/// The ids of a value. A many2many takes what is not set for nothing; a one2many's SQL would fail on it.
fn ids(field: &Field, value: &Node, loose: bool) -> Result<Vec<i64>, DomainError> {
    let many = field.ttype == FieldType::Many2many;
    let one = [value.clone()];
    let items = value.value.items().unwrap_or(&one);
    let real = items.iter().any(|item| matches!(item.value, Value::Float(_)));
    let mut ids = Vec::new();
    for item in items {
        match &item.value {
            Value::None => {}
            Value::Bool(false) if loose => {}
            _ if many && !item.value.truthy() => {}
            Value::Int(id) => ids.push(*id),
            Value::Str(text) if real => {
                let number: f64 = text.trim().parse().map_err(|_| not_ids(item))?;
                if number.fract() == 0.0 {
                    ids.push(number as i64);
                }
            }
            Value::Str(_) => ids.push(coerce::id(item).map_err(|_| not_ids(item))?),
            Value::Float(f) if f.is_finite() && f.fract() == 0.0 => ids.push(*f as i64),
            Value::Float(f) if f.is_finite() => {}
            _ => return Err(not_ids(item)),
        }
    }
    Ok(ids)
}

fn not_ids(value: &Node) -> DomainError {
    let message = format!("{} where ids of records belong", value.value.type_name());
    DomainError::new(ErrorKind::Type, value.span, message)
        .hint("a single name goes with `=` or `ilike`; a list holds ids; `= False` means \"none\"")
}
