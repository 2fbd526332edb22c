//! One instance schedules. Promises: another takes over within 5 s of its death; one that was frozen or cut off cannot act
//! late; the end of a lead that was given back is immediate.
//!
//! Two guards, one behind the other. A leader trusts itself for [`TRUST`] from the moment before its renewal was sent, by the
//! monotonic clock: a process that was stopped finds its trust over when it wakes. And every scheduled write begins with
//! [`hold`], which fails once another term has begun, and makes a new term wait for the transaction that holds the old one.
//! Those are short: the schedule's connections end what is idle in a transaction for 2 s. No session lock: it would outlive a
//! connection that was lost without a word for hours, and mean nothing behind a pooler.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use deadpool_postgres::Object;
use tokio::sync::watch;
use tokio_postgres::Transaction;
use tokio_util::sync::CancellationToken;

use crate::db::{ConnectError, Database};

/// How long a lease holds for the others.
pub const LEASE: Duration = Duration::from_secs(3);
/// How long a leader trusts itself after the moment before it sent its last renewal. Shorter than the lease.
pub const TRUST: Duration = Duration::from_secs(2);
/// Between two renewals.
const RENEWAL: Duration = Duration::from_secs(1);
/// After a renewal that failed, or came too late.
const AGAIN: Duration = Duration::from_millis(200);
/// How often the others look.
const LOOK: Duration = Duration::from_millis(500);
/// What hangs longer is given up. A take-over may have to wait for transactions of the old term.
const PATIENCE: Duration = Duration::from_secs(3);

/// One leadership; the number only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Term(i64);

impl Term {
    /// The term of that number, as rows name it.
    pub fn of(number: i64) -> Self {
        Self(number)
    }

    /// The number, for rows and log lines.
    pub fn number(self) -> i64 {
        self.0
    }
}

impl std::fmt::Display for Term {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a scheduled write must not be.
#[derive(Debug, thiserror::Error)]
pub enum LeaderError {
    /// Another instance leads.
    #[error("term {0} is over: another instance leads")]
    Over(Term),
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// No answer.
    #[error("the server did not answer in time")]
    Silent,
    /// The server refused.
    #[error("{}", crate::db::describe(.0))]
    Server(#[from] tokio_postgres::Error),
}

/// The fence. Every scheduled write calls it first in its transaction: until that ends, no other term begins.
///
/// # Errors
/// [`LeaderError::Over`] once another term has begun; the transaction must then be rolled back.
pub async fn hold(tx: &Transaction<'_>, term: Term) -> Result<(), LeaderError> {
    let row = tx
        .query_opt(
            "select from sicantik_notify.leader where term = $1 for key share",
            &[&term.0],
        )
        .await?;
    row.map(|_| ()).ok_or(LeaderError::Over(term))
}

/// What this instance believes of its lead; all clones show the same.
#[derive(Clone, Debug)]
pub struct Lead(watch::Sender<Option<Tenure>>);

#[derive(Clone, Copy, Debug)]
struct Tenure {
    term: Term,
    until: Instant,
}

impl Default for Lead {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl Lead {
    /// The term, while this instance may trust that it leads.
    pub fn term(&self) -> Option<Term> {
        let tenure = *self.0.borrow();
        tenure.filter(|t| Instant::now() < t.until).map(|t| t.term)
    }

    /// Ends when this instance may no longer trust that it leads in this term.
    pub async fn lost(&self, term: Term) {
        let mut changes = self.0.subscribe();
        loop {
            let tenure = *changes.borrow_and_update();
            let Some(until) = tenure.filter(|t| t.term == term).map(|t| t.until) else {
                return;
            };
            if Instant::now() >= until {
                return;
            }
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                () = tokio::time::sleep_until(until.into()) => {}
            }
        }
    }

    /// Ends with the next change: a lead was won, renewed or lost.
    pub async fn changed(&self) {
        let mut changes = self.0.subscribe();
        // The sender lives in `self`.
        let _ = changes.changed().await;
    }

    fn set(&self, term: Term, sent: Instant) {
        self.0.send_replace(Some(Tenure {
            term,
            until: sent + TRUST,
        }));
    }

    fn clear(&self) {
        self.0.send_replace(None);
    }
}

/// One who wants to lead.
pub(super) struct Candidate {
    /// A connection of its own, so that work never stands in the way of a renewal.
    pub(super) database: Database,
    /// Row of `instance`.
    pub(super) instance: i64,
    /// Name and process id.
    pub(super) holder: String,
    /// What it believes.
    pub(super) lead: Lead,
}

/// The lease as another one left it, and since when it looks so.
struct Seen {
    term: i64,
    lease_until: DateTime<Utc>,
    first: Instant,
}

impl Candidate {
    /// Leads whenever nobody else does, until `stop`; then gives the lead back.
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut term: Option<Term> = None;
        let mut seen: Option<Seen> = None;
        while !stop.is_cancelled() {
            let (before, mut failed) = (term, false);
            match self.step(term, &mut seen).await {
                Ok(now) => term = now,
                Err(error) => {
                    failed = true;
                    tracing::warn!(error = %error, "The lead of the schedules could not be asked for.");
                }
            }
            self.tell(before, term);
            let pause = match term {
                // A connection that was lost is no reason to lose the lead; and a take-over that had to wait has used up its trust.
                Some(_) if failed || self.lead.term().is_none() => AGAIN,
                Some(_) => RENEWAL,
                None => LOOK,
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(pause) => {}
            }
        }
        if let Some(term) = term {
            self.lead.clear();
            let _ = tokio::time::timeout(Duration::from_secs(1), self.give_back(term)).await;
        }
    }

    /// Renews, or stands. A connection that hangs is given up, and with it what it waits for: the server ends a statement whose client
    /// is gone. A take-over that succeeds all the same ends with its lease.
    async fn step(&self, term: Option<Term>, seen: &mut Option<Seen>) -> Result<Option<Term>, LeaderError> {
        let client = self.database.get().await?;
        let step = async {
            match term {
                Some(term) => self.renew(&client, term).await.map(|kept| kept.then_some(term)),
                None => self.stand(&client, seen).await,
            }
        };
        match tokio::time::timeout(PATIENCE, step).await {
            Ok(result) => result,
            Err(_) => {
                drop(Object::take(client));
                Err(LeaderError::Silent)
            }
        }
    }

    fn tell(&self, before: Option<Term>, now: Option<Term>) {
        match (before, now) {
            (None, Some(term)) => tracing::info!(
                TERM = term.0,
                INSTANCE = self.instance,
                "This instance runs the schedules now, in term {term}."
            ),
            (Some(term), None) => {
                self.lead.clear();
                tracing::warn!(
                    TERM = term.0,
                    INSTANCE = self.instance,
                    "Another instance runs the schedules: term {term} is over."
                );
            }
            _ => {}
        }
    }

    /// Extends the lease. False: another term has begun.
    async fn renew(&self, client: &Object, term: Term) -> Result<bool, LeaderError> {
        let sent = Instant::now();
        let kept = client
            .execute(
                "update sicantik_notify.leader set lease_until = clock_timestamp() + make_interval(secs => $2) where term = $1",
                &[&term.0, &LEASE.as_secs_f64()],
            )
            .await?;
        if kept == 1 {
            self.lead.set(term, sent);
        }
        Ok(kept == 1)
    }

    /// Takes the lead where the lease is over, by the server's clock, or has not moved for as long as it holds, by ours: a server's
    /// clock that was set back must not keep a dead leader in office.
    async fn stand(&self, client: &Object, seen: &mut Option<Seen>) -> Result<Option<Term>, LeaderError> {
        let row = client
            .query_one(
                "select term, lease_until, lease_until < clock_timestamp() from sicantik_notify.leader",
                &[],
            )
            .await?;
        let (term, lease_until, over): (i64, DateTime<Utc>, bool) = (row.get(0), row.get(1), row.get(2));
        let stale = match seen {
            Some(s) if s.term == term && s.lease_until == lease_until => s.first.elapsed() > LEASE,
            _ => {
                let first = Instant::now();
                *seen = Some(Seen {
                    term,
                    lease_until,
                    first,
                });
                false
            }
        };
        if !over && !stale {
            return Ok(None);
        }
        let sent = Instant::now();
        let taken = client
            .query_opt(
                crate::db::statements::LEADER_TAKE.sql,
                &[
                    &term,
                    &lease_until,
                    &self.instance,
                    &self.holder,
                    &LEASE.as_secs_f64(),
                ],
            )
            .await?
            .map(|row| Term(row.get(0)));
        if let Some(term) = taken {
            self.lead.set(term, sent);
        }
        Ok(taken)
    }

    /// Ends the term; the others look twice a second.
    async fn give_back(&self, term: Term) -> Result<(), LeaderError> {
        let client = self.database.get().await?;
        let given = client
            .execute(
                "update sicantik_notify.leader set lease_until = 'epoch', instance_id = null where term = $1",
                &[&term.0],
            )
            .await?;
        if given == 1 {
            tracing::info!(
                TERM = term.0,
                INSTANCE = self.instance,
                "Gave the schedules back."
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trust_ends_by_itself_and_is_shorter_than_the_lease() {
        assert!(RENEWAL < TRUST && TRUST < LEASE);
        let lead = Lead::default();
        assert_eq!(lead.term(), None);
        lead.set(Term(3), Instant::now());
        assert_eq!(lead.term(), Some(Term(3)));
        let Some(long_ago) = Instant::now().checked_sub(TRUST) else {
            return;
        };
        lead.set(Term(3), long_ago);
        assert_eq!(
            lead.term(),
            None,
            "a renewal that took as long as the trust is worth nothing"
        );
    }

    #[tokio::test]
    async fn losing_the_lead_is_noticed() {
        let lead = Lead::default();
        lead.set(Term(1), Instant::now());
        let waits = tokio::spawn({
            let lead = lead.clone();
            async move { lead.lost(Term(1)).await }
        });
        lead.set(Term(2), Instant::now());
        waits.await.expect("ends");
        lead.lost(Term(1)).await;
        lead.clear();
        lead.lost(Term(2)).await;
    }
}
