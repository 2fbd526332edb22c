//! Conditions asked of many records at once: one statement, the captured images as the rows. The answer is a verdict for
//! each record, so that one whose values cannot be read fails alone.

use std::collections::HashSet;

use serde_json::Value;
use tokio_postgres::Transaction;
use tokio_postgres::types::ToSql;

use super::cases::Case;
use super::savepoint::attempt;
use crate::host::catalog::Model;
use crate::host::record;
use crate::lang::domain::Compiled;

/// Whether a record meets a condition, or why that cannot be said of it.
pub(super) type Verdict = Result<bool, String>;

/// Most statements that may fail in the search for the records that cannot be asked.
const PATIENCE: usize = 32;

/// What the domain says of each record. Where the server cannot read a value, the set is halved until the record that has it
/// stands alone: further statements are needed only then.
///
/// # Errors
/// What no other choice of records would mend: a missing right, a lost connection.
pub(super) async fn ask(
    tx: &Transaction<'_>,
    domain: Option<&Compiled>,
    model: &Model,
    cases: &[&Case<'_>],
) -> Result<Vec<Verdict>, tokio_postgres::Error> {
    let Some(domain) = domain else {
        return Ok(vec![Ok(true); cases.len()]);
    };
    let mut verdicts: Vec<Verdict> = vec![Ok(false); cases.len()];
    let mut parts = vec![(0, cases.len())];
    let mut failed = 0;
    while let Some((from, to)) = parts.pop() {
        match attempt(tx, satisfied(tx, domain, model, &cases[from..to])).await? {
            Ok(met) => met.into_iter().for_each(|at| verdicts[from + at] = Ok(true)),
            Err(error) if !about_data(&error) => return Err(error),
            Err(_) if to - from > 1 && failed < PATIENCE => {
                failed += 1;
                let middle = from + (to - from) / 2;
                parts.extend([(from, middle), (middle, to)]);
            }
            Err(error) => verdicts[from..to].fill(Err(crate::db::describe(&error))),
        }
    }
    Ok(verdicts)
}

/// SQLSTATE class 22: a value was not what its column or an operator wants.
fn about_data(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|code| code.code().starts_with("22"))
}

/// Positions of the records that satisfy the domain.
async fn satisfied(
    tx: &Transaction<'_>,
    domain: &Compiled,
    model: &Model,
    cases: &[&Case<'_>],
) -> Result<HashSet<usize>, tokio_postgres::Error> {
    let images: Vec<Value> = cases.iter().map(|c| Value::Object(c.image.clone())).collect();
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
    let rows = tx.query(&query, &params).await?;
    Ok(rows.iter().map(|r| r.get::<_, i32>(0) as usize).collect())
}
