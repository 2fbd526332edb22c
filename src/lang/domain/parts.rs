//! A part of a date in a condition, as in `('expiry_date.month_number', '=', 12)`.

use super::ast::Leaf;
use super::compile::Compiler;
use super::error::{DomainError, ErrorKind};
use super::operator::Operator;
use super::scope::{Condition, Scope};
use super::sql::{Param, Sql};
use super::value::{Node, Value};
use crate::host::catalog::{FieldType, Model};

/// The parts that Odoo 18 knows, and what PostgreSQL calls them.
const PARTS: &[(&str, &str)] = &[
    ("year_number", "year"),
    ("quarter_number", "quarter"),
    ("month_number", "month"),
    ("iso_week_number", "week"),
    ("day_of_year", "doy"),
    ("day_of_month", "day"),
    ("day_of_week", "dow"),
    ("hour_number", "hour"),
    ("minute_number", "minute"),
    ("second_number", "second"),
];

/// Whether a dotted name is a part of a date of the model.
pub(super) fn is_part(leaf: &Leaf, model: &Model) -> bool {
    let Some((first, rest)) = leaf.field.split_once('.') else {
        return false;
    };
    let date = |ttype| matches!(ttype, FieldType::Date | FieldType::Datetime);
    model.fields.get(first).is_some_and(|field| date(field.ttype))
        && PARTS.iter().any(|(name, _)| *name == rest)
}

impl<'m> Compiler<'m> {
    /// The parts are those of the stored value, which is UTC. NULL meets nothing.
    pub(super) fn part(
        &mut self,
        scope: &Scope<'m>,
        leaf: &Leaf,
        operator: Operator,
    ) -> Result<Condition, DomainError> {
        let (first, rest) = leaf.field.split_once('.').unwrap_or_default();
        let field = self.resolve(scope.model, first, leaf)?;
        if let Some((parent, model)) = self.inherited(scope.model, field) {
            return self.joined(scope, parent, model, scope.active, &mut |c, s| {
                c.part(s, leaf, operator)
            });
        }
        let Some((_, part)) = PARTS.iter().find(|(name, _)| *name == rest) else {
            return Err(unfit(leaf));
        };
        if field.column_type.is_none() {
            return Err(super::plan::no_column(scope.model, field, leaf));
        }
        let column = self.read(scope, &field.name);
        let mut number = column.wrapped(&format!("date_part('{part}', "), ")");
        if *part == "dow" {
            let start = self.week_start();
            number = Sql::text("mod(7 - ")
                .add(start)
                .then(" + ")
                .add(number)
                .then("::int, 7)");
        }
        self.compare_part(number, leaf, operator)
    }

    /// The first day of the week in the language of the question; Sunday where that is not known.
    fn week_start(&mut self) -> Sql {
        let known = self
            .catalog
            .model("res.lang")
            .filter(|lang| lang.column("week_start").is_some() && lang.column("code").is_some());
        let Some(table) = known.map(|lang| lang.table.clone()) else {
            return Sql::text("7");
        };
        self.note_read(&table, "week_start");
        self.note_read(&table, "code");
        let lang = self.pool.bind(Param::Text(Some(self.base.lang.clone())), "");
        let from = crate::host::record::quote(&table);
        lang.wrapped(
            &format!("coalesce((SELECT l.\"week_start\"::int FROM public.{from} AS l WHERE l.\"code\" = "),
            " LIMIT 1), 7)",
        )
    }

    fn compare_part(
        &mut self,
        number: Sql,
        leaf: &Leaf,
        operator: Operator,
    ) -> Result<Condition, DomainError> {
        use Operator as Op;
        let (symbol, list) = match operator {
            Op::Eq => (" = ", Some(" = ANY(")),
            Op::Ne => (" <> ", Some(" <> ALL(")),
            Op::Lt => (" < ", None),
            Op::Le => (" <= ", None),
            Op::Gt => (" > ", None),
            Op::Ge => (" >= ", None),
            Op::In => ("", Some(" = ANY(")),
            Op::NotIn => ("", Some(" <> ALL(")),
            _ => return Err(unfit(leaf)),
        };
        match (&leaf.value.value, list) {
            // A list would be an ARRAY there, which PostgreSQL does not take after IN; a tuple is what it takes.
            (Value::Tuple(items), Some(list)) if !items.is_empty() => {
                let mut numbers = Vec::new();
                for item in items.iter().filter(|item| !matches!(item.value, Value::None)) {
                    numbers.push(real(item).ok_or_else(|| unfit(leaf))?.to_string());
                }
                let null = numbers.len() < items.len();
                let array = self.pool.bind(Param::TextArray(numbers), "::float8[]");
                let test = number.then(list).add(array).then(")");
                let word = if list == " = ANY(" {
                    " OR NULL)"
                } else {
                    " AND NULL)"
                };
                Ok(Condition::Sql(if null { test.wrapped("(", word) } else { test }))
            }
            (Value::None, _) if !symbol.is_empty() => Ok(Condition::Const(false)),
            _ if !symbol.is_empty() => {
                let value = real(&leaf.value).ok_or_else(|| unfit(leaf))?;
                let value = self.pool.bind(Param::Float(value), "");
                Ok(Condition::Sql(number.then(symbol).add(value)))
            }
            _ => Err(unfit(leaf)),
        }
    }
}

fn real(node: &Node) -> Option<f64> {
    match &node.value {
        Value::Int(i) => Some(*i as f64),
        Value::Float(f) => Some(*f),
        Value::Str(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn unfit(leaf: &Leaf) -> DomainError {
    let message = format!("`{}` is a number", leaf.field);
    DomainError::new(ErrorKind::Type, leaf.span, message)
        .hint("compare it with a number, or with a tuple of numbers: `in (1, 2)`")
}
