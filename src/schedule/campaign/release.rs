//! Targets become messages, some at a time, as many as the queue should hold ahead: so a pause parks few rows and a cancel ends
//! few. Enqueuing, decisions, counters and the deletion of the targets are one transaction.

use super::{Campaigns, Running};
use crate::evaluate::targets::{TargetError, Told, release};
use crate::schedule::jobs::JobError;
use crate::schedule::leader::hold;

/// Messages of a campaign that the queue holds ahead, at least.
const AHEAD: i64 = 1000;
/// And at most, however large a batch is: more are released as these leave.
const MOST_AHEAD: i64 = 20_000;
/// A portion that takes longer is tried smaller.
const TIMEOUT: &str = "set local statement_timeout = '20s'";

impl Campaigns<'_> {
    /// Whether less than half of what the queue should hold ahead is left.
    pub(super) async fn wants_more(
        &self,
        client: &deadpool_postgres::Client,
        campaign: &Running,
    ) -> Result<bool, JobError> {
        let row = client
            .query_one(
                "select sicantik_notify.campaign_ahead($1, $2)",
                &[&campaign.campaign.id.0, &campaign.window()],
            )
            .await?;
        let ahead: i64 = row.get(0);
        Ok(
            self.filling.contains(&campaign.campaign.id) && ahead < campaign.window()
                || ahead * 2 < campaign.window(),
        )
    }

    /// The next targets. True: others can follow at once.
    pub(super) async fn release(
        &mut self,
        client: &mut deadpool_postgres::Client,
        campaign: &Running,
    ) -> Result<bool, JobError> {
        let released = self.portion(client, campaign).await;
        match released {
            Ok(Some(reached)) => {
                self.portion = (self.portion * 2).min(super::PORTION);
                match reached {
                    0 => self.exhausted.insert(campaign.campaign.id),
                    _ => self.filling.insert(campaign.campaign.id),
                };
                Ok(reached > 0)
            }
            // Another configuration than ours is in force, or the campaign does not run any more.
            Ok(None) => Ok(true),
            Err(Failed::Job(error)) => Err(error),
            Err(Failed::Targets(TargetError::Server(error))) => Err(error.into()),
            Err(Failed::Targets(TargetError::TooSlow)) if self.portion > 1 => {
                self.portion = (self.portion / 4).max(1);
                Ok(true)
            }
            Err(Failed::Targets(error)) => {
                let error = format!("rule {}: {error}", campaign.campaign.rule);
                self.halt(client, campaign, &error).await?;
                Ok(true)
            }
        }
    }

    /// One transaction; how many targets were reached.
    async fn portion(
        &mut self,
        client: &mut deadpool_postgres::Client,
        campaign: &Running,
    ) -> Result<Option<usize>, Failed> {
        let Some(configuration) = &self.configuration else {
            return Ok(None);
        };
        let id = campaign.campaign.id;
        let tx = client.transaction().await?;
        hold(&tx, self.work.term).await.map_err(JobError::from)?;
        tx.batch_execute(TIMEOUT).await?;
        let row = tx
            .query_one(
                "select sicantik_notify.campaign_release_begin($1), version from sicantik_notify.config_version",
                &[&id.0],
            )
            .await?;
        let (Some(from), version) = (row.get::<_, Option<i64>>(0), row.get::<_, i64>(1)) else {
            return Ok(None);
        };
        if version != configuration.version {
            return Ok(None);
        }
        let ids: Vec<i64> = tx
            .query(
                "select sicantik_notify.campaign_next($1, $2, $3)",
                &[&id.0, &from, &(self.portion as i64)],
            )
            .await?
            .iter()
            .map(|row| row.get(0))
            .collect();
        if ids.is_empty() {
            return Ok(Some(0));
        }
        let told = release(&tx, configuration, &campaign.campaign, &ids)
            .await
            .map_err(Failed::Targets)?;
        finish(&tx, id.0, &ids, &told).await?;
        tx.commit().await?;
        self.done.reached += ids.len() as i64;
        self.done.messages += told.messages;
        Ok(Some(ids.len()))
    }
}

impl Running {
    /// Messages that the queue should hold ahead. Two batches: the next one must stand there when this one has gone.
    fn window(&self) -> i64 {
        (2 * self.batch_size).clamp(AHEAD, MOST_AHEAD)
    }
}

/// Targets go, and count, in the transaction that enqueued their messages; exactly those.
async fn finish(
    tx: &tokio_postgres::Transaction<'_>,
    campaign: i64,
    ids: &[i64],
    told: &Told,
) -> Result<(), Failed> {
    let mut outcomes: Vec<&str> = told.outcomes.keys().copied().collect();
    let mut counts: Vec<i64> = told.outcomes.values().copied().collect();
    outcomes.push("messages");
    counts.push(told.messages);
    let row = tx
        .query_one(
            "select sicantik_notify.campaign_release_end($1, $2, $3, $4)",
            &[&campaign, &ids, &outcomes, &counts],
        )
        .await?;
    let gone: i64 = row.get(0);
    match usize::try_from(gone) == Ok(ids.len()) {
        true => Ok(()),
        false => Err(Failed::Targets(TargetError::Rule(format!(
            "{} targets were taken, but {gone} could be deleted: somebody else changes campaign_target",
            ids.len()
        )))),
    }
}

enum Failed {
    Job(JobError),
    Targets(TargetError),
}

impl From<JobError> for Failed {
    fn from(error: JobError) -> Self {
        Self::Job(error)
    }
}

impl From<tokio_postgres::Error> for Failed {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Job(error.into())
    }
}
