//! Stage 3: due messages of `queue` reach a provider and end in `log`.
//!
//! The life of a message here: claim (committed) → route ([`dispatcher`]) → attempt (committed) → one HTTP call
//! ([`provider`]) → settle (committed, in batches). An answer that was lost after the request was written is *uncertain*:
//! never a fallback, never a blind retry.
//!
//! Stopping: nothing more is claimed, what was claimed but not begun goes back, calls in flight get [`GRACE`]; what has no
//! answer then stays recorded and is settled as uncertain by whoever recovers.

pub mod directory;
pub mod dispatcher;
pub mod provider;
pub mod sending;
pub mod template;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::DeliverConfig;
use crate::db::listener::Wakes;
use crate::db::{ConnectError, Database};
use crate::host::permit::Arming;
use crate::observe::pulse::Pulse;
use crate::queue::claim::{claim, hand_back, promote};
use crate::queue::recover::{forget_dead_instances, recover};
use crate::queue::settle::{Settlement, settle};
use directory::Directory;
use sending::{Prepared, Sender};

/// How long calls in flight may go on after the stop. The whole process has 10 seconds.
pub const GRACE: Duration = Duration::from_secs(7);
/// How often what became due is looked for, and what dead instances left.
const HOUSEKEEPING: Duration = Duration::from_millis(1000);
/// Most settlements in one transaction.
const SETTLE_BATCH: usize = 500;

/// Why a round of the stage failed; the next round tries again.
#[derive(Debug, thiserror::Error)]
pub enum DeliverError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The server refused.
    #[error("{}", crate::db::describe(.0))]
    Server(#[from] tokio_postgres::Error),
}

/// The stage.
pub struct Deliverer {
    /// Connections.
    pub database: Database,
    /// What wakes it.
    pub wakes: Arc<Wakes>,
    /// Settings.
    pub config: DeliverConfig,
    /// This machine's arming.
    pub arming: Arming,
    /// Row of `instance`.
    pub instance: i64,
    /// The way out.
    pub client: provider::Client,
    /// Sign of progress.
    pub pulse: Pulse,
}

/// What is claimed and what is under way.
struct Work {
    waiting: VecDeque<Prepared>,
    calls: JoinSet<()>,
    settlements: mpsc::Sender<Settlement>,
    directory: Directory,
    kept_house: Option<Instant>,
}

impl Deliverer {
    /// Runs until `stop`, then finishes what is in flight.
    pub async fn run(self, stop: CancellationToken) {
        // Bounded: when the database is slow to settle, calls wait, and then claims do.
        let (settlements, inbox) = mpsc::channel(SETTLE_BATCH);
        let settler = tokio::spawn(settle_all(self.database.clone(), inbox));
        let mut work = Work {
            waiting: VecDeque::new(),
            calls: JoinSet::new(),
            settlements,
            directory: Directory::default(),
            kept_house: None,
        };
        while !stop.is_cancelled() {
            self.pulse.beat();
            let pause = match self.round(&mut work).await {
                Ok(true) => continue,
                Ok(false) => Duration::from_millis(self.config.poll_interval_ms).min(HOUSEKEEPING),
                Err(error) => {
                    tracing::error!(error = %error, "Delivery failed; trying again.");
                    Duration::from_secs(1)
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.wakes.messages.notified() => {}
                Some(_) = work.calls.join_next(), if !work.calls.is_empty() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        self.finish(work).await;
        // The channel is closed now: the settler writes what it has and ends.
        let _ = settler.await;
    }

    /// One round. True: there may be more to do at once.
    async fn round(&self, work: &mut Work) -> Result<bool, DeliverError> {
        while work.calls.try_join_next().is_some() {}
        if work.kept_house.is_none_or(|at| at.elapsed() >= HOUSEKEEPING) {
            self.keep_house().await?;
            work.kept_house = Some(Instant::now());
        }
        if !self.config.enabled {
            return Ok(false);
        }
        let concurrency = self.config.concurrency as usize;
        let mut moved = false;
        if work.waiting.len() < concurrency {
            moved |= self.claim_more(work).await?;
        }
        let free = concurrency.saturating_sub(work.calls.len());
        if free > 0 && !work.waiting.is_empty() {
            self.begin(work, free).await?;
            moved = true;
        }
        Ok(moved)
    }

    async fn keep_house(&self) -> Result<(), DeliverError> {
        let client = self.database.get().await?;
        for lost in recover(&client, self.config.dead_after()).await? {
            if lost.uncertain {
                tracing::warn!(
                    QUEUE_ID = lost.id.0,
                    held = lost.held,
                    "Message {} was in flight when its daemon stopped: it may have been sent.",
                    lost.id
                );
            } else {
                tracing::info!(
                    QUEUE_ID = lost.id.0,
                    "Took over message {} from a daemon that stopped.",
                    lost.id
                );
            }
        }
        forget_dead_instances(&client, self.config.dead_after()).await?;
        promote(&client).await?;
        Ok(())
    }

    async fn claim_more(&self, work: &mut Work) -> Result<bool, DeliverError> {
        let client = self.database.get().await?;
        let wanted = (self.config.claim_batch as usize).saturating_sub(work.waiting.len());
        let lease = Duration::from_secs(self.config.lease_seconds);
        let claimed = claim(&client, &self.arming, self.instance, wanted, lease).await?;
        if claimed.is_empty() {
            return Ok(false);
        }
        work.directory.refresh(&client).await?;
        let (routed, settled) = work.directory.route(&client, claimed).await?;
        work.waiting.extend(routed);
        for settlement in settled {
            // The settler ends only after this sender is gone.
            let _ = work.settlements.send(settlement).await;
        }
        Ok(true)
    }

    /// Records attempts for the next messages, all in one statement, and starts their calls.
    async fn begin(&self, work: &mut Work, free: usize) -> Result<(), DeliverError> {
        let next: Vec<Prepared> = work.waiting.drain(..free.min(work.waiting.len())).collect();
        let client = self.database.get().await?;
        let begun = match sending::begin_attempts(&client, self.instance, &next).await {
            Ok(begun) => begun,
            Err(error) => {
                // Nothing was committed: they wait in the same order.
                for prepared in next.into_iter().rev() {
                    work.waiting.push_front(prepared);
                }
                return Err(error.into());
            }
        };
        for prepared in next {
            match begun.get(&prepared.claimed.id) {
                None => tracing::warn!(
                    QUEUE_ID = prepared.claimed.id.0,
                    "Message {} was taken over before it was sent; it is left to its new owner.",
                    prepared.claimed.id
                ),
                Some(attempt) => {
                    let sender = Sender {
                        database: self.database.clone(),
                        client: self.client.clone(),
                        instance: self.instance,
                        circuit_limit: Duration::from_secs(self.config.circuit_seconds),
                    };
                    let (attempt, settlements) = (*attempt, work.settlements.clone());
                    work.calls.spawn(async move {
                        if let Some(settlement) = sender.send(prepared, attempt).await {
                            let _ = settlements.send(settlement).await;
                        }
                    });
                }
            }
        }
        Ok(())
    }

    async fn finish(&self, mut work: Work) {
        let waiting: Vec<_> = work
            .waiting
            .iter()
            .map(|p| (p.claimed.id, p.claimed.token))
            .collect();
        if let Ok(client) = self.database.get().await
            && let Err(error) = hand_back(&client, &waiting).await
        {
            tracing::warn!(error = %crate::db::describe(&error), "Claimed messages could not be given back; their lease will end.");
        }
        let grace =
            tokio::time::timeout(GRACE, async { while work.calls.join_next().await.is_some() {} }).await;
        if grace.is_err() {
            tracing::warn!(
                calls = work.calls.len(),
                "Calls without an answer were given up; they are settled as uncertain."
            );
            work.calls.abort_all();
            while work.calls.join_next().await.is_some() {}
        }
    }
}

/// Writes settlements as they come, many at a time. An outcome is precious: it is kept until the database takes it.
async fn settle_all(database: Database, mut inbox: mpsc::Receiver<Settlement>) {
    let mut batch = Vec::with_capacity(SETTLE_BATCH);
    while inbox.recv_many(&mut batch, SETTLE_BATCH).await > 0 {
        loop {
            let result = match database.get().await {
                Ok(mut client) => settle(&mut client, &batch)
                    .await
                    .map_err(|e| crate::db::describe(&e)),
                Err(error) => Err(error.to_string()),
            };
            match result {
                Ok(stale) => {
                    for id in stale {
                        tracing::warn!(
                            QUEUE_ID = id.0,
                            "The answer for message {id} came after its claim had ended; it was dropped."
                        );
                    }
                    break;
                }
                Err(error) => {
                    tracing::error!(
                        error,
                        messages = batch.len(),
                        "Outcomes could not be written; trying again."
                    );
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
            }
        }
        batch.clear();
    }
}
