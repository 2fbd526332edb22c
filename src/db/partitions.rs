//! Partitions are made ahead of time, and dropped when retention says so, by the jobs of the schedule: nobody runs `migrate` every
//! month. Safe to run twice, and to fail: there are more of them ahead, and a DEFAULT partition under all.

use tokio_postgres::Transaction;

/// Makes what is due, and empties the DEFAULT partitions. The names of those that were made.
///
/// # Errors
/// The server's; 55P03 where somebody's lock stood in the way.
pub async fn make(tx: &Transaction<'_>) -> Result<Vec<String>, tokio_postgres::Error> {
    let made = "select sicantik_notify.ensure_partitions(sicantik_notify.clock())";
    names(tx, "Made", made).await
}

/// Drops what retention lets go. The names of those that were dropped.
///
/// # Errors
/// The server's; 55P03 where somebody's lock stood in the way.
pub async fn drop_old(tx: &Transaction<'_>) -> Result<Vec<String>, tokio_postgres::Error> {
    let months = "select sicantik_notify.retire_partitions(sicantik_notify.clock())";
    let days = "select sicantik_notify.drop_event_history(sicantik_notify.clock())";
    let mut dropped = names(tx, "Dropped", months).await?;
    dropped.extend(names(tx, "Dropped", days).await?);
    Ok(dropped)
}

async fn names(
    tx: &Transaction<'_>,
    what: &str,
    statement: &str,
) -> Result<Vec<String>, tokio_postgres::Error> {
    let rows = tx.query(statement, &[]).await?;
    let names: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    for name in &names {
        tracing::info!("{what} the partition {name}.");
    }
    Ok(names)
}
