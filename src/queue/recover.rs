//! Taking over what a dead instance left behind.

use std::time::Duration;

use super::holding::Holding;
use crate::db::ids::MessageId;
use crate::db::statements as sql;

/// A message that was taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// Which.
    pub id: MessageId,
    /// It may have been sent.
    pub uncertain: bool,
    /// A person must decide.
    pub held: bool,
}

/// Takes over at most 1000 messages of instances without a heartbeat for `dead_after`, or whose lease ended; nothing that
/// this process holds. Then closes attempts that nobody will close any more.
///
/// # Errors
/// The server's.
pub async fn recover(
    client: &impl deadpool_postgres::GenericClient,
    dead_after: Duration,
    instance: i64,
    holding: &Holding,
) -> Result<Vec<Recovered>, tokio_postgres::Error> {
    let statement = client.prepare_cached(sql::RECOVER.sql).await?;
    let rows = client
        .query(
            &statement,
            &[&dead_after.as_secs_f64(), &1000_i64, &instance, &holding.tokens()],
        )
        .await?;
    let statement = client.prepare_cached(sql::ATTEMPT_ORPHANS.sql).await?;
    client.execute(&statement, &[]).await?;
    Ok(rows
        .iter()
        .map(|r| Recovered {
            id: MessageId(r.get("id")),
            uncertain: r.get("uncertain"),
            held: r.get::<_, &str>("state") == "held",
        })
        .collect())
}

/// Forgets instances that have been silent for long and hold no work.
///
/// # Errors
/// The server's.
pub async fn forget_dead_instances(
    client: &deadpool_postgres::Client,
    dead_after: Duration,
) -> Result<u64, tokio_postgres::Error> {
    let statement = client.prepare_cached(sql::FORGET_INSTANCES.sql).await?;
    client.execute(&statement, &[&dead_after.as_secs_f64()]).await
}
