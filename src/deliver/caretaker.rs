//! What is done for the providers beside sending: accounts whose pause has ended are checked, by one instance at a time, in the
//! background: a provider that hangs holds no message up. Not a job of the schedule: messages wait for it, so it is done the
//! second it is due, and by whoever delivers. The schedule asks Meta for its templates ([`sync_due`]).

use std::time::{Duration, Instant};

use deadpool_postgres::GenericClient;
use tokio::task::JoinSet;

use super::directory::Directory;
use super::health::Health;
use super::provider::Client;
use super::template::sync;
use crate::db::Database;
use crate::db::ids::ProviderId;
use crate::db::statements as sql;
use crate::host::permit::Arming;
use crate::queue::claim::retry_some;

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
    let_loose: Option<Instant>,
}

impl Caretaker {
    pub(super) fn new(database: Database, client: Client, health: Health) -> Self {
        Self {
            database,
            client,
            health,
            tasks: JoinSet::new(),
            let_loose: None,
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
}

/// Accounts of Meta whose templates were not read for a day, each taken by one caller.
///
/// # Errors
/// The server's.
pub(crate) async fn sync_due(
    client: &impl GenericClient,
    arming: &Arming,
) -> Result<Vec<ProviderId>, tokio_postgres::Error> {
    let statement = client.prepare_cached(sql::TEMPLATE_SYNC_DUE.sql).await?;
    let rows = client
        .query(&statement, &[&arming.hash(), &SYNC_INTERVAL.as_secs_f64()])
        .await?;
    Ok(rows.iter().map(|row| ProviderId(row.get(0))).collect())
}

/// Reads the templates of an account. How many of ours can be sent.
///
/// # Errors
/// In words; they stand in `v_provider` too.
pub(crate) async fn sync(database: &Database, client: &Client, id: ProviderId) -> Result<String, String> {
    let db = database.get().await.map_err(|e| e.to_string())?;
    let mut directory = Directory::default();
    directory
        .refresh(&db)
        .await
        .map_err(|e| crate::db::describe(&e))?;
    let Some(provider) = directory.provider(id) else {
        return Err(format!(
            "provider {id} cannot be used as it is configured; see provider test"
        ));
    };
    let name = &provider.account.name;
    match sync::run(&db, client, &provider.account).await {
        Ok(report) => Ok(format!(
            "{name}: {} at Meta, {} of ours can be sent",
            report.at_meta,
            report.usable()
        )),
        Err(error) => Err(format!("{name}: {error}")),
    }
}
