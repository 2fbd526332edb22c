//! Work that may fail without taking the batch along.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio_postgres::Transaction;

use crate::db::prepared::send;

/// Names differ: one that was rolled back to is never taken for another around it.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Does the work in a savepoint: what it fails at is undone, and the transaction goes on.
///
/// # Errors
/// The connection is gone, and the transaction with it.
pub(super) async fn attempt<T, E>(
    tx: &Transaction<'_>,
    work: impl Future<Output = Result<T, E>>,
) -> Result<Result<T, E>, tokio_postgres::Error> {
    let name = format!("attempt_{}", NEXT.fetch_add(1, Ordering::Relaxed));
    send(tx, &format!("savepoint {name}"));
    let result = work.await;
    match result {
        Ok(_) => send(tx, &format!("release savepoint {name}")),
        Err(_) => {
            tx.batch_execute(&format!("rollback to savepoint {name}; release savepoint {name}"))
                .await?;
        }
    }
    Ok(result)
}
