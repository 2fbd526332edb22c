//! Statements whose plan depends neither on their values nor on statistics. The server plans a prepared statement anew for each execution
//! where it believes that the values (an array's length, a limit) matter; for the claim that takes five times as long as its
//! execution. And statistics of an empty queue make it read and sort a whole backlog. These statements are written so that one plan is
//! right for any values and any contents: probes of keys, looks at indexes in their order.

use deadpool_postgres::GenericClient;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

/// What makes the server use that plan.
pub const ONE_PLAN: &str = "set plan_cache_mode = force_generic_plan; set enable_seqscan = off; set enable_bitmapscan = off; \
                            set enable_sort = off";
const AS_BEFORE: &str =
    "reset plan_cache_mode; reset enable_seqscan; reset enable_bitmapscan; reset enable_sort";

/// Executes a prepared statement with the plan that serves all values. In one round trip; the connection is afterwards as it was.
///
/// # Errors
/// The server's.
pub async fn query(
    client: &impl GenericClient,
    text: &str,
    values: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, tokio_postgres::Error> {
    let statement = client.prepare_cached(text).await?;
    // Polled in this order, so sent in this order.
    let (set, rows, reset) = futures_util::join!(
        client.batch_execute(ONE_PLAN),
        client.query(&statement, values),
        client.batch_execute(AS_BEFORE),
    );
    // The statement's own error first: in a transaction it makes the others fail too, and the rollback takes the setting back.
    let rows = rows?;
    set?;
    reset?;
    Ok(rows)
}
