//! Triggers and rules applied to the changes of one batch. Set-wise: a statement a rule, not a statement an event. What
//! comes out is handed back; the batch stores it.
//!
//! The steps, a file each: trigger condition (here, [`conditions`](super::conditions)) → rule condition (`rule`) →
//! recipients (`recipients`) → context (`compose`) → repetition (`repeat`) → queue or digest (`hand_over`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, Utc};
use tokio_postgres::Transaction;

use super::batch::{BatchError, SetAside};
use super::cases::{Case, cases, fired};
use super::conditions::{Verdict, ask};
use super::configuration::Configuration;
use super::decision::{Decision, Outcome};
use super::definition::{Rule, Trigger};
use super::permits::Permits;
use super::question::{Asking, Question};
use super::savepoint::attempt;
use crate::capture::event::Change;
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
    configuration: &Configuration,
    now: DateTime<Utc>,
    limits: Limits,
    changes: &[Change],
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
    };
    batch.run(changes).await?;
    Ok(Outcomes {
        decisions: batch.decisions,
        aside: batch.aside,
        messages: batch.messages,
    })
}

/// The state of one batch.
pub(super) struct Batch<'a> {
    pub(super) tx: &'a Transaction<'a>,
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

    async fn trigger(&mut self, trigger: &Trigger, cases: &[Case<'_>]) -> Result<(), BatchError> {
        let met: Vec<&Case<'_>> = cases.iter().filter(|c| concerns(trigger, c)).collect();
        if met.is_empty() {
            return Ok(());
        }
        let met = self.existing(trigger, met);
        let hits = self.trigger_condition(trigger, met).await?;
        let active: Vec<&Rule> = trigger.rules.iter().filter(|r| r.active).collect();
        if active.is_empty() {
            self.no_rule(trigger, &hits);
        }
        for rule in active {
            let meant = |c: &&&Case<'_>| c.change.target_rule.is_none_or(|r| r == rule.id);
            let meant: Vec<&Case<'_>> = hits.iter().filter(meant).copied().collect();
            if !meant.is_empty() {
                self.rule(trigger, rule, &meant).await?;
            }
        }
        Ok(())
    }

    /// What was fired without an image is about the record as it is now, which must exist.
    fn existing<'s, 'c>(&mut self, trigger: &Trigger, met: Vec<&'s Case<'c>>) -> Vec<&'s Case<'c>> {
        let (gone, met): (Vec<_>, Vec<_>) = met
            .into_iter()
            .partition(|c| c.gone && c.fired() && !c.captured());
        for case in gone {
            let reason = "the record does not exist any more";
            let outcome = Outcome::TriggerCondition;
            self.decisions
                .push(Decision::new(outcome, case.change, &trigger.code, reason));
        }
        met
    }

    async fn trigger_condition<'s, 'c>(
        &mut self,
        trigger: &Trigger,
        met: Vec<&'s Case<'c>>,
    ) -> Result<Vec<&'s Case<'c>>, BatchError> {
        let verdicts = match self.trigger_verdicts(trigger, &met).await? {
            Ok(verdicts) => verdicts,
            Err(error) => vec![Err(error); met.len()],
        };
        let mut hits = Vec::new();
        for (case, verdict) in met.into_iter().zip(verdicts) {
            match verdict {
                Ok(true) => hits.push(case),
                Ok(false) => self.decisions.push(Decision::new(
                    Outcome::TriggerCondition,
                    case.change,
                    &trigger.code,
                    "the trigger's condition_domain is not met",
                )),
                Err(error) => {
                    let error = format!("trigger {}: {error}", trigger.code);
                    let decision = Decision::new(Outcome::Error, case.change, &trigger.code, error.clone());
                    self.decisions.push(decision);
                    self.set_aside(case.change, Some(trigger), None, &error);
                }
            }
        }
        Ok(hits)
    }

    async fn trigger_verdicts(
        &self,
        trigger: &Trigger,
        met: &[&Case<'_>],
    ) -> Result<Result<Vec<Verdict>, String>, BatchError> {
        let question = match &trigger.domain {
            Ok(question) => question.as_ref(),
            Err(error) => return Ok(Err(error.clone())),
        };
        let domain = match self.compiled(question) {
            Ok(domain) => domain,
            Err(error) => return Ok(Err(format!("condition_domain: {error}"))),
        };
        match ask(self.tx, domain.as_deref(), &trigger.model, met).await {
            Ok(verdicts) => Ok(Ok(verdicts)),
            Err(error) if error.is_closed() => Err(error.into()),
            Err(error) if self.too_slow(&error) => Err(BatchError::TooSlow),
            Err(error) => Ok(Err(crate::db::describe(&error))),
        }
    }

    fn no_rule(&mut self, trigger: &Trigger, hits: &[&Case<'_>]) {
        let reason = match trigger.rules.len() {
            0 => "the trigger has no rule".to_owned(),
            n => format!("none of the trigger's {n} rules is active"),
        };
        for case in hits.iter().filter(|c| c.change.target_rule.is_none()) {
            self.decisions.push(Decision::new(
                Outcome::NoRule,
                case.change,
                &trigger.code,
                reason.clone(),
            ));
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

/// Whether a change is meant for a trigger: fired for it, or one that it looks for.
fn concerns(trigger: &Trigger, case: &Case<'_>) -> bool {
    let addressed = match case.change.target_trigger {
        Some(target) => target == trigger.id,
        None => !case.fired(),
    };
    addressed && (case.fired() || trigger.condition.matches(case.change))
}
