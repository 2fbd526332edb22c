//! Targets of a campaign through a rule's own steps: condition, recipients, context, repetition, queue. No event stands behind
//! them. Promises: what comes out is one outcome a target; a rule that cannot be applied at all is an error, and nothing was
//! decided; a rehearsal writes nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use tokio_postgres::Transaction;

use super::apply::{Batch, Limits};
use super::cases::{Case, cases};
use super::configuration::{Configuration, vars};
use super::decision::{self, Decision, Outcome};
use super::definition::{Rule, Tables, Trigger};
use super::firing::Foretold;
use super::permits::Permits;
use super::question::{Asking, Question};
use super::rule::{RuleError, Work};
use crate::capture::event::{Change, Operation, Step};
use crate::db::ids::{CampaignId, EventId, RecordId};
use crate::db::prepared::Prepared;
use crate::host::catalog::Model;
use crate::lang::domain::{BaseKind, Compiled, Source};

/// By which terms targets are told.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// Which.
    pub id: CampaignId,
    /// Code of its rule.
    pub rule: String,
    /// Template instead of the rule's.
    pub template_key: Option<String>,
}

/// Why targets could not be told, as a whole.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The server refused, or is gone.
    #[error("{}", crate::db::describe(.0))]
    Server(#[from] tokio_postgres::Error),
    /// A smaller number may succeed.
    #[error("it took too long")]
    TooSlow,
    /// The rule cannot be applied; a person must act.
    #[error("{0}")]
    Rule(String),
}

impl From<RuleError> for TargetError {
    fn from(error: RuleError) -> Self {
        match error {
            RuleError::Configuration(reason) => Self::Rule(reason),
            RuleError::Server(error) => Self::from_server(error),
        }
    }
}

impl TargetError {
    /// What the server says of the statement itself will be said again; what it says of the moment will not.
    fn from_server(error: tokio_postgres::Error) -> Self {
        use tokio_postgres::error::SqlState;
        match error.code().map(SqlState::code) {
            Some("57014") => Self::TooSlow,
            // Transaction conflicts, resources, shutdown, locks: try again.
            Some(code)
                if ["40", "53", "55", "57", "58", "08", "25"]
                    .iter()
                    .any(|c| code.starts_with(c)) =>
            {
                Self::Server(error)
            }
            Some(_) => Self::Rule(crate::db::describe(&error)),
            None => Self::Server(error),
        }
    }
}

/// What so many targets came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Messages that were enqueued.
    pub messages: i64,
    /// Targets by what they came to: `released`, or the outcome that says why there is no message.
    pub outcomes: BTreeMap<&'static str, i64>,
}

/// The domain of a campaign over its model's table, as it is now.
///
/// # Errors
/// Why it cannot be compiled, as text for the one who wrote it.
pub async fn compile(
    tx: &Transaction<'_>,
    configuration: &Configuration,
    model: &str,
    text: &str,
) -> Result<Result<(Arc<Model>, Arc<Compiled>), String>, tokio_postgres::Error> {
    let asking = Asking {
        catalog: &configuration.catalog,
        aliases: &configuration.aliases,
        vars: vars(tx, configuration.office.timezone).await?,
    };
    let Some(model) = configuration.catalog.model(model) else {
        return Ok(Err(format!("the host has no model {model}, or no table for it")));
    };
    let compiled = Source::parse(text)
        .and_then(|source| Question::new(source, model, BaseKind::Table, &asking)?.at(&asking))
        .map_err(|error| format!("target_domain: {}", error.diagnostic(text)));
    Ok(compiled.map(|compiled| (model.clone(), compiled)))
}

/// Tables of the host, with their columns, that a compiled domain of a campaign reads.
pub fn tables(model: &Model, domain: &Compiled) -> Tables {
    let mut tables: Tables = domain.tables.clone();
    let own = tables.entry(model.table.clone()).or_default();
    own.insert("id".to_owned());
    own.extend(domain.columns.iter().cloned());
    tables
}

/// What the campaigns that are not over read: so that whoever grants rights grants these too. A domain that does not compile
/// reads nothing.
///
/// # Errors
/// The server's.
pub async fn all_tables(
    tx: &Transaction<'_>,
    configuration: &Configuration,
) -> Result<Tables, tokio_postgres::Error> {
    let mut all = Tables::new();
    let query = "select target_model, target_domain from sicantik_notify.campaign where finished_at is null";
    for row in tx.query(query, &[]).await? {
        if let Ok((model, domain)) = compile(tx, configuration, row.get(0), row.get(1)).await? {
            for (table, columns) in tables(&model, &domain) {
                all.entry(table).or_default().extend(columns);
            }
        }
    }
    Ok(all)
}

/// The rule as a campaign applies it: each record has a message of its own, with the campaign's template.
fn terms(configuration: &Configuration, campaign: &Campaign) -> Result<(Trigger, Rule), TargetError> {
    let mut triggers = configuration.triggers.iter();
    let found = triggers.find_map(|t| Some((t, t.rules.iter().find(|r| r.code == campaign.rule)?)));
    let Some((trigger, rule)) = found else {
        let broken = configuration
            .problems
            .iter()
            .find(|p| p.about.starts_with("trigger "));
        return Err(TargetError::Rule(match broken {
            Some(problem) => format!(
                "its trigger is not in force ({}: {})",
                problem.about, problem.summary
            ),
            None => format!("the trigger of rule {} is not in force", campaign.rule),
        }));
    };
    // Whether it is in force is for the one who asks; what it reads is read.
    let mut rule = Rule {
        active: true,
        ..rule.clone()
    };
    if let Some(key) = &campaign.template_key {
        rule.template_key.clone_from(key);
    }
    if let Ok(plan) = &mut rule.plan {
        plan.grouped = false;
    }
    let trigger = Trigger {
        rules: vec![rule.clone()],
        ..trigger.clone()
    };
    Ok((trigger, rule))
}

/// Targets as if somebody had fired the trigger for them.
fn as_changes(campaign: CampaignId, model: &str, xact: &str, now: DateTime<Utc>, ids: &[i64]) -> Vec<Change> {
    let change = |(place, id): (i64, &i64)| Change {
        model: model.to_owned(),
        record: RecordId(*id),
        xact: xact.to_owned(),
        at: now,
        tries: 0,
        target_trigger: None,
        target_rule: None,
        kwargs: Map::new(),
        campaign: Some(campaign),
        steps: vec![Step {
            // Tells the targets of one batch apart, and nothing else.
            id: EventId(-place),
            operation: Operation::Fired,
            changed: Vec::new(),
            old: Map::new(),
            new: Map::new(),
        }],
    };
    (1..).zip(ids).map(change).collect()
}

async fn begin<'a>(
    tx: &'a Transaction<'a>,
    configuration: &'a Configuration,
) -> Result<(Batch<'a>, String), tokio_postgres::Error> {
    let vars = vars(tx, configuration.office.timezone).await?;
    let xact = tx
        .query_one(
            "select coalesce(pg_current_xact_id_if_assigned()::text, '0')",
            &[],
        )
        .await?
        .get(0);
    let now = vars.now;
    let batch = Batch {
        tx,
        configuration,
        asking: Asking {
            catalog: &configuration.catalog,
            aliases: &configuration.aliases,
            vars,
        },
        now,
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
    Ok((batch, xact))
}

/// Decides on records that are gone; the others are left.
fn existing<'s, 'c>(
    decisions: &mut Vec<Decision>,
    trigger: &Trigger,
    rule: &Rule,
    cases: &'s [Case<'c>],
) -> Vec<&'s Case<'c>> {
    let (gone, there): (Vec<_>, Vec<_>) = cases.iter().partition(|c| c.gone);
    let reason = "the record does not exist any more";
    decisions.extend(
        gone.iter()
            .map(|case| Decision::new(Outcome::Gone, case.change, &trigger.code, reason).rule(&rule.code)),
    );
    there
}

/// Enqueues the messages of these targets, and stores the decisions. The transaction is the caller's.
///
/// # Errors
/// [`TargetError`]; the transaction must then be rolled back.
pub async fn release(
    tx: &Transaction<'_>,
    configuration: &Configuration,
    campaign: &Campaign,
    ids: &[i64],
) -> Result<Told, TargetError> {
    let (trigger, rule) = terms(configuration, campaign)?;
    let (mut batch, xact) = begin(tx, configuration).await?;
    let changes = as_changes(campaign.id, &trigger.model.name, &xact, batch.now, ids);
    let refs: Vec<&Change> = changes.iter().collect();
    let cases = cases(tx, &batch.asking, &trigger.model, &[&trigger], &refs)
        .await
        .map_err(TargetError::from_server)?;
    let there = existing(&mut batch.decisions, &trigger, &rule, &cases);
    batch.steps(&trigger, &rule, &there).await?;
    decision::store(tx, &batch.prepared, &batch.decisions).await?;
    let told = told(&batch.decisions, ids);
    tracing::info!(
        CAMPAIGN_ID = campaign.id.0,
        RULE = rule.code,
        MESSAGES = told.messages,
        "Campaign {} reached {} targets: {} messages.",
        campaign.id,
        ids.len(),
        told.messages
    );
    Ok(told)
}

/// One outcome a target: `released` where there is a message for anybody; otherwise the first reason why there is none.
fn told(decisions: &[Decision], ids: &[i64]) -> Told {
    let mut told = Told::default();
    let mut of_target: HashMap<i64, Outcome> = HashMap::with_capacity(ids.len());
    for decision in decisions {
        let entry = of_target.entry(decision.record()).or_insert(decision.outcome);
        match decision.outcome {
            Outcome::Enqueued => {
                told.messages += 1;
                *entry = Outcome::Enqueued;
            }
            Outcome::Error if *entry != Outcome::Enqueued => *entry = Outcome::Error,
            _ => {}
        }
    }
    for id in ids {
        let outcome = match of_target.get(id).copied().unwrap_or(Outcome::Error) {
            Outcome::Enqueued => "released",
            other => other.as_str(),
        };
        *told.outcomes.entry(outcome).or_default() += 1;
    }
    told
}

/// A message that would leave.
#[derive(Clone, Debug)]
pub struct Planned {
    /// About which record.
    pub record: i64,
    /// To whom.
    pub partner: Option<i64>,
    /// Their name.
    pub name: String,
    /// Their number, E.164.
    pub phone: String,
    /// Values of the placeholders.
    pub context: Map<String, Value>,
    /// Why a person must release it first.
    pub held: Option<String>,
}

/// A record or a recipient without a message.
#[derive(Clone, Debug)]
pub struct Left {
    /// Which record.
    pub record: i64,
    /// Which partner, where it is one's message.
    pub partner: Option<i64>,
    /// What would be decided.
    pub outcome: &'static str,
    /// Why.
    pub reason: String,
}

/// What would become of targets.
#[derive(Clone, Debug, Default)]
pub struct Rehearsal {
    /// With which template.
    pub template_key: String,
    /// Messages, in the order of their targets.
    pub planned: Vec<Planned>,
    /// Who is left out.
    pub left: Vec<Left>,
}

/// What would become of these targets now. Writes nothing.
///
/// # Errors
/// [`TargetError`].
pub async fn rehearse(
    tx: &Transaction<'_>,
    configuration: &Configuration,
    campaign: &Campaign,
    ids: &[i64],
) -> Result<Rehearsal, TargetError> {
    let (trigger, rule) = terms(configuration, campaign)?;
    let (mut batch, xact) = begin(tx, configuration).await?;
    let changes = as_changes(campaign.id, &trigger.model.name, &xact, batch.now, ids);
    let refs: Vec<&Change> = changes.iter().collect();
    let cases = cases(tx, &batch.asking, &trigger.model, &[&trigger], &refs)
        .await
        .map_err(TargetError::from_server)?;
    let there = existing(&mut batch.decisions, &trigger, &rule, &cases);
    let plan = rule.plan.as_ref().map_err(|e| TargetError::Rule(e.clone()))?;
    batch.has_template(&rule)?;
    let work = Work {
        trigger: &trigger,
        rule: &rule,
        plan,
    };
    let planned = batch.rehearsed(work, &there).await?;
    let mut left: Vec<Left> = batch
        .decisions
        .iter()
        .map(|d| Left {
            record: d.record(),
            partner: d.partner_id(),
            outcome: d.outcome.as_str(),
            reason: d.reason().to_owned(),
        })
        .collect();
    left.extend(planned.1);
    Ok(Rehearsal {
        template_key: rule.template_key.clone(),
        planned: planned.0,
        left,
    })
}

impl Batch<'_> {
    /// A rule's steps up to the queue.
    async fn rehearsed(
        &mut self,
        work: Work<'_>,
        cases: &[&Case<'_>],
    ) -> Result<(Vec<Planned>, Vec<Left>), RuleError> {
        let hits = self.rule_condition(work, cases).await?;
        let hits = self.python_condition(work, hits).await?;
        self.permits
            .load(self.tx, &self.configuration.catalog, &hits)
            .await?;
        let addressed = self.address(work, hits).await?;
        let drafts = self.compose(work, &addressed).await?;
        let mut left = Vec::new();
        let mut told = std::collections::HashSet::new();
        for (record, phone, partner, reason) in self.told_before(work, &drafts).await? {
            left.push(Left {
                record,
                partner: partner.map(|p| p.0),
                outcome: Outcome::Repeated.as_str(),
                reason,
            });
            told.insert((record, phone));
        }
        let planned = drafts
            .into_iter()
            .map(|d| d.message)
            .filter(|m| !told.contains(&(m.record.0, m.phone.clone())))
            .map(|m| Planned {
                record: m.record.0,
                partner: m.partner.map(|p| p.0),
                name: m.partner_name,
                phone: m.phone,
                context: m.context,
                held: m.held,
            })
            .collect();
        Ok((planned, left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_with_any_message_is_released_and_one_without_has_its_first_reason() {
        let changes = as_changes(CampaignId(7), "m", "1", DateTime::UNIX_EPOCH, &[1, 2, 3, 4]);
        let decide = |outcome, at: usize| Decision::new(outcome, &changes[at], "t", "why");
        let decisions = [
            decide(Outcome::NoPhone, 0),
            decide(Outcome::Enqueued, 0),
            decide(Outcome::Enqueued, 0),
            decide(Outcome::NoPhone, 1),
            decide(Outcome::Repeated, 1),
            decide(Outcome::RuleCondition, 2),
        ];
        let told = told(&decisions, &[1, 2, 3, 4]);
        assert_eq!(told.messages, 2);
        let expected = [
            ("error", 1),
            ("no_phone", 1),
            ("released", 1),
            ("rule_condition", 1),
        ];
        assert_eq!(told.outcomes, BTreeMap::from(expected));
    }
}
