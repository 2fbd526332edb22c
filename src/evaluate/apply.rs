//! Triggers and rules applied to the changes of one batch. Set-wise: a statement a rule, not a statement an event. What
//! comes out is handed back; the batch stores it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use tokio_postgres::Transaction;

use super::batch::{BatchError, SetAside};
use super::conditions::{guarded, satisfied};
use super::configuration::{Configuration, Recipients, Rule, RulePlan, Trigger};
use super::context::{Subject, default_context};
use super::decision::{Decision, Outcome};
use super::question::{Asking, Question};
use super::recipients::{self, Members, Recipient};
use crate::capture::event::{Change, Operation};
use crate::host::catalog::Model;
use crate::host::{record, user};
use crate::lang::domain::{Compiled, Vars};
use crate::queue::enqueue::{NewMessage, Terms, enqueue};

/// What a batch comes to, besides the messages that are enqueued already.
pub(super) struct Outcomes {
    /// Why, for each change, trigger, rule and recipient.
    pub(super) decisions: Vec<Decision>,
    /// What could not be evaluated.
    pub(super) aside: Vec<SetAside>,
    /// How many messages were enqueued.
    pub(super) messages: usize,
}

/// Applies the configuration to the changes, as of `now`.
pub(super) async fn apply(
    tx: &Transaction<'_>,
    configuration: &Configuration,
    now: DateTime<Utc>,
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
        decisions: Vec::new(),
        aside: Vec::new(),
        messages: 0,
        permits: None,
    };
    batch.run(changes).await?;
    Ok(Outcomes {
        decisions: batch.decisions,
        aside: batch.aside,
        messages: batch.messages,
    })
}

/// A change with its record.
pub(super) struct Subjects<'c> {
    change: &'c Change,
    pub(super) image: Map<String, Value>,
    /// Columns that the event did not carry: their current value was read.
    current: Vec<String>,
}

struct Batch<'a> {
    tx: &'a Transaction<'a>,
    configuration: &'a Configuration,
    /// What the conditions of the whole batch see.
    asking: Asking<'a>,
    now: DateTime<Utc>,
    decisions: Vec<Decision>,
    aside: Vec<SetAside>,
    messages: usize,
    /// Permits behind documents, by id; read once a batch.
    permits: Option<HashMap<i64, Map<String, Value>>>,
}

/// Why a rule could not be applied.
#[derive(Debug, thiserror::Error)]
enum RuleError {
    #[error("{}", crate::db::describe(.0))]
    Server(#[from] tokio_postgres::Error),
    #[error("{0}")]
    Configuration(String),
}

impl<'a> Batch<'a> {
    async fn run(&mut self, changes: &[Change]) -> Result<(), BatchError> {
        let mut by_model: BTreeMap<&str, Vec<&Change>> = BTreeMap::new();
        for change in changes {
            by_model.entry(&change.model).or_default().push(change);
        }
        let configuration = self.configuration;
        for (model_name, changes) in by_model {
            let triggers: Vec<&Trigger> = configuration
                .triggers
                .iter()
                .filter(|t| t.model.name == model_name)
                .collect();
            let Some(model) = triggers.first().map(|t| t.model.clone()) else {
                continue;
            };
            let subjects = self.subjects(&model, &triggers, &changes).await?;
            self.permits = None;
            for trigger in triggers {
                self.trigger(trigger, &subjects).await?;
            }
        }
        Ok(())
    }

    /// Images, completed with current values where the hook did not carry a column that is read.
    async fn subjects<'c>(
        &self,
        model: &Arc<Model>,
        triggers: &[&Trigger],
        changes: &[&'c Change],
    ) -> Result<Vec<Subjects<'c>>, BatchError> {
        let mut reads: HashSet<String> = triggers.iter().flat_map(|t| t.reads()).collect();
        for question in triggers.iter().flat_map(|t| t.questions()) {
            // What an expression reads today may not be what it read when the hooks were made.
            if let Ok(compiled) = question.at(&self.asking) {
                reads.extend(compiled.columns.iter().cloned());
            }
        }
        let mut subjects: Vec<Subjects<'c>> = changes
            .iter()
            .map(|change| {
                let image = change.image();
                let current = reads
                    .iter()
                    .filter(|c| !image.contains_key(*c))
                    .cloned()
                    .collect();
                Subjects {
                    change,
                    image,
                    current,
                }
            })
            .collect();
        let incomplete: Vec<i64> = subjects
            .iter()
            .filter(|s| !s.current.is_empty())
            .map(|s| s.change.record.0)
            .collect();
        if !incomplete.is_empty() {
            let rows = record::fetch(self.tx, model, &incomplete).await?;
            for subject in &mut subjects {
                let row = rows.get(&subject.change.record.0);
                for column in &subject.current {
                    let value = row.and_then(|r| r.get(column)).cloned().unwrap_or(Value::Null);
                    subject.image.insert(column.clone(), value);
                }
            }
        }
        Ok(subjects)
    }

    async fn trigger(&mut self, trigger: &Trigger, subjects: &[Subjects<'_>]) -> Result<(), BatchError> {
        let fired: Vec<&Subjects<'_>> = subjects
            .iter()
            .filter(|s| match s.change.target_trigger {
                Some(target) => target == trigger.id,
                None => !s
                    .change
                    .steps
                    .iter()
                    .any(|step| step.operation == Operation::Fired),
            })
            .filter(|s| {
                s.change
                    .steps
                    .iter()
                    .any(|step| step.operation == Operation::Fired)
                    || trigger.condition.matches(s.change)
            })
            .collect();
        if fired.is_empty() {
            return Ok(());
        }
        let domain = match &trigger.domain {
            Ok(question) => self.ask(question.as_ref()),
            Err(error) => Err(error.clone()),
        };
        let met = match domain {
            Ok(domain) => guarded(self.tx, domain.as_deref(), &trigger.model, &fired).await?,
            Err(error) => Err(error),
        };
        let met = match met {
            Ok(met) => met,
            Err(error) => {
                let error = format!("trigger {}: {error}", trigger.code);
                for s in &fired {
                    self.set_aside(s.change, trigger, None, &error);
                }
                return Ok(());
            }
        };
        let mut hits = Vec::new();
        for (index, subject) in fired.into_iter().enumerate() {
            if met.contains(&(index as i32)) {
                hits.push(subject);
            } else {
                self.decisions.push(Decision::new(
                    Outcome::TriggerCondition,
                    subject.change,
                    &trigger.code,
                    "the trigger's condition_domain is not met",
                ));
            }
        }
        let active: Vec<&Rule> = trigger.rules.iter().filter(|r| r.active).collect();
        if active.is_empty() {
            for s in &hits {
                let reason = match trigger.rules.len() {
                    0 => "the trigger has no rule".to_owned(),
                    n => format!("none of the trigger's {n} rules is active"),
                };
                self.decisions
                    .push(Decision::new(Outcome::NoRule, s.change, &trigger.code, reason));
            }
        }
        for rule in active {
            let meant: Vec<&Subjects<'_>> = hits
                .iter()
                .copied()
                .filter(|s| s.change.target_rule.is_none_or(|r| r == rule.id))
                .collect();
            if !meant.is_empty() {
                self.rule(trigger, rule, &meant).await?;
            }
        }
        Ok(())
    }

    /// One rule, in a savepoint: what it fails at stops nothing else.
    async fn rule(
        &mut self,
        trigger: &Trigger,
        rule: &Rule,
        subjects: &[&Subjects<'_>],
    ) -> Result<(), BatchError> {
        self.tx.batch_execute("savepoint rule").await?;
        let (decisions, messages) = (self.decisions.len(), self.messages);
        let failed = match self.apply(trigger, rule, subjects).await {
            Ok(()) => {
                self.tx.batch_execute("release savepoint rule").await?;
                return Ok(());
            }
            Err(RuleError::Server(e)) if e.is_closed() => return Err(e.into()),
            Err(error) => error.to_string(),
        };
        self.tx
            .batch_execute("rollback to savepoint rule; release savepoint rule")
            .await?;
        self.decisions.truncate(decisions);
        self.messages = messages;
        for s in subjects {
            self.decisions.push(
                Decision::new(Outcome::Error, s.change, &trigger.code, failed.clone()).rule(&rule.code),
            );
            self.set_aside(
                s.change,
                trigger,
                Some(rule),
                &format!("rule {}: {failed}", rule.code),
            );
        }
        Ok(())
    }

    /// A condition as it is at the batch's moment.
    fn ask(&self, question: Option<&Question>) -> Result<Option<Arc<Compiled>>, String> {
        let Some(question) = question else { return Ok(None) };
        let compiled = question.at(&self.asking);
        compiled
            .map(Some)
            .map_err(|error| format!("condition_domain: {}", error.diagnostic(question.text())))
    }

    fn set_aside(&mut self, change: &Change, trigger: &Trigger, rule: Option<&Rule>, error: &str) {
        self.aside.push(SetAside {
            ids: change.event_ids(),
            trigger: Some(trigger.id.0),
            rule: rule.map(|r| r.id.0),
            error: error.to_owned(),
            tries: change.tries,
        });
    }

    async fn apply(
        &mut self,
        trigger: &Trigger,
        rule: &Rule,
        subjects: &[&Subjects<'_>],
    ) -> Result<(), RuleError> {
        let plan: &RulePlan = rule
            .plan
            .as_ref()
            .map_err(|e| RuleError::Configuration(e.clone()))?;
        if !self.configuration.templates.contains(&rule.template_key) {
            return Err(RuleError::Configuration(format!(
                "there is no active template {}; see sicantik_notify.template",
                rule.template_key
            )));
        }
        let domain = self.ask(plan.domain.as_ref()).map_err(RuleError::Configuration)?;
        let met = satisfied(self.tx, domain.as_deref(), &trigger.model, subjects).await?;
        let mut hits = Vec::new();
        for (index, subject) in subjects.iter().enumerate() {
            if met.contains(&(index as i32)) {
                hits.push(*subject);
            } else {
                self.decisions.push(
                    Decision::new(
                        Outcome::RuleCondition,
                        subject.change,
                        &trigger.code,
                        "the rule's condition_domain is not met",
                    )
                    .rule(&rule.code),
                );
            }
        }
        if hits.is_empty() {
            return Ok(());
        }
        self.load_permits(&hits).await?;
        let people = self.people(plan, &hits).await?;
        let messages = self.compose(trigger, rule, &hits, &people);
        self.enqueue(trigger, rule, messages).await
    }

    /// Partner ids for each subject, and who they are.
    async fn people(
        &self,
        plan: &RulePlan,
        hits: &[&Subjects<'_>],
    ) -> Result<(Vec<Vec<i64>>, HashMap<i64, Recipient>), RuleError> {
        let wanted: Vec<Vec<i64>> = match &plan.recipients {
            Recipients::Partner => hits
                .iter()
                .map(|s| self.partner_of(&s.image).into_iter().collect())
                .collect(),
            Recipients::Group(name) => {
                let members = match recipients::members(self.tx, name).await? {
                    Members::Of(members) => members,
                    Members::Unknown => {
                        return Err(RuleError::Configuration(format!(
                            "the host has no group {name:?} (external id, database id or name)"
                        )));
                    }
                    Members::Ambiguous(ids) => {
                        return Err(RuleError::Configuration(format!(
                            "{name:?} means several groups ({ids:?}); name one by external id or database id"
                        )));
                    }
                };
                vec![members; hits.len()]
            }
        };
        let mut ids: Vec<i64> = wanted.iter().flatten().copied().collect();
        ids.sort_unstable();
        ids.dedup();
        let people = recipients::partners(self.tx, &ids).await?;
        Ok((wanted, people))
    }

    /// The record's partner, else its permit's.
    fn partner_of(&self, image: &Map<String, Value>) -> Option<i64> {
        image.get("partner_id").and_then(Value::as_i64).or_else(|| {
            self.permit_of(image)
                .and_then(|p| p.get("partner_id"))
                .and_then(Value::as_i64)
        })
    }

    fn permit_of(&self, image: &Map<String, Value>) -> Option<&Map<String, Value>> {
        self.permits.as_ref()?.get(&image.get("permit_id")?.as_i64()?)
    }

    async fn load_permits(&mut self, hits: &[&Subjects<'_>]) -> Result<(), RuleError> {
        let Some(model) = self.configuration.catalog.model("sicantik.permit") else {
            return Ok(());
        };
        let known = self.permits.get_or_insert_default();
        let mut ids: Vec<i64> = hits
            .iter()
            .filter_map(|s| s.image.get("permit_id").and_then(Value::as_i64))
            .filter(|id| !known.contains_key(id))
            .collect();
        ids.sort_unstable();
        ids.dedup();
        let found = record::fetch(self.tx, model, &ids).await?;
        known.extend(found);
        Ok(())
    }

    fn compose(
        &mut self,
        trigger: &Trigger,
        rule: &Rule,
        hits: &[&Subjects<'_>],
        (wanted, people): &(Vec<Vec<i64>>, HashMap<i64, Recipient>),
    ) -> Vec<(NewMessage, String)> {
        let mut messages = Vec::new();
        let permit_model = self.configuration.catalog.model("sicantik.permit");
        for (subject, partners) in hits.iter().zip(wanted) {
            let change = subject.change;
            let decide = |outcome, reason: String| {
                Decision::new(outcome, change, &trigger.code, reason).rule(&rule.code)
            };
            if partners.is_empty() {
                self.decisions.push(decide(
                    Outcome::NoRecipient,
                    "the record has no partner, or the group no member".into(),
                ));
            }
            let permit = match permit_model {
                Some(m) if m.name == change.model => Some((m.as_ref(), &subject.image)),
                Some(m) => self.permit_of(&subject.image).map(|p| (m.as_ref(), p)),
                None => None,
            };
            let about = Subject {
                model: &trigger.model,
                record: &subject.image,
                permit,
                changed_at: change.at,
            };
            let mut numbers = HashSet::new();
            let mut decided = Vec::new();
            for id in partners {
                let Some(person) = people.get(id) else {
                    decided.push(decide(
                        Outcome::NoRecipient,
                        format!("partner {id} does not exist"),
                    ));
                    continue;
                };
                let phone = match &person.phone {
                    Ok(phone) => phone,
                    Err(reason) => {
                        decided.push(decide(Outcome::NoPhone, reason.clone()).partner(person.partner));
                        continue;
                    }
                };
                if !numbers.insert(phone.as_e164().to_owned()) {
                    let reason = "another recipient of this message has the same number".into();
                    decided.push(decide(Outcome::Duplicate, reason).partner(person.partner));
                    continue;
                }
                let context = default_context(&about, &person.name, &self.configuration.office, self.now);
                let note = match subject.current.is_empty() {
                    true => String::new(),
                    false => format!(
                        "; current value of {}, which the event did not carry",
                        subject.current.join(", ")
                    ),
                };
                messages.push((
                    NewMessage {
                        event: change.event_id(),
                        xact: change.xact.clone(),
                        model: change.model.clone(),
                        record: change.record,
                        partner: person.partner,
                        partner_name: person.name.clone(),
                        phone: phone.as_e164().to_owned(),
                        context,
                        changed_at: change.at,
                    },
                    note,
                ));
            }
            self.decisions.extend(decided);
        }
        messages
    }

    async fn enqueue(
        &mut self,
        trigger: &Trigger,
        rule: &Rule,
        messages: Vec<(NewMessage, String)>,
    ) -> Result<(), RuleError> {
        let (messages, notes): (Vec<NewMessage>, Vec<String>) = messages.into_iter().unzip();
        let terms = Terms {
            rule: rule.id,
            trigger: trigger.id,
            priority: rule.priority,
            delay_minutes: rule.delay_minutes,
            template_key: &rule.template_key,
        };
        let ids = enqueue(self.tx, &terms, &messages).await?;
        for ((message, note), id) in messages.iter().zip(notes).zip(ids) {
            let (outcome, reason) = match id {
                Some(_) => (Outcome::Enqueued, format!("template {}{note}", rule.template_key)),
                None => (
                    Outcome::Duplicate,
                    "a message for this change, rule and number waits already".to_owned(),
                ),
            };
            let mut decision = Decision::of_message(outcome, message, &trigger.code, reason)
                .rule(&rule.code)
                .partner(message.partner);
            if let Some(id) = id {
                self.messages += 1;
                decision = decision.message(id);
            }
            self.decisions.push(decision);
        }
        Ok(())
    }
}
