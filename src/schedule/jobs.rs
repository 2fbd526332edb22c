//! The jobs of `cron_job`, by code. Each may run twice without harm: its leader may die at any moment.

use std::time::{Duration, Instant};

use chrono::{DateTime, NaiveDate, Utc};
use tokio_postgres::error::SqlState;
use tokio_util::sync::CancellationToken;

use super::leader::{LeaderError, Term, hold};
use crate::db::statements as sql;
use crate::db::{self, ConnectError, Database};
use crate::deliver::caretaker;
use crate::deliver::provider::Client;
use crate::host::permit::Arming;
use crate::lang::snippet::Limits;
use crate::queue::claim::sweep;
use crate::queue::holding::Holding;
use crate::queue::recover::recover;

/// Due messages that are counted.
const COUNTED: i64 = 10_000;

/// How long one run counts days; what is left then is the next run's, after a pause as long.
const COUNTING: Duration = Duration::from_secs(10);

/// What a job works with.
pub struct Work<'a> {
    /// Connections for scheduled writes: each transaction begins with [`hold`](super::leader::hold).
    pub database: &'a Database,
    /// The term in which it was begun.
    pub term: Term,
    /// When it was begun, by the database's clock.
    pub now: DateTime<Utc>,
    /// Tools of this process.
    pub tools: &'a Tools,
}

/// What this process has beside the database.
#[derive(Clone)]
pub struct Tools {
    /// This machine's arming.
    pub arming: Arming,
    /// The way out to providers.
    pub client: Client,
    /// Row of `instance`.
    pub instance: i64,
    /// What one run of a rule's code may use.
    pub python: Limits,
    /// The process ends: what goes on for long comes to its end.
    pub stop: CancellationToken,
    /// What this process holds in memory, and nobody takes over.
    pub holding: Holding,
    /// How long an instance is silent before it counts as dead.
    pub dead_after: Duration,
}

/// What a run came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Rows that it dealt with.
    pub records: i64,
    /// In words, for the history.
    pub detail: String,
    /// There is more to do, after this long at the latest, whatever the interval says.
    pub again: Option<Duration>,
}

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The term is over, or the server cannot be reached.
    #[error(transparent)]
    Leader(#[from] LeaderError),
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The server refused.
    #[error("{}", crate::db::describe(.0))]
    Server(#[from] tokio_postgres::Error),
    /// In words.
    #[error("{0}")]
    Failed(String),
    /// This binary does not know it.
    #[error("this version of sicantik-notifyd has no job {0}; upgrade it, or delete the row of cron_job")]
    Unknown(String),
}

impl JobError {
    /// Somebody held a lock for too long: mostly another job, which is over in a moment.
    pub fn waited_for_a_lock(&self) -> bool {
        match self {
            Self::Server(error) | Self::Leader(LeaderError::Server(error)) => {
                error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE)
            }
            _ => false,
        }
    }
}

/// Runs a job.
///
/// # Errors
/// [`JobError`]; what was committed stays, and the next run goes on from there.
pub async fn run(code: &str, work: &Work<'_>) -> Result<Outcome, JobError> {
    match code {
        "process_queue" => process_queue(work).await,
        "process_campaign_batch" => super::campaign::run(work).await,
        "cleanup_logs" => cleanup_logs(work).await,
        "partitions" => partitions(work).await,
        "uncertain_sends" => uncertain_sends(work).await,
        "template_sync" => template_sync(work).await,
        "count_statistics" => count_statistics(work).await,
        other => Err(JobError::Unknown(other.to_owned())),
    }
}

fn many(n: i64, one: &str, several: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { several })
}

/// Sweeps the queue, and wakes every instance. Messages do not wait for it: each instance looks for its own every second.
async fn process_queue(work: &Work<'_>) -> Result<Outcome, JobError> {
    let mut client = work.database.get().await?;
    let (mut promoted, mut admitted) = (0, 0);
    loop {
        let tx = client.transaction().await?;
        hold(&tx, work.term).await?;
        let swept = sweep(&tx).await?;
        promoted += swept.promoted;
        admitted += swept.admitted;
        tx.execute("select pg_notify('sicantik_notify_schedule', '')", &[])
            .await?;
        tx.commit().await?;
        if !swept.more {
            break;
        }
    }
    // Bounded: a queue may be long.
    let row = client
        .query_one(
            "select (select count(*) from (select from sicantik_notify.queue where state = 'pending' and ready limit $1) q), \
             (select active from sicantik_notify.cron_job where code = 'process_queue')",
            &[&COUNTED],
        )
        .await?;
    let (due, active): (i64, bool) = (row.get(0), row.get(1));
    let more = if due >= COUNTED { " or more" } else { "" };
    let refused = match active {
        true => "",
        false => ", and none is taken: the job is disabled",
    };
    Ok(Outcome {
        records: due,
        detail: format!(
            "{due}{more} {} due, {promoted} of them became so and {admitted} found room in their rate limit just now{refused}",
            if due == 1 { "message is" } else { "messages are" }
        ),
        again: None,
    })
}

async fn cleanup_logs(work: &Work<'_>) -> Result<Outcome, JobError> {
    let mut client = work.database.get().await?;
    let tx = client.transaction().await?;
    hold(&tx, work.term).await?;
    let row = tx.query_one(sql::CRON_FORGET.sql, &[]).await?;
    tx.commit().await?;
    let (runs, paces): (i64, i64) = (row.get(0), row.get(1));
    // Last: where a lock stands in its way, the rest is done.
    let tx = client.transaction().await?;
    hold(&tx, work.term).await?;
    let dropped = db::partitions::drop_old(&tx).await?;
    tx.commit().await?;
    let partitions = i64::try_from(dropped.len()).unwrap_or(i64::MAX);
    Ok(Outcome {
        records: partitions + runs + paces,
        detail: format!(
            "dropped {}, {} of schedules and {} of recipients",
            many(partitions, "partition", "partitions"),
            many(runs, "run", "runs"),
            many(paces, "pause", "pauses")
        ),
        again: None,
    })
}

async fn partitions(work: &Work<'_>) -> Result<Outcome, JobError> {
    let mut client = work.database.get().await?;
    let tx = client.transaction().await?;
    hold(&tx, work.term).await?;
    let made = db::partitions::make(&tx).await?;
    if !made.is_empty() {
        // What was moved out of a DEFAULT partition may be older than it may get.
        tx.execute(
            "update sicantik_notify.cron_state set next_run_at = sicantik_notify.clock() \
             where job = 'cleanup_logs' and next_run_at is not null and running_term is null",
            &[],
        )
        .await?;
    }
    tx.commit().await?;
    let records = i64::try_from(made.len()).unwrap_or(i64::MAX);
    Ok(Outcome {
        records,
        detail: format!("made {}", many(records, "partition", "partitions")),
        again: None,
    })
}

/// What recovery does each second on every instance.
async fn uncertain_sends(work: &Work<'_>) -> Result<Outcome, JobError> {
    let tools = work.tools;
    let mut client = work.database.get().await?;
    let tx = client.transaction().await?;
    hold(&tx, work.term).await?;
    let lost = recover(&tx, tools.dead_after, tools.instance, &tools.holding).await?;
    tx.commit().await?;
    let uncertain = lost.iter().filter(|l| l.uncertain).count();
    Ok(Outcome {
        records: i64::try_from(lost.len()).unwrap_or(i64::MAX),
        detail: format!(
            "took over {} of dead instances, of which {uncertain} may have been sent",
            many(lost.len() as i64, "message", "messages"),
        ),
        again: None,
    })
}

/// Asks Meta, outside of any transaction.
async fn template_sync(work: &Work<'_>) -> Result<Outcome, JobError> {
    let mut client = work.database.get().await?;
    let tx = client.transaction().await?;
    hold(&tx, work.term).await?;
    let due = caretaker::sync_due(&tx, &work.tools.arming).await?;
    tx.commit().await?;
    drop(client);
    let (mut read, mut failed) = (Vec::new(), Vec::new());
    for id in due {
        match caretaker::sync(work.database, &work.tools.client, id).await {
            Ok(report) => read.push(report),
            Err(error) => failed.push(error),
        }
    }
    match (failed.is_empty(), read.is_empty()) {
        (false, _) => Err(JobError::Failed(format!(
            "templates could not be read of {}",
            failed.join("; ")
        ))),
        (true, true) => Ok(Outcome {
            detail: "no account is due".into(),
            ..Outcome::default()
        }),
        (true, false) => Ok(Outcome {
            records: i64::try_from(read.len()).unwrap_or(i64::MAX),
            detail: format!("read the templates of {}", read.join("; ")),
            again: None,
        }),
    }
}

/// Counts what changed, a day a transaction, newest first, for as long as one run may take.
async fn count_statistics(work: &Work<'_>) -> Result<Outcome, JobError> {
    let begun = Instant::now();
    let mut client = work.database.get().await?;
    let mut counted = 0;
    loop {
        let tx = client.transaction().await?;
        hold(&tx, work.term).await?;
        let day: Option<NaiveDate> = tx
            .query_one("select sicantik_notify.statistics_count()", &[])
            .await?
            .get(0);
        tx.commit().await?;
        let more = day.is_some();
        counted += i64::from(more);
        let again = match more {
            true if work.tools.stop.is_cancelled() => None,
            true if begun.elapsed() >= COUNTING => Some(COUNTING),
            true => continue,
            false => None,
        };
        return Ok(Outcome {
            records: counted,
            detail: format!("counted {}", many(counted, "day", "days")),
            again,
        });
    }
}
