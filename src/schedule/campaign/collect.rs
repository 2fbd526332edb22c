//! The targets of a campaign: its domain, compiled for the table at this moment, becomes rows of `campaign_target` in one
//! statement. All or none: a leader that dies meanwhile leaves nothing, and the next one begins anew.

use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;

use super::{Campaigns, Running};
use crate::evaluate::targets::compile;
use crate::host::record::quote;
use crate::lang::domain::Compiled;
use crate::schedule::jobs::JobError;
use crate::schedule::leader::hold;

/// A million targets take seconds; a domain that takes longer than this is at fault.
const TIMEOUT: &str = "set local statement_timeout = '10min'";

/// The statement that collects what a domain means; its last parameter is the campaign.
fn statement(table: &str, domain: &Compiled) -> String {
    format!(
        "insert into sicantik_notify.campaign_target (campaign_id, record_id) \
         select ${}::bigint, t.\"id\" from public.{} as t where {}",
        domain.params.len() + 1,
        quote(table),
        domain.sql
    )
}

impl Campaigns<'_> {
    /// True: there is more to do at once.
    pub(super) async fn collect(
        &mut self,
        client: &mut deadpool_postgres::Client,
        campaign: &Running,
    ) -> Result<bool, JobError> {
        let Some(configuration) = &self.configuration else {
            return Ok(true);
        };
        let id = campaign.campaign.id;
        let tx = client.transaction().await?;
        hold(&tx, self.work.term).await?;
        tx.batch_execute(TIMEOUT).await?;
        let error = match compile(&tx, configuration, &campaign.model, &campaign.domain).await? {
            Err(error) => error,
            Ok((model, domain)) => {
                let mut params: Vec<&(dyn ToSql + Sync)> =
                    domain.params.iter().map(|p| p as &(dyn ToSql + Sync)).collect();
                params.push(&id.0);
                match tx.execute(&statement(&model.table, &domain), &params).await {
                    Ok(targets) => {
                        let targets = targets as i64;
                        let wanted: bool = tx
                            .query_one(
                                "select sicantik_notify.campaign_collected($1, $2)",
                                &[&id.0, &targets],
                            )
                            .await?
                            .get(0);
                        if wanted {
                            tx.commit().await?;
                            self.done.targets += targets;
                            tracing::info!(
                                CAMPAIGN_ID = id.0,
                                TARGETS = targets,
                                "Campaign {id} has {targets} targets."
                            );
                        }
                        return Ok(true);
                    }
                    Err(error) if of_the_moment(&error) => return Err(error.into()),
                    Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => format!(
                        "target_domain reads what the daemon may not read ({}); run `sicantik-notifyd hooks install` as a DBA",
                        crate::db::describe(&error)
                    ),
                    Err(error) => format!("target_domain: {}", crate::db::describe(&error)),
                }
            }
        };
        drop(tx);
        self.not_collected(client, campaign, &error).await?;
        Ok(true)
    }

    async fn not_collected(
        &self,
        client: &mut deadpool_postgres::Client,
        campaign: &Running,
        error: &str,
    ) -> Result<(), JobError> {
        let id = campaign.campaign.id;
        let tx = client.transaction().await?;
        hold(&tx, self.work.term).await?;
        tx.query(
            "select sicantik_notify.campaign_not_collected($1, $2)",
            &[&id.0, &error],
        )
        .await?;
        tx.commit().await?;
        tracing::error!(
            CAMPAIGN_ID = id.0,
            error,
            "Campaign {id} ({}) is a draft again: its domain cannot be evaluated.",
            campaign.name
        );
        Ok(())
    }
}

/// Whether another try may succeed: the connection, the server's resources, a shutdown, a lock; not the statement itself.
fn of_the_moment(error: &tokio_postgres::Error) -> bool {
    error.code().is_none_or(|code| {
        let code = code.code();
        code != "57014"
            && ["40", "53", "57", "58", "08", "25"]
                .iter()
                .any(|class| code.starts_with(class))
    })
}
