//! News become rows, in one transaction: what was answered with 200 is not lost, and what comes twice changes nothing.

use chrono::{DateTime, Utc};

use super::news::{Alias, Consequence, News, Receipt, State, TemplateNews, storable};
use super::words::Words;
use crate::db::statements as sql;
use crate::db::{ConnectError, Database};
use crate::deliver::template::MetaStatus;

/// Why nothing was stored; the provider is told to come again.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The server refused.
    #[error("{}", crate::db::describe(.0))]
    Server(#[from] tokio_postgres::Error),
}

/// Stores everything or nothing.
///
/// # Errors
/// [`StoreError`].
pub async fn store(database: &Database, news: &News, words: &Words) -> Result<(), StoreError> {
    if news == &News::default() {
        return Ok(());
    }
    let mut client = database.get().await?;
    let tx = client.transaction().await?;
    receipts(&tx, &news.receipts).await?;
    aliases(&tx, &news.aliases).await?;
    for message in &news.inbound {
        let meaning = words.meaning(&message.text).map(|meaning| meaning.as_str());
        let done: String = tx
            .query_one(
                "select sicantik_notify.inbound_take($1, $2, $3, coalesce($4, sicantik_notify.clock()), $5)",
                &[
                    &message.provider.0,
                    &message.external_id,
                    &message.phone.as_e164(),
                    &message.at,
                    &meaning,
                ],
            )
            .await?
            .get(0);
        if done != "taken" {
            let phone = message.phone.masked();
            tracing::info!(
                PROVIDER_ID = message.provider.0,
                "A message from {phone}: {done}."
            );
        }
    }
    for wish in &news.preferences {
        let changed: bool = tx
            .query_one(
                "select sicantik_notify.marketing_choice($1, coalesce($2, sicantik_notify.clock()), $3)",
                &[&wish.phone.as_e164(), &wish.at, &wish.stopped],
            )
            .await?
            .get(0);
        if changed {
            let (phone, word) = (
                wish.phone.masked(),
                if wish.stopped { "no more" } else { "again" },
            );
            tracing::info!(
                PROVIDER_ID = wish.provider.0,
                "{phone} wants {word} promotional messages."
            );
        }
    }
    for template in &news.templates {
        template_state(&tx, template).await?;
    }
    Ok(tx.commit().await?)
}

async fn receipts(
    tx: &deadpool_postgres::Transaction<'_>,
    receipts: &[Receipt],
) -> Result<(), tokio_postgres::Error> {
    if receipts.is_empty() {
        return Ok(());
    }
    let now = Utc::now();
    let failures: Vec<_> = receipts
        .iter()
        .map(|r| match &r.state {
            State::Failed(failure) => Some((failure, Consequence::of(failure))),
            _ => None,
        })
        .collect();
    let pauses: Vec<Option<i32>> = failures
        .iter()
        .map(|f| match f.as_ref()?.1 {
            Consequence::Again(pause) => i32::try_from(pause?.as_secs()).ok(),
            _ => None,
        })
        .collect();
    fn column<'a, T>(receipts: &'a [Receipt], get: impl Fn(&'a Receipt) -> T) -> Vec<T> {
        receipts.iter().map(get).collect()
    }
    let text = |get: fn(&crate::deliver::provider::Failure) -> &str| -> Vec<Option<&str>> {
        failures.iter().map(|f| f.as_ref().map(|f| get(f.0))).collect()
    };
    let words: Vec<Option<String>> = failures
        .iter()
        .map(|f| f.as_ref().map(|f| storable(&f.0.message, 400)))
        .collect();
    let consequences: Vec<Option<&str>> = failures
        .iter()
        .map(|f| f.as_ref().map(|f| f.1.as_str()))
        .collect();
    let statement = tx.prepare_cached(sql::RECEIPT_STORE.sql).await?;
    tx.execute(
        &statement,
        &[
            &column(receipts, |r| r.provider.0),
            &column(receipts, |r| r.external_id.as_str()),
            &column(receipts, |r| r.state.as_str()),
            &column(receipts, |r| -> DateTime<Utc> { r.at.unwrap_or(now) }),
            &column(receipts, |r| r.ours.map(|o| o.0.0)),
            &column(receipts, |r| r.ours.map(|o| o.1.0)),
            &text(|failure| failure.class.as_str()),
            &text(|failure| &failure.code),
            &words,
            &consequences,
            &pauses,
        ],
    )
    .await?;
    Ok(())
}

async fn aliases(
    tx: &deadpool_postgres::Transaction<'_>,
    aliases: &[Alias],
) -> Result<(), tokio_postgres::Error> {
    if aliases.is_empty() {
        return Ok(());
    }
    let providers: Vec<i64> = aliases.iter().map(|a| a.provider.0).collect();
    let names: Vec<&str> = aliases.iter().map(|a| a.alias.as_str()).collect();
    let ids: Vec<&str> = aliases.iter().map(|a| a.external_id.as_str()).collect();
    tx.execute(sql::RECEIPT_ALIAS.sql, &[&providers, &names, &ids])
        .await?;
    Ok(())
}

/// Meta's word becomes ours. A word that says nothing about whether it can be sent (FLAGGED, say) is kept and changes nothing.
async fn template_state(
    tx: &deadpool_postgres::Transaction<'_>,
    news: &TemplateNews,
) -> Result<(), tokio_postgres::Error> {
    let status = match news.event.as_str() {
        "FLAGGED" | "LIMIT_EXCEEDED" => None,
        word => word.parse::<MetaStatus>().ok(),
    };
    let rows = tx
        .query(
            sql::RECEIPT_TEMPLATE.sql,
            &[
                &news.provider.0,
                &news.name,
                &news.language,
                &news.at.unwrap_or_else(Utc::now),
                &news.event,
                &news.reason,
                &status.map(MetaStatus::as_str),
            ],
        )
        .await?;
    for row in rows {
        let key: &str = row.get(0);
        tracing::warn!(
            TEMPLATE = key,
            "Meta says {} of template {key}{}.",
            news.event,
            news.reason
                .as_deref()
                .map(|r| format!(" ({r})"))
                .unwrap_or_default()
        );
    }
    Ok(())
}
