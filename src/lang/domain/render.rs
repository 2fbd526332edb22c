//! Tests of one column as SQL.

use super::ast::Leaf;
use super::coerce::{Kind, Scalar};
use super::compile::Compiler;
use super::error::{DomainError, ErrorKind};
use super::plan::{Comparison, Nulls, Planned, Test};
use super::scope::{Condition, Scope};
use super::sql::{Param, Sql};
use crate::host::catalog::Field;

impl<'m> Compiler<'m> {
    /// A planned test of a column.
    pub(super) fn test(
        &mut self,
        scope: &Scope<'m>,
        planned: Planned<'_>,
        leaf: &Leaf,
    ) -> Result<Condition, DomainError> {
        let column = self.column(scope, planned.field, planned.kind, leaf)?;
        let positive = is_positive(&planned.test);
        self.dates.extend(unread(&planned.test));
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
                null,
                nulls,
            } => {
                let array = self.bind_list(planned.kind, values);
                let test = column
                    .clone()
                    .then(if negative { " <> ALL(" } else { " = ANY(" })
                    .add(array);
                let test = match (null, negative) {
                    (false, _) => test.then(")"),
                    (true, false) => test.wrapped("(", ") OR NULL)"),
                    (true, true) => test.wrapped("(", ") AND NULL)"),
                };
                with_nulls(test, column, nulls)
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
                let stored = self.read(scope, &planned.field.name).then(" IS NOT NULL");
                sql.then(" AND ").add(stored).wrapped("(", ")")
            }
            false => sql,
        }))
    }

    /// The expression that reads the column.
    fn column(
        &mut self,
        scope: &Scope<'m>,
        field: &Field,
        kind: Kind,
        leaf: &Leaf,
    ) -> Result<Sql, DomainError> {
        let column = self.read(scope, &field.name);
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
            let lang = Param::Text(Some(self.base.lang.clone()));
            self.lang = Some(self.pool.bind(lang, ""));
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

/// The dates of a test that only PostgreSQL can read.
fn unread(test: &Test) -> Vec<(String, &'static str)> {
    let unread = |value: &Scalar| match value {
        Scalar::Date(moment) if moment.exact.is_none() => Some((moment.text.clone(), "date")),
        Scalar::Datetime(moment) if moment.exact.is_none() => Some((moment.text.clone(), "timestamp")),
        _ => None,
    };
    match test {
        Test::Compare(_, value, _) => unread(value).into_iter().collect(),
        Test::Among { values, .. } => values.iter().filter_map(unread).collect(),
        _ => Vec::new(),
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
        Kind::Int | Kind::Many2one | Kind::Pointer | Kind::Id => "int4",
        Kind::Float => "float8",
        Kind::Numeric => "numeric",
        Kind::Boolean => "bool",
        Kind::Date => "date",
        Kind::Datetime => "timestamp",
        Kind::Opaque => "text",
    }
}
