//! SQL in pieces, so that placeholders are numbered only when the whole is known.

use std::error::Error;

use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use crate::host::record::quote;

/// A bound value. The SQL casts each placeholder to the type that its variant has.
#[derive(Clone, Debug, PartialEq)]
pub enum Param {
    /// `$n::text`, perhaps cast further.
    Text(Option<String>),
    /// `$n::int8`
    Int(i64),
    /// `$n::float8`
    Float(f64),
    /// `$n::bool`
    Bool(bool),
    /// `$n::text[]`, perhaps cast further.
    TextArray(Vec<String>),
    /// `$n::int8[]`
    IntArray(Vec<i64>),
}

impl ToSql for Param {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Self::Text(value) => value.to_sql_checked(ty, out),
            Self::Int(value) => value.to_sql_checked(ty, out),
            Self::Float(value) => value.to_sql_checked(ty, out),
            Self::Bool(value) => value.to_sql_checked(ty, out),
            Self::TextArray(values) => values.to_sql_checked(ty, out),
            Self::IntArray(values) => values.to_sql_checked(ty, out),
        }
    }

    fn accepts(ty: &Type) -> bool {
        [
            Type::TEXT,
            Type::INT8,
            Type::FLOAT8,
            Type::BOOL,
            Type::TEXT_ARRAY,
            Type::INT8_ARRAY,
        ]
        .contains(ty)
    }

    to_sql_checked!();
}

#[derive(Clone, Debug)]
enum Piece {
    Text(String),
    Param(usize),
}

/// A fragment of SQL; parameters are positions in a [`Pool`].
#[derive(Clone, Debug, Default)]
pub(super) struct Sql(Vec<Piece>);

impl Sql {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self(vec![Piece::Text(text.into())])
    }

    /// A column of the rows under an alias of our own.
    pub(super) fn column(alias: &str, name: &str) -> Self {
        Self::text(format!("{alias}.{}", quote(name)))
    }

    pub(super) fn then(mut self, text: &str) -> Self {
        self.0.push(Piece::Text(text.to_owned()));
        self
    }

    pub(super) fn add(mut self, other: Sql) -> Self {
        self.0.extend(other.0);
        self
    }

    pub(super) fn wrapped(self, before: &str, after: &str) -> Self {
        Self::text(before).add(self).then(after)
    }

    /// `(a AND b AND c)`; one part stays bare.
    pub(super) fn joined(parts: Vec<Sql>, word: &str) -> Self {
        let several = parts.len() > 1;
        let mut all = Sql::default();
        for (at, part) in parts.into_iter().enumerate() {
            if at > 0 {
                all = all.then(word);
            }
            all = all.add(part);
        }
        if several { all.wrapped("(", ")") } else { all }
    }
}

/// The values of fragments.
#[derive(Clone, Debug, Default)]
pub(super) struct Pool(Vec<Param>);

impl Pool {
    /// Takes a value; its placeholder is cast to what the variant needs and then as given.
    pub(super) fn bind(&mut self, value: Param, cast: &str) -> Sql {
        let own = match value {
            Param::Text(_) => "::text",
            Param::Int(_) => "::int8",
            Param::Float(_) => "::float8",
            Param::Bool(_) => "::bool",
            Param::TextArray(_) => "::text[]",
            Param::IntArray(_) => "::int8[]",
        };
        self.0.push(value);
        Sql(vec![
            Piece::Param(self.0.len() - 1),
            Piece::Text(format!("{own}{cast}")),
        ])
    }

    /// The text, with placeholders numbered from `first` in the order in which they first occur. Values that no
    /// piece mentions are left out: PostgreSQL refuses a parameter of unknown type.
    pub(super) fn render(self, sql: &Sql, first: usize) -> (String, Vec<Param>) {
        let mut values: Vec<Option<Param>> = self.0.into_iter().map(Some).collect();
        let mut numbers = vec![0; values.len()];
        let (mut text, mut params) = (String::new(), Vec::new());
        for piece in &sql.0 {
            match piece {
                Piece::Text(piece) => text.push_str(piece),
                Piece::Param(at) => {
                    if let Some(value) = values[*at].take() {
                        params.push(value);
                        numbers[*at] = first + params.len() - 1;
                    }
                    text.push_str(&format!("${}", numbers[*at]));
                }
            }
        }
        (text, params)
    }
}

/// The condition with its placeholders counted on from `by`. A placeholder is a dollar sign and a number outside of quotes;
/// conditions contain no texts, only quoted identifiers of the catalogue.
#[must_use]
pub fn shifted(condition: &str, by: usize) -> String {
    let mut out = String::with_capacity(condition.len() + 8);
    let mut quoted = false;
    let mut rest = condition.chars().peekable();
    while let Some(c) = rest.next() {
        out.push(c);
        if c == '"' {
            quoted = !quoted;
        }
        if c != '$' || quoted {
            continue;
        }
        let mut number = 0_usize;
        while let Some(digit) = rest.peek().and_then(|d| d.to_digit(10)) {
            number = number * 10 + digit as usize;
            rest.next();
        }
        out.push_str(&(number + by).to_string());
    }
    out
}
