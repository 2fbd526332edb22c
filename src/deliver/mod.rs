//! Stage 3: due messages of `queue` reach a provider and end in `log`.
//!
//! The life of a message here: claim (committed) → route ([`dispatcher`]) → attempt (committed) → one HTTP call
//! ([`provider`]) → settle (committed, in batches). An answer that was lost after the request was written is *uncertain*:
//! never a fallback, never a blind retry.
//!
//! Stopping: nothing more is claimed, what was claimed but not begun goes back, calls in flight get [`GRACE`]; what has no
//! answer then stays recorded and is settled as uncertain by whoever recovers.

pub(crate) mod caretaker;
pub mod directory;
pub mod dispatcher;
mod failover;
pub(crate) mod health;
pub mod pace;
pub mod provider;
pub mod sending;
mod settler;
pub mod template;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool_postgres::Object;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::config::DeliverConfig;
use crate::db::ids::{MessageId, ProviderId};
use crate::db::listener::Wakes;
use crate::db::{ConnectError, Database};
use crate::host::permit::Arming;
use crate::observe::metrics;
use crate::observe::pulse::Pulse;
use crate::queue::claim::{Claimed, admit, claim, hand_back, park, promote, retry_provider, skip_listed};
use crate::queue::holding::Holding;
use crate::queue::lookout::Lookout;
use crate::queue::memory::Memory;
use crate::queue::recover::{forget_dead_instances, recover};
use crate::queue::settle::Settlement;
use caretaker::Caretaker;
use directory::Directory;
use failover::Gate;
use health::{Health, Terms};
use pace::{Pace, Turns};
use sending::{Attempt, Prepared, Sender};

/// How long calls in flight may go on after the stop. The whole process has 10 seconds.
pub const GRACE: Duration = Duration::from_secs(7);
/// How long giving back may take at the stop: without a database the calls in flight still get their time.
const GIVE_BACK: Duration = Duration::from_millis(1500);
/// How often what became due is looked for, and what dead instances left.
const HOUSEKEEPING: Duration = Duration::from_millis(1000);

/// How long after a change of the configuration messages are looked for that were parked or enqueued under the old one:
/// longer than any evaluation or claim that saw it.
const AFTERMATH: Duration = Duration::from_secs(90);

/// How long after a circuit has closed messages are looked for that were put to wait for it a moment too late.
const LATECOMERS: Duration = Duration::from_secs(10);

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
    /// What this process holds, for the heartbeat.
    pub holding: Holding,
    /// What this process has sent in the last seconds.
    pub memory: Memory,
    /// Sign of progress.
    pub pulse: Pulse,
}

/// What is claimed and what is under way.
struct Work {
    waiting: VecDeque<Prepared>,
    calls: JoinSet<()>,
    settlements: mpsc::Sender<Settlement>,
    directory: Directory,
    health: Health,
    caretaker: Caretaker,
    /// When the next message may go to accounts that had no room.
    turns: HashMap<ProviderId, Instant>,
    gate: Gate,
    lookout: Lookout,
    kept_house: Option<Instant>,
    configuration: Option<i64>,
    changed: Instant,
    /// When a circuit was last seen to have closed.
    recovered: Option<Instant>,
}

impl Deliverer {
    /// Runs until `stop`, then finishes what is in flight.
    pub async fn run(self, stop: CancellationToken) {
        // Bounded: when the database is slow to settle, calls wait, and then claims do.
        let (settlements, inbox) = mpsc::channel(settler::BATCH);
        let settler = tokio::spawn(settler::run(self.database.clone(), self.wakes.clone(), inbox));
        let health = Health::new(Terms::of(&self.config));
        let mut work = Work {
            waiting: VecDeque::new(),
            calls: JoinSet::new(),
            settlements,
            directory: Directory::default(),
            caretaker: Caretaker::new(self.database.clone(), self.client.clone(), health.clone()),
            turns: HashMap::new(),
            health,
            gate: Gate::new(
                self.memory.clone(),
                self.holding.clone(),
                self.instance,
                self.config.failover_window(),
            ),
            lookout: Lookout::default(),
            kept_house: None,
            configuration: None,
            changed: Instant::now(),
            recovered: None,
        };
        while !stop.is_cancelled() {
            self.pulse.beat();
            let pause = match self.round(&mut work).await {
                Ok(true) => continue,
                Ok(false) => {
                    let pause = Duration::from_millis(self.config.poll_interval_ms).min(HOUSEKEEPING);
                    pause.min(next_turn(&work))
                }
                Err(error) => {
                    tracing::error!(error = %error, "Delivery failed; trying again.");
                    // Not to be cut short by a wake-up: an error that stays must not spin.
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = tokio::time::sleep(Duration::from_secs(1)) => {}
                    }
                    continue;
                }
            };
            self.rest(&mut work, pause, &stop).await;
        }
        self.finish(work).await;
        // The channel is closed now: the settler writes what it has and ends.
        let _ = settler.await;
    }

    /// Waits for something to do. A call that ends is that only where another message waits for its place: the last claim found nothing
    /// more, and the settler wakes us when recipients are free.
    async fn rest(&self, work: &mut Work, pause: Duration, stop: &CancellationToken) {
        let until = tokio::time::Instant::now() + pause;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.wakes.messages.notified() => return,
                Some(ended) = work.calls.join_next(), if !work.calls.is_empty() => {
                    report_panic(ended);
                    if !work.waiting.is_empty() {
                        return;
                    }
                }
                () = tokio::time::sleep_until(until) => return,
            }
        }
    }

    /// One round: what is due, and then housekeeping, once a second, or every two while there is much to do; before it where nothing may be
    /// claimed yet, or the last round failed. True: there may be more to do at once.
    async fn round(&self, work: &mut Work) -> Result<bool, DeliverError> {
        while let Some(ended) = work.calls.try_join_next() {
            report_panic(ended);
        }
        if work.kept_house.is_none() || !self.config.enabled || !work.gate.is_open() {
            self.keep_house_in_time(work, HOUSEKEEPING).await?;
        }
        if !self.config.enabled || !work.gate.is_open() {
            return Ok(false);
        }
        let moved = match self.step(work).await {
            Ok(moved) => moved,
            Err(error) => {
                // House is kept before the next one: another server may have taken over.
                work.kept_house = None;
                return Err(error);
            }
        };
        let interval = if moved { 2 * HOUSEKEEPING } else { HOUSEKEEPING };
        // What has become due by it goes at once.
        Ok(self.keep_house_in_time(work, interval).await? || moved)
    }

    /// Keeps house where that was last done so long ago. True: messages may have become due by it.
    async fn keep_house_in_time(&self, work: &mut Work, interval: Duration) -> Result<bool, DeliverError> {
        if work.kept_house.is_some_and(|at| at.elapsed() < interval) {
            return Ok(false);
        }
        let due = self.keep_house(work).await?;
        work.kept_house = Some(Instant::now());
        Ok(due)
    }

    /// Records the attempts of the next messages and claims those after them, both at the same time, and starts the calls. True: there may
    /// be more to do at once.
    async fn step(&self, work: &mut Work) -> Result<bool, DeliverError> {
        let concurrency = self.config.concurrency as usize;
        let free = concurrency.saturating_sub(work.calls.len());
        let next = match free > 0 && !work.waiting.is_empty() {
            true => self.choose(work, free).await?,
            false => Vec::new(),
        };
        let wanted = match work.waiting.len() < concurrency {
            true => (self.config.claim_batch as usize).saturating_sub(work.waiting.len()),
            false => 0,
        };
        let any = !next.is_empty();
        let mut lookout = std::mem::take(&mut work.lookout);
        let (begun, claimed) = tokio::join!(self.begin(work, next), self.claim(wanted, &mut lookout));
        work.lookout = lookout;
        let taken = match claimed {
            Ok(Some((client, claimed))) => self.take_in(work, &client, claimed).await,
            Ok(None) => Ok(false),
            Err(error) => Err(error),
        };
        let taken = match (begun, taken) {
            (Err(error), taken) => {
                if let Err(other) = taken {
                    tracing::error!(error = %other, "Claiming failed too.");
                }
                return Err(error);
            }
            (Ok(()), taken) => taken?,
        };
        // Where nothing waits, the claim has just found that there is nothing more.
        Ok(taken || (any && !work.waiting.is_empty()))
    }

    /// True: messages may have become due.
    async fn keep_house(&self, work: &mut Work) -> Result<bool, DeliverError> {
        let mut client = self.database.get().await?;
        // Before anything is taken over: what the last seconds of an old primary held is not to be judged by what stands here.
        if !work.gate.pass(&mut client, Instant::now()).await? {
            return Ok(false);
        }
        let mut due = false;
        for lost in recover(&client, self.config.dead_after(), self.instance, &self.holding).await? {
            due = true;
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
        let version: i64 = client
            .query_one("select version from sicantik_notify.config_version", &[])
            .await?
            .get(0);
        if work.configuration != Some(version) {
            due |= retry_provider(&client).await? > 0;
            work.configuration = Some(version);
            work.changed = Instant::now();
        }
        if work.changed.elapsed() < AFTERMATH {
            due |= park(&client).await?;
        }
        due |= promote(&client).await? > 0;
        due |= admit(&client).await? > 0;
        if self.config.enabled {
            self.read_directory(work, &client).await?;
            if work.recovered.is_some_and(|at| at.elapsed() < LATECOMERS) {
                due |= retry_provider(&client).await? > 0;
            }
            work.caretaker
                .look(&client, &self.arming, &work.directory)
                .await?;
        }
        Ok(due)
    }

    async fn read_directory(
        &self,
        work: &mut Work,
        client: &deadpool_postgres::Client,
    ) -> Result<(), tokio_postgres::Error> {
        work.directory.refresh(client).await?;
        if work.health.agree(work.directory.circuits()) {
            work.recovered = Some(Instant::now());
        }
        // The database knows best: other instances reserve too, and an operator may have ended a pause.
        let now = Instant::now();
        work.turns = work
            .directory
            .slow()
            .iter()
            .map(|(id, wait)| (*id, now + *wait))
            .collect();
        Ok(())
    }

    /// Claims; the connection is handed on with what was claimed, so that the next step need not wait for one.
    async fn claim(
        &self,
        wanted: usize,
        lookout: &mut Lookout,
    ) -> Result<Option<(Object, Vec<Claimed>)>, DeliverError> {
        if wanted == 0 {
            return Ok(None);
        }
        let client = self.database.get().await?;
        let lease = Duration::from_secs(self.config.lease_seconds);
        let begun = Instant::now();
        let claimed = claim(
            &client,
            &self.arming,
            self.instance,
            wanted,
            lease,
            &self.holding,
            lookout,
        )
        .await?;
        metrics::stage("claim", begun.elapsed());
        Ok((!claimed.is_empty()).then_some((client, claimed)))
    }

    /// What was claimed gets its routes and waits. True: there may be more.
    async fn take_in(
        &self,
        work: &mut Work,
        client: &Object,
        claimed: Vec<Claimed>,
    ) -> Result<bool, DeliverError> {
        let ids: Vec<_> = claimed.iter().map(|m| (m.id, m.held.token())).collect();
        if !claimed.iter().all(|m| work.gate.admits(m.timeline)) {
            work.gate.shut();
            work.kept_house = None;
            hand_back(client, &ids).await?;
            return Ok(true);
        }
        let (routed, settled) = match self.route(work, client, claimed).await {
            Ok(routed) => routed,
            Err(error) => {
                // Nothing was begun. Where this fails too, their lease ends: nobody holds them any more.
                let _ = hand_back(client, &ids).await;
                return Err(error.into());
            }
        };
        work.waiting.extend(routed);
        for settlement in settled {
            // The settler ends only after this sender is gone.
            let _ = work.settlements.send(settlement).await;
        }
        Ok(true)
    }

    async fn route(
        &self,
        work: &mut Work,
        client: &deadpool_postgres::Client,
        claimed: Vec<Claimed>,
    ) -> Result<(Vec<Prepared>, Vec<Settlement>), tokio_postgres::Error> {
        self.read_directory(work, client).await?;
        work.directory.route(client, claimed).await
    }

    /// The next messages for which there is room: at most `free`, each with a turn at its provider. The others wait in memory if
    /// their turn is near, else in the queue.
    async fn choose(&self, work: &mut Work, free: usize) -> Result<Vec<Prepared>, DeliverError> {
        let mut waiting = VecDeque::with_capacity(work.waiting.len());
        for prepared in std::mem::take(&mut work.waiting) {
            match prepared.without_paused(&work.health) {
                Ok(prepared) => waiting.push_back(prepared),
                Err(settlement) => {
                    let _ = work.settlements.send(*settlement).await;
                }
            }
        }
        work.waiting = waiting;
        let mut turns = self.reserve(work, free).await?;
        let (mut next, mut rest) = (Vec::with_capacity(free), VecDeque::new());
        let mut left: HashMap<ProviderId, usize> = HashMap::new();
        for prepared in std::mem::take(&mut work.waiting) {
            let Some((provider, pace)) = prepared.first() else {
                continue;
            };
            let no_room = work.turns.get(&provider).copied();
            match turns.get_mut(&provider) {
                Some(turns) if turns.now > 0 && next.len() < free => {
                    turns.now -= 1;
                    next.push(prepared);
                }
                None if pace.gap.is_zero() && no_room.is_none() && next.len() < free => next.push(prepared),
                _ => match no_room {
                    None => rest.push_back(prepared),
                    Some(at) => {
                        let place = left.entry(provider).or_default();
                        *place += 1;
                        match place.checked_sub(1 + pace.kept()) {
                            None => rest.push_back(prepared),
                            Some(behind) => {
                                let until = at.saturating_duration_since(Instant::now());
                                let delay = pace.put_off(until, behind, prepared.claimed.postponed);
                                let _ = work.settlements.send(prepared.put_off(delay)).await;
                            }
                        }
                    }
                },
            }
        }
        work.waiting = rest;
        let mut admitted = Vec::with_capacity(next.len());
        for prepared in next {
            let first = prepared.first().map(|first| first.0);
            match prepared.admitted(&self.database, &work.health).await {
                Ok(prepared) if prepared.first().map(|first| first.0) == first => admitted.push(prepared),
                // Another provider's pace has to be asked.
                Ok(prepared) => work.waiting.push_front(prepared),
                Err(settlement) => {
                    let _ = work.settlements.send(*settlement).await;
                }
            }
        }
        Ok(admitted)
    }

    /// Turns for the first messages that wait, where their provider has a pace and may have room.
    async fn reserve(
        &self,
        work: &mut Work,
        free: usize,
    ) -> Result<HashMap<ProviderId, Turns>, DeliverError> {
        let mut wanted: HashMap<ProviderId, (usize, Pace)> = HashMap::new();
        let mut counted = 0;
        for (provider, pace) in work.waiting.iter().filter_map(Prepared::first) {
            if work
                .turns
                .get(&provider)
                .is_some_and(|next| *next > Instant::now())
            {
                continue;
            }
            work.turns.remove(&provider);
            if counted == free {
                break;
            }
            counted += 1;
            if !pace.gap.is_zero() {
                wanted.entry(provider).or_insert((0, pace)).0 += 1;
            }
        }
        if wanted.is_empty() {
            return Ok(HashMap::new());
        }
        let client = self.database.get().await?;
        let turns = pace::reserve(&client, &wanted).await?;
        for (provider, turns) in &turns {
            if turns.now < wanted.get(provider).map_or(0, |w| w.0) {
                work.turns.insert(*provider, turns.next);
            }
        }
        Ok(turns)
    }

    /// Records attempts for the next messages, all in one statement, and starts their calls.
    async fn begin(&self, work: &mut Work, next: Vec<Prepared>) -> Result<(), DeliverError> {
        if next.is_empty() {
            return Ok(());
        }
        let begun = match self.record(&next).await {
            Ok(begun) => begun,
            Err(error) => {
                // Nothing was sent: they wait in the same order.
                for prepared in next.into_iter().rev() {
                    work.waiting.push_front(prepared);
                }
                return Err(error);
            }
        };
        let mut refused = Vec::new();
        for prepared in next {
            let Some(attempt) = begun.get(&prepared.claimed.id).copied() else {
                refused.push(prepared);
                continue;
            };
            let sender = Sender {
                database: self.database.clone(),
                client: self.client.clone(),
                instance: self.instance,
                health: work.health.clone(),
                memory: self.memory.clone(),
                fresh: Duration::from_millis(self.config.heartbeat_ms),
            };
            let settlements = work.settlements.clone();
            work.calls.spawn(async move {
                let settlement = sender.send(prepared, attempt).await;
                let _ = settlements.send(settlement).await;
            });
        }
        self.give_back(&refused).await
    }

    async fn record(&self, next: &[Prepared]) -> Result<HashMap<MessageId, Attempt>, DeliverError> {
        let client = self.database.get().await?;
        Ok(sending::begin_attempts(&client, self.instance, next).await?)
    }

    /// Messages whose attempt was not recorded: ended where their number is on a blacklist; back if they are still ours (their
    /// rule was switched off or has its quiet hours, or their lease ended and nobody took them); otherwise they are left to
    /// their new owner.
    async fn give_back(&self, refused: &[Prepared]) -> Result<(), DeliverError> {
        if refused.is_empty() {
            return Ok(());
        }
        let ids: Vec<_> = refused
            .iter()
            .map(|p| (p.claimed.id, p.claimed.held.token()))
            .collect();
        let client = self.database.get().await?;
        let skipped = skip_listed(&client, &ids).await?;
        for id in &skipped {
            tracing::info!(
                QUEUE_ID = id.0,
                "Message {id} was skipped: its number is on a blacklist."
            );
        }
        let left = ids.len() - skipped.len();
        if left == 0 {
            return Ok(());
        }
        let given = hand_back(&client, &ids).await?;
        tracing::warn!(
            messages = left,
            "{left} messages were not sent: {given} went back, the others were taken over meanwhile and are left to their \
             new owner."
        );
        Ok(())
    }

    async fn finish(&self, mut work: Work) {
        let waiting: Vec<_> = work
            .waiting
            .iter()
            .map(|p| (p.claimed.id, p.claimed.held.token()))
            .collect();
        let give_back = tokio::time::timeout(GIVE_BACK, async {
            let client = self.database.get().await.map_err(|e| e.to_string())?;
            hand_back(&client, &waiting)
                .await
                .map_err(|e| crate::db::describe(&e))
        });
        match give_back.await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(
                error,
                "Claimed messages could not be given back; their lease will end."
            ),
            Err(_) => {
                tracing::warn!("Claimed messages could not be given back in time; their lease will end.")
            }
        }
        let grace = tokio::time::timeout(GRACE, async {
            while let Some(ended) = work.calls.join_next().await {
                report_panic(ended);
            }
        });
        if grace.await.is_err() {
            tracing::warn!(
                calls = work.calls.len(),
                "Calls without an answer were given up; they are settled as uncertain."
            );
            work.calls.abort_all();
            while work.calls.join_next().await.is_some() {}
        }
    }
}

/// How long until a message that waits in memory has its turn.
fn next_turn(work: &Work) -> Duration {
    let providers = work.waiting.iter().filter_map(Prepared::first);
    let next = providers
        .filter_map(|(provider, _)| work.turns.get(&provider))
        .min();
    next.map_or(HOUSEKEEPING, |at| at.saturating_duration_since(Instant::now()))
}

/// A call that panicked leaves its message to the end of its lease: it is uncertain then.
fn report_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(error = %error, "A call failed inside; its message is taken over when its lease ends.");
    }
}
