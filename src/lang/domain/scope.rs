//! Rows under an alias, and the fragments that the parts of the compiler hand to each other.

use super::sql::Sql;
use crate::host::catalog::Model;

/// Rows of a model under an alias.
#[derive(Clone, Debug)]
pub(super) struct Scope<'m> {
    pub(super) model: &'m Model,
    pub(super) alias: String,
    /// Whether lists of records that are followed from here leave archived ones out.
    pub(super) active: bool,
    /// The base row itself.
    pub(super) base: bool,
}

/// A test of a row.
#[derive(Clone, Debug)]
pub(super) enum Condition {
    Const(bool),
    Sql(Sql),
}

impl Condition {
    pub(super) fn into_sql(self) -> Sql {
        match self {
            Self::Const(true) => Sql::text("TRUE"),
            Self::Const(false) => Sql::text("FALSE"),
            Self::Sql(sql) => sql,
        }
    }

    /// SQL's NOT: NULL stays NULL.
    pub(super) fn negated(self) -> Self {
        match self {
            Self::Const(value) => Self::Const(!value),
            Self::Sql(sql) => Self::Sql(sql.wrapped("NOT (", ")")),
        }
    }
}

/// Joins with AND or OR and folds constants.
pub(super) fn combine(parts: Vec<Condition>, and: bool) -> Condition {
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
