//! Receipts find their messages, and what follows from them happens: a lost answer is settled, a message that was given up goes
//! out once more, the health of its provider is told. Everything but the health in one transaction with the receipts, so that
//! each receipt acts once, however often it comes and whoever stops in between.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::store::StoreError;
use crate::db::Database;
use crate::db::ids::ProviderId;
use crate::db::listener::Wakes;
use crate::db::statements as sql;
use crate::deliver::health::{Health, Terms};
use crate::deliver::provider::failure::Mark;
use crate::deliver::provider::{Answer, Class, Failure, ProviderKind};

/// Receipts in one transaction.
const BATCH: i64 = 200;
/// How often receipts are looked for without being woken: those that wait for their message, or came to another instance.
const POLL: Duration = Duration::from_secs(1);
/// How often what is too old is dropped.
const HOUSEKEEPING: Duration = Duration::from_secs(3_600);
/// Most rows of a table that are dropped at once.
const FORGET_BATCH: i32 = 5_000;

/// The stage. It runs in every instance, also in one that does not listen: the tables are what they share.
pub struct Receipts {
    /// Connections.
    pub database: Database,
    /// Wakes it, and what it wakes.
    pub wakes: Arc<Wakes>,
    /// How long a provider is paused after a failure of its account.
    pub terms: Terms,
}

impl Receipts {
    /// Runs until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut kept_house: Option<Instant> = None;
        while !stop.is_cancelled() {
            match self.round().await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => {
                    tracing::error!(error = %error, "Receipts could not be worked on; trying again.");
                    // Not to be cut short by a wake-up.
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = tokio::time::sleep(POLL) => {}
                    }
                    continue;
                }
            }
            if kept_house.is_none_or(|at| at.elapsed() >= HOUSEKEEPING) {
                kept_house = Some(Instant::now());
                if let Err(error) = self.forget(&stop).await {
                    tracing::warn!(error = %error, "Old receipts could not be dropped.");
                }
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.wakes.receipts.notified() => {}
                () = tokio::time::sleep(POLL) => {}
            }
        }
    }

    /// One batch. True: there may be more.
    async fn round(&self) -> Result<bool, StoreError> {
        let mut client = self.database.get().await?;
        let tx = client.transaction().await?;
        let statement = tx.prepare_cached(sql::RECEIPT_MATCH.sql).await?;
        let fresh = tx.query(&statement, &[&BATCH]).await?;
        let failed: Vec<i64> = fresh
            .iter()
            .filter(|row| row.get::<_, &str>("state") == "failed")
            .map(|row| row.get("attempt_id"))
            .collect();
        let mut again = Vec::new();
        if !failed.is_empty() {
            again = tx.query(sql::RECEIPT_REQUEUE.sql, &[&failed]).await?;
        }
        let marked = mark(&tx, &fresh).await?;
        let statement = tx.prepare_cached(sql::RECEIPT_SETTLE.sql).await?;
        let settled = tx.query(&statement, &[]).await?;
        tx.commit().await?;
        drop(client);

        for row in &again {
            let (id, old): (i64, i64) = (row.get("id"), row.get("retry_of"));
            tracing::warn!(
                QUEUE_ID = id,
                "Message {old} was given up by its provider after it had been accepted; it goes out again as message {id}."
            );
        }
        for row in &marked {
            let (key, why): (&str, &str) = (row.get(0), row.get(1));
            tracing::warn!(
                TEMPLATE = key,
                "Template {key} is not sent through Meta any more: {why}."
            );
        }
        for row in &settled {
            let id: i64 = row.get("id");
            let (verdict, provider): (&str, &str) = (row.get("verdict"), row.get("provider_type"));
            tracing::info!(
                QUEUE_ID = id,
                PROVIDER = provider,
                "Message {id}, whose answer was lost: the receipt from {provider} settles it ({verdict})."
            );
        }
        if !again.is_empty() || !settled.is_empty() {
            self.wakes.messages.notify_one();
        }
        self.tell_health(&fresh).await;
        Ok(fresh.len() as i64 >= BATCH)
    }

    /// A provider that gives messages up for its own reasons is paused like one that refuses them; once for each reason.
    async fn tell_health(&self, fresh: &[tokio_postgres::Row]) {
        let mut told: Vec<(i64, String)> = Vec::new();
        for row in fresh {
            let (provider, code): (i64, Option<String>) = (row.get("provider_id"), row.get("code"));
            let Some(failure) = failure(row).filter(|_| row.get("recent")) else {
                continue;
            };
            let key = (provider, code.unwrap_or_default());
            // Five messages that fail one by one would look like five failures in a row of the account.
            if failure.class != Class::Account && !failure.consequences().opens_circuit()
                || told.contains(&key)
            {
                continue;
            }
            told.push(key);
            Health::new(self.terms)
                .note(
                    &self.database,
                    ProviderId(provider),
                    &Answer::Refused(failure),
                    row.get("at"),
                )
                .await;
        }
    }

    async fn forget(&self, stop: &CancellationToken) -> Result<(), StoreError> {
        let client = self.database.get().await?;
        loop {
            let dropped: i64 = client
                .query_one("select sicantik_notify.receipt_forget($1)", &[&FORGET_BATCH])
                .await?
                .get(0);
            if dropped < i64::from(FORGET_BATCH) || stop.is_cancelled() {
                return Ok(());
            }
        }
    }
}

/// Remembers what late failures say of templates and recipients. Returns the templates that are not used at Meta any more.
async fn mark(
    tx: &deadpool_postgres::Transaction<'_>,
    fresh: &[tokio_postgres::Row],
) -> Result<Vec<tokio_postgres::Row>, tokio_postgres::Error> {
    let (mut attempts, mut whys, mut times) = (vec![], vec![], vec![]);
    let mut opted_out: Vec<i64> = Vec::new();
    for row in fresh {
        let Some(failure) = failure(row) else { continue };
        match failure.consequences().mark {
            Some(Mark::Template) => {
                attempts.push(row.get::<_, i64>("attempt_id"));
                whys.push(format!("Meta gave it up ({}: {})", failure.code, failure.message));
                times.push(row.get::<_, DateTime<Utc>>("at"));
            }
            Some(Mark::OptOut) => opted_out.push(row.get("attempt_id")),
            Some(Mark::Number) | None => {}
        }
    }
    if !opted_out.is_empty() {
        tx.query(sql::RECEIPT_OPT_OUT.sql, &[&opted_out]).await?;
    }
    if attempts.is_empty() {
        return Ok(Vec::new());
    }
    tx.query(sql::RECEIPT_MARK.sql, &[&attempts, &whys, &times]).await
}

fn failure(row: &tokio_postgres::Row) -> Option<Failure> {
    let class: &str = row.get::<_, Option<&str>>("class")?;
    let provider: ProviderKind = row.get::<_, &str>("provider_type").parse().ok()?;
    Some(Failure {
        provider,
        class: Class::ALL.into_iter().find(|c| c.as_str() == class)?,
        code: row.get::<_, Option<String>>("code").unwrap_or_default(),
        message: row.get::<_, Option<String>>("error").unwrap_or_default(),
        retry_after: None,
    })
}
