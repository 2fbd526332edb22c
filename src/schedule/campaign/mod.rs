//! Campaigns, as the leader runs them: what is due is started, targets are collected once ([`collect`]), and a few of them at a time
//! become messages ([`release`]), as many as the queue should hold ahead. Promises: every write is fenced by the term; each
//! target is reached once, whatever dies when; a campaign that cannot go on stops only itself and says why; memory does not
//! grow with the number of targets.

mod collect;
mod release;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use tokio_postgres::Row;

use super::jobs::{JobError, Outcome, Work};
use super::leader::{LeaderError, hold};
use crate::db::ids::CampaignId;
use crate::db::statements as sql;
use crate::evaluate::configuration::Configuration;
use crate::evaluate::targets::Campaign;

/// Targets that become messages in one transaction: a pause waits for one, and what a crash undoes is one.
const PORTION: usize = 500;
/// How often a campaign that runs is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// How often what messages came to is added up, and ends are looked for.
const TIDY: Duration = Duration::from_millis(1000);
/// How long one run of the job goes on: its history has a row for each.
const RUN: Duration = Duration::from_secs(240);

/// Rounds in a row that may fail before the job counts as failed.
const PATIENCE: u32 = 10;

/// A campaign that runs, as the job sees it.
struct Running {
    campaign: Campaign,
    name: String,
    model: String,
    domain: String,
    materialised: bool,
    /// Rule and trigger are in force.
    active: bool,
    /// Messages of one batch; 0: not a batch rule.
    batch_size: i64,
}

impl Running {
    fn of(row: &Row) -> Option<Self> {
        Some(Self {
            campaign: Campaign {
                id: CampaignId(row.get::<_, Option<i64>>("id")?),
                rule: row.get("rule_code"),
                template_key: row.get("template_key"),
            },
            name: row.get("name"),
            model: row.get("target_model"),
            domain: row.get("target_domain"),
            materialised: row.get("materialised"),
            active: row.get("active"),
            batch_size: i64::from(row.get::<_, i32>("batch_size")),
        })
    }
}

/// What one run of the job has done and remembers.
struct Campaigns<'w> {
    work: &'w Work<'w>,
    configuration: Option<Configuration>,
    portion: usize,
    /// Campaigns whose window is being filled.
    filling: HashSet<CampaignId>,
    /// Campaigns all of whose targets were reached.
    exhausted: HashSet<CampaignId>,
    tidied: Option<Instant>,
    /// Rounds that failed, in a row.
    failed: u32,
    done: Done,
}

#[derive(Default)]
struct Done {
    started: i64,
    targets: i64,
    reached: i64,
    messages: i64,
    completed: i64,
}

/// The job: runs while a campaign does, for some minutes at most.
///
/// # Errors
/// [`JobError`]; what was committed stays.
pub(super) async fn run(work: &Work<'_>) -> Result<Outcome, JobError> {
    let mut campaigns = Campaigns {
        work,
        configuration: None,
        portion: PORTION,
        filling: HashSet::new(),
        exhausted: HashSet::new(),
        tidied: None,
        failed: 0,
        done: Done::default(),
    };
    let begun = Instant::now();
    let again = loop {
        if work.tools.stop.is_cancelled() {
            break Some(Duration::ZERO);
        }
        let round = match campaigns.round().await {
            Ok(round) => round,
            Err(error) => campaigns.bear(error)?,
        };
        match round {
            Round::Idle { next } => break next,
            _ if begun.elapsed() > RUN => break Some(Duration::ZERO),
            Round::More => {}
            Round::Waiting => {
                tokio::select! {
                    () = work.tools.stop.cancelled() => {}
                    () = tokio::time::sleep(LOOK) => {}
                }
            }
        }
    };
    let done = campaigns.done;
    Ok(Outcome {
        records: done.reached,
        detail: format!(
            "started {}, collected {} targets, reached {} with {} messages, completed {}",
            done.started, done.targets, done.reached, done.messages, done.completed
        ),
        again,
    })
}

/// What a round came to.
enum Round {
    /// No campaign runs, and none is due before this time is over.
    Idle {
        /// None: none is scheduled.
        next: Option<Duration>,
    },
    /// Campaigns run, and have enough in the queue.
    Waiting,
    /// There is more to do at once.
    More,
}

impl Campaigns<'_> {
    /// A server that restarts, or an evaluation that met ours crosswise, is no reason to leave campaigns for the job's pause after a
    /// failure; an error that stays is.
    fn bear(&mut self, error: JobError) -> Result<Round, JobError> {
        self.failed += 1;
        if matches!(error, JobError::Leader(LeaderError::Over(_))) || self.failed > PATIENCE {
            return Err(error);
        }
        tracing::warn!(error = %error, "A round of the campaigns failed; trying again.");
        self.portion = (self.portion / 2).max(1);
        Ok(Round::Waiting)
    }

    async fn round(&mut self) -> Result<Round, JobError> {
        let mut client = self.work.database.get().await?;
        let statement = client.prepare_cached(sql::CAMPAIGNS.sql).await?;
        let rows = client.query(&statement, &[]).await?;
        let about = |column: &str| rows.first().is_some_and(|row| row.get::<_, bool>(column));
        let (due, untidy) = (about("due"), about("untidy"));
        if due {
            self.begin_due(&mut client).await?;
            return Ok(Round::More);
        }
        let running: Vec<Running> = rows.iter().filter_map(Running::of).collect();
        let mut more = false;
        for campaign in &running {
            more |= self.advance(&mut client, campaign).await?;
        }
        if untidy && (!more || self.tidied.is_none_or(|at| at.elapsed() > TIDY)) {
            self.tidy(&mut client).await?;
        }
        self.failed = 0;
        Ok(match (more, running.is_empty() && !untidy) {
            (true, _) => Round::More,
            (false, false) => Round::Waiting,
            (false, true) => Round::Idle {
                next: rows
                    .first()
                    .and_then(|row| row.get::<_, Option<f64>>("next_due"))
                    .and_then(|s| Duration::try_from_secs_f64(s.max(0.0)).ok()),
            },
        })
    }

    /// One step of a campaign. True: the next one can follow at once.
    async fn advance(
        &mut self,
        client: &mut deadpool_postgres::Client,
        campaign: &Running,
    ) -> Result<bool, JobError> {
        if !campaign.materialised {
            self.configure(client).await?;
            return self.collect(client, campaign).await;
        }
        let exhausted = self.exhausted.contains(&campaign.campaign.id);
        if !campaign.active || exhausted || !self.wants_more(client, campaign).await? {
            self.filling.remove(&campaign.campaign.id);
            return Ok(false);
        }
        self.configure(client).await?;
        self.release(client, campaign).await
    }

    /// Scheduled campaigns whose date has come.
    async fn begin_due(&mut self, client: &mut deadpool_postgres::Client) -> Result<(), JobError> {
        let tx = client.transaction().await?;
        hold(&tx, self.work.term).await?;
        let rows = tx
            .query("select id, error from sicantik_notify.campaign_due()", &[])
            .await?;
        tx.commit().await?;
        for row in &rows {
            let id: i64 = row.get("id");
            match row.get::<_, Option<&str>>("error") {
                None => {
                    self.done.started += 1;
                    tracing::info!(CAMPAIGN_ID = id, "Campaign {id} starts: its date has come.");
                }
                Some(error) => {
                    tracing::warn!(
                        CAMPAIGN_ID = id,
                        "Campaign {id} was due, but cannot start: {error}"
                    );
                }
            }
        }
        Ok(())
    }

    /// The configuration as it is now.
    async fn configure(&mut self, client: &mut deadpool_postgres::Client) -> Result<(), JobError> {
        let version: i64 = client
            .query_one("select version from sicantik_notify.config_version", &[])
            .await?
            .get(0);
        if self.configuration.as_ref().is_none_or(|c| c.version != version) {
            let tx = client
                .build_transaction()
                .isolation_level(tokio_postgres::IsolationLevel::RepeatableRead)
                .start()
                .await?;
            let mut loaded = Configuration::load(&tx).await?;
            loaded.python = self.work.tools.python;
            tx.commit().await?;
            self.configuration = Some(loaded);
        }
        Ok(())
    }

    async fn tidy(&mut self, client: &mut deadpool_postgres::Client) -> Result<(), JobError> {
        let tx = client.transaction().await?;
        hold(&tx, self.work.term).await?;
        let completed = tx.query("select sicantik_notify.campaign_tidy()", &[]).await?;
        tx.commit().await?;
        self.tidied = Some(Instant::now());
        for row in &completed {
            let id: i64 = row.get(0);
            self.done.completed += 1;
            tracing::info!(CAMPAIGN_ID = id, "Campaign {id} is completed.");
        }
        Ok(())
    }

    /// Stops a campaign that cannot go on; a person must act.
    async fn halt(
        &self,
        client: &mut deadpool_postgres::Client,
        campaign: &Running,
        error: &str,
    ) -> Result<(), JobError> {
        let tx = client.transaction().await?;
        hold(&tx, self.work.term).await?;
        tx.query(
            "select sicantik_notify.campaign_halt($1, $2)",
            &[&campaign.campaign.id.0, &error],
        )
        .await?;
        tx.commit().await?;
        tracing::error!(
            CAMPAIGN_ID = campaign.campaign.id.0,
            error,
            "Campaign {} ({}) is paused: it cannot go on.",
            campaign.campaign.id,
            campaign.name
        );
        Ok(())
    }
}
