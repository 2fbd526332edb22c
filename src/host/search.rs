//! Which records of the host meet a domain.

use tokio_postgres::GenericClient;
use tokio_postgres::types::ToSql;

use super::catalog::Model;
use super::record::quote;
use crate::lang::domain::{BaseKind, Compiled};

/// The statement that asks: ids of the records, ascending. The row is the table's, or an image made of it, as the
/// domain was compiled for.
pub fn statement(model: &Model, domain: &Compiled, kind: BaseKind) -> String {
    let table = quote(&model.table);
    let from = match kind {
        BaseKind::Table => format!("public.{table} as t"),
        BaseKind::Image => format!(
            "public.{table} as r cross join lateral jsonb_populate_record(null::public.{table}, to_jsonb(r.*)) as t"
        ),
    };
    format!(
        "select t.\"id\"::bigint from {from} where {} order by 1",
        domain.sql
    )
}

/// The records that meet a compiled domain.
///
/// # Errors
/// The server's: a missing right, or a value that it cannot read (a date that is none).
pub async fn search(
    client: &impl GenericClient,
    model: &Model,
    domain: &Compiled,
    kind: BaseKind,
) -> Result<Vec<i64>, tokio_postgres::Error> {
    let params: Vec<&(dyn ToSql + Sync)> = domain.params.iter().map(|p| p as &(dyn ToSql + Sync)).collect();
    let rows = client.query(&statement(model, domain, kind), &params).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Whether a record, as it is given, meets a domain that was compiled for images.
///
/// # Errors
/// The server's.
pub async fn meets(
    client: &impl GenericClient,
    model: &Model,
    domain: &Compiled,
    image: &serde_json::Map<String, serde_json::Value>,
) -> Result<bool, tokio_postgres::Error> {
    let query = format!(
        "select exists (select from jsonb_populate_record(null::public.{}, ${}::jsonb) as t where {})",
        quote(&model.table),
        domain.params.len() + 1,
        domain.sql
    );
    let image = serde_json::Value::Object(image.clone());
    let mut params: Vec<&(dyn ToSql + Sync)> =
        domain.params.iter().map(|p| p as &(dyn ToSql + Sync)).collect();
    params.push(&image);
    Ok(client.query_one(&query, &params).await?.get(0))
}
