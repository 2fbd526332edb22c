//! What a trigger and its rules would tell of existing records, or would have told of the changes of the last days. The steps
//! are those of the evaluation ([`Rehearsal`]); the transaction may be read-only. Portion by portion, so that memory does not
//! grow with the records; what is kept of them is counts and a few examples.
//!
//! What it cannot know: a change of the past is looked at with today's configuration and today's related records, and with the values that
//! were captured then (what was not captured is read as it is now). An expression such as `context_today()` sees the day of the change.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use tokio_postgres::Transaction;
use tokio_postgres::types::ToSql;

use super::records::Records;
use crate::capture::event::{Change, Operation, Step, coalesce};
use crate::db::ids::{EventId, RecordId};
use crate::db::statements as sql;
use crate::evaluate::batch::BatchError;
use crate::evaluate::decision::Outcome;
use crate::evaluate::definition::Trigger;
use crate::evaluate::digest;
use crate::evaluate::rehearsal::{Played, Rehearsal, Rehearsed};
use crate::evaluate::trial::Trial;
use crate::host::record::quote;

/// Records at once.
const PORTION: usize = 500;
/// Examples of each reason for silence.
const EXAMPLES: usize = 3;

/// What is simulated.
#[derive(Clone, Copy, Debug)]
pub enum Material<'a> {
    /// Records as they are now, as if the trigger had fired for them.
    Records(&'a Records),
    /// Captured changes since a moment.
    Events(DateTime<Utc>),
}

/// Why a simulation stopped.
#[derive(Debug, thiserror::Error)]
pub enum SimulateError {
    /// The server refused.
    #[error("{}", crate::db::describe(.0))]
    Server(#[from] tokio_postgres::Error),
    /// A portion could not be evaluated.
    #[error(transparent)]
    Batch(#[from] BatchError),
}

/// A message that would be sent.
#[derive(Clone, Debug)]
pub struct Example {
    /// The message; of a group its first record, with the context of the whole.
    pub message: Rehearsed,
    /// Records that it tells of.
    pub records: Vec<i64>,
    contexts: Vec<Map<String, Value>>,
}

/// Somebody who would not be told.
#[derive(Clone, Debug)]
pub struct Silent {
    /// The record.
    pub record: i64,
    /// To whom, where that is known.
    pub partner: Option<i64>,
    /// Why.
    pub reason: String,
}

/// What it comes to.
#[derive(Debug, Default)]
pub struct Report {
    /// Records, or changes, that were looked at.
    pub looked_at: u64,
    /// Those of them that the trigger is about.
    pub concerned: u64,
    /// Messages that would be enqueued, by rule.
    pub messages: BTreeMap<String, u64>,
    /// Those of them that a person would have to release.
    pub held: u64,
    /// How often each outcome other than a message would be decided, by rule (empty: the trigger's own condition), with examples.
    pub silent: BTreeMap<(String, &'static str), (u64, Vec<Silent>)>,
    /// The first messages.
    pub examples: Vec<Example>,
    groups: HashMap<u64, Option<usize>>,
}

impl Report {
    /// All messages.
    pub fn total(&self) -> u64 {
        self.messages.values().sum()
    }

    /// Adds what another simulation came to.
    pub fn absorb(&mut self, other: Self, examples: usize) {
        self.looked_at += other.looked_at;
        self.concerned += other.concerned;
        self.held += other.held;
        for (rule, messages) in other.messages {
            *self.messages.entry(rule).or_default() += messages;
        }
        for (key, (count, some)) in other.silent {
            let kept = self.silent.entry(key).or_default();
            kept.0 += count;
            kept.1.extend(some);
        }
        self.examples.extend(other.examples);
        self.examples.truncate(examples);
    }

    fn silence(&mut self, rule: &str, outcome: &'static str, silent: Silent) {
        let (count, examples) = self.silent.entry((rule.to_owned(), outcome)).or_default();
        *count += 1;
        if examples.len() < EXAMPLES {
            examples.push(silent);
        }
    }

    fn message(&mut self, message: Rehearsed, most: usize) {
        let count = self.messages.entry(message.rule_code.clone()).or_default();
        if !message.grouped {
            *count += 1;
            self.held += u64::from(message.held.is_some());
            if self.examples.len() < most {
                self.examples.push(Example {
                    records: vec![message.record],
                    contexts: Vec::new(),
                    message,
                });
            }
            return;
        }
        let mut hasher = DefaultHasher::new();
        (message.rule, &message.phone, &message.xact).hash(&mut hasher);
        let group = self.groups.entry(hasher.finish()).or_insert_with(|| {
            *count += 1;
            let place = self.examples.len();
            (place < most).then(|| {
                self.examples.push(Example {
                    message: message.clone(),
                    records: Vec::new(),
                    contexts: Vec::new(),
                });
                place
            })
        });
        if let Some(example) = group.and_then(|place| self.examples.get_mut(place)) {
            example.records.push(message.record);
            if example.contexts.len() < digest::LINES {
                example.contexts.push(message.context);
            }
        }
    }

    /// Groups get the context of their whole run.
    fn close(&mut self) {
        for example in &mut self.examples {
            if !example.contexts.is_empty() {
                let contexts: Vec<&Map<String, Value>> = example.contexts.iter().collect();
                example.message.context = digest::context(&contexts, &example.records);
                example.contexts.clear();
            }
        }
        self.groups = HashMap::new();
    }
}

/// Simulates. `progress` hears how much has been looked at.
///
/// # Errors
/// [`SimulateError`].
pub async fn simulate(
    tx: &Transaction<'_>,
    trial: &Trial,
    material: Material<'_>,
    examples: usize,
    mut progress: impl FnMut(u64),
) -> Result<Report, SimulateError> {
    let mut report = Report::default();
    let Some(trigger) = trial.trigger() else {
        return Ok(report);
    };
    let now: DateTime<Utc> = tx.query_one("select sicantik_notify.clock()", &[]).await?.get(0);
    let mut rehearsal = Rehearsal::new(match material {
        Material::Records(_) => None,
        Material::Events(since) => Some(since),
    });
    let mut after = i64::MIN;
    loop {
        let changes = match material {
            Material::Records(records) => present(tx, trigger, records, after, now).await?,
            Material::Events(since) => past(tx, trigger, since, after).await?,
        };
        let Some(last) = changes.iter().map(|c| c.record.0).max() else {
            break;
        };
        after = last;
        report.looked_at += changes.len() as u64;
        let about: Vec<Change> = changes.into_iter().filter(|c| concerns(trigger, c)).collect();
        report.concerned += about.len() as u64;
        for (at, changes) in by_day(about, trial, now, matches!(material, Material::Events(_))) {
            let played = rehearsal.play(tx, &trial.configuration, at, &changes).await?;
            count(tx, trial, played, &mut report, examples).await?;
        }
        progress(report.looked_at);
    }
    report.close();
    Ok(report)
}

fn concerns(trigger: &Trigger, change: &Change) -> bool {
    change.steps.iter().any(|s| s.operation == Operation::Fired) || trigger.condition.matches(change)
}

/// Changes of one day of the office are evaluated together, as of the last of them.
fn by_day(
    changes: Vec<Change>,
    trial: &Trial,
    now: DateTime<Utc>,
    past: bool,
) -> Vec<(DateTime<Utc>, Vec<Change>)> {
    if !past {
        return vec![(now, changes)];
    }
    let zone = trial.configuration.office.timezone;
    let mut days: BTreeMap<chrono::NaiveDate, Vec<Change>> = BTreeMap::new();
    for change in changes {
        let day = change.at.with_timezone(&zone).date_naive();
        days.entry(day).or_default().push(change);
    }
    let last = |changes: &Vec<Change>| changes.iter().map(|c| c.at).max().unwrap_or(now);
    days.into_values().map(|c| (last(&c), c)).collect()
}

async fn count(
    tx: &Transaction<'_>,
    trial: &Trial,
    played: Played,
    report: &mut Report,
    examples: usize,
) -> Result<(), tokio_postgres::Error> {
    for decision in &played.decisions {
        if !matches!(decision.outcome, Outcome::Enqueued | Outcome::Grouped) {
            let silent = Silent {
                record: decision.record(),
                partner: decision.partner_id(),
                reason: decision.reason().to_owned(),
            };
            report.silence(
                decision.rule_code().unwrap_or_default(),
                decision.outcome.as_str(),
                silent,
            );
        }
    }
    let phones: Vec<&str> = played.messages.iter().map(|m| m.phone.as_str()).collect();
    let listed = "select phone, reason from sicantik_notify.blacklisted($1)";
    let listed: HashMap<String, String> = match phones.is_empty() {
        true => HashMap::new(),
        false => {
            let rows = tx.query(listed, &[&phones]).await?;
            rows.iter().map(|r| (r.get(0), r.get(1))).collect()
        }
    };
    for message in played.messages {
        match listed.get(&message.phone) {
            Some(reason) if trial.heeding.contains(&message.rule) => {
                let silent = Silent {
                    record: message.record,
                    partner: message.partner.map(|p| p.0),
                    reason: reason.clone(),
                };
                report.silence(&message.rule_code, "blacklisted", silent);
            }
            _ => report.message(message, examples),
        }
    }
    Ok(())
}

/// The next records, as if the trigger had fired for them now.
async fn present(
    tx: &Transaction<'_>,
    trigger: &Trigger,
    records: &Records,
    after: i64,
    now: DateTime<Utc>,
) -> Result<Vec<Change>, tokio_postgres::Error> {
    let domain = records.compiled();
    let watched = trigger
        .condition
        .column()
        .filter(|c| trigger.model.column(c).is_some());
    let value = watched.map_or("null::jsonb".to_owned(), |c| format!("to_jsonb(t.{})", quote(c)));
    let next = domain.params.len() + 1;
    let statement = format!(
        "select t.\"id\"::bigint, {value} from public.{} as t where ({}) and t.\"id\" > ${next}::bigint order by t.\"id\" limit {PORTION}",
        quote(&trigger.model.table),
        domain.sql
    );
    let mut params: Vec<&(dyn ToSql + Sync)> =
        domain.params.iter().map(|p| p as &(dyn ToSql + Sync)).collect();
    // Ids of the host are integers: a smaller bound would not fit their type.
    let after = after.max(i64::from(i32::MIN));
    params.push(&after);
    let rows = tx.query(&statement, &params).await?;
    let change = |row: &tokio_postgres::Row| {
        let stands = watched.and_then(|c| Some((c, row.get::<_, Option<Value>>(1)?)));
        let kwargs = stands.map(|(column, value)| json!({"new_state": value, "changed_fields": [column]}));
        Change {
            model: trigger.model.name.clone(),
            record: RecordId(row.get(0)),
            xact: "0".to_owned(),
            at: now,
            tries: 0,
            target_trigger: Some(trigger.id),
            target_rule: None,
            campaign: None,
            kwargs: kwargs.and_then(|k| k.as_object().cloned()).unwrap_or_default(),
            steps: vec![Step {
                id: EventId(0),
                operation: Operation::Fired,
                changed: Vec::new(),
                old: Map::new(),
                new: Map::new(),
            }],
        }
    };
    Ok(rows.iter().map(change).collect())
}

/// The captured changes of the next records.
async fn past(
    tx: &Transaction<'_>,
    trigger: &Trigger,
    since: DateTime<Utc>,
    after: i64,
) -> Result<Vec<Change>, tokio_postgres::Error> {
    let rows = tx
        .query(
            sql::REPLAY_EVENTS.sql,
            &[
                &trigger.model.name,
                &since,
                &after,
                &(PORTION as i64),
                &trigger.id.0,
            ],
        )
        .await?;
    Ok(coalesce(&rows))
}
