//! `child_of` and `parent_of`.

use super::ast::Leaf;
use super::compile::{Compiler, Search};
use super::error::{DomainError, ErrorKind};
use super::operator::Operator;
use super::reach::{Filter, is_children};
use super::scope::{Condition, Scope, combine};
use super::sql::{Param, Sql};
use super::value::{Node, Value};
use crate::host::catalog::{Field, FieldType, Model};
use crate::host::record::quote;

/// The records to start from.
enum Roots {
    Ids(Vec<i64>),
    Names(Vec<Node>),
}

impl<'m> Compiler<'m> {
    pub(super) fn hierarchy(
        &mut self,
        scope: &Scope<'m>,
        field: &'m Field,
        leaf: &Leaf,
        operator: Operator,
    ) -> Result<Condition, DomainError> {
        let up = operator == Operator::ParentOf;
        let (roots, unset) = roots(&leaf.value)?;
        let nothing = (!unset || up) && matches!(&roots, Roots::Ids(ids) if ids.is_empty());
        if field.name == "id" {
            if nothing {
                return Ok(Condition::Const(false));
            }
            beginning(scope.model, unset, up, leaf)?;
            let roots = self.roots(scope.model, scope.active, roots, leaf)?;
            return self.below(scope, None, roots, up, leaf);
        }
        let stored = field.column_type.is_some() || field.store;
        let lists = matches!(field.ttype, FieldType::One2many | FieldType::Many2many);
        if !stored && field.related.is_none() && !self.is_name_field(scope.model, field) {
            return self.columnless(scope, field, leaf, operator);
        }
        if !stored || !(lists || field.ttype == FieldType::Many2one) {
            return Err(super::relation::not_a_relation(field, leaf, operator));
        }
        let comodel = self.comodel(scope.model, field, leaf)?;
        if nothing {
            return Ok(Condition::Const(false));
        }
        beginning(comodel, unset, up, leaf)?;
        // As elsewhere, nothing is left out at the other end of a many2one.
        let active = scope.active && field.ttype != FieldType::Many2one;
        let roots = self.roots(comodel, active, roots, leaf)?;
        let own = comodel.name == scope.model.name && field.ttype != FieldType::Many2many;
        if own {
            return self.below(scope, Some(field), roots, up, leaf);
        }
        let filter = Filter {
            here: scope.active && field.ttype == FieldType::Many2many,
            below: false,
        };
        let column = match field.ttype {
            FieldType::One2many => self.inverse(comodel, field, leaf)?,
            _ => "id",
        };
        let found = self.subselect(comodel, filter, column, leaf, &mut |c, s| {
            let test = c.below(s, None, roots.clone(), up, leaf)?;
            Ok(match column {
                "id" => test,
                inverse => {
                    let set = c.read(s, inverse).then(" IS NOT NULL");
                    combine(vec![test, Condition::Sql(set)], true)
                }
            })
        })?;
        match field.ttype {
            FieldType::Many2one => Ok(self.member(scope, field, false, found)),
            FieldType::One2many => Ok(self.owner(scope, false, found)),
            _ => {
                let among = Sql::text(" IN (").add(found).then(")");
                self.linked(scope, field, leaf, false, Some(among))
            }
        }
    }

    /// ` = ANY(…)` or ` IN (…)`: names are searched first, archived records only where they are not left out.
    fn roots(
        &mut self,
        model: &'m Model,
        active: bool,
        roots: Roots,
        leaf: &Leaf,
    ) -> Result<Sql, DomainError> {
        let names = match roots {
            Roots::Ids(ids) => {
                let ids = self.pool.bind(Param::IntArray(ids), "");
                return Ok(Sql::text(" = ANY(").add(ids).then(")"));
            }
            Roots::Names(names) => names,
        };
        let filter = Filter {
            here: active,
            below: active,
        };
        let found = self.subselect(model, filter, "id", leaf, &mut |c, s| {
            let mut parts = Vec::new();
            for name in &names {
                let search = Leaf {
                    value: name.clone(),
                    ..leaf.clone()
                };
                parts.push(c.name_condition(s, Operator::Ilike, &search)?);
            }
            Ok(combine(parts, false))
        })?;
        Ok(Sql::text(" IN (").add(found).then(")"))
    }

    /// The rows at or below the roots, or at or above them.
    pub(super) fn below(
        &mut self,
        scope: &Scope<'m>,
        parent: Option<&'m Field>,
        roots: Sql,
        up: bool,
        leaf: &Leaf,
    ) -> Result<Condition, DomainError> {
        let model = scope.model;
        let (table, root) = (quote(&model.table), self.alias());
        if model.column("parent_path").is_some() {
            self.note_read(&model.table, "id");
            self.note_read(&model.table, "parent_path");
            let from = format!(" FROM public.{table} AS {root} WHERE {root}.\"id\"");
            if up {
                let ids = format!(
                    "SELECT unnest(string_to_array(btrim({root}.\"parent_path\", '/'), '/'))::int4{from}"
                );
                return Ok(self.owner(scope, false, Sql::text(ids).add(roots)));
            }
            let path = self.read(scope, "parent_path");
            let start = format!(" LIKE ANY (ARRAY(SELECT {root}.\"parent_path\" || '%'{from}");
            return Ok(Condition::Sql(path.then(&start).add(roots).then("))")));
        }
        // A partner's children are the active ones by definition, also where they are followed as its parents.
        let active = up && parent.is_some_and(|field| is_children(model, field));
        let (column, up) = match self.parent_column(model, parent, up, leaf) {
            Ok(found) => found,
            // The host looks for the names first and does not miss the parents where it finds nobody.
            Err(error) if self.base.host_like => return self.unless_found(model, roots, &root, leaf, error),
            Err(error) => return Err(error),
        };
        self.note_read(&model.table, "id");
        self.note_read(&model.table, &column);
        let (column, walk) = (quote(&column), self.alias());
        let filter = if active {
            format!(" WHERE {root}.\"active\" = TRUE")
        } else {
            String::new()
        };
        if active {
            self.note_read(&model.table, "active");
        }
        let step = if up {
            format!(
                "SELECT {root}.{column} FROM public.{table} AS {root} JOIN {walk} ON {root}.\"id\" = {walk}.\"id\" \
                 WHERE {root}.{column} IS NOT NULL"
            )
        } else {
            format!(
                "SELECT {root}.\"id\" FROM public.{table} AS {root} JOIN {walk} ON {root}.{column} = {walk}.\"id\"{filter}"
            )
        };
        let start = format!(
            "WITH RECURSIVE {walk}(\"id\") AS (SELECT {root}.\"id\" FROM public.{table} AS {root} WHERE {root}.\"id\""
        );
        let end = format!(" UNION {step}) SELECT \"id\" FROM {walk}");
        Ok(self.owner(scope, false, Sql::text(start).add(roots).then(&end)))
    }

    /// No record, if no record has the names; else it is the error.
    fn unless_found(
        &mut self,
        model: &'m Model,
        roots: Sql,
        root: &str,
        leaf: &Leaf,
        error: DomainError,
    ) -> Result<Condition, DomainError> {
        let named = match &leaf.value.value {
            Value::Str(_) => true,
            value => value
                .items()
                .is_some_and(|all| all.iter().all(|n| matches!(n.value, Value::Str(_)))),
        };
        if !named {
            return Err(error);
        }
        let from = format!(
            "EXISTS (SELECT 1 FROM public.{} AS {root} WHERE {root}.\"id\"",
            quote(&model.table)
        );
        let (sql, params) = self.pool.clone().render(&Sql::text(from).add(roots).then(")"), 1);
        self.searches.push(Search { sql, params, error });
        Ok(Condition::Const(false))
    }

    /// The column that leads upwards; a list of children leads the other way.
    fn parent_column(
        &self,
        model: &'m Model,
        parent: Option<&'m Field>,
        up: bool,
        leaf: &Leaf,
    ) -> Result<(String, bool), DomainError> {
        if let Some(field) = parent.filter(|f| f.ttype == FieldType::One2many) {
            return Ok((self.inverse(model, field, leaf)?.to_owned(), !up));
        }
        let name = parent.map_or("parent_id", |field| field.name.as_str());
        match model.column(name) {
            Some(field) if field.relation.as_deref() == Some(&model.name) => Ok((field.name.clone(), up)),
            _ => {
                let message = format!("the records of {} have no parents", model.name);
                Err(DomainError::new(ErrorKind::Field, leaf.span, message).hint("use `=` or `in`"))
            }
        }
    }
}

/// Something unset among the ids begins nowhere; only a stored path downwards cannot be made of it.
fn beginning(model: &Model, unset: bool, up: bool, leaf: &Leaf) -> Result<(), DomainError> {
    if !unset || up || model.column("parent_path").is_none() {
        return Ok(());
    }
    let message = "something that is not set where an id belongs";
    Err(DomainError::new(ErrorKind::Type, leaf.value.span, message))
}

/// The records to start from, and whether something unset was among them.
fn roots(value: &Node) -> Result<(Roots, bool), DomainError> {
    let unfit = |node: &Node| {
        let message = format!(
            "{} where an id, a name or a list of them belongs",
            node.value.type_name()
        );
        DomainError::new(ErrorKind::Type, node.span, message)
    };
    match &value.value {
        Value::Bool(false) | Value::Int(0) => Ok((Roots::Ids(Vec::new()), false)),
        Value::Int(id) => Ok((Roots::Ids(vec![*id]), false)),
        Value::Str(_) => Ok((Roots::Names(vec![value.clone()]), false)),
        Value::List(items) | Value::Tuple(items) => {
            if !items.is_empty() && items.iter().all(|i| matches!(i.value, Value::Str(_))) {
                return Ok((Roots::Names(items.clone()), false));
            }
            let (mut ids, mut unset) = (Vec::new(), false);
            for item in items {
                match item.value {
                    Value::None | Value::Bool(false) | Value::Int(0) => unset = true,
                    Value::Int(id) => ids.push(id),
                    _ => return Err(unfit(item)),
                }
            }
            Ok((Roots::Ids(ids), unset))
        }
        _ => Err(unfit(value)),
    }
}
