//! One connection's worth of reading: messages in, events and a moved position out.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use pgwire_replication::{ReplicationClient, ReplicationEvent};
use tokio_util::sync::CancellationToken;

use super::decode::{Lsn, Message, Relation, decode};
use super::ledger::{Captured, Ledger, State};
use super::watch::{Verdict, Watch};
use super::{End, Replication, SlotError};

/// Events that are stored by one statement.
const PORTION: usize = 1000;
/// The same in bytes of values.
const PORTION_BYTES: usize = 1 << 20;
/// How often it looks around while nothing comes.
const TICK: Duration = Duration::from_secs(1);
/// Where nothing concerns us, the position is moved with the heartbeat, not for each of the host's transactions; or after so
/// many bytes of log.
const MOVE_BYTES: u64 = 64 << 20;
/// Heartbeats without an answer that a dead connection is known by.
const SILENCE: u32 = 4;
/// Our own tables, whose changes change what is looked for: the log brings them in its own order.
const OURS: [&str; 3] = ["capture_plan", "noise_column", "capture_slot_table"];

/// The transaction whose changes come.
struct Current {
    commit: Lsn,
    at: DateTime<Utc>,
    xact: u64,
    /// It is stored already.
    known: bool,
    /// It changes what is looked for.
    changes_plan: bool,
    events: u64,
}

/// What is known of a relation.
struct Known {
    relation: Relation,
    watch: Look,
}

enum Look {
    /// Not asked yet, or not since what is looked for changed.
    Ask,
    /// One of ours.
    Ours,
    /// Nobody looks at it.
    Nobody,
    /// These look at it.
    Watch(Watch),
}

/// Reading.
pub struct Session<'a> {
    stage: &'a Replication,
    ledger: Ledger,
    client: ReplicationClient,
    /// As stored.
    position: Lsn,
    /// End of what was read and needs no more storing than what waits here.
    seen: Lsn,
    moved: Instant,
    hurry: bool,
    relations: HashMap<u32, Known>,
    current: Option<Current>,
    waiting: Vec<Captured>,
    waiting_bytes: usize,
    transactions: u64,
    events: u64,
    /// A transaction id whose epoch is known.
    near: u64,
    blind: HashSet<String>,
    heard: Instant,
    beat: Option<Instant>,
    well: bool,
}

impl<'a> Session<'a> {
    /// From where the state says.
    pub fn new(stage: &'a Replication, ledger: Ledger, client: ReplicationClient, state: &State) -> Self {
        Self {
            stage,
            ledger,
            client,
            position: state.position,
            seen: state.position,
            moved: Instant::now(),
            hurry: false,
            relations: HashMap::new(),
            current: None,
            waiting: Vec::new(),
            waiting_bytes: 0,
            transactions: 0,
            events: 0,
            near: state.next_xact,
            blind: HashSet::new(),
            heard: Instant::now(),
            beat: None,
            well: false,
        }
    }

    /// Reads until `stop`.
    ///
    /// # Errors
    /// [`SlotError`]: what was not committed comes again in the next session.
    pub async fn run(
        mut self,
        stop: &CancellationToken,
        said: &mut Option<String>,
    ) -> Result<End, SlotError> {
        loop {
            self.stage.pulse.beat();
            // Whatever has come already is stored together.
            let patience = if self.may_store() { Duration::ZERO } else { TICK };
            let event = tokio::select! {
                biased;
                () = stop.cancelled() => {
                    self.settle(true).await?;
                    return Ok(End::Stopped);
                }
                event = tokio::time::timeout(patience, self.client.recv()) => event,
            };
            match event {
                Ok(Ok(Some(event))) => {
                    self.heard = Instant::now();
                    let whole = matches!(event, ReplicationEvent::Commit { .. });
                    self.take(event).await?;
                    if whole {
                        self.is_well(said).await?;
                    }
                    if self.events as usize >= PORTION || self.waiting.len() >= PORTION {
                        self.settle(false).await?;
                    }
                }
                Ok(Ok(None)) => return Err(super::WireError::Lost("the server ended it".to_owned()).into()),
                Ok(Err(error)) => return Err(super::WireError::from(error).into()),
                Err(_) => {
                    self.settle(false).await?;
                    self.look_around().await?;
                    self.is_well(said).await?;
                }
            }
        }
    }

    /// A transaction came, or nothing went wrong for a moment: what was said before is over.
    async fn is_well(&mut self, said: &mut Option<String>) -> Result<(), SlotError> {
        if !std::mem::replace(&mut self.well, true) {
            self.ledger.problem(super::PROBLEM, None).await?;
            *said = None;
        }
        Ok(())
    }

    /// Whether whole transactions wait here to be stored.
    fn may_store(&self) -> bool {
        self.current.is_none() && self.transactions > 0
    }

    async fn take(&mut self, event: ReplicationEvent) -> Result<(), SlotError> {
        match event {
            ReplicationEvent::XLogData { data, .. } => self.change(decode(&data)?).await,
            ReplicationEvent::Begin {
                final_lsn,
                xid,
                commit_time_micros,
            } => {
                self.begin(Lsn(final_lsn.as_u64()), xid, commit_time_micros);
                Ok(())
            }
            ReplicationEvent::Commit { end_lsn, .. } => self.end(Lsn(end_lsn.as_u64())).await,
            ReplicationEvent::KeepAlive { wal_end, .. } => {
                // What was committed before that has been sent.
                if self.current.is_none() {
                    self.seen = self.seen.max(Lsn(wal_end.as_u64()));
                    self.settle(false).await?;
                }
                Ok(())
            }
            // Our own heartbeat: its transaction's end is what counts.
            ReplicationEvent::Message { .. } | ReplicationEvent::StoppedAt { .. } => Ok(()),
        }
    }

    fn begin(&mut self, commit: Lsn, xid: u32, at: i64) {
        let xact = widen(self.near, xid);
        self.near = self.near.max(xact);
        self.current = Some(Current {
            commit,
            at: time(at),
            xact,
            known: commit < self.position,
            changes_plan: false,
            events: 0,
        });
    }

    async fn end(&mut self, end: Lsn) -> Result<(), SlotError> {
        let current = self.current.take().ok_or(SlotError::Outside)?;
        self.seen = self.seen.max(end);
        if current.events > 0 {
            self.transactions += 1;
            self.events += current.events;
        }
        if current.changes_plan {
            self.hurry = true;
            for known in self.relations.values_mut() {
                if !matches!(known.watch, Look::Ours) {
                    known.watch = Look::Ask;
                }
            }
        }
        if self.events == 0 && (self.hurry || self.moved.elapsed() > self.interval()) {
            self.settle(false).await?;
        }
        Ok(())
    }

    async fn change(&mut self, message: Message<'_>) -> Result<(), SlotError> {
        let (relation, verdict) = match message {
            Message::Relation(relation) => {
                let ours = relation.schema == "sicantik_notify" && OURS.contains(&relation.name.as_str());
                let watch = if ours { Look::Ours } else { Look::Ask };
                self.relations.insert(relation.oid, Known { relation, watch });
                return Ok(());
            }
            Message::Insert { relation, new } => match self.look(relation).await? {
                None => return Ok(()),
                Some(watch) => (relation, watch.inserted(&new)),
            },
            Message::Update { relation, old, new } => match self.look(relation).await? {
                None => return Ok(()),
                Some(watch) => (relation, watch.updated(old.as_ref(), &new)),
            },
            // No trigger looks at these, but our own tables may be meant.
            Message::Delete { relation, .. } => return self.look(relation).await.map(|_| ()),
            Message::Truncate { relations, .. } => {
                for relation in relations {
                    self.look(relation).await?;
                }
                return Ok(());
            }
            Message::Origin { .. } | Message::Type { .. } | Message::Message { .. } => return Ok(()),
            Message::Begin { commit, at, xid } => {
                self.begin(commit, xid, at);
                return Ok(());
            }
            Message::Commit { end, .. } => return self.end(end).await,
        };
        match verdict {
            Verdict::Nothing => Ok(()),
            Verdict::Event(event) => self.keep(relation, event).await,
            Verdict::Blind => self.blind(relation).await,
            Verdict::Nameless => {
                tracing::warn!(
                    RELATION = relation,
                    "A row without a readable id was not captured."
                );
                Ok(())
            }
        }
    }

    /// Who looks at this change; none: nobody.
    async fn look(&mut self, oid: u32) -> Result<Option<&Watch>, SlotError> {
        let current = self.current.as_mut().ok_or(SlotError::Outside)?;
        let known = self.relations.get_mut(&oid).ok_or(SlotError::Relation(oid))?;
        if matches!(known.watch, Look::Ask) {
            known.watch = match self.ledger.watch(&known.relation).await? {
                Some(watch) => Look::Watch(watch),
                None => Look::Nobody,
            };
        }
        Ok(match &known.watch {
            Look::Ours => {
                current.changes_plan = true;
                None
            }
            Look::Watch(watch) if !current.known && watch.covers(current.commit) => Some(watch),
            _ => None,
        })
    }

    async fn keep(&mut self, relation: u32, event: super::watch::NewEvent) -> Result<(), SlotError> {
        let current = self.current.as_mut().ok_or(SlotError::Outside)?;
        let known = self
            .relations
            .get(&relation)
            .ok_or(SlotError::Relation(relation))?;
        let Look::Watch(watch) = &known.watch else {
            return Ok(());
        };
        current.events += 1;
        self.waiting_bytes += event.size();
        self.waiting.push(Captured {
            xact: current.xact,
            at: current.at,
            model: watch.model.clone(),
            event,
        });
        if self.waiting.len() >= PORTION || self.waiting_bytes >= PORTION_BYTES {
            self.flush().await?;
        }
        Ok(())
    }

    /// Once a table and session.
    async fn blind(&mut self, relation: u32) -> Result<(), SlotError> {
        let Some(known) = self.relations.get(&relation) else {
            return Ok(());
        };
        let table = known.relation.name.clone();
        if self.blind.insert(table.clone()) {
            let at = self.current.as_ref().map_or_else(Utc::now, |c| c.at).to_rfc3339();
            let summary = format!(
                "since {at} updates of {table} come without the old row (its replica identity was changed): which of them concern a trigger \
                 cannot be told, and none was captured"
            );
            let remedy = "run sicantik-notifyd hooks install (as a DBA), look at what changed since then and fire the triggers for it, then \
                          delete the row from sicantik_notify.problem";
            tracing::error!(TABLE = table.as_str(), "{summary}.");
            self.ledger
                .problem(&format!("capture of {table}"), Some((&summary, remedy)))
                .await?;
        }
        Ok(())
    }

    /// Stores what waits here, in a transaction that stays open until its source's end.
    async fn flush(&mut self) -> Result<(), SlotError> {
        self.stage.pulse.beat();
        self.ledger.hold(self.position, !self.waiting.is_empty()).await?;
        self.ledger.store(&self.waiting).await?;
        self.waiting.clear();
        self.waiting_bytes = 0;
        Ok(())
    }

    /// Commits whole transactions and the position behind them, and confirms it. Where there is nothing to store, the position
    /// is moved now and then, or `now`.
    async fn settle(&mut self, now: bool) -> Result<(), SlotError> {
        if self.current.is_some() || self.seen <= self.position {
            return Ok(());
        }
        let due = now
            || self.hurry
            || self.transactions > 0
            || self.moved.elapsed() > self.interval()
            || self.seen.0 - self.position.0 > MOVE_BYTES;
        if !due {
            return Ok(());
        }
        self.flush().await?;
        self.ledger
            .commit(self.seen, self.transactions, self.events)
            .await?;
        self.position = self.seen;
        self.client
            .update_applied_lsn(pgwire_replication::Lsn(self.position.0));
        self.moved = Instant::now();
        self.hurry = false;
        if self.events > 0 {
            tracing::debug!(
                EVENTS = self.events,
                "Captured {} events of {} transactions, up to {}.",
                self.events,
                self.transactions,
                self.position
            );
            self.stage.wakes.events.notify_one();
        }
        self.transactions = 0;
        self.events = 0;
        Ok(())
    }

    fn interval(&self) -> Duration {
        Duration::from_secs(self.stage.config.heartbeat_seconds)
    }

    /// Nothing came: move an idle slot, notice a dead connection.
    async fn look_around(&mut self) -> Result<(), SlotError> {
        if self.current.is_some() {
            return Ok(()); // the server reads a long transaction from its disk
        }
        let interval = self.interval();
        let silence = self.heard.elapsed();
        if silence > interval * SILENCE && self.beat.is_some_and(|at| at > self.heard) {
            return Err(SlotError::Silent(silence));
        }
        if silence > interval && self.beat.is_none_or(|at| at.elapsed() > interval) {
            self.ledger.heartbeat().await?;
            self.beat = Some(Instant::now());
        }
        Ok(())
    }
}

/// A transaction id with its epoch, from one that is less than two thousand million away. The server keeps all that it still
/// has to send nearer than that.
fn widen(near: u64, xid: u32) -> u64 {
    let distance = i64::from(xid.wrapping_sub(near as u32) as i32);
    near.saturating_add_signed(distance)
}

/// Microseconds since 2000-01-01.
fn time(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(946_684_800, 0)
        .and_then(|epoch| epoch.checked_add_signed(TimeDelta::microseconds(micros)))
        .unwrap_or_else(Utc::now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transaction_ids_get_their_epoch() {
        let epoch = 1_u64 << 32;
        for (near, xid, expected) in [
            (1000, 990, 990),
            (1000, 1010, 1010),
            (epoch + 5, 0xFFFF_FFF0, 0xFFFF_FFF0),
            (epoch + 5, 7, epoch + 7),
            (epoch - 1, 3, epoch + 3),
            (3 * epoch + 100, 50, 3 * epoch + 50),
        ] {
            assert_eq!(widen(near, xid), expected, "{xid} near {near}");
        }
    }

    #[test]
    fn times_count_from_2000() {
        assert_eq!(time(0).to_rfc3339(), "2000-01-01T00:00:00+00:00");
        assert_eq!(time(1_500_000).to_rfc3339(), "2000-01-01T00:00:01.500+00:00");
        let _ = time(i64::MAX);
    }
}
