//! Events as the evaluation sees them: the rows of one transaction and record are one [`Change`] with its steps.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use tokio_postgres::Row;

use crate::db::ids::{CampaignId, EventId, RecordId, RuleId, TriggerId};

/// What a statement did to the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The record was created (or its id changed).
    Insert,
    /// The record was written.
    Update,
    /// Nothing changed: a person or a programme asks for it.
    Fired,
}

/// One captured statement.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Row of `event`.
    pub id: EventId,
    /// What it did.
    pub operation: Operation,
    /// Relevant columns that changed.
    pub changed: Vec<String>,
    /// Old values of watched columns.
    pub old: Map<String, Value>,
    /// New values of watched and read columns.
    pub new: Map<String, Value>,
}

/// Everything one transaction did to one record, in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Odoo model.
    pub model: String,
    /// The record.
    pub record: RecordId,
    /// The host's transaction (xid8 as text).
    pub xact: String,
    /// When the first statement ran.
    pub at: DateTime<Utc>,
    /// Evaluations that failed before.
    pub tries: i16,
    /// Only this trigger is meant.
    pub target_trigger: Option<TriggerId>,
    /// Only this rule is meant.
    pub target_rule: Option<RuleId>,
    /// Fired: what rules' code is given beside what evaluation knows.
    pub kwargs: Map<String, Value>,
    /// It is no change but a target of this campaign; then its step stands for no row of `event`.
    pub campaign: Option<CampaignId>,
    /// The statements; never empty.
    pub steps: Vec<Step>,
}

impl Change {
    /// The first event's id, which stands for the change.
    pub fn event_id(&self) -> EventId {
        self.steps.first().map_or(EventId(0), |s| s.id)
    }

    /// The row of `event` that stands for it; none for a campaign's target.
    pub fn source(&self) -> Option<EventId> {
        self.campaign.is_none().then(|| self.event_id())
    }

    /// All ids.
    pub fn event_ids(&self) -> Vec<i64> {
        self.steps.iter().map(|s| s.id.0).collect()
    }

    /// The record as the transaction left it: captured columns, last value each, and its id.
    pub fn image(&self) -> Map<String, Value> {
        let mut image = Map::new();
        for step in &self.steps {
            for (column, value) in &step.new {
                image.insert(column.clone(), value.clone());
            }
        }
        image.insert("id".into(), self.record.0.into());
        image
    }
}

/// Rows of `event`, ordered by id, as changes in the order of their first event. Only rows of one transaction, record and
/// target belong together: two transactions are two changes, however close.
pub fn coalesce(rows: &[Row]) -> Vec<Change> {
    let mut changes: Vec<Change> = Vec::new();
    let mut index = std::collections::HashMap::new();
    for row in rows {
        let model: String = row.get("model");
        let record: i64 = row.get("record_id");
        let xact: String = row.get("xact");
        let target_trigger: Option<i64> = row.get("target_trigger");
        let target_rule: Option<i64> = row.get("target_rule");
        let step = step(row);
        let key = (xact.clone(), record, model.clone(), target_trigger, target_rule);
        match index.get(&key) {
            Some(&at) => {
                let change: &mut Change = &mut changes[at];
                change.steps.push(step);
                change.kwargs.append(&mut object(row, "kwargs"));
            }
            None => {
                index.insert(key, changes.len());
                changes.push(Change {
                    model,
                    record: RecordId(record),
                    xact,
                    at: row.get("occurred_at"),
                    tries: row.get("tries"),
                    target_trigger: target_trigger.map(TriggerId),
                    target_rule: target_rule.map(RuleId),
                    kwargs: object(row, "kwargs"),
                    campaign: None,
                    steps: vec![step],
                });
            }
        }
    }
    changes
}

fn object(row: &Row, name: &str) -> Map<String, Value> {
    match row.get::<_, Option<Value>>(name) {
        Some(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

fn step(row: &Row) -> Step {
    Step {
        id: EventId(row.get("id")),
        operation: match row.get::<_, &str>("op") {
            "I" => Operation::Insert,
            "U" => Operation::Update,
            _ => Operation::Fired,
        },
        changed: row.get::<_, Option<Vec<String>>>("changed").unwrap_or_default(),
        old: object(row, "old"),
        new: object(row, "new"),
    }
}
