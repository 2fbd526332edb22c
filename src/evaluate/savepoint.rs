//! Work that may fail without taking the batch along.

use tokio_postgres::Transaction;

use crate::db::prepared::send;

/// Does the work in a savepoint: what it fails at is undone, and the transaction goes on.
///
/// # Errors
/// The connection is gone, and the transaction with it.
pub(super) async fn attempt<T, E>(
    tx: &Transaction<'_>,
    work: impl Future<Output = Result<T, E>>,
) -> Result<Result<T, E>, tokio_postgres::Error> {
    send(tx, "savepoint attempt");
    let result = work.await;
    match result {
        Ok(_) => send(tx, "release savepoint attempt"),
        Err(_) => {
            tx.batch_execute("rollback to savepoint attempt; release savepoint attempt")
                .await?;
        }
    }
    Ok(result)
}
