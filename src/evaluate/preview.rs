//! What stands between a record as it is now and its messages: a rule's steps up to the queue, with nothing written. For
//! `explain`, which so never says anything else than the evaluation would.

use std::collections::HashMap;
use std::time::Instant;

use serde_json::{Map, Value};
use tokio_postgres::Transaction;

use super::apply::{Batch, Limits};
use super::cases::Case;
use super::configuration::Configuration;
use super::decision::Outcome;
use super::definition::{Rule, RulePlan, Trigger};
use super::firing::Foretold;
use super::permits::Permits;
use super::question::Asking;
use super::rule::{RuleError, Work};
use super::savepoint::attempt;
use crate::capture::event::{Change, Operation, Step};
use crate::db::ids::{EventId, RecordId};
use crate::db::prepared::Prepared;
use crate::lang::domain::Vars;

/// Why a message would not leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    /// What would be decided.
    pub outcome: Outcome,
    /// A message would be made, and wait for a person.
    pub held: bool,
    /// Whose message, where it is a partner's.
    pub partner: Option<i64>,
    /// His name; empty where it is not known.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// A rule and a record to look at.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    /// What is in force.
    pub configuration: &'a Configuration,
    /// What expressions see.
    pub vars: &'a Vars,
    /// The rule's trigger.
    pub trigger: &'a Trigger,
    /// The rule.
    pub rule: &'a Rule,
    /// Columns of the record, at least those that are read.
    pub image: &'a Map<String, Value>,
    /// Whether the record meets the conditions in domains. If not, no Python of the rule is run: it may rely on them.
    pub met: bool,
}

/// The obstacles on the way from the record to its recipients. None: a message would leave for each of them.
///
/// # Errors
/// The connection is gone. What else fails is an obstacle.
pub async fn obstacles(tx: &Transaction<'_>, look: Look<'_>) -> Result<Vec<Obstacle>, tokio_postgres::Error> {
    let Ok(plan) = &look.rule.plan else {
        return Ok(Vec::new());
    };
    let mut plan: RulePlan = plan.clone();
    if !look.met {
        (plan.condition, plan.context_code) = (None, None);
    }
    let change = as_change(look);
    let case = Case::new(&change);
    let configuration = look.configuration;
    let mut batch = Batch {
        tx,
        configuration,
        asking: Asking {
            catalog: &configuration.catalog,
            aliases: &configuration.aliases,
            vars: look.vars.clone(),
        },
        now: look.vars.now,
        limits: Limits {
            deadline: Instant::now(),
            alone: true,
        },
        decisions: Vec::new(),
        aside: Vec::new(),
        messages: 0,
        permits: Permits::default(),
        foretold: Foretold::default(),
        rehearsal: None,
        prepared: Prepared::default(),
    };
    let work = Work {
        trigger: look.trigger,
        rule: look.rule,
        plan: &plan,
    };
    Ok(match attempt(tx, batch.obstacles(work, &case)).await? {
        Ok(found) => found,
        Err(error) => vec![Obstacle {
            outcome: Outcome::Error,
            held: false,
            partner: None,
            name: String::new(),
            reason: error.to_string(),
        }],
    })
}

/// The record as if somebody had fired the trigger for it.
fn as_change(look: Look<'_>) -> Change {
    Change {
        model: look.trigger.model.name.clone(),
        record: RecordId(look.image.get("id").and_then(Value::as_i64).unwrap_or(0)),
        xact: String::new(),
        at: look.vars.now,
        tries: 0,
        target_trigger: None,
        target_rule: None,
        kwargs: Map::new(),
        campaign: None,
        steps: vec![Step {
            id: EventId(0),
            operation: Operation::Fired,
            changed: Vec::new(),
            old: Map::new(),
            new: look.image.clone(),
        }],
    }
}

impl Batch<'_> {
    async fn obstacles(&mut self, work: Work<'_>, case: &Case<'_>) -> Result<Vec<Obstacle>, RuleError> {
        // Where the condition is not met, the recipients are looked at all the same: there may be more than one reason.
        let mut rest = work.plan.clone();
        if self.python_condition(work, vec![case]).await?.is_empty() {
            rest.context_code = None;
        }
        let work = Work { plan: &rest, ..work };
        self.permits
            .load(self.tx, &self.configuration.catalog, &[case])
            .await?;
        let addressed = self.address(work, vec![case]).await?;
        let people = addressed.iter().flat_map(|a| &a.recipients);
        let names: HashMap<i64, String> = people
            .filter_map(|r| Some((r.partner?.0, r.name.clone())))
            .collect();
        let drafts = self.compose(work, &addressed).await?;
        let name = |partner: Option<i64>| partner.and_then(|p| names.get(&p)).cloned().unwrap_or_default();
        let obstacle = |outcome, held, partner: Option<i64>, reason: String| Obstacle {
            outcome,
            held,
            partner,
            name: name(partner),
            reason,
        };
        let declined = self.decisions.iter().filter(|d| d.outcome != Outcome::Duplicate);
        let mut found: Vec<Obstacle> = declined
            .map(|d| obstacle(d.outcome, false, d.partner_id(), d.reason().to_owned()))
            .collect();
        for (_, _, partner, reason) in self.told_before(work, &drafts).await? {
            found.push(obstacle(Outcome::Repeated, false, partner.map(|p| p.0), reason));
        }
        for message in drafts.iter().map(|d| &d.message) {
            let reason = message.held.clone();
            found.extend(
                reason.map(|reason| {
                    obstacle(Outcome::NameMismatch, true, message.partner.map(|p| p.0), reason)
                }),
            );
        }
        Ok(found)
    }
}
