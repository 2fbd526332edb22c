//! Conditions that follow a relation, as Odoo 18 writes them: memberships in subselects.

use super::MAX_STEPS;
use super::ast::Leaf;
use super::compile::Compiler;
use super::error::{DomainError, ErrorKind};
use super::operator::Operator;
use super::plan;
use super::relation::is_negative;
use super::scope::{Condition, Scope, combine};
use super::sql::Sql;
use crate::host::catalog::{Field, FieldType, Model};
use crate::host::record::quote;

/// A condition on the rows at the other end; the flag is false where they are joined rather than searched.
pub(super) type Inner<'i, 'm> =
    &'i mut dyn FnMut(&mut Compiler<'m>, &Scope<'m>, bool) -> Result<Condition, DomainError>;

/// A relation that is followed.
#[derive(Clone, Copy)]
pub(super) struct Follow<'f, 'm> {
    pub(super) field: &'m Field,
    pub(super) leaf: &'f Leaf,
    /// `not any`
    pub(super) negative: bool,
    /// The condition says something about `active` itself.
    pub(super) active: bool,
}

/// Which rows a subselect leaves out.
#[derive(Clone, Copy)]
pub(super) struct Filter {
    /// Archived ones.
    pub(super) here: bool,
    /// Archived ones, in lists that are followed from there.
    pub(super) below: bool,
}

impl Filter {
    pub(super) const NONE: Self = Self {
        here: false,
        below: false,
    };
}

impl<'m> Compiler<'m> {
    pub(super) fn follow<'f>(
        &self,
        field: &'m Field,
        leaf: &'f Leaf,
        negative: bool,
        active: bool,
    ) -> Follow<'f, 'm> {
        Follow {
            field,
            leaf,
            negative,
            active,
        }
    }

    /// Rows that have, or have not, a related row which meets the condition.
    pub(super) fn any(
        &mut self,
        scope: &Scope<'m>,
        follow: Follow<'_, 'm>,
        inner: Inner<'_, 'm>,
    ) -> Result<Condition, DomainError> {
        let field = follow.field;
        if let Some((parent, model)) = self.inherited(scope.model, field) {
            return self.joined(scope, parent, model, scope.active, &mut |c, s| {
                let field = c.resolve(s.model, &field.name, follow.leaf)?;
                c.any(s, Follow { field, ..follow }, inner)
            });
        }
        match field.ttype {
            FieldType::Many2one if field.column_type.is_some() => self.many2one_any(scope, follow, inner),
            FieldType::One2many if field.store => self.one2many_any(scope, follow, inner),
            FieldType::Many2many if field.store => self.many2many_any(scope, follow, inner),
            _ if field.related.is_some() => self.related_any(scope, follow, inner),
            _ => {
                let answer = self.columnless(scope, field, follow.leaf, Operator::Any)?;
                // What is asked of the other end must be right all the same.
                let comodel = self.comodel(scope.model, field, follow.leaf)?;
                self.subselect(comodel, Filter::NONE, "id", follow.leaf, &mut |c, s| {
                    inner(c, s, true)
                })?;
                Ok(answer)
            }
        }
    }

    fn many2one_any(
        &mut self,
        scope: &Scope<'m>,
        follow: Follow<'_, 'm>,
        inner: Inner<'_, 'm>,
    ) -> Result<Condition, DomainError> {
        let comodel = self.comodel(scope.model, follow.field, follow.leaf)?;
        if self.delegates(scope.model, &follow.field.name) {
            return self.joined(scope, &follow.field.name, comodel, false, &mut |c, s| {
                let condition = inner(c, s, false)?;
                if !follow.negative {
                    return Ok(condition);
                }
                // Here, and only here, `not any` is SQL's NOT: what NULL makes unknown stays unknown.
                let missing = c.read(s, "id").then(" IS NULL");
                Ok(combine(vec![Condition::Sql(missing), condition.negated()], false))
            });
        }
        let found = self.subselect(comodel, Filter::NONE, "id", follow.leaf, &mut |c, s| {
            inner(c, s, true)
        })?;
        Ok(self.member(scope, follow.field, follow.negative, found))
    }

    /// `c IN (SELECT …)`, or `(c NOT IN (SELECT …) OR c IS NULL)`.
    pub(super) fn member(
        &mut self,
        scope: &Scope<'m>,
        field: &Field,
        negative: bool,
        found: Sql,
    ) -> Condition {
        let column = self.read(scope, &field.name);
        Condition::Sql(if negative {
            let test = column.clone().then(" NOT IN (").add(found).then(") OR ");
            test.add(column).wrapped("(", " IS NULL)")
        } else {
            column.then(" IN (").add(found).then(")")
        })
    }

    fn one2many_any(
        &mut self,
        scope: &Scope<'m>,
        follow: Follow<'_, 'm>,
        inner: Inner<'_, 'm>,
    ) -> Result<Condition, DomainError> {
        let comodel = self.comodel(scope.model, follow.field, follow.leaf)?;
        let inverse = self.inverse(comodel, follow.field, follow.leaf)?;
        let children = is_children(scope.model, follow.field);
        let filter = Filter {
            here: children || (scope.active && !follow.active),
            below: scope.active,
        };
        let owner = scope.model;
        let found = self.subselect(comodel, filter, inverse, follow.leaf, &mut |c, s| {
            let condition = inner(c, s, true)?;
            Ok(c.of_lines(owner, s, inverse, condition))
        })?;
        Ok(self.owner(scope, follow.negative, found))
    }

    /// What belongs to every subselect of lines: an owner, and the owner's model where several share the table.
    pub(super) fn of_lines(
        &mut self,
        owner: &Model,
        lines: &Scope<'m>,
        inverse: &str,
        condition: Condition,
    ) -> Condition {
        let set = self.read(lines, inverse).then(" IS NOT NULL");
        let mut parts = vec![condition, Condition::Sql(set)];
        let shared = lines
            .model
            .fields
            .get(inverse)
            .is_some_and(|f| f.ttype == FieldType::Many2oneReference);
        let column = ["model", "res_model"]
            .into_iter()
            .find(|name| shared && lines.model.column(name).is_some());
        if let Some(column) = column {
            let name = super::sql::Param::Text(Some(owner.name.clone()));
            let name = self.pool.bind(name, "");
            let model = self.read(lines, column).then(" = ").add(name);
            parts.push(Condition::Sql(model));
        }
        if lines.model.name == "mail.message" && lines.model.column("message_type").is_some() {
            let kind = self.read(lines, "message_type");
            let other = kind.clone().then(" <> 'user_notification' OR ");
            parts.push(Condition::Sql(other.add(kind).wrapped("(", " IS NULL)")));
        }
        combine(parts, true)
    }

    /// `t.id IN (SELECT …)` and its opposite; `id` is never NULL.
    pub(super) fn owner(&mut self, scope: &Scope<'m>, negative: bool, found: Sql) -> Condition {
        let id = self.read(scope, "id");
        let word = if negative { " NOT IN (" } else { " IN (" };
        Condition::Sql(id.then(word).add(found).then(")"))
    }

    fn many2many_any(
        &mut self,
        scope: &Scope<'m>,
        follow: Follow<'_, 'm>,
        inner: Inner<'_, 'm>,
    ) -> Result<Condition, DomainError> {
        let comodel = self.comodel(scope.model, follow.field, follow.leaf)?;
        let filter = Filter {
            here: scope.active && !follow.active,
            below: scope.active,
        };
        let found = self.subselect(comodel, filter, "id", follow.leaf, &mut |c, s| inner(c, s, true))?;
        let among = Sql::text(" IN (").add(found).then(")");
        self.linked(scope, follow.field, follow.leaf, follow.negative, Some(among))
    }

    /// `EXISTS (SELECT 1 FROM rel WHERE a = t.id AND b …)`
    pub(super) fn linked(
        &mut self,
        scope: &Scope<'m>,
        field: &Field,
        leaf: &Leaf,
        negative: bool,
        among: Option<Sql>,
    ) -> Result<Condition, DomainError> {
        let (Some(table), Some(own), Some(other)) = (&field.relation_table, &field.column1, &field.column2)
        else {
            return Err(plan::no_column(scope.model, field, leaf));
        };
        for column in [own, other] {
            self.note_read(table, column);
        }
        let id = self.read(scope, "id");
        let alias = self.alias();
        let start = format!(
            "{}EXISTS (SELECT 1 FROM public.{} AS {alias} WHERE ",
            if negative { "NOT " } else { "" },
            quote(table)
        );
        let mut sql = Sql::text(start).add(Sql::column(&alias, own)).then(" = ").add(id);
        if let Some(among) = among {
            sql = sql.then(" AND ").add(Sql::column(&alias, other)).add(among);
        }
        Ok(Condition::Sql(sql.then(")")))
    }

    /// `SELECT column FROM comodel WHERE …`
    pub(super) fn subselect(
        &mut self,
        model: &'m Model,
        filter: Filter,
        column: &str,
        leaf: &Leaf,
        inner: &mut dyn FnMut(&mut Self, &Scope<'m>) -> Result<Condition, DomainError>,
    ) -> Result<Sql, DomainError> {
        let scope = self.enter(model, filter.below, leaf)?;
        let mut condition = inner(self, &scope)?;
        if filter.here {
            condition = self.unarchived(&scope, condition);
        }
        self.depth -= 1;
        let column = self.read(&scope, column);
        let from = format!(" FROM public.{} AS {} WHERE ", quote(&model.table), scope.alias);
        Ok(column.wrapped("SELECT ", &from).add(condition.into_sql()))
    }

    /// A condition on the row that a model inherits through: a LEFT JOIN, so a missing row has only NULLs.
    pub(super) fn joined(
        &mut self,
        scope: &Scope<'m>,
        field: &str,
        model: &'m Model,
        active: bool,
        inner: &mut dyn FnMut(&mut Self, &Scope<'m>) -> Result<Condition, DomainError>,
    ) -> Result<Condition, DomainError> {
        let id = self.read(scope, field);
        let place = Leaf::nowhere();
        let joined = self.enter(model, active, &place)?;
        let condition = inner(self, &joined)?;
        self.depth -= 1;
        let Condition::Sql(condition) = condition else {
            return Ok(condition);
        };
        let one = self.alias();
        let from = format!(
            " FROM (SELECT 1) AS {one} LEFT JOIN public.{} AS {} ON ",
            quote(&model.table),
            joined.alias
        );
        let on = self.read(&joined, "id").then(" = ").add(id).then(")");
        Ok(Condition::Sql(condition.wrapped("(SELECT ", &from).add(on)))
    }

    fn enter(&mut self, model: &'m Model, active: bool, leaf: &Leaf) -> Result<Scope<'m>, DomainError> {
        self.depth += 1;
        if self.depth > MAX_STEPS {
            let message = format!("the condition follows more than {MAX_STEPS} relations");
            return Err(DomainError::new(ErrorKind::Limit, leaf.span, message));
        }
        Ok(Scope {
            model,
            alias: self.alias(),
            active,
            base: false,
        })
    }

    pub(super) fn alias(&mut self) -> String {
        self.scopes += 1;
        format!("t{}", self.scopes)
    }

    /// The model at the other end.
    pub(super) fn comodel(
        &self,
        model: &Model,
        field: &Field,
        leaf: &Leaf,
    ) -> Result<&'m Model, DomainError> {
        let name = field.relation.as_deref().unwrap_or_default();
        self.catalog.model(name).map(|target| &**target).ok_or_else(|| {
            let message = format!(
                "`{}` of {} leads to {name}, of which the host has no table",
                field.name, model.name
            );
            DomainError::new(ErrorKind::Field, leaf.field_span, message)
        })
    }

    /// The column of the lines that names their owner.
    pub(super) fn inverse(
        &self,
        comodel: &'m Model,
        field: &'m Field,
        leaf: &Leaf,
    ) -> Result<&'m str, DomainError> {
        let name = field.relation_field.as_deref().unwrap_or_default();
        comodel.column(name).map(|f| f.name.as_str()).ok_or_else(|| {
            let message = format!("the lines of `{}` do not store whose they are", field.name);
            DomainError::new(ErrorKind::Field, leaf.field_span, message)
        })
    }

    /// The delegation through which a model has a field, if it has it so.
    pub(super) fn inherited(&self, model: &Model, field: &Field) -> Option<(&'m str, &'m Model)> {
        if field.column_type.is_some() {
            return None;
        }
        let (parent, name) = field.related.as_deref()?.split_once('.')?;
        let (parent, target) = self.catalog.delegation(&model.name, parent)?;
        let target = self.catalog.model(target)?;
        (name == field.name && target.fields.contains_key(name)).then_some((parent, target))
    }

    fn delegates(&self, model: &Model, field: &str) -> bool {
        self.catalog.delegation(&model.name, field).is_some()
    }

    /// A related field that is not stored: its path, where a missing step counts as an empty value.
    pub(super) fn related_leaf(
        &mut self,
        scope: &Scope<'m>,
        field: &'m Field,
        leaf: &Leaf,
        operator: Operator,
    ) -> Result<Condition, DomainError> {
        let unset = match leaf.value.value.items() {
            Some(items) => items.iter().any(|item| item.value.is_unset()),
            None => leaf.value.value.is_unset(),
        };
        let empty = is_negative(operator) != unset;
        let path: Vec<&str> = field.related.as_deref().unwrap_or_default().split('.').collect();
        let [steps @ .., last] = path.as_slice() else {
            return Err(plan::no_column(scope.model, field, leaf));
        };
        let end = Leaf {
            field: (*last).to_owned(),
            ..leaf.clone()
        };
        self.steps(scope, steps, empty, leaf, &mut |c, s| c.plain(s, &end, operator))
    }

    fn related_any(
        &mut self,
        scope: &Scope<'m>,
        follow: Follow<'_, 'm>,
        inner: Inner<'_, 'm>,
    ) -> Result<Condition, DomainError> {
        let path: Vec<&str> = follow
            .field
            .related
            .as_deref()
            .unwrap_or_default()
            .split('.')
            .collect();
        let [steps @ .., last] = path.as_slice() else {
            return Err(plan::no_column(scope.model, follow.field, follow.leaf));
        };
        self.steps(scope, steps, follow.negative, follow.leaf, &mut |c, s| {
            let field = c.resolve(s.model, last, follow.leaf)?;
            c.any(s, Follow { field, ..follow }, inner)
        })
    }

    fn steps(
        &mut self,
        scope: &Scope<'m>,
        steps: &[&str],
        empty: bool,
        leaf: &Leaf,
        end: &mut dyn FnMut(&mut Self, &Scope<'m>) -> Result<Condition, DomainError>,
    ) -> Result<Condition, DomainError> {
        let unfiltered = Scope {
            active: false,
            ..scope.clone()
        };
        let Some((first, rest)) = steps.split_first() else {
            return end(self, &unfiltered);
        };
        let field = self.resolve(scope.model, first, leaf)?;
        let follow = self.follow(field, leaf, false, true);
        let found = self.any(&unfiltered, follow, &mut |c, s, _| {
            c.steps(s, rest, empty, leaf, end)
        })?;
        if !empty || field.ttype != FieldType::Many2one || field.column_type.is_none() {
            return Ok(found);
        }
        let missing = self.read(scope, &field.name).then(" IS NULL");
        Ok(combine(vec![found, Condition::Sql(missing)], false))
    }
}

/// The children of a partner are its active ones by definition.
pub(super) fn is_children(model: &Model, field: &Field) -> bool {
    (model.name.as_str(), field.name.as_str()) == ("res.partner", "child_ids")
}
