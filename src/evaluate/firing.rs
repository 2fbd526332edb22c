//! One trigger: which changes it fires on, its condition, and its rules in their order.

use std::collections::HashMap;

use super::apply::Batch;
use super::batch::BatchError;
use super::cases::{Case, fired};
use super::conditions::{Verdict, ask, ask_together};
use super::decision::{Decision, Outcome};
use super::definition::{Rule, Trigger};
use crate::capture::event::Change;
use crate::db::ids::RuleId;
use crate::lang::domain::Compiled;

/// What the conditions of rules say of the trigger's records, as far as it was asked for all of them at once.
pub(super) type Foretold = HashMap<RuleId, Vec<Verdict>>;

impl Batch<'_> {
    pub(super) async fn trigger(&mut self, trigger: &Trigger, cases: &[Case<'_>]) -> Result<(), BatchError> {
        let met: Vec<&Case<'_>> = cases.iter().filter(|c| concerns(trigger, c.change)).collect();
        if met.is_empty() {
            return Ok(());
        }
        let met = self.existing(trigger, met);
        let hits = self.trigger_condition(trigger, met).await?;
        let active: Vec<&Rule> = trigger.rules.iter().filter(|r| r.active).collect();
        if active.is_empty() {
            self.no_rule(trigger, &hits);
        }
        self.foretold = self.foretell(trigger, &active, &hits).await?;
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

    /// The conditions of a trigger's rules asked together: a statement for all of them where several must ask the server.
    async fn foretell(
        &self,
        trigger: &Trigger,
        rules: &[&Rule],
        hits: &[&Case<'_>],
    ) -> Result<Foretold, BatchError> {
        // What is meant for one rule only is not asked of all.
        if rules.len() < 2 || hits.iter().any(|case| case.change.target_rule.is_some()) {
            return Ok(Foretold::default());
        }
        let mut compiled = Vec::new();
        for rule in rules {
            let question = rule.plan.as_ref().ok().and_then(|plan| plan.domain.as_ref());
            compiled.extend(self.compiled(question).ok().map(|domain| (rule.id, domain)));
        }
        let domains: Vec<Option<&Compiled>> = compiled.iter().map(|(_, domain)| domain.as_deref()).collect();
        let verdicts = ask_together(self.tx, &domains, &trigger.model, hits).await?;
        let ids = compiled.iter().map(|(id, _)| *id);
        Ok(ids.zip(verdicts.into_iter().flatten()).collect())
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
}

/// Whether a change is meant for a trigger: fired for it, or one that it looks for.
pub(super) fn concerns(trigger: &Trigger, change: &Change) -> bool {
    let addressed = match change.target_trigger {
        Some(target) => target == trigger.id,
        None => !fired(change),
    };
    addressed && (fired(change) || trigger.condition.matches(change))
}
