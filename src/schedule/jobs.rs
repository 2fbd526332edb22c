//! The jobs of `cron_job`, by code. Each may run twice without harm: its leader may die at any moment.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::leader::{LeaderError, Term};
use crate::db::{ConnectError, Database};
use crate::deliver::provider::Client;
use crate::host::permit::Arming;
use crate::lang::snippet::Limits;

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
    /// This binary does not know it.
    #[error("this version of sicantik-notifyd has no job {0}; upgrade it, or delete the row of cron_job")]
    Unknown(String),
}

/// Runs a job.
///
/// # Errors
/// [`JobError`]; what was committed stays, and the next run goes on from there.
pub async fn run(code: &str, work: &Work<'_>) -> Result<Outcome, JobError> {
    match code {
        "process_queue" => Ok(Outcome::default()),
        "process_campaign_batch" => super::campaign::run(work).await,
        "cleanup_logs" => Ok(Outcome::default()),
        "partitions" => Ok(Outcome::default()),
        "uncertain_sends" => Ok(Outcome::default()),
        "provider_check" => Ok(Outcome::default()),
        other => {
            let _ = work;
            Err(JobError::Unknown(other.to_owned()))
        }
    }
}
