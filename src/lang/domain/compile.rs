//! From a domain to a boolean SQL expression over the alias `t`.

use std::collections::BTreeSet;

use super::alias::{Aliases, Note};
use super::ast::{Domain, Leaf};
use super::coerce::{Kind, Scalar};
use super::error::{DomainError, ErrorKind};
use super::plan::{Comparison, Nulls, Planned, Planner, Test};
use super::sql::{Param, Pool, Sql};
use crate::host::catalog::{Field, Model};

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
    kind: BaseKind,
    first_param: usize,
    lang: String,
    company: Option<i64>,
    active_test: bool,
    unaccent: bool,
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

    /// Leaves archived records out unless the domain mentions `active`; off by default.
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
    /// What `check` shows.
    pub notes: Vec<Note>,
}

/// Compiles a domain on a model.
pub fn compile(
    domain: &Domain,
    model: &Model,
    aliases: &Aliases,
    base: BaseRow,
) -> Result<Compiled, DomainError> {
    let planner = Planner {
        model,
        aliases,
        notes: Vec::new(),
    };
    let mut compiler = Compiler {
        planner,
        pool: Pool::default(),
        lang: None,
        company: None,
        columns: BTreeSet::new(),
        base,
    };
    let mut condition = compiler.walk(domain, false)?;
    if compiler.base.active_test && model.column("active").is_some() && !compiler.columns.contains("active") {
        compiler.columns.insert("active".to_owned());
        let active = Condition::Sql(Sql::column("active").then(" = TRUE"));
        condition = combine(vec![condition, active], true);
    }
    let sql = match condition {
        Condition::Const(true) => Sql::text("TRUE"),
        Condition::Const(false) => Sql::text("FALSE"),
        Condition::Sql(sql) => sql,
    };
    let (sql, params) = compiler.pool.render(&sql, compiler.base.first_param);
    Ok(Compiled {
        sql,
        params,
        columns: compiler.columns,
        notes: compiler.planner.notes,
    })
}

enum Condition {
    Const(bool),
    Sql(Sql),
}

/// Joins with AND or OR and folds constants.
fn combine(parts: Vec<Condition>, and: bool) -> Condition {
    let mut sql = Vec::new();
    for part in parts {
        match part {
            Condition::Const(value) if value == and => {}
            Condition::Const(value) => return Condition::Const(value),
            Condition::Sql(part) => sql.push(part),
        }
    }
    match sql.is_empty() {
        true => Condition::Const(and),
        false => Condition::Sql(Sql::joined(sql, if and { " AND " } else { " OR " })),
    }
}

struct Compiler<'m> {
    planner: Planner<'m>,
    pool: Pool,
    lang: Option<Sql>,
    company: Option<Sql>,
    columns: BTreeSet<String>,
    base: BaseRow,
}

impl Compiler<'_> {
    /// Compiles with `!` pushed down to the leaves.
    fn walk(&mut self, domain: &Domain, negate: bool) -> Result<Condition, DomainError> {
        let (parts, and) = match domain {
            Domain::True => return Ok(Condition::Const(!negate)),
            Domain::False => return Ok(Condition::Const(negate)),
            Domain::Not(inner) => return self.walk(inner, !negate),
            Domain::Leaf(leaf) => return self.leaf(leaf, negate),
            Domain::And(parts) => (parts, !negate),
            Domain::Or(parts) => (parts, negate),
        };
        let parts = parts
            .iter()
            .map(|part| self.walk(part, negate))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(combine(parts, and))
    }

    fn leaf(&mut self, leaf: &Leaf, negate: bool) -> Result<Condition, DomainError> {
        let opposite = leaf.operator.opposite().filter(|_| negate);
        let planned = self.planner.plan(leaf, opposite.unwrap_or(leaf.operator))?;
        self.columns.insert(planned.field.name.clone());
        let condition = self.test(planned, leaf)?;
        Ok(match condition {
            condition if !negate || opposite.is_some() => condition,
            Condition::Const(value) => Condition::Const(!value),
            Condition::Sql(sql) => Condition::Sql(sql.wrapped("NOT (", ")")),
        })
    }

    fn test(&mut self, planned: Planned<'_>, leaf: &Leaf) -> Result<Condition, DomainError> {
        let column = self.column(planned.field, planned.kind, leaf)?;
        let positive = is_positive(&planned.test);
        let sql = match planned.test {
            Test::Const(value) => return Ok(Condition::Const(value)),
            Test::IsNull => column.then(" IS NULL"),
            Test::NotNull => column.then(" IS NOT NULL"),
            Test::Boolean(true) => column.then(" = TRUE"),
            Test::Boolean(false) => column
                .clone()
                .then(" IS NULL OR ")
                .add(column.then(" = FALSE"))
                .wrapped("(", ")"),
            Test::Compare(comparison, value, nulls) => {
                let test = column.clone().then(symbol(comparison)).add(self.bind(value));
                with_nulls(test, column, nulls)
            }
            Test::Among {
                negative,
                values,
                nulls,
            } => {
                let array = self.bind_list(planned.kind, values);
                let test = column
                    .clone()
                    .then(if negative { " <> ALL(" } else { " = ANY(" })
                    .add(array);
                with_nulls(test.then(")"), column, nulls)
            }
            Test::Pattern {
                negative,
                fold,
                pattern,
                nulls,
            } => {
                let test = self.pattern(column.clone(), negative, fold, pattern);
                with_nulls(test, column, nulls)
            }
        };
        Ok(Condition::Sql(match positive && by_company(planned.field) {
            true => {
                let stored = Sql::column(&planned.field.name).then(" IS NOT NULL");
                sql.then(" AND ").add(stored).wrapped("(", ")")
            }
            false => sql,
        }))
    }

    /// The expression that reads the column.
    fn column(&mut self, field: &Field, kind: Kind, leaf: &Leaf) -> Result<Sql, DomainError> {
        let column = Sql::column(&field.name);
        if by_company(field) {
            let company = self.company(field, leaf)?;
            let cast = format!("->>0)::{}", sql_type(kind));
            return Ok(column.then("->").add(company).wrapped("(", &cast));
        }
        if !translated(field) {
            return Ok(column);
        }
        let english = column.clone().then("->>'en_US'").wrapped("(", ")");
        if self.base.lang == "en_US" {
            return Ok(english);
        }
        if self.lang.is_none() {
            self.lang = Some(self.pool.bind(Param::Text(Some(self.base.lang.clone())), ""));
        }
        let lang = self.lang.clone().unwrap_or_default();
        Ok(column
            .then("->>")
            .add(lang)
            .wrapped("COALESCE(", ", ")
            .add(english)
            .then(")"))
    }

    fn company(&mut self, field: &Field, leaf: &Leaf) -> Result<Sql, DomainError> {
        let Some(id) = self.base.company else {
            let message = format!("`{}` has a value for each company and none is given", field.name);
            return Err(DomainError::new(ErrorKind::Field, leaf.field_span, message));
        };
        if self.company.is_none() {
            self.company = Some(self.pool.bind(Param::Text(Some(id.to_string())), ""));
        }
        Ok(self.company.clone().unwrap_or_default())
    }

    fn pattern(&mut self, column: Sql, negative: bool, fold: bool, pattern: Option<String>) -> Sql {
        let operator = match (negative, fold) {
            (false, false) => " LIKE ",
            (true, false) => " NOT LIKE ",
            (false, true) => " ILIKE ",
            (true, true) => " NOT ILIKE ",
        };
        let (column, value) = (column.then("::text"), self.pool.bind(Param::Text(pattern), ""));
        if fold && self.base.unaccent {
            let folded = |sql: Sql| sql.wrapped("unaccent(", ")");
            return folded(column).then(operator).add(folded(value));
        }
        column.then(operator).add(value)
    }

    fn bind(&mut self, value: Scalar) -> Sql {
        let (param, cast) = match value {
            Scalar::Int(i) => (Param::Int(i), ""),
            Scalar::Float(f) => (Param::Float(f), ""),
            Scalar::Boolean(b) => (Param::Bool(b), ""),
            value => {
                let cast = match value {
                    Scalar::Date(_) => "::date",
                    Scalar::Datetime(_) => "::timestamp",
                    Scalar::Numeric(_) => "::numeric",
                    _ => "",
                };
                (Param::Text(Some(value.into_text())), cast)
            }
        };
        self.pool.bind(param, cast)
    }

    fn bind_list(&mut self, kind: Kind, values: Vec<Scalar>) -> Sql {
        let whole: Option<Vec<i64>> = values
            .iter()
            .map(|value| match value {
                Scalar::Int(i) => Some(*i),
                _ => None,
            })
            .collect();
        if let Some(whole) = whole {
            return self.pool.bind(Param::IntArray(whole), "");
        }
        let cast = match kind {
            Kind::Text | Kind::Selection => "",
            Kind::Float => "::float8[]",
            Kind::Boolean => "::bool[]",
            Kind::Date => "::date[]",
            Kind::Datetime => "::timestamp[]",
            _ => "::numeric[]",
        };
        self.pool.bind(
            Param::TextArray(values.into_iter().map(Scalar::into_text).collect()),
            cast,
        )
    }
}

fn with_nulls(test: Sql, column: Sql, nulls: Nulls) -> Sql {
    match nulls {
        Nulls::Plain => test,
        Nulls::Pass => test.then(" OR ").add(column).wrapped("(", " IS NULL)"),
        Nulls::Fail => test.then(" AND ").add(column).wrapped("(", " IS NOT NULL)"),
    }
}

fn symbol(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Eq => " = ",
        Comparison::Ne => " <> ",
        Comparison::Lt => " < ",
        Comparison::Le => " <= ",
        Comparison::Gt => " > ",
        Comparison::Ge => " >= ",
    }
}

/// A test that a column without a value cannot meet.
fn is_positive(test: &Test) -> bool {
    match test {
        Test::Boolean(value) => *value,
        Test::Compare(comparison, _, nulls) => *comparison != Comparison::Ne && *nulls == Nulls::Plain,
        Test::Among { negative, nulls, .. } | Test::Pattern { negative, nulls, .. } => {
            !negative && *nulls == Nulls::Plain
        }
        Test::Const(_) | Test::IsNull | Test::NotNull => false,
    }
}

fn is_jsonb(field: &Field) -> bool {
    field.column_type.as_deref() == Some("jsonb")
}

pub(super) fn translated(field: &Field) -> bool {
    field.translate && is_jsonb(field)
}

pub(super) fn by_company(field: &Field) -> bool {
    field.company_dependent && is_jsonb(field)
}

fn sql_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Text | Kind::Selection => "varchar",
        Kind::Int | Kind::Many2one | Kind::Id => "int4",
        Kind::Float => "float8",
        Kind::Numeric => "numeric",
        Kind::Boolean => "bool",
        Kind::Date => "date",
        Kind::Datetime => "timestamp",
        Kind::Opaque => "text",
    }
}
