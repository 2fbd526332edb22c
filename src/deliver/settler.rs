//! Writes settlements as they come, many at a time. An outcome is precious: it is kept until the database takes it, and one
//! that the database refuses for good must not stop the others.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio::sync::mpsc;

use crate::db::listener::Wakes;
use crate::db::{ConnectError, Database};
use crate::observe::metrics;
use crate::queue::settle::{FinalState, Settlement, Verdict, settle};

/// Most settlements in one transaction.
pub const BATCH: usize = 500;
/// Before the same is tried again.
const PAUSE: Duration = Duration::from_millis(500);

#[derive(Debug, thiserror::Error)]
enum SettleError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("{}", crate::db::describe(.0))]
    Server(#[from] tokio_postgres::Error),
}

impl SettleError {
    /// The values are at fault (data exceptions, violated constraints): trying again changes nothing. Everything else
    /// passes, or is mended by a person while we wait.
    fn is_final(&self) -> bool {
        matches!(self, Self::Server(error)
            if error.code().is_some_and(|code| matches!(&code.code()[..2], "22" | "23")))
    }
}

/// Runs until the channel is closed and everything is written.
pub async fn run(database: Database, wakes: Arc<Wakes>, mut inbox: mpsc::Receiver<Settlement>) {
    loop {
        let mut batch = Vec::with_capacity(BATCH);
        if inbox.recv_many(&mut batch, BATCH).await == 0 {
            return;
        }
        write(&database, batch).await;
        // The recipients are free again: their next messages need not wait for the next look.
        wakes.messages.notify_one();
    }
}

/// Writes a batch; what is at fault in it is found by halving and held for a person.
async fn write(database: &Database, batch: Vec<Settlement>) {
    let mut stack = vec![(batch, false)];
    while let Some((mut batch, reduced)) = stack.pop() {
        let error = match attempt(database, &batch).await {
            Ok(()) => continue,
            Err(error) => error,
        };
        if !error.is_final() {
            tracing::error!(error = %error, messages = batch.len(), "Outcomes could not be written; trying again.");
            tokio::time::sleep(PAUSE).await;
            stack.push((batch, reduced));
        } else if batch.len() > 1 {
            let half = batch.split_off(batch.len() / 2);
            stack.push((half, false));
            stack.push((batch, false));
        } else if let Some(settlement) = batch.pop() {
            let id = settlement.id;
            if reduced {
                // Its claim is not renewed any more: when the lease ends, it is uncertain like any lost answer.
                tracing::error!(error = %error, QUEUE_ID = id.0, "The outcome of message {id} cannot be written at all; dropped.");
                continue;
            }
            tracing::error!(error = %error, QUEUE_ID = id.0, "The database refuses the outcome of message {id}; it is held.");
            let reason = format!("its outcome could not be written: {error}");
            stack.push((vec![settlement.into_held(reason)], true));
        }
    }
}

async fn attempt(database: &Database, batch: &[Settlement]) -> Result<(), SettleError> {
    let mut client = database.get().await?;
    let begun = Instant::now();
    let stale = settle(&mut client, batch).await?;
    metrics::stage("settle", begun.elapsed());
    for settlement in batch.iter().filter(|s| !stale.contains(&s.id)) {
        match &settlement.verdict {
            Verdict::Done { state, provider, .. } => {
                metrics::finished(state.as_str(), provider.map(|p| p.1));
                if *state == FinalState::Sent {
                    let since = |at: DateTime<Utc>| (Utc::now() - at).to_std().unwrap_or_default();
                    metrics::sent(since(settlement.enqueued_at), settlement.changed_at.map(since));
                }
            }
            later => metrics::postponed(later.reason()),
        }
    }
    for id in stale {
        metrics::stale();
        tracing::warn!(
            QUEUE_ID = id.0,
            "The answer for message {id} came after its claim had ended; it was dropped."
        );
    }
    Ok(())
}
