//! Stage 2: `event` → triggers, rules, recipients → `queue`, in one transaction.
//!
//! Promises: a committed event is evaluated exactly once (P1, P3); all waiting events of a record are taken together;
//! a rule that fails sets aside only its own events; a batch that fails as a whole is tried record by record, and the
//! record that cannot be evaluated is set aside (P10).

mod apply;
pub mod batch;
mod cases;
pub mod check;
mod compile;
mod compile_rule;
mod compose;
mod conditions;
pub mod configuration;
pub mod context;
pub mod decision;
pub mod definition;
pub mod digest;
mod firing;
mod hand_over;
mod names;
pub mod pace;
mod permits;
pub mod preview;
pub mod question;
pub mod recipients;
pub mod rehearsal;
pub mod repeat;
mod rule;
mod savepoint;
pub(crate) mod settings;
pub mod snippets;
pub mod targets;
pub mod trial;
pub mod trigger;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::capture::{hooks, plan, wake::Wakefulness};
use crate::config::{CaptureConfig, EvaluateConfig};
use crate::db::listener::Wakes;
use crate::db::statements as sql;
use crate::db::{ConnectError, Database};
use crate::lang::snippet::Limits;
use crate::observe::metrics;
use crate::observe::pulse::Pulse;
use batch::{BatchError, Round};
use configuration::Configuration;
use pace::Pace;

/// How often events are looked for where no hook wakes the daemon: seven times a second, a tenth of a millisecond each.
const POLLING: Duration = Duration::from_millis(150);
/// How often set-aside events whose time has come are looked for; they are put off by ten seconds and more.
const RETRYING: Duration = Duration::from_secs(1);
/// Why a round of the stage failed; the next round tries again.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The server refused.
    #[error("{}", crate::db::describe(.0))]
    Server(#[from] tokio_postgres::Error),
    /// A batch failed.
    #[error(transparent)]
    Batch(#[from] BatchError),
}

/// The stage.
#[derive(Clone)]
pub struct Evaluator {
    /// Connections.
    pub database: Database,
    /// What wakes it, and what it wakes.
    pub wakes: Arc<Wakes>,
    /// Settings.
    pub config: EvaluateConfig,
    /// Settings of the capture, whose hooks it keeps up to date.
    pub capture: CaptureConfig,
    /// What one run of a rule's code may use.
    pub python: Limits,
    /// Sign of progress.
    pub pulse: Pulse,
}

/// What it remembers from round to round.
struct State {
    configuration: Option<Arc<Configuration>>,
    /// When configuration and hooks were last looked at.
    verified: Option<Instant>,
    /// When set-aside events were last looked for.
    retried: Option<Instant>,
    pace: Pace,
    /// The last batch was full: there is more than one of them can take.
    backlog: bool,
}

impl Evaluator {
    /// Runs until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut wakefulness = Wakefulness::default();
        let mut state = State {
            configuration: None,
            verified: None,
            retried: None,
            pace: Pace::new(self.config.batch_records),
            backlog: false,
        };
        while !stop.is_cancelled() {
            self.pulse.beat();
            let (begun, verified_before) = (Instant::now(), state.verified);
            let round = tokio::select! {
                // Also in the middle of a statement that waits for a lock: what is not committed did not happen.
                () = stop.cancelled() => return,
                round = self.round(&mut state, &mut wakefulness) => round,
            };
            let pause = match round {
                Ok(true) => continue,
                // An empty look costs a millisecond or two. Where it costs more (a slow server, a bloated table), look less
                // often: for a tenth of the time at most, but no rarer than ten times the interval.
                Ok(false) => {
                    let mut asked = Duration::from_millis(self.capture.poll_interval_ms);
                    if state.configuration.as_ref().is_some_and(|c| c.polling) {
                        asked = asked.min(POLLING);
                    }
                    let cost = if state.verified == verified_before {
                        begun.elapsed()
                    } else {
                        Duration::ZERO // this round also read the configuration
                    };
                    (cost * 10).clamp(asked, asked * 10)
                }
                Err(error) => {
                    tracing::error!(error = %error, "Evaluation failed; trying again.");
                    Duration::from_secs(1)
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.wakes.events.notified() => {}
                () = self.wakes.configuration.notified() => state.configuration = None,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// One round. True: there may be more to do at once.
    async fn round(&self, state: &mut State, wakefulness: &mut Wakefulness) -> Result<bool, EvaluateError> {
        let mut client = self.database.get().await?;
        let verify = Duration::from_secs(self.capture.verify_interval_seconds);
        if state.verified.is_none_or(|at| at.elapsed() > verify) || state.configuration.is_none() {
            state.configuration = None;
            let loaded = self.refresh(&mut client).await?;
            self.look_after_capture(&client).await?;
            state.verified = Some(Instant::now());
            state.retried = None;
            state.configuration = Some(Arc::new(loaded));
        }
        if !self.config.enabled {
            return Ok(false);
        }
        let Some(configuration) = state.configuration.clone() else {
            return Ok(true);
        };
        if state.retried.is_none_or(|at| at.elapsed() >= RETRYING) {
            // Planned anew each time: a plan that is kept would be one for the few that there mostly are.
            let most = i64::from(self.config.batch_records);
            client.execute(sql::EVENT_RETRY.sql, &[&most]).await?;
            state.retried = Some(Instant::now());
        }
        let round = self.batches(&mut client, &configuration, state).await?;
        // After the batch, whose run may be over with it.
        let flushed = digest::flush(&mut client).await?;
        if flushed > 0 {
            tracing::info!(MESSAGES = flushed, "Enqueued {flushed} messages for whole runs.");
            self.wakes.messages.notify_one();
        }
        match round {
            Round::Done(_) => {
                wakefulness.stay_awake(&client).await?;
                Ok(true)
            }
            Round::Stale => {
                state.configuration = None;
                Ok(true)
            }
            // True where the hooks believed us awake: an event may have come without a wake-up, so look once more.
            Round::Idle => Ok(wakefulness.fall_asleep(&client).await?),
        }
    }

    /// One batch; while there is a backlog two of half the size beside each other, of different records: server and daemon have more than
    /// one core, and would otherwise wait for each other.
    async fn batches(
        &self,
        client: &mut deadpool_postgres::Client,
        configuration: &Arc<Configuration>,
        state: &mut State,
    ) -> Result<Round, EvaluateError> {
        let asked = match state.backlog {
            true => state.pace.records().div_ceil(2),
            false => state.pace.records(),
        };
        // Aborted with this round: what is not committed did not happen.
        let mut beside = JoinSet::new();
        if state.backlog {
            let (other, configuration, mut pace) = (self.clone(), configuration.clone(), state.pace);
            beside.spawn(async move {
                // No connection is free: then there is one batch at a time.
                let Ok(mut client) = other.database.get().await else {
                    return Ok((Round::Idle, pace));
                };
                let round = other.batch(&mut client, &configuration, &mut pace, asked).await?;
                Ok::<_, EvaluateError>((round, pace))
            });
        }
        let own = self.batch(client, configuration, &mut state.pace, asked).await?;
        state.backlog = matches!(&own, Round::Done(done) if is_full(done, asked));
        match beside.join_next().await {
            None => Ok(own),
            // As if it had happened here: the stage's supervisor reports it and begins anew.
            Some(Err(ended)) => match ended.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Ok(own),
            },
            Some(Ok(other)) => {
                let (other, pace) = other?;
                state.pace = state.pace.min(pace);
                Ok(if own == Round::Idle { other } else { own })
            }
        }
    }

    /// One batch; where it fails or takes too long, the oldest record alone.
    async fn batch(
        &self,
        client: &mut deadpool_postgres::Client,
        configuration: &Configuration,
        pace: &mut Pace,
        records: u32,
    ) -> Result<Round, BatchError> {
        let begun = Instant::now();
        let timeout = self.config.batch_timeout_seconds;
        let round = match Box::pin(batch::evaluate(client, configuration, records, timeout)).await {
            Err(BatchError::Server(error)) if error.is_closed() => return Err(error.into()),
            Err(error @ BatchError::Stolen { .. }) => return Err(error),
            Err(error) => {
                tracing::warn!(error = %error, "A batch could not be evaluated; trying one record.");
                pace.failed();
                Box::pin(batch::evaluate_alone(client, configuration, timeout)).await?
            }
            Ok(round) => {
                if let Round::Done(done) = &round {
                    pace.took(begun.elapsed(), is_full(done, records));
                }
                round
            }
        };
        if let Round::Done(done) = &round {
            metrics::stage("evaluate", begun.elapsed());
            metrics::evaluated(done.events);
            self.announce(done);
        }
        Ok(round)
    }

    fn announce(&self, done: &batch::Summary) {
        if done.messages + done.set_aside > 0 {
            tracing::info!(
                EVENTS = done.events,
                MESSAGES = done.messages,
                SET_ASIDE = done.set_aside,
                "Evaluated {} changes: {} messages enqueued, {} set aside.",
                done.changes,
                done.messages,
                done.set_aside
            );
        } else {
            tracing::debug!(
                EVENTS = done.events,
                "Evaluated {} changes; nobody is told.",
                done.changes
            );
        }
        if done.messages > 0 {
            self.wakes.messages.notify_one();
        }
    }

    /// Reads the configuration, publishes the hooks it needs, and lists what is wrong with it.
    async fn refresh(&self, client: &mut deadpool_postgres::Client) -> Result<Configuration, EvaluateError> {
        let configuration = {
            // One snapshot: version and content belong together.
            let tx = client
                .build_transaction()
                .isolation_level(tokio_postgres::IsolationLevel::RepeatableRead)
                .start()
                .await?;
            let mut loaded = Configuration::load(&tx).await?;
            loaded.python = self.python;
            tx.commit().await?;
            loaded
        };
        let tx = client.transaction().await?;
        // None: it has changed meanwhile, which the next batch notices.
        let published = plan::publish(&tx, &configuration.plan(), configuration.version)
            .await?
            .unwrap_or_default();
        report(&tx, &configuration).await?;
        tx.execute(sql::EVENT_RECONSIDER.sql, &[]).await?;
        tx.commit().await?;
        for model in &published {
            tracing::info!(MODEL = model.as_str(), "Published the hook of {model}.");
        }
        tracing::debug!(
            version = configuration.version,
            triggers = configuration.triggers.len(),
            problems = configuration.problems.len(),
            "Read the configuration."
        );
        Ok(configuration)
    }

    /// Misses that hooks counted, and hooks that are not what they should be.
    async fn look_after_capture(&self, client: &deadpool_postgres::Client) -> Result<(), EvaluateError> {
        let row = client
            .query_one(
                "select missed, unknown, since from sicantik_notify.capture_misses()",
                &[],
            )
            .await?;
        let (missed, unknown): (i64, bool) = (row.get(0), row.get(1));
        if missed != 0 || unknown {
            // The function has raised the alarm, in the transaction that moved the mark.
            let since: Option<chrono::DateTime<chrono::Utc>> = row.get(2);
            let since = since.map_or_else(|| "the installation".to_owned(), |t| t.to_rfc3339());
            let most = if unknown { "At most " } else { "" };
            tracing::error!(
                MISSED = missed,
                "{most}{missed} host writes since {since} were not captured."
            );
        }
        for finding in hooks::verify(client).await? {
            tracing::error!(
                TABLE = finding.table.as_str(),
                remedy = finding.remedy.as_str(),
                "{}",
                finding.finding
            );
        }
        Ok(())
    }
}

/// Whether a batch got as many records as it asked for: then there may be more.
fn is_full(done: &batch::Summary, asked: u32) -> bool {
    u32::try_from(done.changes).is_ok_and(|changes| changes >= asked)
}

/// Problems of the configuration, as they stand now.
async fn report(
    tx: &tokio_postgres::Transaction<'_>,
    configuration: &Configuration,
) -> Result<(), tokio_postgres::Error> {
    let standing: Vec<String> = configuration
        .problems
        .iter()
        .map(|p| format!("configuration: {}", p.about))
        .collect();
    tx.execute(
        "delete from sicantik_notify.problem where key like 'configuration: %' and key <> all ($1)",
        &[&standing],
    )
    .await?;
    for (problem, key) in configuration.problems.iter().zip(&standing) {
        let new = tx
            .query_opt(
                "select 1 from sicantik_notify.problem where key = $1 and summary = $2",
                &[&key, &problem.summary],
            )
            .await?
            .is_none();
        if new {
            tracing::warn!(
                ABOUT = problem.about.as_str(),
                "{}: {}",
                problem.about,
                problem.summary
            );
        }
        tx.execute(
            sql::PROBLEM_RAISE.sql,
            &[&key, &"warning", &problem.summary, &problem.remedy],
        )
        .await?;
    }
    Ok(())
}
