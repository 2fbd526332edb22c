//! Records of the host as they are now, many at once.

use std::collections::HashMap;

use serde_json::{Map, Value};
use tokio_postgres::Transaction;

use super::catalog::Model;

/// The rows of a model with those ids, as jsonb. Ids that do not exist (any more) are missing in the answer.
///
/// # Errors
/// The server's, such as a missing right on the table.
pub async fn fetch(
    tx: &Transaction<'_>,
    model: &Model,
    ids: &[i64],
) -> Result<HashMap<i64, Map<String, Value>>, tokio_postgres::Error> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    // The table's name comes from the catalogue.
    let query = format!(
        "select t.id::bigint, to_jsonb(t.*) from public.{} t where t.id = any ($1::bigint[])",
        quote(&model.table)
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
