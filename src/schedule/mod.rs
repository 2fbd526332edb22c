//! What happens by the clock: jobs, cron triggers, campaigns. Promises: one instance acts at a time ([`leader`]); times are the
//! database's; a run and what it did commit together or can be repeated without harm; a schedule that cannot be read, or
//! a job that fails, stops nothing but itself.

pub mod calendar;
mod campaign;
pub mod jobs;
pub mod leader;
mod runner;
pub mod timing;
mod triggers;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::db::listener::Wakes;
use crate::db::{Database, Endpoint};
use crate::observe::pulse::Pulse;
use jobs::Tools;
use leader::{Candidate, Lead, LeaderError, Term};
use runner::Runner;

/// How often a leader looks for what is due.
const LOOK: Duration = Duration::from_millis(500);
/// Connections for scheduled work, beside the one of the lead.
const CONNECTIONS: usize = 4;
/// After a failure.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a run may go on after the stop. The whole process has 10 seconds.
const GRACE: Duration = Duration::from_secs(4);

/// The stage.
pub struct Scheduler {
    /// Where to connect.
    pub endpoint: Endpoint,
    /// Row of `instance`.
    pub instance: i64,
    /// Name of this machine.
    pub name: String,
    /// What wakes it.
    pub wakes: Arc<Wakes>,
    /// What jobs need.
    pub tools: Tools,
    /// Sign of progress.
    pub pulse: Pulse,
}

impl Scheduler {
    /// Runs until `stop`, then finishes what runs and gives the lead back.
    pub async fn run(self, stop: CancellationToken) {
        let (lead, holder) = (Lead::default(), format!("{}/{}", self.name, std::process::id()));
        let pools = self
            .endpoint
            .scheduling_pool(1)
            .and_then(|own| Ok((own, self.endpoint.scheduling_pool(CONNECTIONS)?)));
        let (own, database) = match pools {
            Ok(pools) => pools,
            Err(error) => {
                tracing::error!(error = %error, "Schedules cannot run.");
                return stop.cancelled().await;
            }
        };
        let candidate = Candidate {
            database: own,
            instance: self.instance,
            holder: holder.clone(),
            lead: lead.clone(),
        };
        // Not a child of `stop`: the lead is given back only after what runs has ended.
        let resign = CancellationToken::new();
        let mut standing = JoinSet::new();
        standing.spawn(candidate.run(resign.clone()));
        let mut firing = JoinSet::new();
        let mut runner = Runner::new(
            database.clone(),
            lead.clone(),
            Arc::new(self.tools.clone()),
            holder,
        );
        while !stop.is_cancelled() {
            self.pulse.beat();
            if let Some(term) = lead.term() {
                let look = tokio::select! {
                    () = stop.cancelled() => break,
                    () = lead.lost(term) => continue,
                    look = self.look(&mut runner, &mut firing, &database, term) => look,
                };
                if let Err(error) = look {
                    tracing::warn!(error = %error, "Schedules could not be looked at; trying again.");
                    tokio::select! {
                        () = stop.cancelled() => break,
                        () = tokio::time::sleep(PAUSE) => {}
                    }
                }
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.wakes.schedule.notified() => {}
                () = runner.ended() => {}
                // A panic there must not leave this loop without a lead for ever.
                _ = standing.join_next() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
        let _ = tokio::time::timeout(GRACE, async {
            runner.finish().await;
            while firing.join_next().await.is_some() {}
        })
        .await;
        // What did not end in time was not committed.
        drop((runner, firing));
        resign.cancel();
        while standing.join_next().await.is_some() {}
    }

    /// Looks for what is due. Triggers are looked at in a task of their own: a run over a million records takes its time.
    async fn look(
        &self,
        runner: &mut Runner,
        firing: &mut JoinSet<()>,
        database: &Database,
        term: Term,
    ) -> Result<(), LeaderError> {
        while firing.try_join_next().is_some() {}
        if firing.is_empty() {
            let (database, lead, holder) = (
                database.clone(),
                runner.lead().clone(),
                runner.holder().to_owned(),
            );
            firing.spawn(async move {
                let look = tokio::select! {
                    () = lead.lost(term) => return,
                    look = Box::pin(triggers::look(&database, term, &holder)) => look,
                };
                if let Err(error) = look {
                    tracing::warn!(error = %error, "Cron triggers could not be looked at; trying again.");
                    tokio::time::sleep(PAUSE).await;
                }
            });
        }
        runner.look(term).await
    }
}
