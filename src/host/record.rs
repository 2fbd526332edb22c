//! Records of the host as they are now, many at once.

use std::collections::HashMap;

use serde_json::{Map, Value};
use tokio_postgres::Transaction;

use super::catalog::Model;

/// Some columns of the rows of a model with those ids. Ids that do not exist (any more) are missing in the answer.
///
/// # Errors
/// The server's, such as a missing right on a column.
pub async fn fetch(
    tx: &Transaction<'_>,
    model: &Model,
    columns: &[&str],
    ids: &[i64],
) -> Result<HashMap<i64, Map<String, Value>>, tokio_postgres::Error> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    // Names of columns that are none are left out: what reaches SQL comes from the catalogue.
    let mut listed: Vec<String> = columns
        .iter()
        .filter(|c| **c != "id" && model.column(c).is_some())
        .map(|c| format!("t.{}", quote(c)))
        .collect();
    listed.insert(0, "t.id".to_owned());
    let query = format!(
        "select t.id::bigint, to_jsonb(c.*) from public.{} t cross join lateral (select {}) c \
         where t.id = any ($1::bigint[])",
        quote(&model.table),
        listed.join(", ")
    );
    let rows = tx.query(&query, &[&ids]).await?;
    Ok(rows
        .iter()
        .filter_map(|row| match row.get::<_, Value>(1) {
            Value::Object(map) => Some((row.get(0), map)),
            _ => None,
        })
        .collect())
}

/// A quoted identifier.
pub fn quote(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}
