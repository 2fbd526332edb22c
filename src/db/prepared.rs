//! Statements that a session prepares once, and those that have one plan.
//!
//! The server plans a prepared statement anew for each execution where it believes that its values (an array's length, a limit) matter; for
//! a claim that takes five times as long as its execution. A plan that it keeps instead is made from what the tables held at that
//! moment: that of an empty queue reads and sorts a backlog. Statements with *one plan* are written so that probes of keys and walks along
//! indexes are right whatever their values and the tables hold; they are planned once a session, and nothing else is let in.

use std::sync::Arc;

use deadpool_postgres::StatementCache;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Transaction};

macro_rules! one_plan {
    () => {
        "set local plan_cache_mode = force_generic_plan; set local enable_seqscan = off; set local enable_bitmapscan = off; \
         set local enable_sort = off; set local jit = off"
    };
}

/// What makes the server keep that plan, until the transaction's end.
pub const ONE_PLAN: &str = one_plan!();
/// The same as the begin of a transaction, in the driver's own words: behind a pooler what a session would keep follows them.
const BEGIN: &str = concat!("START TRANSACTION; ", one_plan!());
/// Statements in the same transaction are planned with their values again.
const EACH_ITS_PLAN: &str = "set local plan_cache_mode = force_custom_plan; set local enable_seqscan to default; \
                             set local enable_bitmapscan to default; set local enable_sort to default";
/// Statements that are prepared once are still planned for their values: for those whose plan depends on them.
pub const PLAN_FOR_VALUES: &str = "set local plan_cache_mode = force_custom_plan";

/// What a session has prepared, for statements whose text never changes; the default prepares each time.
#[derive(Clone, Default)]
pub struct Prepared(Option<Arc<StatementCache>>);

impl Prepared {
    /// Of a session of the pool.
    pub fn of(client: &deadpool_postgres::Client) -> Self {
        Self(Some(client.statement_cache.clone()))
    }

    /// The statement in the session of this transaction.
    ///
    /// # Errors
    /// The server's.
    pub async fn get(
        &self,
        tx: &Transaction<'_>,
        statement: &str,
    ) -> Result<tokio_postgres::Statement, tokio_postgres::Error> {
        match &self.0 {
            Some(cache) => cache.prepare(tx.client(), statement).await,
            None => tx.prepare(statement).await,
        }
    }

    /// Executes it.
    ///
    /// # Errors
    /// The server's.
    pub async fn query(
        &self,
        tx: &Transaction<'_>,
        statement: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        let statement = self.get(tx, statement).await?;
        tx.query(&statement, values).await
    }

    /// Executes it with its one plan, in one round trip.
    ///
    /// # Errors
    /// The server's.
    pub async fn query_one_plan(
        &self,
        tx: &Transaction<'_>,
        statement: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        let statement = self.get(tx, statement).await?;
        // Polled in this order, so sent in this order. The statement's own error first: it makes the others fail too.
        let (begun, rows, ended) = futures_util::join!(
            tx.batch_execute(ONE_PLAN),
            tx.query(&statement, values),
            tx.batch_execute(EACH_ITS_PLAN),
        );
        let rows = rows?;
        begun.and(ended)?;
        Ok(rows)
    }
}

/// Executes a statement with its one plan in a transaction of its own, in one round trip.
///
/// # Errors
/// The server's; then nothing has happened, unless the connection was lost while the commit's answer was on its way.
pub async fn commit_one_plan(
    client: &deadpool_postgres::Client,
    statement: &str,
    values: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, tokio_postgres::Error> {
    let statement = client.prepare_cached(statement).await?;
    // All three are sent before the first answer is waited for: whoever gives up waiting leaves no transaction open. After an error the
    // last one rolls back.
    let (begun, rows, committed) = futures_util::join!(
        client.batch_execute(BEGIN),
        client.query(&statement, values),
        client.batch_execute("commit"),
    );
    let rows = rows?;
    begun.and(committed)?;
    Ok(rows)
}

/// Makes the statements that follow in this transaction keep one plan. Not waited for: it cannot fail where the transaction has not.
pub fn keep_one_plan(tx: &Transaction<'_>) {
    send(tx, ONE_PLAN);
}

/// Sends commands that cannot fail where the transaction has not, without waiting for the answer: the next statement's tells. So one must
/// follow before the commit, which of a failed transaction is a rollback and no error.
pub fn send(tx: &Transaction<'_>, commands: &str) {
    use futures_util::FutureExt as _;
    // The first poll sends; the answer is then nobody's.
    let _ = std::pin::pin!(tx.batch_execute(commands)).now_or_never();
}
