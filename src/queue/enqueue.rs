//! New messages, in the transaction that deletes their events.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use tokio_postgres::Transaction;
use tokio_postgres::types::Json;

use crate::db::ids::{CampaignId, EventId, MessageId, PartnerId, RecordId, RuleId, TriggerId};
use crate::db::prepared::Prepared;
use crate::db::statements as sql;

/// A message to be.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// Its id, where something names it already; otherwise it gets the next one.
    pub id: Option<MessageId>,
    /// First event of the change.
    pub event: EventId,
    /// The host's transaction, where the message is of one change: then it is enqueued once, while it waits.
    pub xact: Option<String>,
    /// Model of the record.
    pub model: String,
    /// The record.
    pub record: RecordId,
    /// To whom, where it is a partner.
    pub partner: Option<PartnerId>,
    /// Their name.
    pub partner_name: String,
    /// Normalised number.
    pub phone: String,
    /// Values of the placeholders.
    pub context: Map<String, Value>,
    /// When the host wrote.
    pub changed_at: DateTime<Utc>,
    /// Why a person must release it first.
    pub held: Option<String>,
}

/// What the rule says about all of them.
#[derive(Clone, Debug)]
pub struct Terms<'a> {
    /// Rule.
    pub rule: RuleId,
    /// Trigger, where it still exists.
    pub trigger: Option<TriggerId>,
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
    /// The campaign whose targets they are; then no row of `event` stands behind them.
    pub campaign: Option<CampaignId>,
}

/// Name of the series of a run: the transaction that fired its events.
#[must_use]
pub fn run_series(xact: &str) -> String {
    format!("run {xact}")
}

/// Name of the series of a campaign.
#[must_use]
pub fn campaign_series(campaign: CampaignId) -> String {
    format!("campaign {campaign}")
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
    enqueue_from(tx, &Prepared::default(), terms, Intake::default(), messages).await
}

/// Enqueues in one statement; the rule's row says about batches, quiet hours, rate limit and storm guard. The answer has one entry a
/// message: its id, or `None` where the same change, rule and number waits already.
///
/// # Errors
/// The server's.
pub async fn enqueue_from(
    tx: &Transaction<'_>,
    prepared: &Prepared,
    terms: &Terms<'_>,
    intake: Intake<'_>,
    messages: &[NewMessage],
) -> Result<Vec<Option<MessageId>>, tokio_postgres::Error> {
    if messages.is_empty() {
        return Ok(Vec::new());
    }
    let text = |get: fn(&NewMessage) -> &str| messages.iter().map(get).collect::<Vec<&str>>();
    let perhaps = |get: fn(&NewMessage) -> Option<&str>| messages.iter().map(get).collect::<Vec<_>>();
    let number = |get: fn(&NewMessage) -> Option<i64>| messages.iter().map(get).collect::<Vec<_>>();
    let contexts: Vec<Json<&Map<String, Value>>> = messages.iter().map(|m| Json(&m.context)).collect();
    let events: Vec<Option<i64>> = messages
        .iter()
        .map(|m| intake.campaign.is_none().then_some(m.event.0))
        .collect();
    let times: Vec<DateTime<Utc>> = messages.iter().map(|m| m.changed_at).collect();
    let rows = prepared
        .query_one_plan(
            tx,
            sql::ENQUEUE.sql,
            &[
                &terms.rule.0,
                &terms.trigger.map(|t| t.0),
                &terms.priority,
                &terms.delay_minutes,
                &terms.template_key,
                &number(|m| m.id.map(|id| id.0)),
                &events,
                &perhaps(|m| m.xact.as_deref()),
                &text(|m| &m.model),
                &number(|m| Some(m.record.0)),
                &number(|m| m.partner.map(|p| p.0)),
                &text(|m| &m.partner_name),
                &text(|m| &m.phone),
                &contexts,
                &times,
                &perhaps(|m| m.held.as_deref()),
                &intake.series,
                &intake.unguarded,
                &intake.campaign.map(|c| c.0),
            ],
        )
        .await?;
    let mut ids = vec![None; messages.len()];
    for row in &rows {
        let place: i64 = row.get("place");
        if let Some(id) = usize::try_from(place - 1).ok().and_then(|at| ids.get_mut(at)) {
            *id = Some(MessageId(row.get("id")));
        }
    }
    Ok(ids)
}
