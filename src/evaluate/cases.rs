//! Changes with their records: the captured image, completed with current values where the event lacks a column.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::{Map, Value};
use tokio_postgres::Transaction;

use super::definition::Trigger;
use super::question::Asking;
use crate::capture::event::{Change, Operation};
use crate::host::catalog::Model;
use crate::host::record;

/// A change with its record.
pub(super) struct Case<'c> {
    pub(super) change: &'c Change,
    /// Columns of the record, at least those that are read.
    pub(super) image: Map<String, Value>,
    /// Columns that the event carried values without: their current value was read.
    current: Vec<String>,
    /// The record does not exist any more; known only where its current values were asked for.
    pub(super) gone: bool,
}

impl<'c> Case<'c> {
    /// The change as it was captured.
    pub(super) fn new(change: &'c Change) -> Self {
        Self {
            change,
            image: change.image(),
            current: Vec::new(),
            gone: false,
        }
    }

    /// Whether nothing changed, but a schedule, a person or a programme asks.
    pub(super) fn fired(&self) -> bool {
        fired(self.change)
    }

    /// Whether the event carried an image: one that was fired without is about the record as it is now.
    pub(super) fn captured(&self) -> bool {
        self.change.steps.iter().any(|s| !s.new.is_empty())
    }

    /// What a decision says about values that are younger than the change.
    pub(super) fn note(&self) -> String {
        if self.current.is_empty() {
            return String::new();
        }
        let gone = if self.gone { " (the record is gone)" } else { "" };
        format!(
            "; current value of {}, which the event did not carry{gone}",
            self.current.join(", ")
        )
    }
}

/// Whether nothing changed, but a schedule, a person or a programme asks.
pub(super) fn fired(change: &Change) -> bool {
    change.steps.iter().any(|s| s.operation == Operation::Fired)
}

/// The cases of one model, with every column that its triggers read.
pub(super) async fn cases<'c>(
    tx: &Transaction<'_>,
    asking: &Asking<'_>,
    model: &Arc<Model>,
    triggers: &[&Trigger],
    changes: &[&'c Change],
) -> Result<Vec<Case<'c>>, tokio_postgres::Error> {
    let mut reads: HashSet<String> = triggers.iter().flat_map(|t| t.reads()).collect();
    for question in triggers.iter().flat_map(|t| t.questions()) {
        // What an expression reads today may not be what it read when the hooks were made.
        if let Ok(compiled) = question.at(asking) {
            reads.extend(compiled.columns.iter().cloned());
        }
    }
    let mut cases = Vec::new();
    let mut incomplete = Vec::new();
    for change in changes {
        let case = Case::new(change);
        let mut missing: Vec<String> = reads
            .iter()
            .filter(|c| !case.image.contains_key(*c))
            .cloned()
            .collect();
        missing.sort_unstable();
        if !missing.is_empty() {
            incomplete.push((cases.len(), missing));
        }
        cases.push(case);
    }
    complete(tx, model, &mut cases, incomplete).await?;
    Ok(cases)
}

async fn complete(
    tx: &Transaction<'_>,
    model: &Model,
    cases: &mut [Case<'_>],
    incomplete: Vec<(usize, Vec<String>)>,
) -> Result<(), tokio_postgres::Error> {
    let ids: Vec<i64> = incomplete
        .iter()
        .map(|(at, _)| cases[*at].change.record.0)
        .collect();
    let columns: HashSet<&str> = incomplete
        .iter()
        .flat_map(|(_, missing)| missing.iter().map(String::as_str))
        .collect();
    let columns: Vec<&str> = columns.into_iter().collect();
    let rows = record::fetch(tx, model, &columns, &ids).await?;
    for (at, missing) in incomplete {
        let case = &mut cases[at];
        let row = rows.get(&case.change.record.0);
        case.gone = row.is_none();
        for column in &missing {
            let value = row.and_then(|r| r.get(column)).cloned().unwrap_or(Value::Null);
            case.image.insert(column.clone(), value);
        }
        if case.captured() {
            case.current = missing;
        }
    }
    Ok(())
}
