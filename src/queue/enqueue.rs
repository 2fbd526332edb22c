//! New messages, in the transaction that deletes their events.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use tokio_postgres::Transaction;

use crate::db::ids::{EventId, MessageId, PartnerId, RecordId, RuleId, TriggerId};
use crate::db::statements as sql;

/// A message to be.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// First event of the change.
    pub event: EventId,
    /// The host's transaction.
    pub xact: String,
    /// Model of the record.
    pub model: String,
    /// The record.
    pub record: RecordId,
    /// To whom.
    pub partner: PartnerId,
    /// Their name.
    pub partner_name: String,
    /// Normalised number.
    pub phone: String,
    /// Values of the placeholders.
    pub context: Map<String, Value>,
    /// When the host wrote.
    pub changed_at: DateTime<Utc>,
}

/// What the rule says about all of them.
#[derive(Clone, Debug)]
pub struct Terms<'a> {
    /// Rule.
    pub rule: RuleId,
    /// Trigger.
    pub trigger: TriggerId,
    /// Higher first.
    pub priority: i32,
    /// Minutes from now, where the rule is not a batch rule.
    pub delay_minutes: i32,
    /// Which text.
    pub template_key: &'a str,
}

/// Where messages come from, as far as it changes how they are enqueued.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Intake<'a> {
    /// Batch rules: the series whose slots they take, one for each cron run or campaign. Empty: the rolling one of row events.
    pub series: &'a str,
    /// The storm guard does not count them: a campaign is meant to be many.
    pub unguarded: bool,
}

/// Enqueues messages of row events: see [`enqueue_from`].
///
/// # Errors
/// The server's.
pub async fn enqueue(
    tx: &Transaction<'_>,
    terms: &Terms<'_>,
    messages: &[NewMessage],
) -> Result<Vec<Option<MessageId>>, tokio_postgres::Error> {
    enqueue_from(tx, terms, Intake::default(), messages).await
}

/// Enqueues in one statement. The rule's row says about batches, quiet hours, rate limit and storm guard. The answer has one entry a message: its id, or `None` where the same change, rule and number
/// waits already.
///
/// # Errors
/// The server's.
pub async fn enqueue_from(
    tx: &Transaction<'_>,
    terms: &Terms<'_>,
    intake: Intake<'_>,
    messages: &[NewMessage],
) -> Result<Vec<Option<MessageId>>, tokio_postgres::Error> {
    if messages.is_empty() {
        return Ok(Vec::new());
    }
    let statement = tx.prepare(sql::ENQUEUE.sql).await?;
    let text = |get: fn(&NewMessage) -> &str| messages.iter().map(get).collect::<Vec<&str>>();
    let number = |get: fn(&NewMessage) -> i64| messages.iter().map(get).collect::<Vec<i64>>();
    let contexts: Vec<Value> = messages
        .iter()
        .map(|m| Value::Object(m.context.clone()))
        .collect();
    let times: Vec<DateTime<Utc>> = messages.iter().map(|m| m.changed_at).collect();
    let rows = tx
        .query(
            &statement,
            &[
                &terms.rule.0,
                &terms.trigger.0,
                &terms.priority,
                &terms.delay_minutes,
                &terms.template_key,
                &number(|m| m.event.0),
                &text(|m| &m.xact),
                &text(|m| &m.model),
                &number(|m| m.record.0),
                &number(|m| m.partner.0),
                &text(|m| &m.partner_name),
                &text(|m| &m.phone),
                &contexts,
                &times,
                &intake.series,
                &intake.unguarded,
            ],
        )
        .await?;
    let mut ids: std::collections::HashMap<(String, String, i64, String), MessageId> = rows
        .iter()
        .map(|r| {
            (
                (r.get("xact"), r.get("model"), r.get("record_id"), r.get("phone")),
                MessageId(r.get("id")),
            )
        })
        .collect();
    Ok(messages
        .iter()
        .map(|m| ids.remove(&(m.xact.clone(), m.model.clone(), m.record.0, m.phone.clone())))
        .collect())
}
