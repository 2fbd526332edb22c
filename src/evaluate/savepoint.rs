//! Work that may fail without taking the batch along.

use tokio_postgres::Transaction;

/// Does the work in a savepoint: what it fails at is undone, and the transaction goes on.
///
/// # Errors
/// The connection is gone, and the transaction with it.
pub(super) async fn attempt<T, E>(
    tx: &Transaction<'_>,
    work: impl Future<Output = Result<T, E>>,
) -> Result<Result<T, E>, tokio_postgres::Error> {
    tx.batch_execute("savepoint attempt").await?;
    let result = work.await;
    tx.batch_execute(match result {
        Ok(_) => "release savepoint attempt",
        Err(_) => "rollback to savepoint attempt; release savepoint attempt",
    })
    .await?;
    Ok(result)
}
