//! From a domain to a boolean SQL expression over the alias `t`.

use std::collections::{BTreeMap, BTreeSet};

use super::alias::{Aliases, Note};
use super::ast::{Domain, Leaf};
use super::error::{DomainError, ErrorKind};
use super::operator::Operator;
use super::plan::{self, Planner};
use super::scope::{Condition, Scope, combine};
use super::sql::{Param, Pool, Sql};
use super::{MAX_LEAVES, relation, secret};
use crate::host::catalog::{Catalog, Field, FieldType, Model};

/// What `t` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BaseKind {
    /// The table itself.
    Table,
    /// A captured image: `jsonb_populate_record(null::public."table", image) as t`.
    Image,
}

/// The row that a domain is asked about, and in whose eyes.
#[derive(Clone, Debug, PartialEq)]
pub struct BaseRow {
    pub(super) kind: BaseKind,
    first_param: usize,
    pub(super) lang: String,
    pub(super) company: Option<i64>,
    active_test: bool,
    pub(super) unaccent: bool,
}

impl BaseRow {
    fn new(kind: BaseKind) -> Self {
        let lang = "en_US".to_owned();
        Self {
            kind,
            first_param: 1,
            lang,
            company: None,
            active_test: false,
            unaccent: false,
        }
    }

    /// The rows of the model's table, `… FROM public."table" AS t`.
    pub fn table() -> Self {
        Self::new(BaseKind::Table)
    }

    /// A captured image of a row.
    pub fn image() -> Self {
        Self::new(BaseKind::Image)
    }

    /// What `t` is.
    pub fn kind(&self) -> BaseKind {
        self.kind
    }

    /// The number of the first placeholder; 1 by default.
    pub fn first_param(mut self, number: usize) -> Self {
        self.first_param = number.max(1);
        self
    }

    /// The language of translated columns; `en_US` by default.
    pub fn lang(mut self, lang: &str) -> Self {
        self.lang = lang.to_owned();
        self
    }

    /// The company of company-dependent columns; without it they are refused.
    pub fn company(mut self, id: i64) -> Self {
        self.company = Some(id);
        self
    }

    /// Leaves archived records out unless the domain mentions `active`, here and in lists of records that are
    /// followed; off by default.
    pub fn active_test(mut self, on: bool) -> Self {
        self.active_test = on;
        self
    }

    /// For a host that runs with its unaccent option; off by default.
    pub fn unaccent(mut self, on: bool) -> Self {
        self.unaccent = on;
        self
    }
}

/// A compiled domain.
#[derive(Clone, Debug, PartialEq)]
pub struct Compiled {
    /// A boolean expression over the alias `t`; NULL counts as false.
    pub sql: String,
    /// The values of the placeholders, in order.
    pub params: Vec<Param>,
    /// Columns of the base row that the domain reads.
    pub columns: BTreeSet<String>,
    /// Tables of the host that it reads beside the base row, with the columns; the base row's table among them
    /// if it is read for itself.
    pub tables: BTreeMap<String, BTreeSet<String>>,
    /// What `check` shows.
    pub notes: Vec<Note>,
}

/// Compiles a domain on a model; relations lead to other models of the catalogue.
///
/// # Errors
/// [`DomainError`] for what Odoo 18 refuses, for secret columns, and for fields that are computed when read.
pub fn compile(
    domain: &Domain,
    catalog: &Catalog,
    model: &Model,
    aliases: &Aliases,
    base: BaseRow,
) -> Result<Compiled, DomainError> {
    let scope = Scope {
        model,
        alias: "t".to_owned(),
        active: base.active_test,
        base: true,
    };
    let mut compiler = Compiler {
        catalog,
        aliases,
        notes: Vec::new(),
        pool: Pool::default(),
        lang: None,
        company: None,
        columns: BTreeSet::new(),
        tables: BTreeMap::new(),
        base,
        scopes: 0,
        depth: 0,
        leaves: 0,
    };
    let mut condition = compiler.walk(domain, false, &scope)?;
    if scope.active && !mentions_active(domain) {
        condition = compiler.unarchived(&scope, condition);
    }
    let (sql, params) = compiler
        .pool
        .render(&condition.into_sql(), compiler.base.first_param);
    Ok(Compiled {
        sql,
        params,
        columns: compiler.columns,
        tables: compiler.tables,
        notes: compiler.notes,
    })
}

/// Whether the top level of a domain says anything about `active`, even nothing.
pub(super) fn mentions_active(domain: &Domain) -> bool {
    domain.leaves().iter().any(|leaf| leaf.field == "active")
}

pub(super) struct Compiler<'m> {
    pub(super) catalog: &'m Catalog,
    pub(super) aliases: &'m Aliases,
    pub(super) notes: Vec<Note>,
    pub(super) pool: Pool,
    pub(super) lang: Option<Sql>,
    pub(super) company: Option<Sql>,
    columns: BTreeSet<String>,
    tables: BTreeMap<String, BTreeSet<String>>,
    pub(super) base: BaseRow,
    pub(super) scopes: usize,
    pub(super) depth: usize,
    leaves: usize,
}

impl<'m> Compiler<'m> {
    /// A column of the rows; what is read is kept in mind.
    pub(super) fn read(&mut self, scope: &Scope<'m>, column: &str) -> Sql {
        if scope.base {
            self.columns.insert(column.to_owned());
        } else {
            self.note_read(&scope.model.table, column);
        }
        Sql::column(&scope.alias, column)
    }

    /// Keeps in mind that a column of a table is read.
    pub(super) fn note_read(&mut self, table: &str, column: &str) {
        self.tables
            .entry(table.to_owned())
            .or_default()
            .insert(column.to_owned());
    }

    /// `… AND active = TRUE` where the model has the column: NULL counts as archived.
    pub(super) fn unarchived(&mut self, scope: &Scope<'m>, condition: Condition) -> Condition {
        if scope.model.column("active").is_none() {
            return condition;
        }
        let active = self.read(scope, "active").then(" = TRUE");
        combine(vec![condition, Condition::Sql(active)], true)
    }

    /// Compiles with `!` pushed down to the leaves.
    pub(super) fn walk(
        &mut self,
        domain: &Domain,
        negate: bool,
        scope: &Scope<'m>,
    ) -> Result<Condition, DomainError> {
        let (parts, and) = match domain {
            Domain::True => return Ok(Condition::Const(!negate)),
            Domain::False => return Ok(Condition::Const(negate)),
            Domain::Not(inner) => return self.walk(inner, !negate, scope),
            Domain::Leaf(leaf) => return self.leaf(leaf, negate, scope),
            Domain::And(parts) => (parts, !negate),
            Domain::Or(parts) => (parts, negate),
        };
        let parts = parts
            .iter()
            .map(|part| self.walk(part, negate, scope))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(combine(parts, and))
    }

    fn leaf(&mut self, leaf: &Leaf, negate: bool, scope: &Scope<'m>) -> Result<Condition, DomainError> {
        self.leaves += 1;
        if self.leaves > 4 * MAX_LEAVES {
            let message = format!("more than {} conditions in all", 4 * MAX_LEAVES);
            return Err(DomainError::new(ErrorKind::Limit, leaf.span, message));
        }
        // A path becomes its `any` form first and is then negated as a whole.
        if let Some((first, rest)) = leaf.field.split_once('.') {
            relation::check_path(leaf, scope.model, self.aliases)?;
            let field = self.resolve(scope, first, leaf)?;
            let inner = Leaf {
                field: rest.to_owned(),
                ..leaf.clone()
            };
            let follow = self.follow(field, leaf, negate, rest == "active");
            return self.any(scope, follow, &mut |c, s, negate| c.leaf(&inner, negate, s));
        }
        let opposite = leaf.operator.opposite().filter(|_| negate);
        let condition = self.plain(scope, leaf, opposite.unwrap_or(leaf.operator))?;
        Ok(if negate && opposite.is_none() {
            condition.negated()
        } else {
            condition
        })
    }

    /// The field that a name stands for; secret ones stand for nothing.
    pub(super) fn resolve(
        &mut self,
        scope: &Scope<'m>,
        name: &str,
        leaf: &Leaf,
    ) -> Result<&'m Field, DomainError> {
        let field = self
            .aliases
            .resolve(scope.model, name, leaf.field_span, &mut self.notes)?;
        secret::check(scope.model, field, leaf.field_span)?;
        Ok(field)
    }

    /// A condition on a field of the model itself, `operator` being the one that counts.
    pub(super) fn plain(
        &mut self,
        scope: &Scope<'m>,
        leaf: &Leaf,
        operator: Operator,
    ) -> Result<Condition, DomainError> {
        let known = self.notes.len();
        let field = self.resolve(scope, &leaf.field, leaf)?;
        if let Some((parent, model)) = self.inherited(scope.model, field) {
            let inner = Leaf {
                field: field.name.clone(),
                ..leaf.clone()
            };
            return self.joined(scope, parent, model, scope.active, &mut |c, s| {
                c.plain(s, &inner, operator)
            });
        }
        match operator {
            Operator::ChildOf | Operator::ParentOf => return self.hierarchy(scope, field, leaf, operator),
            Operator::Any | Operator::NotAny => return self.subdomain(scope, field, leaf, operator),
            _ => {}
        }
        match (field.ttype, &field.column_type) {
            (FieldType::One2many | FieldType::Many2many, _) if field.store => {
                self.lines(scope, field, leaf, operator)
            }
            (_, None) if self.is_name_field(scope.model, field) => self.name_condition(scope, operator, leaf),
            (_, None) if field.related.is_some() => self.related_leaf(scope, field, leaf, operator),
            (_, None) => Err(plan::no_column(scope.model, field, leaf)),
            (FieldType::Many2one, _) if relation::is_name(&leaf.value) => {
                self.many2one_name(scope, field, leaf, operator)
            }
            _ => {
                self.notes.truncate(known);
                let mut planner = Planner {
                    model: scope.model,
                    aliases: self.aliases,
                    notes: std::mem::take(&mut self.notes),
                };
                let planned = planner.plan(leaf, operator);
                self.notes = planner.notes;
                self.test(scope, planned?, leaf)
            }
        }
    }
}
