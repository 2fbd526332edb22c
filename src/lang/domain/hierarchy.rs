//! `child_of` and `parent_of`.

use super::ast::Leaf;
use super::compile::Compiler;
use super::error::{DomainError, ErrorKind};
use super::operator::Operator;
use super::reach::Filter;
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
        let roots = roots(&leaf.value)?;
        if matches!(&roots, Roots::Ids(ids) if ids.is_empty()) {
            return Ok(Condition::Const(false));
        }
        if field.name == "id" {
            let roots = self.roots(scope.model, scope.active, roots, leaf)?;
            return self.below(scope, None, roots, up, leaf);
        }
        let stored = field.column_type.is_some() || field.store;
        let lists = matches!(field.ttype, FieldType::One2many | FieldType::Many2many);
        if !stored || !(lists || field.ttype == FieldType::Many2one) {
            return Err(super::relation::not_a_relation(field, leaf, operator));
        }
        let comodel = self.comodel(scope, field, leaf)?;
        let roots = self.roots(comodel, scope.active, roots, leaf)?;
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
        let (column, up) = self.parent_column(model, parent, up, leaf)?;
        self.note_read(&model.table, "id");
        self.note_read(&model.table, &column);
        let (column, walk) = (quote(&column), self.alias());
        let step = if up {
            format!(
                "SELECT {root}.{column} FROM public.{table} AS {root} JOIN {walk} ON {root}.\"id\" = {walk}.\"id\" \
                 WHERE {root}.{column} IS NOT NULL"
            )
        } else {
            format!(
                "SELECT {root}.\"id\" FROM public.{table} AS {root} JOIN {walk} ON {root}.{column} = {walk}.\"id\""
            )
        };
        let start = format!(
            "WITH RECURSIVE {walk}(\"id\") AS (SELECT {root}.\"id\" FROM public.{table} AS {root} WHERE {root}.\"id\""
        );
        let end = format!(" UNION {step}) SELECT \"id\" FROM {walk}");
        Ok(self.owner(scope, false, Sql::text(start).add(roots).then(&end)))
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

fn roots(value: &Node) -> Result<Roots, DomainError> {
    let unfit = |node: &Node| {
        let message = format!(
            "{} where an id, a name or a list of them belongs",
            node.value.type_name()
        );
        DomainError::new(ErrorKind::Type, node.span, message)
    };
    match &value.value {
        Value::Bool(false) | Value::Int(0) => Ok(Roots::Ids(Vec::new())),
        Value::Int(id) => Ok(Roots::Ids(vec![*id])),
        Value::Str(_) => Ok(Roots::Names(vec![value.clone()])),
        Value::List(items) | Value::Tuple(items) => {
            if !items.is_empty() && items.iter().all(|i| matches!(i.value, Value::Str(_))) {
                return Ok(Roots::Names(items.clone()));
            }
            let ids = items.iter().map(|item| match item.value {
                Value::Int(id) => Ok(id),
                _ => Err(unfit(item)),
            });
            Ok(Roots::Ids(ids.collect::<Result<_, _>>()?))
        }
        _ => Err(unfit(value)),
    }
}
