//! One batch of evaluation: from claimed events to queue rows and decisions, in one transaction that also deletes the
//! events. Set-wise: the number of statements grows with triggers and rules, not with events.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde_json::Value;
use tokio_postgres::Transaction;
use tokio_postgres::types::ToSql;

use super::apply::{self, Limits, Outcomes};
use super::configuration::Configuration;
use super::decision::{self, Decision};
use super::savepoint::attempt;
use crate::capture::event::{Change, coalesce};
use crate::db::prepared::{PLAN_FOR_VALUES, Prepared, send};
use crate::db::statements as sql;
use crate::observe::metrics;

/// How far the look for events goes: this many of the oldest, for each record that a batch may take.
const LOOK_AHEAD: i64 = 4;
/// Of the configuration; and the moment that a batch is evaluated as of.
const AT: &str = "select version, sicantik_notify.clock() from sicantik_notify.config_version";
/// Events where no history is kept; how many.
const DELETE: &str = "with gone as (delete from sicantik_notify.event where id = any ($1) returning id) select count(*) from gone";
/// Shards that one batch locks at most: a second evaluator finds others free.
const SHARDS: i64 = 32;

/// What a batch came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Round {
    /// No events, or all of them in other hands.
    Idle,
    /// The configuration is not the one that was passed: read it again.
    Stale,
    /// Done.
    Done(Summary),
}

/// What one batch did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Events that were taken.
    pub events: usize,
    /// Changes that they were.
    pub changes: usize,
    /// Messages that were enqueued, those that wait in digests not among them.
    pub messages: usize,
    /// Changes that were set aside, for a rule or as a whole.
    pub set_aside: usize,
}

/// Why a batch failed as a whole.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// The server refused something outside of any rule.
    #[error("{}", crate::db::describe(.0))]
    Server(#[from] tokio_postgres::Error),
    /// The time was over before every rule had been applied.
    #[error("the batch took too long")]
    TooSlow,
    /// Events that were claimed vanished: somebody else works on them.
    #[error("{claimed} events were claimed, but {deleted} could be deleted: they are in other hands")]
    Stolen {
        /// Claimed.
        claimed: usize,
        /// Deleted.
        deleted: u64,
    },
}

/// Evaluates the events of at most `limit` records.
///
/// # Errors
/// [`BatchError`]; then nothing happened, and the events are where they were.
pub async fn evaluate(
    client: &mut deadpool_postgres::Client,
    configuration: &Configuration,
    limit: u32,
    timeout_seconds: u64,
) -> Result<Round, BatchError> {
    let prepared = Prepared::of(client);
    let tx = begin(client, timeout_seconds).await?;
    let taken = match take(&tx, &prepared, configuration, limit).await? {
        Ok(taken) => taken,
        Err(round) => return Ok(round),
    };
    let limits = Limits {
        deadline: Instant::now() + Duration::from_secs(timeout_seconds),
        alone: limit <= 1,
    };
    let done = settle(&tx, &prepared, configuration, limits, &taken).await?;
    // Both on their way at once.
    let (stored, deleted) = futures_util::join!(
        decision::store(&tx, &prepared, &done.decisions),
        delete(&tx, &prepared, &taken.rows, configuration.keeps_history()),
    );
    stored?;
    deleted?;
    commit(tx, &taken, done).await
}

/// Evaluates the events of the oldest record. Where the server refuses to, they are set aside as a whole, in the same transaction: nobody
/// else can take them in between, and no other record is taken for the one that failed.
///
/// # Errors
/// [`BatchError`]; then nothing happened, and the events are where they were.
pub async fn evaluate_alone(
    client: &mut deadpool_postgres::Client,
    configuration: &Configuration,
    timeout_seconds: u64,
) -> Result<Round, BatchError> {
    let prepared = Prepared::of(client);
    let tx = begin(client, timeout_seconds).await?;
    let taken = match take(&tx, &prepared, configuration, 1).await? {
        Ok(taken) => taken,
        Err(round) => return Ok(round),
    };
    let limits = Limits {
        deadline: Instant::now() + Duration::from_secs(timeout_seconds),
        alone: true,
    };
    let work = async {
        let done = settle(&tx, &prepared, configuration, limits, &taken).await?;
        decision::store(&tx, &prepared, &done.decisions).await?;
        Ok(done)
    };
    let done = match Box::pin(attempt(&tx, work)).await? {
        Ok(done) => done,
        Err(BatchError::Server(error)) if !error.is_closed() => {
            let error = crate::db::describe(&error);
            tracing::error!(
                error,
                "A record could not be evaluated; its events are set aside."
            );
            set_all_aside(&tx, &taken, error).await?
        }
        Err(error) => return Err(error),
    };
    delete(&tx, &prepared, &taken.rows, configuration.keeps_history()).await?;
    commit(tx, &taken, done).await
}

async fn begin(
    client: &mut deadpool_postgres::Client,
    timeout_seconds: u64,
) -> Result<deadpool_postgres::Transaction<'_>, tokio_postgres::Error> {
    let tx = client.transaction().await?;
    send(
        &tx,
        &format!("set local statement_timeout = '{timeout_seconds}s'; {PLAN_FOR_VALUES}"),
    );
    Ok(tx)
}

/// Events that this transaction holds.
struct Taken {
    rows: Vec<tokio_postgres::Row>,
    changes: Vec<Change>,
    now: DateTime<Utc>,
}

/// Takes the events of the oldest records, or says why there is nothing to do.
async fn take(
    tx: &Transaction<'_>,
    prepared: &Prepared,
    configuration: &Configuration,
    limit: u32,
) -> Result<Result<Taken, Round>, tokio_postgres::Error> {
    let Some((rows, version, now)) = claim(tx, prepared, limit).await? else {
        return Ok(Err(Round::Idle));
    };
    if version != configuration.version {
        return Ok(Err(Round::Stale));
    }
    let changes = coalesce(&rows);
    Ok(Ok(Taken { rows, changes, now }))
}

/// What a batch came to, before it is committed.
struct Done {
    decisions: Vec<Decision>,
    messages: usize,
    set_aside: usize,
}

async fn settle(
    tx: &Transaction<'_>,
    prepared: &Prepared,
    configuration: &Configuration,
    limits: Limits,
    taken: &Taken,
) -> Result<Done, BatchError> {
    let Outcomes {
        decisions,
        aside,
        messages,
        ..
    } = apply::apply(tx, prepared, configuration, taken.now, limits, &taken.changes).await?;
    store_set_aside(tx, &aside).await?;
    Ok(Done {
        decisions,
        messages,
        set_aside: aside.len(),
    })
}

async fn set_all_aside(
    tx: &Transaction<'_>,
    taken: &Taken,
    error: String,
) -> Result<Done, tokio_postgres::Error> {
    let aside: Vec<SetAside> = taken
        .changes
        .iter()
        .map(|c| SetAside {
            ids: c.event_ids(),
            trigger: c.target_trigger.map(|t| t.0),
            rule: c.target_rule.map(|r| r.0),
            error: error.clone(),
            tries: c.tries,
        })
        .collect();
    store_set_aside(tx, &aside).await?;
    Ok(Done {
        decisions: Vec::new(),
        messages: 0,
        set_aside: aside.len(),
    })
}

async fn commit(
    tx: deadpool_postgres::Transaction<'_>,
    taken: &Taken,
    done: Done,
) -> Result<Round, BatchError> {
    tx.commit().await?;
    decision::announce(&done.decisions);
    for change in &taken.changes {
        metrics::waited((taken.now - change.at).to_std().unwrap_or_default());
    }
    Ok(Round::Done(Summary {
        events: taken.rows.len(),
        changes: taken.changes.len(),
        messages: done.messages,
        set_aside: done.set_aside,
    }))
}

/// Events of records that nobody else has, with the version of the configuration and the moment after their claim.
type Claimed = (Vec<tokio_postgres::Row>, i64, DateTime<Utc>);

async fn claim(
    tx: &Transaction<'_>,
    prepared: &Prepared,
    limit: u32,
) -> Result<Option<Claimed>, tokio_postgres::Error> {
    let look = i64::from(limit) * LOOK_AHEAD;
    let shards: Vec<i32> = prepared
        .query(tx, sql::EVENT_SHARDS.sql, &[&look, &SHARDS])
        .await?
        .iter()
        .map(|r| r.get(0))
        .collect();
    if shards.is_empty() {
        return Ok(None);
    }
    // A new statement, hence a new snapshot: what the last holder of these shards deleted is gone in it.
    let limit = i64::from(limit);
    let values: &[&(dyn ToSql + Sync)] = &[&look, &shards, &limit];
    let claim = prepared.get(tx, sql::EVENT_CLAIM.sql).await?;
    let at = prepared.get(tx, AT).await?;
    // In this order: a version that is read before the events could be too old for them.
    let (rows, at) = futures_util::try_join!(tx.query(&claim, values), tx.query_one(&at, &[]))?;
    Ok((!rows.is_empty()).then_some((rows, at.get(0), at.get(1))))
}

/// P3 rests on this: the events go in the transaction that enqueues, and exactly those that were evaluated. They go into the
/// history where one is kept.
async fn delete(
    tx: &Transaction<'_>,
    prepared: &Prepared,
    rows: &[tokio_postgres::Row],
    keep: bool,
) -> Result<(), BatchError> {
    let ids: Vec<i64> = rows.iter().map(|r| r.get("id")).collect();
    let statement = if keep { sql::EVENT_ARCHIVE.sql } else { DELETE };
    let deleted = prepared.query(tx, statement, &[&ids]).await?;
    let deleted = deleted.first().map_or(0, |row| row.get::<_, i64>(0)) as u64;
    if deleted as usize != ids.len() {
        return Err(BatchError::Stolen {
            claimed: ids.len(),
            deleted,
        });
    }
    Ok(())
}

/// A change that is kept for later, for one rule or as a whole.
pub(super) struct SetAside {
    pub(super) ids: Vec<i64>,
    pub(super) trigger: Option<i64>,
    pub(super) rule: Option<i64>,
    pub(super) error: String,
    pub(super) tries: i16,
}

async fn store_set_aside(tx: &Transaction<'_>, aside: &[SetAside]) -> Result<(), tokio_postgres::Error> {
    if aside.is_empty() {
        return Ok(());
    }
    let ids: Vec<Value> = aside.iter().map(|s| s.ids.clone().into()).collect();
    let triggers: Vec<Option<i64>> = aside.iter().map(|s| s.trigger).collect();
    let rules: Vec<Option<i64>> = aside.iter().map(|s| s.rule).collect();
    let errors: Vec<&str> = aside.iter().map(|s| s.error.as_str()).collect();
    let tries: Vec<i16> = aside.iter().map(|s| s.tries).collect();
    tx.execute(
        sql::EVENT_SET_ASIDE.sql,
        &[&ids, &triggers, &rules, &errors, &tries],
    )
    .await?;
    Ok(())
}
