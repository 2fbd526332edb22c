//! What is done for the providers beside sending: accounts whose pause has ended are checked, once a day Meta is asked for its
//! templates, and where settings say so, templates and providers follow Odoo's. Each by one instance at a time, in the background: a provider that hangs holds no message up.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::directory::Directory;
use super::health::Health;
use super::provider::Client;
use super::template::sync::{self, SyncError};
use crate::db::Database;
use crate::db::ids::ProviderId;
use crate::db::statements as sql;
use crate::host::permit::Arming;
use crate::queue::claim::retry_some;

/// Between two looks for work of the slow kind.
const SLOW_LOOK: Duration = Duration::from_secs(60);
/// How often templates and providers follow Odoo's, where settings say so.
const FOLLOW_INTERVAL: Duration = Duration::from_secs(5);
/// How often the templates are read.
const SYNC_INTERVAL: Duration = Duration::from_secs(24 * 3600);
/// How long a check may take before another instance takes it over.
const CHECK_LEASE: Duration = Duration::from_secs(60);
/// Messages that are let loose while an account that was found well waits for one: one of them gets through, unless none is for it.
const FIRST: i64 = 20;
/// How often, while none has come.
const FIRST_INTERVAL: Duration = Duration::from_secs(2);

/// Does it. Dropping it ends what it does.
pub(super) struct Caretaker {
    database: Database,
    client: Client,
    health: Health,
    tasks: JoinSet<()>,
    looked: Option<Instant>,
    let_loose: Option<Instant>,
    followed: Option<Instant>,
}

impl Caretaker {
    pub(super) fn new(database: Database, client: Client, health: Health) -> Self {
        Self {
            database,
            client,
            health,
            tasks: JoinSet::new(),
            looked: None,
            let_loose: None,
            followed: None,
        }
    }

    /// Looks for what is to be done, and begins it.
    pub(super) async fn look(
        &mut self,
        client: &deadpool_postgres::Client,
        arming: &Arming,
        directory: &Directory,
    ) -> Result<(), tokio_postgres::Error> {
        while self.tasks.try_join_next().is_some() {}
        if self.followed.is_none_or(|at| at.elapsed() > FOLLOW_INTERVAL) {
            self.followed = Some(Instant::now());
            follow(client).await?;
        }
        let check = client.prepare_cached(sql::PROVIDER_CHECK.sql).await?;
        for row in client
            .query(&check, &[&arming.hash(), &CHECK_LEASE.as_secs_f64()])
            .await?
        {
            self.check(ProviderId(row.get(0)), directory);
        }
        if directory.wants_a_probe() && self.let_loose.is_none_or(|at| at.elapsed() > FIRST_INTERVAL) {
            self.let_loose = Some(Instant::now());
            retry_some(client, FIRST).await?;
        }
        if self.looked.is_none_or(|at| at.elapsed() > SLOW_LOOK) {
            self.looked = Some(Instant::now());
            client
                .execute(
                    "delete from sicantik_notify.recipient_pace where next_send_at < sicantik_notify.clock()",
                    &[],
                )
                .await?;
            for row in client
                .query(
                    sql::TEMPLATE_SYNC_DUE.sql,
                    &[&arming.hash(), &SYNC_INTERVAL.as_secs_f64()],
                )
                .await?
            {
                self.sync(ProviderId(row.get(0)), directory);
            }
        }
        Ok(())
    }

    /// Asks the account how it is.
    fn check(&mut self, id: ProviderId, directory: &Directory) {
        let Some(provider) = directory.provider(id).cloned() else {
            return;
        };
        let (database, client, health) = (self.database.clone(), self.client.clone(), self.health.clone());
        self.tasks.spawn(async move {
            let report = client.probe(&provider.account).await;
            health.note_check(&database, id, &report).await;
            tracing::info!(
                PROVIDER = provider.account.name,
                HTTP_STATUS = report.http_status,
                "The pause of {} has ended; its account was checked: {}.",
                provider.account.name,
                report.health
            );
        });
    }

    fn sync(&mut self, id: ProviderId, directory: &Directory) {
        let Some(provider) = directory.provider(id).cloned() else {
            return;
        };
        let (database, client) = (self.database.clone(), self.client.clone());
        self.tasks.spawn(async move {
            let done = async {
                let db = database
                    .get()
                    .await
                    .map_err(|e| SyncError::Database(e.to_string()))?;
                sync::run(&db, &client, &provider.account).await
            };
            match done.await {
                Ok(report) => tracing::info!(
                    PROVIDER = provider.account.name,
                    "The templates of {} were read: {} at Meta, {} of ours can be sent.",
                    provider.account.name,
                    report.at_meta,
                    report.usable()
                ),
                Err(error) => tracing::warn!(
                    PROVIDER = provider.account.name,
                    "The templates of {} could not be read: {error}.",
                    provider.account.name
                ),
            }
        });
    }
}

/// Templates and providers follow Odoo's, where settings say so; what needs a person becomes a problem, until it does no more.
async fn follow(client: &deadpool_postgres::Client) -> Result<(), tokio_postgres::Error> {
    let rows = client
        .query(
            "select about, summary, remedy from sicantik_notify.follow_host()",
            &[],
        )
        .await?;
    // Somebody else is at it, and says what there is to say.
    if rows.iter().any(|row| row.get::<_, Option<&str>>(0).is_none()) {
        return Ok(());
    }
    let mut standing = Vec::new();
    for row in &rows {
        let key = format!("host: {}", row.get::<_, &str>(0));
        let (summary, remedy): (&str, &str) = (row.get(1), row.get(2));
        client
            .execute(sql::PROBLEM_RAISE.sql, &[&key, &"warning", &summary, &remedy])
            .await?;
        standing.push(key);
    }
    client
        .execute(
            "delete from sicantik_notify.problem where key like 'host: %' and key <> all ($1)",
            &[&standing],
        )
        .await?;
    Ok(())
}
