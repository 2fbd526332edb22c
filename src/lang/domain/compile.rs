//! From a domain to a boolean SQL expression over the alias `t`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::alias::{Aliases, Note};
use super::ast::{Domain, Leaf};
use super::error::DomainError;
use super::operator::Operator;
use super::parts;
use super::plan::{self, Planner};
use super::reach::Filter;
use super::scope::{Condition, Scope, combine};
use super::sql::{Param, Pool, Sql};
use super::tree::{Tree, is_never};
use super::twin::Twin;
use super::{names, relation, secret};
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
    pub(super) host_like: bool,
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
            host_like: false,
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

    /// Answers as the host does also where nobody can have meant it: a condition on a field that cannot be searched
    /// is met by every record. Off by default: such fields are refused.
    pub fn host_like(mut self, on: bool) -> Self {
        self.host_like = on;
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
    /// Texts that only PostgreSQL can read, and the types that it must read them as (`date`, `timestamp`). The host
    /// fails on one that it cannot read, wherever in the domain it stands; the SQL only when it comes to it.
    pub dates: Vec<(String, &'static str)>,
    /// Searches that must find nobody.
    pub searches: Vec<Search>,
    /// The same test in Rust, where it is one of an image and asks for nothing beside it.
    pub twin: Option<Twin>,
}

/// A search that the host makes before it knows that the domain is wrong: it is only if somebody is found.
#[derive(Clone, Debug, PartialEq)]
pub struct Search {
    /// A boolean expression.
    pub sql: String,
    /// The values of its placeholders.
    pub params: Vec<Param>,
    /// What is wrong if it is true.
    pub error: DomainError,
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
        dates: Vec::new(),
        searches: Vec::new(),
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
    let mut condition = match is_never(domain) {
        true => Condition::Const(false),
        false => {
            let tree = compiler.tree(domain, false, model)?;
            compiler.node(&tree, &scope)?
        }
    };
    if scope.active && !mentions(domain, "active") {
        condition = compiler.unarchived(&scope, condition);
    }
    let twin = match compiler.base.kind {
        BaseKind::Image if !scope.active => Twin::new(domain, model, aliases),
        _ => None,
    };
    let (sql, params) = compiler
        .pool
        .render(&condition.into_sql(), compiler.base.first_param);
    Ok(Compiled {
        sql,
        params,
        columns: compiler.columns,
        tables: compiler.tables,
        notes: compiler.notes,
        dates: compiler.dates,
        searches: compiler.searches,
        twin,
    })
}

/// Whether the top level of a domain says anything about the column that archives records, even nothing.
fn mentions(domain: &Domain, column: &str) -> bool {
    domain.leaves().iter().any(|leaf| leaf.field == column)
}

pub(super) struct Compiler<'m> {
    pub(super) catalog: &'m Catalog,
    pub(super) aliases: &'m Aliases,
    pub(super) notes: Vec<Note>,
    pub(super) dates: Vec<(String, &'static str)>,
    pub(super) searches: Vec<Search>,
    pub(super) pool: Pool,
    pub(super) lang: Option<Sql>,
    pub(super) company: Option<Sql>,
    columns: BTreeSet<String>,
    tables: BTreeMap<String, BTreeSet<String>>,
    pub(super) base: BaseRow,
    pub(super) scopes: usize,
    pub(super) depth: usize,
    pub(super) leaves: usize,
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

    pub(super) fn node(&mut self, tree: &Tree<'m>, scope: &Scope<'m>) -> Result<Condition, DomainError> {
        let (parts, and) = match tree {
            Tree::Const(value) => return Ok(Condition::Const(*value)),
            Tree::Leaf(leaf, operator) => return self.plain(scope, leaf, operator.plain()),
            Tree::Not(leaf) => return Ok(self.plain(scope, leaf, leaf.operator.plain())?.negated()),
            Tree::Any(any) => {
                let active = any.inner.mentions_active();
                let follow = self.follow(any.field, &any.leaf, any.negative, active);
                return self.any(
                    scope,
                    follow,
                    &mut |c, s, search| match search && any.inner.is_never() {
                        true => Ok(Condition::Const(false)),
                        false => c.node(&any.inner, s),
                    },
                );
            }
            Tree::And(parts) => (parts, true),
            Tree::Or(parts) => (parts, false),
        };
        let parts = parts
            .iter()
            .map(|part| self.node(part, scope))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(combine(parts, and))
    }

    /// The field that a name stands for; secret ones stand for nothing.
    pub(super) fn resolve(
        &mut self,
        model: &'m Model,
        name: &str,
        leaf: &Leaf,
    ) -> Result<&'m Field, DomainError> {
        let field = self
            .aliases
            .resolve(model, name, leaf.field_span, &mut self.notes)?;
        secret::check(model, field, leaf.field_span)?;
        Ok(field)
    }

    /// A condition on a field of the model itself, `operator` being the one that counts.
    pub(super) fn plain(
        &mut self,
        scope: &Scope<'m>,
        leaf: &Leaf,
        operator: Operator,
    ) -> Result<Condition, DomainError> {
        if parts::is_part(leaf, scope.model) {
            return self.part(scope, leaf, operator);
        }
        let known = self.notes.len();
        let field = self.resolve(scope.model, &leaf.field, leaf)?;
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
            _ => {}
        }
        match (field.ttype, &field.column_type) {
            (FieldType::One2many | FieldType::Many2many, _) if field.store => {
                self.lines(scope, field, leaf, operator)
            }
            (_, None) if self.is_name_field(scope.model, field) => self.name_condition(scope, operator, leaf),
            (_, None) if field.related.is_some() => self.related_leaf(scope, field, leaf, operator),
            (_, None) => self.columnless(scope, field, leaf, operator),
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

    /// A field that has no column and whose value nothing else tells.
    pub(super) fn columnless(
        &mut self,
        scope: &Scope<'m>,
        field: &'m Field,
        leaf: &Leaf,
        operator: Operator,
    ) -> Result<Condition, DomainError> {
        if !self.base.host_like || names::has_own_search(field) {
            return Err(plan::no_column(scope.model, field, leaf));
        }
        let attached = field.ttype == FieldType::Binary && field.store;
        let equal = matches!(operator, Operator::Eq | Operator::Ne);
        if !attached || !equal || leaf.value.value.truthy() {
            return Ok(Condition::Const(true));
        }
        self.attached(scope, field, leaf, operator == Operator::Ne)
    }

    /// Whether the record has the file.
    fn attached(
        &mut self,
        scope: &Scope<'m>,
        field: &'m Field,
        leaf: &Leaf,
        has: bool,
    ) -> Result<Condition, DomainError> {
        let known = |model: &&Arc<Model>| {
            ["res_model", "res_field", "res_id"]
                .iter()
                .all(|column| model.column(column).is_some())
        };
        let Some(files) = self.catalog.model("ir.attachment").filter(known) else {
            return Err(plan::no_column(scope.model, field, leaf));
        };
        let found = self.subselect(files, Filter::NONE, "res_id", leaf, &mut |c, s| {
            let mut parts = Vec::new();
            for (column, value) in [("res_model", &scope.model.name), ("res_field", &field.name)] {
                let value = c.pool.bind(Param::Text(Some(value.clone())), "");
                parts.push(Condition::Sql(c.read(s, column).then(" = ").add(value)));
            }
            Ok(combine(parts, true))
        })?;
        Ok(self.owner(scope, !has, found))
    }
}
