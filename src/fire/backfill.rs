//! Events for changes that were missed: hooks were lost, writes could not be captured, a table was restored. Which records changed is known only
//! from the host's own write_date and create_date (naive, UTC); what they were before is not known at all. So a trigger that watches a
//! state looks for records that stand in it now, and state_from cannot be checked.
//!
//! Nobody is told twice: for each rule, a record is left out whose change that rule has decided on since the moment, be it that it was captured after
//! all or that an earlier backfill stands for it, and one whose events still wait. Where a trigger tells of a state that a record can have been in for
//! long, a record of which the rule has told before is left out too, since being written is no sign of having come there anew. What is looked at and
//! what is fired is one statement, and backfills run one after the other.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, json};
use tokio_postgres::Transaction;
use tokio_postgres::types::ToSql;

use super::records::{Choice, Records};
use super::simulate::{Material, Report, SimulateError, simulate};
use crate::capture::fire::{Aim, Selection, fire_by_hand};
use crate::evaluate::check::{Survey, flag, text};
use crate::evaluate::configuration::Configuration;
use crate::evaluate::definition::{Rule, Trigger};
use crate::evaluate::trial::Trial;
use crate::evaluate::trigger::{Condition, FieldChange};
use crate::host::record::quote;
use crate::lang::domain::{DomainError, Param};
use crate::lang::snippet::Limits;

/// An alarm's moment is when all was well last. A transaction that had begun before carries an older write_date.
const MARGIN: TimeDelta = TimeDelta::minutes(5);

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Only this trigger.
    pub trigger: Option<String>,
    /// Only this rule.
    pub rule: Option<String>,
    /// Only triggers of these models; empty: of all.
    pub models: BTreeSet<String>,
    /// Which records.
    pub choice: Choice,
    /// Written since then; empty: whenever.
    pub since: Option<DateTime<Utc>>,
    /// Records that a rule has told of before `since`, too.
    pub again: bool,
}

/// Changes that may have been missed, as v_problem says.
#[derive(Clone, Debug)]
pub struct Gap {
    /// The alarm.
    pub about: String,
    /// Since when.
    pub since: DateTime<Utc>,
    /// The model concerned; empty: any.
    pub model: Option<String>,
    /// What it says.
    pub summary: String,
}

/// Why there is nothing to be done.
#[derive(Debug, thiserror::Error)]
pub enum BackfillError {
    /// The server refused.
    #[error("{}", crate::db::describe(.0))]
    Server(#[from] tokio_postgres::Error),
    /// The dry run stopped.
    #[error(transparent)]
    Simulate(#[from] SimulateError),
    /// The domain is wrong.
    #[error("{}", .error.diagnostic(.text))]
    Domain {
        /// The domain.
        text: String,
        /// What is wrong with it.
        error: DomainError,
    },
    /// A name means nothing, or something that cannot be backfilled.
    #[error("{0}")]
    Name(String),
}

/// One rule and the records that it has to look at.
#[derive(Clone, Debug)]
pub struct Part {
    /// Its trigger, with this rule alone.
    pub trigger: Trigger,
    /// The rule.
    pub rule: Rule,
    /// Records that were written, and stand where the trigger leads.
    pub written: u64,
    /// Of them: the rule has decided on them since.
    pub decided: u64,
    /// Of them: events of them wait to be evaluated, and may be about this very change.
    pub waiting: u64,
    /// Of them: the rule told of them before, and being written says nothing new.
    pub told_before: u64,
    records: Records,
}

impl Part {
    /// Records that are left.
    pub fn left(&self) -> u64 {
        self.written
            .saturating_sub(self.decided + self.waiting + self.told_before)
    }

    /// What cannot be known of its records.
    pub fn doubts(&self) -> Option<String> {
        match &self.trigger.condition {
            Condition::State { from: Some(from), .. } => Some(format!(
                "the old value is not known: whether it was '{from}' cannot be checked"
            )),
            Condition::State { to: None, .. } => {
                Some("whether the status changed at all is not known".to_owned())
            }
            Condition::Field { column, .. } => {
                Some(format!("whether {column} was what was written is not known"))
            }
            Condition::Write { .. } => {
                Some("whether anything changed beside bookkeeping columns is not known".to_owned())
            }
            _ => None,
        }
    }
}

/// What a backfill would do.
#[derive(Debug)]
pub struct Backfill {
    configuration: Configuration,
    heeding: BTreeSet<crate::db::ids::RuleId>,
    /// A rule each.
    pub parts: Vec<Part>,
    /// Triggers and rules that do not compile, so that nothing can be made up for them; with the reason.
    pub unusable: Vec<String>,
    /// Decisions before this moment are not kept any more.
    pub remembers: Option<DateTime<Utc>>,
}

/// Hooks that are not as they should be: what is missed through them goes on being missed. Each with what mends it.
///
/// # Errors
/// The server's.
pub async fn still_missing(tx: &Transaction<'_>) -> Result<Vec<(String, String)>, tokio_postgres::Error> {
    let findings =
        "select f.finding, f.remedy from sicantik_notify.hook_findings() f where f.severity = 'alarm'";
    let rows = tx.query(findings, &[]).await?;
    Ok(rows.iter().map(|r| (r.get(0), r.get(1))).collect())
}

/// Alarms of missed changes that stand.
///
/// # Errors
/// The server's.
pub async fn gaps(tx: &Transaction<'_>) -> Result<Vec<Gap>, tokio_postgres::Error> {
    let standing = "select p.key, p.since, c.model, p.summary from sicantik_notify.problem p \
                    left join sicantik_notify.capture_plan c on p.key = 'hook gap of ' || c.table_name \
                    where p.key = 'capture misses' or starts_with(p.key, 'hook gap of ') order by p.since";
    let rows = tx.query(standing, &[]).await?;
    let gap = |row: &tokio_postgres::Row| Gap {
        about: row.get(0),
        since: row.get::<_, DateTime<Utc>>(1) - MARGIN,
        model: row.get(2),
        summary: row.get(3),
    };
    Ok(rows.iter().map(gap).collect())
}

impl Backfill {
    /// Finds the rules and counts their records.
    ///
    /// # Errors
    /// [`BackfillError`].
    pub async fn plan(tx: &Transaction<'_>, wish: &Wish) -> Result<Self, BackfillError> {
        let survey = Survey::load(tx).await?;
        check_names(&survey, wish)?;
        let mut heeding = BTreeSet::new();
        let (mut parts, mut unusable) = (Vec::new(), Vec::new());
        for surveyed in survey.triggers.iter().filter(|t| t.active()) {
            let trigger = match &surveyed.compiled {
                Ok(trigger) if wanted(trigger, wish) => trigger,
                Ok(_) => continue,
                Err(error) => {
                    let model = text(&surveyed.facts, "model").unwrap_or_default();
                    let code = surveyed.code();
                    if wish.trigger.as_deref().is_none_or(|t| t == code)
                        && wish.rule.is_none()
                        && (wish.models.is_empty() || wish.models.contains(model))
                    {
                        unusable.push(format!("trigger {code}: {error}"));
                    }
                    continue;
                }
            };
            if let Err(error) = &trigger.domain {
                unusable.push(format!("trigger {}: {error}", trigger.code));
                continue;
            }
            let written = written(&survey, trigger, wish)?;
            for rule in trigger.rules.iter().filter(|r| r.active) {
                if wish.rule.as_ref().is_some_and(|code| *code != rule.code) {
                    continue;
                }
                if let Err(error) = &rule.plan {
                    unusable.push(format!("rule {}: {error}", rule.code));
                    continue;
                }
                let mut surveyed = survey.triggers.iter().flat_map(|t| &t.rules);
                let facts = surveyed.find(|f| text(f, "code") == Some(&rule.code));
                if facts.is_none_or(|f| flag(f, "respect_blacklist")) {
                    heeding.insert(rule.id);
                }
                parts.push(part(tx, trigger, rule, &written, wish).await?);
            }
        }
        let oldest = "select min(x.at) from (select decided_at as at from sicantik_notify.decision order by id limit 1) x";
        let remembers = tx.query_one(oldest, &[]).await?.get(0);
        Ok(Self {
            configuration: survey.configuration,
            heeding,
            parts,
            unusable,
            remembers,
        })
    }

    /// Records whose events wait, by rule: to be asked again.
    pub fn waiting(&self) -> u64 {
        self.parts.iter().map(|p| p.waiting).sum()
    }

    /// What the rules' code may use meanwhile.
    pub fn python(&mut self, limits: Limits) {
        self.configuration.python = limits;
    }

    /// What it would tell.
    ///
    /// # Errors
    /// [`BackfillError`].
    pub async fn rehearse(
        &self,
        tx: &Transaction<'_>,
        examples: usize,
        mut progress: impl FnMut(u64),
    ) -> Result<Report, BackfillError> {
        let mut whole = Report::default();
        for part in &self.parts {
            let trial = Trial {
                configuration: Configuration {
                    triggers: vec![part.trigger.clone()],
                    ..self.configuration.clone()
                },
                heeding: self.heeding.clone(),
                inactive: Vec::new(),
            };
            let before = whole.looked_at;
            let material = Material::Records(&part.records);
            let report = simulate(tx, &trial, material, examples, |n| progress(before + n)).await?;
            whole.absorb(report, examples);
        }
        Ok(whole)
    }

    /// Fires. Which records that are is asked again here, when no other backfill is under way.
    ///
    /// # Errors
    /// [`BackfillError`].
    pub async fn fire(&self, tx: &Transaction<'_>) -> Result<u64, BackfillError> {
        let alone = "select pg_advisory_xact_lock(hashtextextended('sicantik_notify.backfill', 0))";
        tx.execute(alone, &[]).await?;
        let kwargs = json!({"backfill": true})
            .as_object()
            .cloned()
            .unwrap_or_else(Map::new);
        let mut events = 0;
        for part in &self.parts {
            let aim = Aim {
                trigger: part.trigger.id,
                rule: Some(part.rule.id),
                model: &part.trigger.model,
                changed: part.trigger.condition.column(),
            };
            let chosen = Selection::Domain(part.records.compiled());
            events += fire_by_hand(tx, aim, chosen, &kwargs, "backfill").await?.events;
        }
        Ok(events)
    }
}

fn check_names(survey: &Survey, wish: &Wish) -> Result<(), BackfillError> {
    let refuse = |text: String| Err(BackfillError::Name(text));
    let code = match (&wish.trigger, &wish.rule) {
        (None, None) => return Ok(()),
        (trigger, Some(rule)) => {
            let has = |f: &&crate::evaluate::check::Facts| text(f, "code") == Some(rule);
            let of = survey.triggers.iter().find(|t| t.rules.iter().any(|f| has(&f)));
            let Some(of) = of else {
                return refuse(format!("there is no rule {rule}; v_rule lists them"));
            };
            if trigger.as_ref().is_some_and(|t| t != of.code()) {
                return refuse(format!("rule {rule} is one of the trigger {}", of.code()));
            }
            if !of.rules.iter().filter(has).any(|f| flag(f, "active")) {
                return refuse(format!(
                    "rule {rule} is inactive: activate it first, or look with `simulate --rule {rule}`"
                ));
            }
            of.code()
        }
        (Some(trigger), None) => trigger.as_str(),
    };
    let Some(surveyed) = survey.triggers.iter().find(|t| t.code() == code) else {
        return refuse(format!("there is no trigger {code}; v_trigger lists them"));
    };
    if !surveyed.active() {
        return refuse(format!(
            "the trigger {code} is inactive, so nothing of it was missed: activate it first, or look with `simulate --trigger {code}`"
        ));
    }
    match &surveyed.compiled {
        Err(error) => refuse(format!("trigger {code}: {error}")),
        Ok(trigger) if trigger.condition == Condition::Other => refuse(format!(
            "the trigger {code} watches no changes, so it has missed none: use `fire {code}`"
        )),
        Ok(_) => Ok(()),
    }
}

fn wanted(trigger: &Trigger, wish: &Wish) -> bool {
    let of_rule = |code: &String| trigger.rules.iter().any(|r| r.code == *code);
    trigger.condition != Condition::Other
        && wish.trigger.as_ref().is_none_or(|code| *code == trigger.code)
        && wish.rule.as_ref().is_none_or(of_rule)
        && (wish.models.is_empty() || wish.models.contains(&trigger.model.name))
}

/// Records that were written since the moment, and stand where the trigger leads.
fn written(survey: &Survey, trigger: &Trigger, wish: &Wish) -> Result<Records, BackfillError> {
    let records = Records::of(trigger, &wish.choice, &survey.asking());
    let mut records = records.map_err(|(text, error)| BackfillError::Domain { text, error })?;
    records.stand(&trigger.condition);
    if let Some(since) = wish.since {
        let column = match trigger.condition {
            Condition::Create => "create_date",
            _ => "write_date",
        };
        if trigger.model.column(column).is_none() {
            return Err(BackfillError::Name(format!(
                "{} has no {column}, so what changed since then cannot be known: choose records with --ids or --domain",
                trigger.model.name
            )));
        }
        // Odoo writes UTC without saying so.
        records.and(
            |n| {
                format!(
                    "t.{} >= (${n}::text::timestamptz at time zone 'UTC')",
                    quote(column)
                )
            },
            moment(since),
        );
    }
    Ok(records)
}

fn moment(at: DateTime<Utc>) -> Param {
    Param::Text(Some(at.to_rfc3339()))
}

/// Whether a record can stand for long where such a change has led it.
fn lasts(condition: &Condition) -> bool {
    !matches!(
        condition,
        Condition::Write { .. }
            | Condition::Field {
                change: FieldChange::Any,
                ..
            }
    )
}

async fn part(
    tx: &Transaction<'_>,
    trigger: &Trigger,
    rule: &Rule,
    written: &Records,
    wish: &Wish,
) -> Result<Part, BackfillError> {
    let mut records = written.clone();
    let out = left_out(&mut records, trigger, rule, wish);
    let domain = records.compiled();
    let counted = format!(
        "select count(*), count(*) filter (where x.decided), count(*) filter (where x.waits and not x.decided), \
                count(*) filter (where x.told and not x.decided and not x.waits) \
         from (select {} as decided, {} as waits, {} as told from public.{} as t where {}) x",
        out.decided,
        out.waits,
        out.told,
        quote(&trigger.model.table),
        domain.sql
    );
    let params: Vec<&(dyn ToSql + Sync)> = domain.params.iter().map(|p| p as &(dyn ToSql + Sync)).collect();
    let row = tx.query_one(&counted, &params).await?;
    let number = |at: usize| row.get::<_, i64>(at).unsigned_abs();
    records.require(&format!(
        "not {} and not {} and not {}",
        out.decided, out.waits, out.told
    ));
    Ok(Part {
        trigger: Trigger {
            rules: vec![rule.clone()],
            ..trigger.clone()
        },
        rule: rule.clone(),
        written: number(0),
        decided: number(1),
        waiting: number(2),
        told_before: number(3),
        records,
    })
}

/// Conditions on a record of which nobody is to be told.
struct LeftOut {
    /// The rule has decided on it since the moment.
    decided: String,
    /// Its events wait, or were set aside.
    waits: String,
    /// The rule told of it before.
    told: String,
}

/// Indexes: decision_record_idx, event_record_id_idx, event_set_aside_record_idx.
fn left_out(records: &mut Records, trigger: &Trigger, rule: &Rule, wish: &Wish) -> LeftOut {
    let since = wish.since.unwrap_or(DateTime::UNIX_EPOCH);
    let model = records.bind(Param::Text(Some(trigger.model.name.clone())));
    let code = records.bind(Param::Text(Some(rule.code.clone())));
    let of_trigger = records.bind(Param::Int(trigger.id.0));
    let id = records.bind(Param::Int(rule.id.0));
    let since = records.bind(moment(since));
    let decisions = format!(
        "select from sicantik_notify.decision d where d.model = ${model}::text and d.record_id = t.\"id\" \
         and d.rule_code = ${code}::text"
    );
    let decided = format!(
        "exists ({decisions} and d.outcome <> 'error' and d.decided_at >= ${since}::text::timestamptz)"
    );
    let waits = format!(
        "(exists (select from sicantik_notify.v_event e where e.record_id = t.\"id\" and e.model = ${model}::text \
                  and case when e.target_trigger is null then e.op <> 'F' else e.target_trigger = ${of_trigger}::int8 end \
                  and coalesce(e.target_rule, ${id}::int8) = ${id}::int8) \
         or exists (select from sicantik_notify.event_set_aside s where s.record_id = t.\"id\" and s.model = ${model}::text \
                    and coalesce(s.target_trigger, ${of_trigger}::int8) = ${of_trigger}::int8 \
                    and coalesce(s.target_rule, ${id}::int8) = ${id}::int8))"
    );
    let told = match lasts(&trigger.condition) && !wish.again {
        true => format!("exists ({decisions} and d.outcome in ('enqueued', 'grouped'))"),
        false => "false".to_owned(),
    };
    LeftOut { decided, waits, told }
}
