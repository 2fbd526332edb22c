//! When a trigger fires on a change. Pure: what happened is in the [`Change`], what is wanted in the [`Condition`].
//!
//! Steps of one transaction are looked at one by one, so draft → uploaded → pending_signature in two flushes fires both
//! document triggers; a value that the same transaction takes back does not fire (its way is erased like a loop). A
//! trigger fires at most once a change.

use serde_json::{Map, Value};

use crate::capture::event::{Change, Operation, Step};

/// Which changes of a field count (`trigger.field_change`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldChange {
    /// Any change of an existing record.
    Any,
    /// From empty to a value; a record created with a value counts.
    Set,
    /// From a value to empty.
    Cleared,
}

/// What a trigger looks for, names and values resolved against the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// A record was created.
    Create,
    /// Any column outside `noise` changed.
    Write {
        /// Columns that do not count.
        noise: Vec<String>,
    },
    /// The status changed.
    State {
        /// Column.
        column: String,
        /// Old value; `None`: any.
        from: Option<String>,
        /// New value; `None`: any.
        to: Option<String>,
    },
    /// A field changed.
    Field {
        /// Column.
        column: String,
        /// Which changes.
        change: FieldChange,
    },
    /// Never by itself: schedule, person, programme.
    Other,
}

impl Condition {
    /// Whether inserts matter to it.
    pub fn wants_inserts(&self) -> bool {
        match self {
            Self::Create => true,
            // Permits are synchronised in already active: a record created in the wanted state has reached it.
            Self::State {
                from: None,
                to: Some(_),
                ..
            } => true,
            Self::Field { change, .. } => *change == FieldChange::Set,
            _ => false,
        }
    }

    /// The column whose change it watches.
    pub fn column(&self) -> Option<&str> {
        match self {
            Self::State { column, .. } | Self::Field { column, .. } => Some(column),
            _ => None,
        }
    }

    /// Whether the change is one that it looks for.
    pub fn matches(&self, change: &Change) -> bool {
        match self {
            Self::Create => change.steps.iter().any(|s| s.operation == Operation::Insert),
            Self::Write { noise } => change.steps.iter().any(|s| {
                s.operation == Operation::Update && s.changed.iter().any(|column| !noise.contains(column))
            }),
            Self::State { column, from, to } => way(column, &change.steps).windows(2).any(|step| {
                let (old, new) = (&step[0], &step[1]);
                match old {
                    // Created: only where the old value is open and the new one is asked for.
                    Place::Nowhere => from.is_none() && to.is_some() && is(new, to),
                    Place::Value(_) => (from.is_none() || is(old, from)) && (to.is_none() || is(new, to)),
                }
            }),
            Self::Field {
                column,
                change: wanted,
            } => way(column, &change.steps).windows(2).any(|step| {
                let created = step[0] == Place::Nowhere;
                let (had, has) = (step[0].has_value(), step[1].has_value());
                match wanted {
                    FieldChange::Any => !created,
                    FieldChange::Set => !had && has,
                    FieldChange::Cleared => had && !has,
                }
            }),
            Self::Other => false,
        }
    }
}

/// Where a column stood.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// The record did not exist.
    Nowhere,
    /// Its value, as text; empty and NULL are one.
    Value(Option<String>),
}

impl Place {
    fn has_value(&self) -> bool {
        matches!(self, Self::Value(Some(_)))
    }
}

fn is(place: &Place, wanted: &Option<String>) -> bool {
    matches!(place, Place::Value(value) if value == wanted)
}

/// The values a column went through, without the loops: what was taken back never happened.
fn way(column: &str, steps: &[Step]) -> Vec<Place> {
    let mut way: Vec<Place> = Vec::new();
    let mut go = |place: Place| match way.iter().position(|p| *p == place) {
        Some(at) => way.truncate(at + 1),
        None => way.push(place),
    };
    for step in steps {
        match step.operation {
            Operation::Insert if step.new.contains_key(column) => {
                go(Place::Nowhere);
                go(Place::Value(text(step.new.get(column))));
            }
            Operation::Update if step.changed.iter().any(|c| c == column) => {
                go(Place::Value(text(step.old.get(column))));
                go(Place::Value(text(step.new.get(column))));
            }
            _ => {}
        }
    }
    way
}

/// `kwargs` of a rule's code: what happened (SICANTIK guide §4.2). `old_state` and `new_state` are the watched field's; where
/// nothing is watched, the record's status. What a firing passes on comes on top: it may tell of a change that it stands for.
pub fn kwargs(trigger: &super::definition::Trigger, change: &Change) -> Map<String, Value> {
    let (mut old, mut new) = (Map::new(), Map::new());
    let mut changed: Vec<&str> = Vec::new();
    for step in &change.steps {
        for (column, value) in &step.old {
            old.entry(column).or_insert_with(|| value.clone());
        }
        for (column, value) in &step.new {
            new.insert(column.clone(), value.clone());
        }
        for column in &step.changed {
            if !changed.contains(&column.as_str()) {
                changed.push(column);
            }
        }
    }
    let watched = trigger.condition.column().map(str::to_owned);
    let status = ["status", "state"].iter().map(|c| (*c).to_owned());
    let column = watched.or_else(|| status.into_iter().find(|c| new.contains_key(c)));
    let of = |values: &Map<String, Value>| {
        let value = column.as_ref().and_then(|c| values.get(c)).cloned();
        value.filter(|v| !v.is_null()).unwrap_or(Value::Bool(false))
    };
    let mut kwargs = Map::new();
    kwargs.insert("old_state".into(), of(&old));
    kwargs.insert("new_state".into(), of(&new));
    kwargs.insert("changed_fields".into(), changed.into());
    kwargs.insert("old_values".into(), old.into());
    kwargs.insert("new_values".into(), new.into());
    kwargs.extend(change.kwargs.clone());
    kwargs.insert("trigger".into(), trigger.code.clone().into());
    kwargs
}

/// A captured value as the guide writes values; NULL and the empty text are one, as in Odoo.
pub fn text(value: Option<&Value>) -> Option<String> {
    match value {
        None | Some(Value::Null) => None,
        Some(Value::String(s)) if s.is_empty() => None,
        Some(Value::String(s)) => Some(s.clone()),
        Some(other) => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use serde_json::json;

    use super::*;
    use crate::db::ids::{EventId, RecordId};

    fn change(steps: &[(Option<&str>, &str)]) -> Change {
        Change {
            model: "sicantik.document".into(),
            record: RecordId(1),
            xact: "1".into(),
            at: DateTime::UNIX_EPOCH,
            tries: 0,
            target_trigger: None,
            target_rule: None,
            kwargs: Map::new(),
            campaign: None,
            steps: steps
                .iter()
                .enumerate()
                .map(|(i, (old, new))| Step {
                    id: EventId(i as i64),
                    operation: if old.is_some() {
                        Operation::Update
                    } else {
                        Operation::Insert
                    },
                    changed: old.map(|_| "state".to_owned()).into_iter().collect(),
                    old: old
                        .map(|o| json!({ "state": o }))
                        .unwrap_or(json!({}))
                        .as_object()
                        .cloned()
                        .unwrap_or_default(),
                    new: json!({ "state": new }).as_object().cloned().unwrap_or_default(),
                })
                .collect(),
        }
    }

    fn state(from: Option<&str>, to: Option<&str>) -> Condition {
        Condition::State {
            column: "state".into(),
            from: from.map(Into::into),
            to: to.map(Into::into),
        }
    }

    #[test]
    fn each_step_of_a_transaction_counts() {
        let c = change(&[
            (Some("draft"), "uploaded"),
            (Some("uploaded"), "pending_signature"),
        ]);
        assert!(state(Some("draft"), Some("uploaded")).matches(&c));
        assert!(state(None, Some("pending_signature")).matches(&c));
        assert!(!state(Some("draft"), Some("pending_signature")).matches(&c));
    }

    #[test]
    fn what_is_taken_back_never_happened() {
        let c = change(&[(Some("draft"), "uploaded"), (Some("uploaded"), "draft")]);
        assert!(!state(None, Some("uploaded")).matches(&c));
        assert!(!state(None, None).matches(&c));
        let c = change(&[
            (Some("draft"), "uploaded"),
            (Some("uploaded"), "signed"),
            (Some("signed"), "uploaded"),
        ]);
        assert!(state(Some("draft"), Some("uploaded")).matches(&c));
        assert!(!state(None, Some("signed")).matches(&c));
    }

    #[test]
    fn a_record_created_in_the_wanted_state_has_reached_it() {
        let c = change(&[(None, "active")]);
        assert!(state(None, Some("active")).matches(&c));
        assert!(!state(Some("draft"), Some("active")).matches(&c));
        assert!(
            !state(None, None).matches(&c),
            "with both empty a creation is no change"
        );
        let c = change(&[(None, "draft"), (Some("draft"), "active")]);
        assert!(
            state(Some("draft"), Some("active")).matches(&c),
            "created and moved in one transaction"
        );
    }

    #[test]
    fn fields_set_and_cleared() {
        let field = |change| Condition::Field {
            column: "state".into(),
            change,
        };
        let set = change(&[(Some(""), "503/1")]);
        assert!(field(FieldChange::Set).matches(&set) && field(FieldChange::Any).matches(&set));
        assert!(!field(FieldChange::Cleared).matches(&set));
        assert!(field(FieldChange::Cleared).matches(&change(&[(Some("503/1"), "")])));
        let created = change(&[(None, "503/1")]);
        assert!(field(FieldChange::Set).matches(&created) && !field(FieldChange::Any).matches(&created));
        assert!(!field(FieldChange::Set).matches(&change(&[(None, "")])));
    }

    #[test]
    fn writing_noise_is_not_writing() {
        let noise = Condition::Write {
            noise: vec!["state".into()],
        };
        let c = change(&[(Some("a"), "b")]);
        assert!(!noise.matches(&c));
        assert!(Condition::Write { noise: vec![] }.matches(&c));
        assert!(
            !Condition::Write { noise: vec![] }.matches(&change(&[(None, "b")])),
            "created, not written"
        );
    }
}
