//! Conditions asked of many records at once: one statement, the captured images as the rows.

use std::collections::HashSet;

use serde_json::Value;
use tokio_postgres::Transaction;
use tokio_postgres::types::ToSql;

use super::apply::Subjects;
use super::batch::BatchError;
use crate::host::catalog::Model;
use crate::host::record;
use crate::lang::domain::Compiled;

/// The trigger's domain, in a savepoint of its own.
pub(super) async fn guarded(
    tx: &Transaction<'_>,
    domain: Option<&Compiled>,
    model: &Model,
    subjects: &[&Subjects<'_>],
) -> Result<Result<HashSet<i32>, String>, BatchError> {
    if domain.is_none() {
        return Ok(Ok((0..subjects.len() as i32).collect()));
    }
    tx.batch_execute("savepoint condition").await?;
    match satisfied(tx, domain, model, subjects).await {
        Ok(met) => {
            tx.batch_execute("release savepoint condition").await?;
            Ok(Ok(met))
        }
        Err(e) if e.is_closed() => Err(e.into()),
        Err(e) => {
            tx.batch_execute("rollback to savepoint condition; release savepoint condition")
                .await?;
            Ok(Err(crate::db::describe(&e)))
        }
    }
}

/// Which of the records satisfy the domain: one statement, the captured images as the rows.
pub(super) async fn satisfied(
    tx: &Transaction<'_>,
    domain: Option<&Compiled>,
    model: &Model,
    subjects: &[&Subjects<'_>],
) -> Result<HashSet<i32>, tokio_postgres::Error> {
    let Some(domain) = domain else {
        return Ok((0..subjects.len() as i32).collect());
    };
    let images: Vec<Value> = subjects.iter().map(|s| Value::Object(s.image.clone())).collect();
    let query = format!(
        "select i.position::integer - 1 from unnest(${}::jsonb[]) with ordinality as i (image, position) \
         cross join lateral jsonb_populate_record(null::public.{}, i.image) as t where {}",
        domain.params.len() + 1,
        record::quote(&model.table),
        domain.sql
    );
    let mut params: Vec<&(dyn ToSql + Sync)> =
        domain.params.iter().map(|p| p as &(dyn ToSql + Sync)).collect();
    params.push(&images);
    Ok(tx
        .query(&query, &params)
        .await?
        .iter()
        .map(|r| r.get(0))
        .collect())
}
