//! What is known about a record: captured statements, decisions, messages, attempts, and what was set aside.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use serde_json::Value;
use tokio_postgres::{Row, Transaction};

use crate::capture::event::{Change, coalesce};
use crate::db::statements as sql;

/// More decisions of one story than anybody reads.
const DECISIONS_A_STORY: i64 = 200;

pub(super) struct Decision {
    pub(super) at: DateTime<Utc>,
    pub(super) outcome: String,
    pub(super) trigger: Option<String>,
    pub(super) rule: Option<String>,
    pub(super) partner: Option<i64>,
    pub(super) message: Option<i64>,
    pub(super) event: Option<i64>,
    pub(super) campaign: Option<String>,
    pub(super) reason: String,
}

pub(super) struct SetAside {
    pub(super) at: DateTime<Utc>,
    pub(super) next_try: Option<DateTime<Utc>>,
    pub(super) tries: i16,
    pub(super) error: String,
    pub(super) trigger: Option<String>,
    pub(super) rule: Option<String>,
    pub(super) events: Value,
}

pub(super) struct Message {
    pub(super) id: i64,
    pub(super) state: String,
    pub(super) event: Option<i64>,
    pub(super) rule: Option<String>,
    pub(super) trigger: Option<String>,
    pub(super) partner: Option<i64>,
    pub(super) partner_name: Option<String>,
    pub(super) phone: String,
    pub(super) template: String,
    pub(super) scheduled: Option<DateTime<Utc>>,
    pub(super) tries: i32,
    pub(super) waiting_for: Option<String>,
    pub(super) possible_duplicate: bool,
    pub(super) error: Option<String>,
    pub(super) code: Option<String>,
    pub(super) provider: Option<String>,
    pub(super) external_id: Option<String>,
    pub(super) created: DateTime<Utc>,
    pub(super) finished: Option<DateTime<Utc>>,
    pub(super) changed: Option<DateTime<Utc>>,
}

pub(super) struct Attempt {
    pub(super) started: DateTime<Utc>,
    pub(super) provider: String,
    pub(super) kind: String,
    pub(super) template: String,
    pub(super) outcome: Option<String>,
    pub(super) class: Option<String>,
    pub(super) http_status: Option<i16>,
    pub(super) code: Option<String>,
    pub(super) error: Option<String>,
    pub(super) external_id: Option<String>,
    pub(super) milliseconds: Option<i32>,
}

/// Everything that belongs to one transaction's change of the record.
#[derive(Default)]
pub(super) struct Chapter {
    pub(super) xact: Option<String>,
    /// Statements of the host, and what was tried again later.
    pub(super) changes: Vec<Change>,
    /// When its events were evaluated; none while they wait, or where the history does not go so far.
    pub(super) evaluated: Option<DateTime<Utc>>,
    /// Events of it still wait.
    pub(super) waits: bool,
    pub(super) decisions: Vec<Decision>,
    pub(super) set_aside: Vec<SetAside>,
    pub(super) messages: Vec<Message>,
}

impl Chapter {
    /// When the host wrote, as far as that is known; else when we first heard of it.
    pub(super) fn at(&self) -> Option<DateTime<Utc>> {
        let changed = self.messages.iter().filter_map(|m| m.changed);
        let decided = self.decisions.iter().map(|d| d.at);
        let created = self.messages.iter().map(|m| m.created);
        let first = self.changes.first().map(|c| c.at);
        first.or_else(|| changed.chain(decided).chain(created).min())
    }

    fn newest(&self) -> i64 {
        let events = self.changes.iter().map(|c| c.event_id().0);
        let decided = self.decisions.iter().filter_map(|d| d.event);
        let messages = self.messages.iter().filter_map(|m| m.event);
        events.chain(decided).chain(messages).max().unwrap_or(0)
    }
}

/// The story's chapters, oldest first; at most `limit` of the newest. `whole`: with messages that no decision names.
pub(super) async fn chapters(
    tx: &Transaction<'_>,
    model: &str,
    record: i64,
    message: Option<i64>,
    whole: bool,
    limit: i64,
) -> Result<Vec<Chapter>, tokio_postgres::Error> {
    let mut all: BTreeMap<String, Chapter> = BTreeMap::new();
    let many = limit.saturating_mul(DECISIONS_A_STORY);
    let mut of_message: HashMap<i64, String> = HashMap::new();
    let mut of_event: HashMap<i64, String> = HashMap::new();

    let mut rows = tx
        .query(sql::EXPLAIN_EVENTS.sql, &[&model, &record, &many])
        .await?;
    rows.reverse();
    for row in &rows {
        let chapter = chapter(&mut all, row.get("xact"));
        match row.get::<_, Option<DateTime<Utc>>>("evaluated_at") {
            None => chapter.waits = true,
            at => chapter.evaluated = at,
        }
        of_event.insert(row.get("id"), row.get("xact"));
    }
    for change in coalesce(&rows) {
        chapter(&mut all, change.xact.clone()).changes.push(change);
    }
    let mut rows = tx
        .query(sql::EXPLAIN_DECISIONS.sql, &[&model, &record, &many])
        .await?;
    rows.reverse();
    for row in &rows {
        let (event, decision): (Option<i64>, Decision) = (row.get("event_id"), decision(row));
        let key: String = row
            .get::<_, Option<String>>("xact")
            .unwrap_or_else(|| format!("event {}", event.unwrap_or(0)));
        of_message.extend(decision.message.map(|m| (m, key.clone())));
        of_event.extend(event.map(|e| (e, key.clone())));
        chapter(&mut all, key).decisions.push(decision);
    }
    for row in tx.query(sql::EXPLAIN_SET_ASIDE.sql, &[&model, &record]).await? {
        let key: Option<String> = row.get("xact");
        chapter(&mut all, key.unwrap_or_default())
            .set_aside
            .push(SetAside {
                at: row.get("set_aside_at"),
                next_try: row.get("next_try_at"),
                tries: row.get("tries"),
                error: row.get("error"),
                trigger: row.get("trigger_code"),
                rule: row.get("rule_code"),
                events: row.get("events"),
            });
    }
    // A message or an event leads to its decisions; only a record is asked for everything about it.
    let all_of = whole.then_some(record);
    let named: Vec<i64> = message.into_iter().chain(of_message.keys().copied()).collect();
    let mut rows = tx
        .query(sql::EXPLAIN_MESSAGES.sql, &[&model, &all_of, &named, &many])
        .await?;
    rows.reverse();
    for row in &rows {
        let found = message_of(row);
        // The log does not keep the transaction; decision and event lead to it.
        let key = row
            .get::<_, Option<String>>("xact")
            .or_else(|| of_message.get(&found.id).cloned())
            .or_else(|| of_event.get(&found.event?).cloned())
            .unwrap_or_else(|| match found.event {
                Some(event) => format!("event {event}"),
                None => format!("message {}", found.id),
            });
        chapter(&mut all, key).messages.push(found);
    }
    let mut chapters: Vec<Chapter> = all.into_values().collect();
    chapters.sort_by_key(|c| (c.at(), c.newest()));
    Ok(chapters)
}

fn chapter(all: &mut BTreeMap<String, Chapter>, key: String) -> &mut Chapter {
    let xact = key.bytes().all(|b| b.is_ascii_digit()).then(|| key.clone());
    all.entry(key).or_insert_with(|| Chapter {
        xact,
        ..Chapter::default()
    })
}

fn decision(row: &Row) -> Decision {
    Decision {
        at: row.get("decided_at"),
        outcome: row.get("outcome"),
        trigger: row.get("trigger_code"),
        rule: row.get("rule_code"),
        partner: row.get("partner_id"),
        message: row.get("message_id"),
        event: row.get("event_id"),
        campaign: row.get("campaign"),
        reason: row.get("reason"),
    }
}

fn message_of(row: &Row) -> Message {
    Message {
        id: row.get("id"),
        state: row.get("state"),
        event: row.get("event_id"),
        rule: row.get("rule"),
        trigger: row.get("trigger"),
        partner: row.get("partner_id"),
        partner_name: row.get("partner_name"),
        phone: row.get("phone"),
        template: row.get("template_key"),
        scheduled: row.get("scheduled_at"),
        tries: row.get("tries"),
        waiting_for: row.get("waiting_for"),
        possible_duplicate: row.get("possible_duplicate"),
        error: row.get("error"),
        code: row.get("code"),
        provider: row.get("provider_type"),
        external_id: row.get("external_id"),
        created: row.get("created_at"),
        finished: row.get("finished_at"),
        changed: row.get("changed_at"),
    }
}

/// Who asked a trigger to look at records.
pub(super) struct Firing {
    pub(super) trigger: i64,
    pub(super) source: String,
    pub(super) by: String,
    pub(super) at: DateTime<Utc>,
    pub(super) events: i64,
    pub(super) kwargs: Option<Value>,
}

/// Firings by transaction.
pub(super) async fn firings(
    tx: &Transaction<'_>,
    xacts: &[&str],
) -> Result<HashMap<String, Vec<Firing>>, tokio_postgres::Error> {
    let mut all: HashMap<String, Vec<Firing>> = HashMap::new();
    for row in tx.query(sql::EXPLAIN_FIRINGS.sql, &[&xacts]).await? {
        all.entry(row.get("xact")).or_default().push(Firing {
            trigger: row.get("trigger_id"),
            source: row.get("source"),
            by: row.get("fired_by"),
            at: row.get("fired_at"),
            events: row.get("events"),
            kwargs: row.get("kwargs"),
        });
    }
    Ok(all)
}

/// Attempts by message, in order.
pub(super) async fn attempts(
    tx: &Transaction<'_>,
    messages: &[i64],
) -> Result<HashMap<i64, Vec<Attempt>>, tokio_postgres::Error> {
    let mut all: HashMap<i64, Vec<Attempt>> = HashMap::new();
    for row in tx.query(sql::EXPLAIN_ATTEMPTS.sql, &[&messages]).await? {
        all.entry(row.get("message_id")).or_default().push(Attempt {
            started: row.get("started_at"),
            provider: row.get("provider"),
            kind: row.get("provider_type"),
            template: row.get("template_key"),
            outcome: row.get("outcome"),
            class: row.get("class"),
            http_status: row.get("http_status"),
            code: row.get("code"),
            error: row.get("error"),
            external_id: row.get("external_id"),
            milliseconds: row.get("duration_ms"),
        });
    }
    Ok(all)
}
