//! When jobs run, and what is remembered of it. A job is taken by compare-and-set on its due time within the term, runs outside of
//! that transaction (it may talk to providers, or commit in steps), and ends with a row of the history. One whose leader died
//! is found by its term, recorded as failed, and run again.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use tokio::task::JoinSet;
use tokio_postgres::Row;

use super::calendar::{Schedule, Unit};
use super::jobs::{self, JobError, Outcome, Tools, Work};
use super::leader::{Lead, LeaderError, Term, hold};
use crate::db::Database;
use crate::db::statements as sql;

/// Jobs that run at once: they share few connections.
const AT_ONCE: usize = 2;

/// Before the end of a run is written once more.
const PAUSE: Duration = Duration::from_secs(1);
/// After a job failed for a lock for the first time: jobs that begin together may meet.
const AFTER_A_LOCK: Duration = Duration::from_secs(5);

/// Runs jobs. Dropping it ends what runs.
pub(super) struct Runner {
    database: Database,
    lead: Lead,
    tools: Arc<Tools>,
    holder: String,
    tasks: JoinSet<String>,
    running: HashSet<String>,
    /// The term in which this instance has looked already.
    looked: Option<Term>,
}

/// A job as it stands.
struct Job {
    code: String,
    name: String,
    active: bool,
    number: i32,
    unit: Option<Unit>,
    fingerprint: String,
    request: Option<i64>,
    state: Option<State>,
}

#[derive(Clone)]
struct State {
    id: i64,
    fingerprint: Option<String>,
    next_run_at: Option<DateTime<Utc>>,
    running_term: Option<i64>,
}

impl Job {
    fn of(row: &Row) -> Self {
        let (number, unit): (i32, &str) = (row.get("interval_number"), row.get("interval_type"));
        Self {
            code: row.get("code"),
            name: row.get("name"),
            active: row.get("active"),
            number,
            unit: Unit::named(unit),
            fingerprint: match row.get::<_, Option<DateTime<Utc>>>("retimed_at") {
                Some(since) => format!("{number} {unit} since {since}"),
                None => format!("{number} {unit}"),
            },
            request: row.get("request"),
            state: row.get::<_, Option<i64>>("id").map(|id| State {
                id,
                fingerprint: row.get("fingerprint"),
                next_run_at: row.get("next_run_at"),
                running_term: row.get("running_term"),
            }),
        }
    }

    /// The first time after `now`, counted from `from`.
    fn next(&self, from: DateTime<Utc>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let schedule = Schedule::Every {
            number: u32::try_from(self.number).ok()?,
            unit: self.unit?,
            anchor: from.naive_utc(),
        };
        schedule.next(Tz::UTC, now)
    }
}

impl Runner {
    pub(super) fn new(database: Database, lead: Lead, tools: Arc<Tools>, holder: String) -> Self {
        Self {
            database,
            lead,
            tools,
            holder,
            tasks: JoinSet::new(),
            running: HashSet::new(),
            looked: None,
        }
    }

    /// Whether this instance leads.
    pub(super) fn lead(&self) -> &Lead {
        &self.lead
    }

    /// Name and process id.
    pub(super) fn holder(&self) -> &str {
        &self.holder
    }

    /// Ends with the next job that does; never, while none runs.
    pub(super) async fn ended(&mut self) {
        match self.tasks.join_next().await {
            Some(ended) => self.forget(ended),
            None => std::future::pending().await,
        }
    }

    /// Waits for what runs.
    pub(super) async fn finish(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }

    fn forget(&mut self, ended: Result<String, tokio::task::JoinError>) {
        match ended {
            Ok(code) => {
                self.running.remove(&code);
            }
            Err(error) => {
                // Which one is not known any more; the next look finds it running in our term and in no task.
                tracing::error!(error = %error, "A job failed.");
                if self.tasks.is_empty() {
                    self.running.clear();
                }
            }
        }
    }

    /// Looks at every job, and begins what is due.
    pub(super) async fn look(&mut self, term: Term) -> Result<(), LeaderError> {
        while let Some(ended) = self.tasks.try_join_next() {
            self.forget(ended);
        }
        let mut client = self.database.get().await?;
        if self.looked != Some(term) {
            retry_failed(&mut client, term).await?;
            self.looked = Some(term);
        }
        let statement = client.prepare_cached(sql::CRON_JOBS.sql).await?;
        let rows = client.query(&statement, &[]).await?;
        for row in &rows {
            let (job, now) = (Job::of(row), row.get::<_, DateTime<Utc>>("now"));
            if self.running.contains(&job.code) {
                continue;
            }
            let Some(state) = self.planned(&mut client, term, &job, now).await? else {
                continue;
            };
            if state.running_term.is_some() {
                let error = "the instance that ran it ended before the job did";
                let mut ended = Ended::failed(state.id, state.running_term.unwrap_or_default(), error.into());
                // It did nothing wrong: no pause before the next try.
                ended.outcome.again = Some(Duration::ZERO);
                ended.write(&mut client, term, &self.holder).await?;
                tracing::warn!(CRON_JOB = job.code, "{}: {error}; it runs again.", job.name);
                continue;
            }
            let due = job.active && state.next_run_at.is_some_and(|at| at <= now);
            if (due || job.request.is_some()) && self.running.len() < AT_ONCE {
                self.begin(&mut client, term, job, state, now).await?;
            }
        }
        Ok(())
    }

    /// The state of a job, after its schedule was looked at. `None`: it has just been planned, the next look goes on.
    async fn planned(
        &self,
        client: &mut deadpool_postgres::Client,
        term: Term,
        job: &Job,
        now: DateTime<Utc>,
    ) -> Result<Option<State>, LeaderError> {
        let wanted = job.active.then_some(job.fingerprint.as_str());
        // New, or enabled again: at once. Re-timed: counted from now.
        let first = |before: Option<&str>| match (job.active, before) {
            (false, _) => None,
            (true, None) => Some(now),
            (true, Some(_)) => job.next(now, now),
        };
        match &job.state {
            Some(state) if state.fingerprint.as_deref() == wanted => Ok(Some(state.clone())),
            Some(state) => {
                let next = first(state.fingerprint.as_deref());
                let tx = client.transaction().await?;
                hold(&tx, term).await?;
                tx.execute(
                    sql::CRON_STATE_PLAN.sql,
                    &[&state.id, &state.fingerprint, &wanted, &next, &None::<String>],
                )
                .await?;
                tx.commit().await?;
                Ok(None)
            }
            None => {
                let tx = client.transaction().await?;
                hold(&tx, term).await?;
                tx.execute(
                    sql::CRON_STATE_NEW.sql,
                    &[&job.code, &None::<i64>, &wanted, &first(None), &None::<String>],
                )
                .await?;
                tx.commit().await?;
                Ok(None)
            }
        }
    }

    async fn begin(
        &mut self,
        client: &mut deadpool_postgres::Client,
        term: Term,
        job: Job,
        state: State,
        now: DateTime<Utc>,
    ) -> Result<(), LeaderError> {
        let next = match state.next_run_at {
            Some(due) if job.active && due <= now => job.next(due, now),
            other => other,
        };
        let tx = client.transaction().await?;
        hold(&tx, term).await?;
        let taken = tx
            .query_opt(
                sql::CRON_JOB_BEGIN.sql,
                &[&state.id, &state.next_run_at, &job.request, &next, &term.number()],
            )
            .await?;
        if taken.is_none() {
            return Ok(());
        }
        tx.commit().await?;
        self.running.insert(job.code.clone());
        let (database, lead, tools, holder, id) = (
            self.database.clone(),
            self.lead.clone(),
            self.tools.clone(),
            self.holder.clone(),
            state.id,
        );
        self.tasks.spawn(async move {
            let work = Work {
                database: &database,
                term,
                now,
                tools: &tools,
            };
            let result = tokio::select! {
                // What is not committed did not happen; the next leader finds the run open and repeats it.
                () = lead.lost(term) => return job.code,
                result = Box::pin(jobs::run(&job.code, &work)) => result,
            };
            tell(&job, term, &result);
            let ended = Ended::of(id, term, result);
            // Somebody may hold the row for a while. An end that is never written is found by the next leader.
            while let Err(error) = ended.record(&database, term, &holder).await {
                tracing::warn!(CRON_JOB = job.code, error = %error, "The end of {} could not be recorded.", job.name);
                if matches!(error, LeaderError::Over(_)) {
                    break;
                }
                tokio::select! {
                    () = lead.lost(term) => break,
                    () = tokio::time::sleep(PAUSE) => {}
                }
            }
            job.code
        });
        Ok(())
    }
}

/// What failed is tried again at once by a new leader: somebody may have restarted the daemon because of it.
async fn retry_failed(client: &mut deadpool_postgres::Client, term: Term) -> Result<(), LeaderError> {
    let tx = client.transaction().await?;
    hold(&tx, term).await?;
    tx.execute(
        "update sicantik_notify.cron_state set next_run_at = least(next_run_at, sicantik_notify.clock()) \
         where failures > 0 and job is not null",
        &[],
    )
    .await?;
    Ok(tx.commit().await?)
}

fn tell(job: &Job, term: Term, result: &Result<Outcome, JobError>) {
    match result {
        Ok(done) if done.records > 0 => tracing::info!(
            CRON_JOB = job.code,
            TERM = term.number(),
            RECORDS = done.records,
            "{}: {}.",
            job.name,
            done.detail
        ),
        Ok(done) => tracing::debug!(CRON_JOB = job.code, "{}: {}.", job.name, done.detail),
        Err(error) => {
            tracing::warn!(CRON_JOB = job.code, TERM = term.number(), error = %error, "{} failed.", job.name);
        }
    }
}

/// A run that is over.
struct Ended {
    state: i64,
    term: i64,
    outcome: Outcome,
    error: Option<String>,
}

impl Ended {
    fn of(state: i64, term: Term, result: Result<Outcome, JobError>) -> Self {
        match result {
            Ok(outcome) => Self {
                state,
                term: term.number(),
                outcome,
                error: None,
            },
            Err(error) => {
                let mut ended = Self::failed(state, term.number(), error.to_string());
                ended.outcome.again = error.waited_for_a_lock().then_some(AFTER_A_LOCK);
                ended
            }
        }
    }

    fn failed(state: i64, term: i64, error: String) -> Self {
        Self {
            state,
            term,
            outcome: Outcome::default(),
            error: Some(error),
        }
    }

    async fn record(&self, database: &Database, term: Term, holder: &str) -> Result<(), LeaderError> {
        let mut client = database.get().await?;
        self.write(&mut client, term, holder).await
    }

    async fn write(
        &self,
        client: &mut deadpool_postgres::Client,
        term: Term,
        holder: &str,
    ) -> Result<(), LeaderError> {
        let tx = client.transaction().await?;
        hold(&tx, term).await?;
        let again = self.outcome.again.map(|a| a.as_secs_f64());
        let detail = (!self.outcome.detail.is_empty()).then_some(&self.outcome.detail);
        tx.execute(
            sql::CRON_JOB_END.sql,
            &[
                &self.state,
                &self.term,
                &self.error,
                &self.outcome.records,
                &detail,
                &again,
                &holder,
            ],
        )
        .await?;
        Ok(tx.commit().await?)
    }
}
