//! One rule, from its conditions to the queue: the steps in their order. In a savepoint: what a rule fails at stops nothing
//! else, and what fails for one record stops only that record.

use std::time::Instant;

use serde_json::{Map, Value};
use tokio_postgres::error::SqlState;

use super::apply::Batch;
use super::batch::BatchError;
use super::cases::Case;
use super::conditions::{Verdict, ask};
use super::decision::{Decision, Outcome};
use super::definition::{Rule, RulePlan, Trigger};
use super::savepoint::attempt;
use super::snippets::{self, Errand, World};
use super::trigger::kwargs;
use crate::capture::event::Change;

/// Most messages that are composed at once: a rule that tells a thousand people of each of five hundred records must not fill
/// the memory with half a million contexts.
const PORTION: usize = 10_000;

/// Why a rule could not be applied.
#[derive(Debug, thiserror::Error)]
pub(super) enum RuleError {
    #[error("{}", crate::db::describe(.0))]
    Server(#[from] tokio_postgres::Error),
    #[error("{0}")]
    Configuration(String),
}

/// The rule that is being applied.
#[derive(Clone, Copy)]
pub(super) struct Work<'r> {
    pub(super) trigger: &'r Trigger,
    pub(super) rule: &'r Rule,
    pub(super) plan: &'r RulePlan,
}

impl Work<'_> {
    /// A decision of this rule.
    pub(super) fn decide(&self, outcome: Outcome, change: &Change, reason: impl Into<String>) -> Decision {
        Decision::new(outcome, change, &self.trigger.code, reason).rule(&self.rule.code)
    }
}

impl<'r> Work<'r> {
    /// A run of the rule's code for a record.
    pub(super) fn errand(
        &self,
        case: &'r Case<'_>,
        partner: Option<i64>,
        context: Map<String, Value>,
    ) -> Errand<'r> {
        Errand {
            model: &self.trigger.model,
            record: case.change.record.0,
            image: &case.image,
            partner,
            kwargs: kwargs(self.trigger, case.change),
            context,
        }
    }
}

impl Batch<'_> {
    /// The host as code of a rule sees it.
    pub(super) fn world(&self) -> World<'_> {
        World::new(
            &self.configuration.catalog,
            &self.configuration.aliases,
            &self.asking.vars,
        )
    }

    pub(super) async fn rule(
        &mut self,
        trigger: &Trigger,
        rule: &Rule,
        cases: &[&Case<'_>],
    ) -> Result<(), BatchError> {
        if !self.limits.alone && Instant::now() > self.limits.deadline {
            return Err(BatchError::TooSlow);
        }
        let before = (self.decisions.len(), self.aside.len(), self.messages);
        let rehearsed = self.rehearsal.as_ref().map_or(0, |r| r.messages.len());
        let failed = match attempt(self.tx, self.steps(trigger, rule, cases)).await? {
            Ok(()) => return Ok(()),
            Err(RuleError::Server(error)) if self.too_slow(&error) => return Err(BatchError::TooSlow),
            Err(error) => error.to_string(),
        };
        self.decisions.truncate(before.0);
        self.aside.truncate(before.1);
        self.messages = before.2;
        if let Some(rehearsal) = &mut self.rehearsal {
            rehearsal.messages.truncate(rehearsed);
        }
        for case in cases {
            self.fail(trigger, rule, case.change, &failed);
        }
        Ok(())
    }

    /// A rule that failed for a record is tried again for that record.
    fn fail(&mut self, trigger: &Trigger, rule: &Rule, change: &Change, error: &str) {
        let decision = Decision::new(Outcome::Error, change, &trigger.code, error).rule(&rule.code);
        self.decisions.push(decision);
        let error = format!("rule {}: {error}", rule.code);
        self.set_aside(change, Some(trigger), Some(rule), &error);
    }

    /// The rule failed for this record only.
    pub(super) fn fail_case(&mut self, work: Work<'_>, case: &Case<'_>, error: &str) {
        self.fail(work.trigger, work.rule, case.change, error);
    }

    pub(super) async fn steps(
        &mut self,
        trigger: &Trigger,
        rule: &Rule,
        cases: &[&Case<'_>],
    ) -> Result<(), RuleError> {
        let plan = rule.plan.as_ref();
        let plan = plan.map_err(|e| RuleError::Configuration(e.clone()))?;
        let work = Work { trigger, rule, plan };
        self.has_template(rule)?;
        let hits = self.rule_condition(work, cases).await?;
        let hits = self.python_condition(work, hits).await?;
        if hits.is_empty() {
            return Ok(());
        }
        self.permits
            .load(self.tx, &self.configuration.catalog, &hits)
            .await?;
        let addressed = self.address(work, hits).await?;
        let mut rest = addressed.as_slice();
        while !rest.is_empty() {
            let (portion, left) = rest.split_at(portion(rest.iter().map(|a| a.recipients.len())));
            let drafts = self.compose(work, portion).await?;
            let drafts = self.unrepeated(work, drafts).await?;
            self.hand_over(work, drafts).await?;
            rest = left;
        }
        Ok(())
    }

    pub(super) fn has_template(&self, rule: &Rule) -> Result<(), RuleError> {
        if self.configuration.templates.contains(&rule.template_key) {
            return Ok(());
        }
        Err(RuleError::Configuration(format!(
            "there is no active template {}; see sicantik_notify.template",
            rule.template_key
        )))
    }

    pub(super) async fn rule_condition<'s, 'c>(
        &mut self,
        work: Work<'_>,
        cases: &[&'s Case<'c>],
    ) -> Result<Vec<&'s Case<'c>>, RuleError> {
        let verdicts = match self
            .foretold
            .remove(&work.rule.id)
            .filter(|v| v.len() == cases.len())
        {
            Some(verdicts) => verdicts,
            None => {
                let domain = self
                    .compiled(work.plan.domain.as_ref())
                    .map_err(|error| RuleError::Configuration(format!("condition_domain: {error}")))?;
                ask(self.tx, domain.as_deref(), &work.trigger.model, cases).await?
            }
        };
        let unmet = "the rule's condition_domain is not met";
        Ok(self.sift(work, cases.to_vec(), verdicts, unmet))
    }

    /// `condition_python`: one verdict a record, an error stops only that record.
    pub(super) async fn python_condition<'s, 'c>(
        &mut self,
        work: Work<'_>,
        hits: Vec<&'s Case<'c>>,
    ) -> Result<Vec<&'s Case<'c>>, RuleError> {
        let Some(code) = &work.plan.condition else {
            return Ok(hits);
        };
        let errands: Vec<Errand<'_>> = hits
            .iter()
            .map(|case| work.errand(case, None, Map::new()))
            .collect();
        let verdicts: Vec<Verdict> = {
            let mut world = self.world();
            let asked = snippets::conditions(self.tx, &mut world, &self.configuration.python, code, &errands);
            asked.await.map_err(|e| unreadable("condition_python", e))?
        };
        Ok(self.sift(work, hits, verdicts, "the rule's condition_python is not met"))
    }

    /// The records that meet a condition; of the others it is said why not.
    fn sift<'s, 'c>(
        &mut self,
        work: Work<'_>,
        cases: Vec<&'s Case<'c>>,
        verdicts: Vec<Verdict>,
        unmet: &str,
    ) -> Vec<&'s Case<'c>> {
        let mut hits = Vec::new();
        for (case, verdict) in cases.into_iter().zip(verdicts) {
            match verdict {
                Ok(true) => hits.push(case),
                Ok(false) => self
                    .decisions
                    .push(work.decide(Outcome::RuleCondition, case.change, unmet)),
                Err(error) => self.fail_case(work, case, &error),
            }
        }
        hits
    }
}

/// An error of the server while code was asking: mostly a right that is missing.
pub(super) fn unreadable(column: &str, error: tokio_postgres::Error) -> RuleError {
    match error.code() {
        Some(&SqlState::INSUFFICIENT_PRIVILEGE) => RuleError::Configuration(format!(
            "{column} reads what the daemon may not read ({}); run `sicantik-notifyd hooks install` as a DBA",
            crate::db::describe(&error)
        )),
        _ => RuleError::Server(error),
    }
}

/// How many of the next records make a portion; at least one.
fn portion(sizes: impl Iterator<Item = usize>) -> usize {
    let mut sum = 0;
    let fits = |size: &usize| {
        sum += size;
        sum <= PORTION
    };
    sizes.take_while(fits).count().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_portion_is_bounded_and_never_empty() {
        assert_eq!(portion([1; 500].into_iter()), 500);
        assert_eq!(portion([1000; 500].into_iter()), 10);
        assert_eq!(portion([PORTION + 1, 1].into_iter()), 1);
    }
}
