//! The server's timeline: whether it is still the one that this process wrote to, and what a new one has to be told.
//!
//! When a standby takes over, the last seconds of the old primary may be missing: a message that was sent stands there as if it had
//! never been claimed. So nothing is claimed on a timeline before it is *open*: every instance that the new primary knows of has told
//! what it remembers ([`Memory`]), or could not be asked in time, and then everything that was due is uncertain.

use std::time::Duration;

use super::memory::Memory;
use crate::db::ids::MessageId;
use crate::db::statements as sql;

/// What the server says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// The timeline that it writes.
    pub timeline: i64,
    /// Whether messages may be claimed on it.
    pub open: bool,
    /// This look was the first at it.
    pub new: bool,
    /// Lost sends whose message was not found wait for it.
    pub unsettled: bool,
}

/// What telling came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Sends that the server did not know.
    pub lost: i64,
    /// Did not fit into memory.
    pub forgotten: u64,
    /// Messages that were settled.
    pub settled: Vec<Settled>,
    /// Set where this opened the timeline.
    pub opened: Option<Opened>,
}

/// A message whose send had been lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Which, by its id on this server.
    pub id: MessageId,
    /// Known to be sent; otherwise uncertain.
    pub sent: bool,
}

/// A timeline that was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Sends that were missing, of all instances.
    pub lost: i64,
    /// Instances that could not be asked.
    pub unheard: i32,
    /// Due messages that are uncertain because of them.
    pub doubted: i64,
}

/// Asks the server for its timeline, and notes one that nobody has met.
///
/// # Errors
/// The server's.
pub async fn look(client: &deadpool_postgres::Client) -> Result<Look, tokio_postgres::Error> {
    let statement = client.prepare_cached(sql::FAILOVER_LOOK.sql).await?;
    let mut new = false;
    loop {
        let row = client.query_one(&statement, &[]).await?;
        if row.get("noted") {
            return Ok(Look {
                timeline: row.get("timeline"),
                open: row.get("open"),
                new,
                unsettled: row.get("unsettled"),
            });
        }
        new = client
            .query_one("select sicantik_notify.notice_timeline()", &[])
            .await?
            .get(0);
    }
}

/// Tells what this instance remembers, settles what can be settled, and opens the timeline if nobody else is waited for, or `window` is
/// over. All in one transaction, one instance at a time.
///
/// # Errors
/// The server's; then nothing was told.
pub async fn tell(
    client: &mut deadpool_postgres::Client,
    timeline: i64,
    instance: i64,
    memory: &Memory,
    window: Duration,
) -> Result<Told, tokio_postgres::Error> {
    let (sends, forgotten) = memory.report();
    let tx = client.transaction().await?;
    lock(&tx, timeline).await?;
    let lost = tx
        .query_one(sql::FAILOVER_REPORT.sql, &[&timeline, &instance, &sends])
        .await?
        .get(0);
    let settled = settled(&tx).await?;
    tx.execute(
        "update sicantik_notify.timeline set reported = reported || $2 where timeline = $1 and not reported @> $2",
        &[&timeline, &memory.names()],
    )
    .await?;
    let opened = open(&tx, timeline, window).await?;
    tx.commit().await?;
    Ok(Told {
        lost,
        forgotten,
        settled,
        opened,
    })
}

/// Opens the timeline if nobody is waited for any more.
///
/// # Errors
/// The server's.
pub async fn try_to_open(
    client: &mut deadpool_postgres::Client,
    timeline: i64,
    window: Duration,
) -> Result<Option<Opened>, tokio_postgres::Error> {
    let tx = client.transaction().await?;
    lock(&tx, timeline).await?;
    let opened = open(&tx, timeline, window).await?;
    tx.commit().await?;
    Ok(opened)
}

/// Settles lost sends whose message came later, and forgets what is a week old.
///
/// # Errors
/// The server's.
pub async fn settle_lost(
    client: &mut deadpool_postgres::Client,
    timeline: i64,
) -> Result<Vec<Settled>, tokio_postgres::Error> {
    let tx = client.transaction().await?;
    lock(&tx, timeline).await?;
    let settled = settled(&tx).await?;
    tx.execute(
        "delete from sicantik_notify.lost_send where reported_at < sicantik_notify.clock() - interval '7 days'",
        &[],
    )
    .await?;
    tx.commit().await?;
    Ok(settled)
}

async fn lock(tx: &deadpool_postgres::Transaction<'_>, timeline: i64) -> Result<(), tokio_postgres::Error> {
    tx.execute(
        "select from sicantik_notify.timeline where timeline = $1 for update",
        &[&timeline],
    )
    .await?;
    Ok(())
}

async fn settled(tx: &deadpool_postgres::Transaction<'_>) -> Result<Vec<Settled>, tokio_postgres::Error> {
    let rows = tx.query(sql::FAILOVER_SETTLE.sql, &[]).await?;
    Ok(rows
        .iter()
        .map(|row| Settled {
            id: MessageId(row.get("id")),
            sent: row.get("sent"),
        })
        .collect())
}

async fn open(
    tx: &deadpool_postgres::Transaction<'_>,
    timeline: i64,
    window: Duration,
) -> Result<Option<Opened>, tokio_postgres::Error> {
    let window = window.as_secs_f64();
    let Some(row) = tx
        .query_opt(sql::FAILOVER_OPEN.sql, &[&timeline, &window])
        .await?
    else {
        return Ok(None);
    };
    let unheard: i32 = row.get("unheard");
    let doubted = match unheard {
        0 => 0,
        _ => tx
            .query_one(sql::FAILOVER_DOUBT.sql, &[&timeline, &window])
            .await?
            .get(0),
    };
    Ok(Some(Opened {
        lost: row.get("lost"),
        unheard,
        doubted,
    }))
}
