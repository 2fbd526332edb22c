//! Triggers and rules applied to the changes of one batch. Set-wise: a statement a rule, not a statement an event. What
//! comes out is handed back; the batch stores it.
//!
//! The steps, a file each: trigger (`firing`) → rule and its condition (`rule`, `conditions`) → recipients (`recipients`) → context (`compose`) → repetition (`repeat`) → queue or digest (`hand_over`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, Utc};
use tokio_postgres::Transaction;

use super::batch::{BatchError, SetAside};
use super::cases::{cases, fired};
use super::configuration::Configuration;
use super::decision::{Decision, Outcome};
use super::definition::{Rule, Trigger};
use super::firing::{Foretold, concerns};
use super::permits::Permits;
use super::question::{Asking, Question};
use super::rehearsal::Rehearsal;
use super::savepoint::attempt;
use crate::capture::event::Change;
use crate::db::prepared::Prepared;
use crate::host::user;
use crate::lang::domain::{Compiled, Vars};

/// What a batch comes to, besides the messages that are enqueued already.
pub(super) struct Outcomes {
    /// Why, for each change, trigger, rule and recipient.
    pub(super) decisions: Vec<Decision>,
    /// What could not be evaluated.
    pub(super) aside: Vec<SetAside>,
    /// How many messages were enqueued, or wait in digests.
    pub(super) messages: usize,
    /// What was only played through.
    pub(super) rehearsal: Option<Rehearsal>,
}

/// How long a batch may take.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// No rule begins after it.
    pub(super) deadline: Instant,
    /// The batch is one record: what takes too long cannot be made smaller.
    pub(super) alone: bool,
}

/// Applies the configuration to the changes, as of `now`.
pub(super) async fn apply(
    tx: &Transaction<'_>,
    prepared: &Prepared,
    configuration: &Configuration,
    now: DateTime<Utc>,
    limits: Limits,
    changes: &[Change],
) -> Result<Outcomes, BatchError> {
    apply_with(tx, prepared, configuration, now, limits, changes, None).await
}

/// [`apply`]; with a rehearsal nothing is written.
pub(super) async fn apply_with(
    tx: &Transaction<'_>,
    prepared: &Prepared,
    configuration: &Configuration,
    now: DateTime<Utc>,
    limits: Limits,
    changes: &[Change],
    rehearsal: Option<Rehearsal>,
) -> Result<Outcomes, BatchError> {
    let mut vars = Vars::at(now, configuration.office.timezone);
    if configuration.needs_user() {
        vars.user = user::facts(tx, vars.uid).await?;
    }
    let mut batch = Batch {
        tx,
        configuration,
        asking: Asking {
            catalog: &configuration.catalog,
            aliases: &configuration.aliases,
            vars,
        },
        now,
        limits,
        decisions: Vec::new(),
        aside: Vec::new(),
        messages: 0,
        permits: Permits::default(),
        foretold: Foretold::default(),
        rehearsal,
        prepared: prepared.clone(),
    };
    batch.run(changes).await?;
    Ok(Outcomes {
        decisions: batch.decisions,
        aside: batch.aside,
        messages: batch.messages,
        rehearsal: batch.rehearsal,
    })
}

/// The state of one batch.
pub(super) struct Batch<'a> {
    pub(super) tx: &'a Transaction<'a>,
    /// Of the transaction's session.
    pub(super) prepared: Prepared,
    pub(super) configuration: &'a Configuration,
    /// What the conditions of the whole batch see.
    pub(super) asking: Asking<'a>,
    pub(super) now: DateTime<Utc>,
    pub(super) limits: Limits,
    pub(super) decisions: Vec<Decision>,
    pub(super) aside: Vec<SetAside>,
    pub(super) messages: usize,
    /// Permits behind documents; read once a batch.
    pub(super) permits: Permits,
    /// Of the trigger that is looked at.
    pub(super) foretold: Foretold,
    /// Nothing is written: marks are read, messages are kept here.
    pub(super) rehearsal: Option<Rehearsal>,
}

impl<'a> Batch<'a> {
    async fn run(&mut self, changes: &[Change]) -> Result<(), BatchError> {
        let mut by_model: BTreeMap<&str, Vec<&Change>> = BTreeMap::new();
        for change in changes {
            by_model.entry(&change.model).or_default().push(change);
        }
        for (model, changes) in by_model {
            self.model(model, &changes).await?;
        }
        Ok(())
    }

    async fn model(&mut self, name: &str, changes: &[&Change]) -> Result<(), BatchError> {
        let configuration = self.configuration;
        let all = configuration.triggers.iter();
        let triggers: Vec<&Trigger> = all.filter(|t| t.model.name == name).collect();
        self.unheard(&triggers, changes);
        let Some(model) = triggers.first().map(|t| t.model.clone()) else {
            return Ok(());
        };
        // The others' expressions need not be evaluated, nor their columns be read.
        let triggers: Vec<&Trigger> = triggers
            .into_iter()
            .filter(|t| changes.iter().any(|change| concerns(t, change)))
            .collect();
        let read = cases(self.tx, &self.asking, &model, &triggers, changes);
        let cases = match attempt(self.tx, read).await? {
            Ok(cases) => cases,
            Err(error) => {
                let error = format!(
                    "records of {name} cannot be read: {}",
                    crate::db::describe(&error)
                );
                changes.iter().for_each(|change| self.fail_change(change, &error));
                return Ok(());
            }
        };
        for trigger in triggers {
            self.trigger(trigger, &cases).await?;
        }
        Ok(())
    }

    /// Changes that are meant for a trigger or rule which is not in force: where it is broken they wait for its mending.
    fn unheard(&mut self, triggers: &[&Trigger], changes: &[&Change]) {
        for change in changes {
            let Some(target) = change.target_trigger else {
                if fired(change) {
                    let reason = "it was fired for no trigger";
                    self.decisions
                        .push(Decision::untriggered(Outcome::NoRule, change, reason));
                }
                continue;
            };
            if let Some(trigger) = triggers.iter().find(|t| t.id == target) {
                let known = |rule| trigger.rules.iter().any(|r| r.id == rule && r.active);
                if change.target_rule.is_some_and(|rule| !known(rule)) {
                    let reason = "the rule it is meant for is inactive or gone";
                    self.decisions
                        .push(Decision::new(Outcome::NoRule, change, &trigger.code, reason));
                }
            } else if let Some(error) = self.configuration.broken.get(&target) {
                let error = error.clone();
                self.fail_change(change, &error);
            } else {
                let reason = "the trigger it is meant for is inactive or gone, or is one of another model";
                self.decisions
                    .push(Decision::untriggered(Outcome::NoRule, change, reason));
            }
        }
    }

    /// A condition as it is at the batch's moment.
    pub(super) fn compiled(&self, question: Option<&Question>) -> Result<Option<Arc<Compiled>>, String> {
        let Some(question) = question else { return Ok(None) };
        let compiled = question.at(&self.asking);
        compiled
            .map(Some)
            .map_err(|error| error.diagnostic(question.text()))
    }

    /// Whether a smaller batch may succeed where this one was stopped.
    pub(super) fn too_slow(&self, error: &tokio_postgres::Error) -> bool {
        !self.limits.alone && error.code() == Some(&tokio_postgres::error::SqlState::QUERY_CANCELED)
    }

    /// A change that failed before any trigger looked at it.
    fn fail_change(&mut self, change: &Change, error: &str) {
        self.decisions
            .push(Decision::untriggered(Outcome::Error, change, error));
        self.set_aside(change, None, None, error);
    }

    pub(super) fn set_aside(
        &mut self,
        change: &Change,
        trigger: Option<&Trigger>,
        rule: Option<&Rule>,
        error: &str,
    ) {
        self.aside.push(SetAside {
            ids: change.event_ids(),
            trigger: trigger.map_or(change.target_trigger, |t| Some(t.id)).map(|t| t.0),
            rule: rule.map_or(change.target_rule, |r| Some(r.id)).map(|r| r.0),
            error: error.to_owned(),
            tries: change.tries,
        });
    }
}
