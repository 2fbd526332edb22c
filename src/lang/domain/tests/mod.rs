//! The rules of Odoo 18 for columns of the row itself, leaf by leaf.

use super::fixture::permit;
use super::*;
use crate::host::catalog::Catalog;

mod columns;
mod expressions;
mod whole;

fn aliases() -> Aliases {
    Aliases::default()
        .field("sicantik.permit", "state", "status")
        .field("sicantik.permit", "days", "ratio")
        .field("sicantik.permit", "gone", "nowhere")
        .value("sicantik.permit", "status", "approved", "active")
        .value("sicantik.permit", "status", "draft", "expired")
        .value("sicantik.permit", "status", "lost", "nowhere")
}

fn compiled(text: &str, base: BaseRow) -> Result<Compiled, DomainError> {
    compile(&parse(text)?, &Catalog::default(), &permit(), &aliases(), base)
}

fn value(param: &Param) -> String {
    match param {
        Param::Text(None) => "NULL".into(),
        Param::Text(Some(text)) => format!("'{text}'"),
        Param::Int(i) => i.to_string(),
        Param::Float(f) => format!("{f:?}"),
        Param::Bool(b) => b.to_string(),
        Param::TextArray(values) => format!("{values:?}").replace('"', "'"),
        Param::IntArray(values) => format!("{values:?}"),
    }
}

/// The SQL with `c` for the column and the values in the places of their placeholders.
fn with_base(column: &str, domain: &str, base: BaseRow) -> String {
    let compiled = match compiled(domain, base) {
        Ok(compiled) => compiled,
        Err(error) => return format!("{} error: {error}", error.kind),
    };
    let mut sql = compiled.sql.replace(&format!("t.\"{column}\""), "c");
    for (at, param) in compiled.params.iter().enumerate().rev() {
        sql = sql.replace(&format!("${}::", at + 1), &format!("{}::", value(param)));
    }
    sql
}

fn check(column: &str, rows: &[(&str, &str)]) {
    for (leaf, sql) in rows {
        let domain = match leaf.strip_prefix('!') {
            Some(leaf) if !leaf.starts_with('=') => format!("['!', ('{column}', {leaf})]"),
            _ => format!("[('{column}', {leaf})]"),
        };
        let found = with_base(column, &domain, BaseRow::table());
        match sql.strip_suffix('…') {
            Some(start) => assert!(found.starts_with(start), "{column} {leaf}: {found}"),
            None => assert_eq!(found, *sql, "{column} {leaf}"),
        }
    }
}
