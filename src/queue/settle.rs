//! Settling: what came of a claimed message, written in batches, one transaction each.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_postgres::Transaction;
use tokio_postgres::types::ToSql;

use super::claim::Claimed;
use super::holding::Held;
use crate::db::ids::{AttemptId, MessageId, ProviderId};
use crate::db::prepared::{Prepared, keep_one_plan};
use crate::db::statements as sql;

/// How a message ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinalState {
    /// A provider accepted it.
    Sent,
    /// Nobody will.
    Failed,
}

impl FinalState {
    /// As stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Failed => "failed",
        }
    }
}

/// What is known of a call that was answered, or was not.
#[derive(Clone, Debug, Default)]
pub struct AttemptEnd {
    /// accepted, refused or uncertain.
    pub outcome: &'static str,
    /// Class of the failure.
    pub class: Option<&'static str>,
    /// HTTP status.
    pub http_status: Option<i16>,
    /// The provider's code.
    pub code: Option<String>,
    /// The provider's words.
    pub error: Option<String>,
    /// The provider's id of the message.
    pub external_id: Option<String>,
    /// What else is worth knowing.
    pub note: Option<String>,
    /// How long it took.
    pub duration: Duration,
}

/// An attempt with its end.
#[derive(Clone, Debug)]
pub struct FinishedAttempt {
    /// Which.
    pub id: AttemptId,
    /// Its partition key.
    pub started_at: DateTime<Utc>,
    /// How it ended.
    pub end: AttemptEnd,
}

/// What becomes of the message.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// It leaves the queue.
    Done {
        /// How.
        state: FinalState,
        /// Last provider.
        provider: Option<(ProviderId, &'static str)>,
        /// The provider's id.
        external_id: Option<String>,
        /// The provider's code.
        code: Option<String>,
        /// Why it failed.
        error: Option<String>,
        /// Template that was used.
        template_key: Option<String>,
        /// From claim to answer.
        took: Duration,
    },
    /// It stays.
    Later {
        /// From now.
        delay: Duration,
        /// Whether this counts against max_retries.
        burns_try: bool,
        /// The answer was lost: it may have been sent.
        uncertain: bool,
        /// A person must decide.
        hold: bool,
        /// None of the providers can take it now: it waits for one, and tries again when the configuration changes.
        for_provider: bool,
        /// Providers that refused it, where the next one is only still to be asked: they are not asked again, and the place within the
        /// rate limit that it had counts for the next one too.
        refused_by: Vec<ProviderId>,
        /// Why.
        error: String,
    },
}

impl Verdict {
    /// In one word.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Done { state, .. } => state.as_str(),
            Self::Later { hold: true, .. } => "held",
            Self::Later { uncertain: true, .. } => "uncertain",
            Self::Later {
                for_provider: true, ..
            } => "provider",
            Self::Later { burns_try: true, .. } => "retry",
            Self::Later { .. } => "later",
        }
    }
}

/// A message with its verdict.
#[derive(Debug)]
pub struct Settlement {
    /// Message.
    pub id: MessageId,
    /// Claim.
    pub held: Held,
    /// Attempts that ended since the last settlement.
    pub attempts: Vec<FinishedAttempt>,
    /// What becomes of it.
    pub verdict: Verdict,
    /// When it was enqueued.
    pub enqueued_at: DateTime<Utc>,
    /// When the host wrote, where a change stands behind it.
    pub changed_at: Option<DateTime<Utc>>,
}

impl Settlement {
    /// The end of a claim.
    pub fn of(claimed: Claimed, attempts: Vec<FinishedAttempt>, verdict: Verdict) -> Self {
        Self {
            id: claimed.id,
            held: claimed.held,
            enqueued_at: claimed.origin.created_at,
            changed_at: claimed.origin.changed_at,
            attempts,
            verdict,
        }
    }

    /// What is left of a settlement whose details the database refuses for good: a person must look.
    pub fn into_held(self, error: String) -> Self {
        Self {
            attempts: Vec::new(),
            verdict: Verdict::Later {
                delay: Duration::ZERO,
                burns_try: false,
                uncertain: true,
                hold: true,
                for_provider: false,
                refused_by: Vec::new(),
                error,
            },
            ..self
        }
    }
}

/// A provider's words as PostgreSQL takes them: text there cannot hold NUL, which JSON can.
pub(crate) fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

fn storables(texts: &[Option<&str>]) -> Vec<Option<String>> {
    texts.iter().map(|text| text.map(storable)).collect()
}

/// Closes attempts.
///
/// # Errors
/// The server's.
pub async fn finish_attempts(
    tx: &Transaction<'_>,
    prepared: &Prepared,
    attempts: &[&FinishedAttempt],
) -> Result<(), tokio_postgres::Error> {
    if attempts.is_empty() {
        return Ok(());
    }
    let ids: Vec<i64> = attempts.iter().map(|a| a.id.0).collect();
    let started: Vec<DateTime<Utc>> = attempts.iter().map(|a| a.started_at).collect();
    let outcomes: Vec<&str> = attempts.iter().map(|a| a.end.outcome).collect();
    let classes: Vec<Option<&str>> = attempts.iter().map(|a| a.end.class).collect();
    let statuses: Vec<Option<i16>> = attempts.iter().map(|a| a.end.http_status).collect();
    let codes: Vec<Option<&str>> = attempts.iter().map(|a| a.end.code.as_deref()).collect();
    let errors: Vec<Option<&str>> = attempts.iter().map(|a| a.end.error.as_deref()).collect();
    let externals: Vec<Option<&str>> = attempts.iter().map(|a| a.end.external_id.as_deref()).collect();
    let durations: Vec<i32> = attempts.iter().map(|a| millis(a.end.duration)).collect();
    let notes: Vec<Option<&str>> = attempts.iter().map(|a| a.end.note.as_deref()).collect();
    let values: &[&(dyn ToSql + Sync)] = &[
        &ids,
        &started,
        &outcomes,
        &classes,
        &statuses,
        &storables(&codes),
        &storables(&errors),
        &storables(&externals),
        &durations,
        &storables(&notes),
    ];
    prepared.query(tx, sql::ATTEMPT_FINISH.sql, values).await?;
    Ok(())
}

/// Writes a batch of settlements. Returns the ids whose claim did not hold any more: their settle is stale and changed
/// nothing (their attempts are closed all the same).
///
/// # Errors
/// The server's; then nothing was written.
pub async fn settle(
    client: &mut deadpool_postgres::Client,
    batch: &[Settlement],
) -> Result<Vec<MessageId>, tokio_postgres::Error> {
    let prepared = Prepared::of(client);
    let tx = client.transaction().await?;
    keep_one_plan(&tx);
    let attempts: Vec<&FinishedAttempt> = batch.iter().flat_map(|s| &s.attempts).collect();
    finish_attempts(&tx, &prepared, &attempts).await?;
    let mut moved = done(&tx, &prepared, batch).await?;
    moved.extend(later(&tx, &prepared, batch).await?);
    tx.commit().await?;
    Ok(batch
        .iter()
        .map(|s| s.id)
        .filter(|id| !moved.contains(&id.0))
        .collect())
}

async fn done(
    tx: &Transaction<'_>,
    prepared: &Prepared,
    batch: &[Settlement],
) -> Result<std::collections::HashSet<i64>, tokio_postgres::Error> {
    let (mut ids, mut tokens, mut states, mut providers, mut kinds) =
        (vec![], vec![], vec![], vec![], vec![]);
    let (mut externals, mut codes, mut errors, mut templates, mut times, mut uncertain) =
        (vec![], vec![], vec![], vec![], vec![], vec![]);
    for s in batch {
        if let Verdict::Done {
            state,
            provider,
            external_id,
            code,
            error,
            template_key,
            took,
        } = &s.verdict
        {
            ids.push(s.id.0);
            tokens.push(s.held.token().0);
            states.push(state.as_str());
            providers.push(provider.map(|p| p.0.0));
            kinds.push(provider.map(|p| p.1));
            externals.push(external_id.as_deref());
            codes.push(code.as_deref());
            errors.push(error.as_deref());
            templates.push(template_key.as_deref());
            times.push(millis(*took));
            uncertain.push(false);
        }
    }
    if ids.is_empty() {
        return Ok(Default::default());
    }
    let values: &[&(dyn ToSql + Sync)] = &[
        &ids,
        &tokens,
        &states,
        &providers,
        &kinds,
        &storables(&externals),
        &storables(&codes),
        &storables(&errors),
        &templates,
        &times,
        &uncertain,
    ];
    let rows = prepared.query(tx, sql::SETTLE_DONE.sql, values).await?;
    Ok(rows.iter().map(|r| r.get(0)).collect())
}

async fn later(
    tx: &Transaction<'_>,
    prepared: &Prepared,
    batch: &[Settlement],
) -> Result<std::collections::HashSet<i64>, tokio_postgres::Error> {
    let (mut ids, mut tokens, mut delays, mut tries) = (vec![], vec![], vec![], vec![]);
    let (mut uncertains, mut holds, mut errors, mut waits, mut refusers) =
        (vec![], vec![], vec![], vec![], vec![]);
    for s in batch {
        if let Verdict::Later {
            delay,
            burns_try,
            uncertain,
            hold,
            for_provider,
            refused_by,
            error,
        } = &s.verdict
        {
            ids.push(s.id.0);
            tokens.push(s.held.token().0);
            delays.push(delay.as_secs_f64());
            tries.push(i32::from(*burns_try));
            uncertains.push(*uncertain);
            holds.push(*hold);
            errors.push(storable(error));
            waits.push(*for_provider);
            // Arrays of arrays must be even: as text.
            let refused: Vec<String> = refused_by.iter().map(ToString::to_string).collect();
            refusers.push(format!("{{{}}}", refused.join(",")));
        }
    }
    if ids.is_empty() {
        return Ok(Default::default());
    }
    let values: &[&(dyn ToSql + Sync)] = &[
        &ids,
        &tokens,
        &delays,
        &tries,
        &uncertains,
        &holds,
        &errors,
        &waits,
        &refusers,
    ];
    let rows = prepared.query(tx, sql::SETTLE_LATER.sql, values).await?;
    Ok(rows.iter().map(|r| r.get(0)).collect())
}

fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
