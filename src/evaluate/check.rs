//! Triggers and rules held against the attached host, inactive ones too: what does not compile, what contradicts itself,
//! and what is accepted although nobody can mean it. What stops an active rule is also what the evaluation refuses, since
//! both ask the same compiler; the doubts that matter stand in `problem` as warnings.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use tokio_postgres::{GenericClient, Row, Transaction};

use super::compile::compile_trigger;
use super::compile_rule::compile_code;
use super::configuration::{ConfigProblem, Configuration, load_noise, vars};
use super::definition::{Rule, Tables, Trigger};
use super::question::{Asking, Question};
use super::recipients::group::{Members, members};
use super::recipients::{Recipients, custom};
use super::trigger::{Condition, FieldChange};
use crate::db::statements as sql;
use crate::host::catalog::{Catalog, Model};
use crate::host::grants;
use crate::lang::domain::{Aliases, BaseKind, BaseRow, NoteKind, Source, Span, Vars, compile, lint};
use crate::lang::python::Form;
use crate::schedule::timing::Timing;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Good to know.
    Hint,
    /// Accepted, but hardly meant.
    Warning,
    /// It does not work.
    Error,
}

impl Severity {
    /// In one word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hint => "hint",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// Something to know about a trigger, a rule or a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// One word that stays the same, for scripts.
    pub code: &'static str,
    /// The column of the row, where it is about one.
    pub place: Option<&'static str>,
    /// What it is; lines of the source with carets may follow.
    pub text: String,
    /// What to do, where the text does not say it.
    pub remedy: Option<String>,
}

impl Finding {
    /// A finding about the whole row.
    pub fn new(severity: Severity, code: &'static str, text: impl Into<String>) -> Self {
        Self {
            severity,
            code,
            place: None,
            text: text.into(),
            remedy: None,
        }
    }

    /// About this column.
    pub fn at(mut self, place: &'static str) -> Self {
        self.place = Some(place);
        self
    }

    /// What to do.
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

/// What was looked at, with what was found.
#[derive(Clone, Debug)]
pub struct Item {
    /// `trigger`, `rule`, …
    pub kind: &'static str,
    /// Its code.
    pub code: String,
    /// Whether it is in force; a rule of an inactive trigger is not.
    pub active: bool,
    /// Of a rule that compiles: how often somebody hears of one record.
    pub repeat: Option<Repeats>,
    /// Of a trigger with a schedule: when it runs next, in words.
    pub next_runs: Vec<String>,
    /// The worst first.
    pub findings: Vec<Finding>,
}

/// A repeat_policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repeats {
    /// As it is written, such as `auto`.
    pub written: String,
    /// What that comes to, such as `once_per_value(expiry_date)`.
    pub meant: String,
}

/// A row of `trigger` or `rule`, by column.
pub type Facts = Map<String, Value>;

/// A trigger, active or not, as it is written and as it is understood.
#[derive(Clone, Debug)]
pub struct Surveyed {
    /// Its row.
    pub facts: Facts,
    /// What the compiler makes of it.
    pub compiled: Result<Trigger, String>,
    /// The rows of its rules, in order.
    pub rules: Vec<Facts>,
}

/// Every trigger and rule.
#[derive(Clone, Debug)]
pub struct Survey {
    /// What is in force.
    pub configuration: Configuration,
    /// What expressions see now.
    pub vars: Vars,
    /// All triggers, in order.
    pub triggers: Vec<Surveyed>,
}

/// A text of a row; blank is none.
pub fn text<'f>(facts: &'f Facts, column: &str) -> Option<&'f str> {
    facts
        .get(column)
        .and_then(Value::as_str)
        .filter(|t| !t.trim().is_empty())
}

/// A boolean of a row.
pub fn flag(facts: &Facts, column: &str) -> bool {
    facts.get(column).and_then(Value::as_bool).unwrap_or(false)
}

impl Surveyed {
    /// Its code.
    pub fn code(&self) -> &str {
        text(&self.facts, "code").unwrap_or_default()
    }

    /// Whether it is in force.
    pub fn active(&self) -> bool {
        flag(&self.facts, "active")
    }

    /// Whether a schedule asks it.
    fn recurs(&self) -> bool {
        text(&self.facts, "trigger_type") == Some("cron")
    }
}

impl Survey {
    /// Reads and compiles.
    ///
    /// # Errors
    /// The server's.
    pub async fn load(tx: &Transaction<'_>) -> Result<Self, tokio_postgres::Error> {
        let configuration = Configuration::load(tx).await?;
        let noise = load_noise(tx).await?;
        let vars = vars(tx, configuration.office.timezone).await?;
        let asking = Asking {
            catalog: &configuration.catalog,
            aliases: &configuration.aliases,
            vars: vars.clone(),
        };
        let rules = tx.query(sql::RULES.sql, &[]).await?;
        let written = rows(
            tx,
            "select to_jsonb(r.*) from sicantik_notify.rule r order by r.sequence, r.code",
        )
        .await?;
        let facts = rows(tx, "select to_jsonb(t.*) from sicantik_notify.trigger t").await?;
        let mut triggers = Vec::new();
        for row in tx.query(sql::TRIGGERS.sql, &[]).await? {
            let code: &str = row.get("code");
            let mine = |facts: &&Facts| text(facts, "trigger") == Some(code);
            triggers.push(Surveyed {
                facts: facts
                    .iter()
                    .find(|f| text(f, "code") == Some(code))
                    .cloned()
                    .unwrap_or_default(),
                rules: written.iter().filter(mine).cloned().collect(),
                compiled: compile_trigger(&row, &rules, &asking, &noise),
            });
        }
        Ok(Self {
            vars,
            triggers,
            configuration,
        })
    }

    /// What domains are asked with.
    pub fn asking(&self) -> Asking<'_> {
        Asking {
            catalog: &self.configuration.catalog,
            aliases: &self.configuration.aliases,
            vars: self.vars.clone(),
        }
    }

    /// Everything that is to be said about triggers and rules.
    ///
    /// # Errors
    /// The server's.
    pub async fn items(&self, tx: &Transaction<'_>) -> Result<Vec<Item>, tokio_postgres::Error> {
        let mut items = Vec::new();
        for surveyed in &self.triggers {
            items.push(self.trigger(tx, surveyed).await?);
            for facts in &surveyed.rules {
                items.push(self.rule(tx, surveyed, facts).await?);
            }
        }
        for item in &mut items {
            item.findings.sort_by_key(|f| std::cmp::Reverse(f.severity));
        }
        Ok(items)
    }

    async fn trigger(
        &self,
        tx: &Transaction<'_>,
        surveyed: &Surveyed,
    ) -> Result<Item, tokio_postgres::Error> {
        let facts = &surveyed.facts;
        let mut findings = Vec::new();
        let model = text(facts, "model").and_then(|m| self.configuration.catalog.model(m));
        let mut refused = String::new();
        match &surveyed.compiled {
            Err(error) => findings.push(
                Finding::new(Severity::Error, "trigger", error.clone())
                    .remedy("correct the trigger; it captures nothing until then"),
            ),
            Ok(trigger) => {
                findings.extend(resolved(facts, &trigger.condition));
                if let Err(error) = &trigger.domain {
                    refused.clone_from(error);
                }
            }
        }
        if let (Some(domain), Some(model)) = (text(facts, "condition_domain"), model) {
            let asking = self.asking();
            let written = Written {
                text: domain,
                place: "condition_domain",
                model,
                kind: BaseKind::Image,
                recurring: surveyed.recurs(),
            };
            findings.extend(examine(&written, &asking));
            findings.extend(self.domain_rights(tx, &written).await?);
        }
        findings.extend(unsaid(refused, &findings));
        if surveyed.active() && !surveyed.rules.iter().any(|r| flag(r, "active")) {
            let finding = match surveyed.rules.is_empty() {
                true => Finding::new(
                    Severity::Hint,
                    "no_rule",
                    "no rule uses this trigger: nobody is told",
                ),
                false => Finding::new(
                    Severity::Hint,
                    "no_rule",
                    "none of its rules is active: nobody is told",
                ),
            };
            findings.push(finding);
        }
        let next_runs = match surveyed.recurs() {
            true => schedule(facts, self.vars.now, &mut findings),
            false => Vec::new(),
        };
        Ok(Item {
            kind: "trigger",
            code: surveyed.code().to_owned(),
            active: surveyed.active(),
            repeat: None,
            next_runs,
            findings,
        })
    }

    async fn rule(
        &self,
        tx: &Transaction<'_>,
        surveyed: &Surveyed,
        facts: &Facts,
    ) -> Result<Item, tokio_postgres::Error> {
        let code = text(facts, "code").unwrap_or_default();
        let mut findings = Vec::new();
        let asking = self.asking();
        let model = text(&surveyed.facts, "model").and_then(|m| asking.catalog.model(m));
        let compiled = surveyed.compiled.as_ref().ok();
        let compiled = compiled.and_then(|t| t.rules.iter().find(|r| r.code == code));
        let refused = compiled.and_then(|r| r.plan.as_ref().err()).cloned();
        let refused = refused.unwrap_or_default();
        let group = match text(facts, "recipient_type") {
            Some("staff") => text(facts, "staff_group"),
            Some("official") => text(facts, "official_group"),
            _ => None,
        };
        let key = text(facts, "template_key").unwrap_or_default();
        findings.extend(references(tx, key, group, &self.configuration.templates).await?);
        if let (Some(domain), Some(model)) = (text(facts, "condition_domain"), model) {
            let written = Written {
                text: domain,
                place: "condition_domain",
                model,
                kind: BaseKind::Image,
                recurring: surveyed.recurs(),
            };
            findings.extend(examine(&written, &asking));
            findings.extend(self.domain_rights(tx, &written).await?);
        }
        if let (Some("custom"), Some(domain)) =
            (text(facts, "recipient_type"), text(facts, "recipient_domain"))
        {
            findings.extend(recipient_domain(domain, surveyed.recurs(), &asking));
        }
        if let Some(model) = model {
            findings.extend(python(facts, model, &asking));
        }
        if let Some(plan) = compiled.and_then(|r| r.plan.as_ref().ok()) {
            let mut tables = Tables::new();
            plan.tables(&mut tables);
            findings.extend(rights(tx, &tables, "the rule").await?);
        }
        findings.extend(unsaid(refused, &findings));
        findings.extend(contradictions(facts, surveyed, model));
        Ok(Item {
            kind: "rule",
            code: code.to_owned(),
            active: flag(facts, "active") && surveyed.active(),
            repeat: compiled.and_then(|rule| repeats(facts, rule)),
            next_runs: Vec::new(),
            findings,
        })
    }

    /// What the daemon may not read although this domain asks it.
    async fn domain_rights(
        &self,
        tx: &Transaction<'_>,
        written: &Written<'_>,
    ) -> Result<Vec<Finding>, tokio_postgres::Error> {
        let asking = self.asking();
        let question = Source::parse(written.text)
            .and_then(|source| Question::new(source, written.model, written.kind, &asking));
        match question {
            Ok(question) => rights(tx, question.tables(), "the condition").await,
            Err(_) => Ok(Vec::new()),
        }
    }
}

/// When a trigger with a schedule runs next, or why it does not.
fn schedule(facts: &Facts, now: DateTime<Utc>, findings: &mut Vec<Finding>) -> Vec<String> {
    let timing = Timing::read(facts).and_then(|timing| timing.next(now).map(|_| timing));
    match timing {
        Ok(timing) => {
            if text(facts, "cron_expression").is_some()
                && facts.get("interval_number").is_some_and(|n| !n.is_null())
            {
                let text = "cron_expression holds, and the interval beside it does not count";
                findings.push(Finding::new(Severity::Hint, "schedule", text).at("cron_expression"));
            }
            timing.upcoming(now, 3)
        }
        Err(problem) => {
            let (severity, code) = match problem.absent {
                true => (Severity::Warning, "no_schedule"),
                false => (Severity::Error, "schedule"),
            };
            findings.push(
                Finding::new(severity, code, problem.text)
                    .at(problem.place)
                    .remedy(problem.remedy),
            );
            Vec::new()
        }
    }
}

async fn rights(
    tx: &Transaction<'_>,
    tables: &Tables,
    who: &str,
) -> Result<Vec<Finding>, tokio_postgres::Error> {
    let missing = grants::missing(tx, tables).await?;
    let finding = |statement| {
        Finding::new(
            Severity::Error,
            "rights",
            format!("{who} reads what the daemon may not read"),
        )
        .remedy(format!(
            "run `sicantik-notifyd hooks install` as a DBA, or: {statement}"
        ))
    };
    Ok(missing.into_iter().map(finding).collect())
}

/// Whether the compiler takes it as people to be told, and what is doubtful about it.
fn recipient_domain(domain: &str, recurring: bool, asking: &Asking<'_>) -> Vec<Finding> {
    let place = "recipient_domain";
    match custom::compile(domain, asking) {
        Err(error) => {
            let error = error.strip_prefix("recipient_domain: ").unwrap_or(&error);
            vec![Finding::new(Severity::Error, "domain", error).at(place)]
        }
        Ok(question) => {
            let written = Written {
                text: domain,
                place,
                model: question.model(),
                kind: BaseKind::Table,
                recurring,
            };
            examine(&written, asking)
        }
    }
}

/// What is wrong with the Python of a rule, and which names in it stand for others.
fn python(facts: &Facts, model: &Arc<Model>, asking: &Asking<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (place, form) in [
        ("condition_python", Form::Condition),
        ("context_preparation_code", Form::Context),
    ] {
        match compile_code(text(facts, place), place, form, model, asking) {
            Ok(None) => {}
            Ok(Some(code)) => {
                let notes = code.reads().notes.iter().cloned();
                let hint = |note| Finding::new(Severity::Hint, "alias", note).at(place);
                findings.extend(notes.map(hint));
            }
            Err(error) => {
                let error = error.strip_prefix(&format!("{place}: ")).unwrap_or(&error);
                findings.push(Finding::new(Severity::Error, "python", error).at(place));
            }
        }
    }
    findings
}

fn repeats(facts: &Facts, rule: &Rule) -> Option<Repeats> {
    Some(Repeats {
        written: text(facts, "repeat_policy")?.to_owned(),
        meant: rule.plan.as_ref().ok()?.repeat.to_string(),
    })
}

async fn rows(client: &impl GenericClient, query: &str) -> Result<Vec<Facts>, tokio_postgres::Error> {
    let rows = client.query(query, &[]).await?;
    Ok(rows
        .iter()
        .filter_map(|row| match row.get::<_, Value>(0) {
            Value::Object(map) => Some(map),
            _ => None,
        })
        .collect())
}

/// Columns with whose name the compiler begins a complaint about them.
const WRITTEN: &[(&str, &str)] = &[
    ("condition_domain", "domain"),
    ("recipient_domain", "domain"),
    ("condition_python", "python"),
    ("context_preparation_code", "python"),
    ("recipient_field", "settings"),
    ("repeat_field", "settings"),
];

/// What the compiler refuses, unless the look at that column has said it already, and better.
fn unsaid(refused: String, findings: &[Finding]) -> Option<Finding> {
    if refused.is_empty() {
        return None;
    }
    // `condition_domain: …`, `recipient_field owner_id: …`
    let column = refused.split([':', ' ']).next().unwrap_or_default();
    let written = WRITTEN.iter().find(|(place, _)| *place == column);
    let said = |f: &Finding| f.severity == Severity::Error && f.place == written.map(|w| w.0);
    if written.is_some() && findings.iter().any(said) {
        return None;
    }
    let finding = Finding::new(Severity::Error, written.map_or("settings", |w| w.1), refused);
    Some(match written {
        Some((place, _)) => finding.at(place),
        None => finding,
    })
}

/// Names and values of a trigger that stand for others, and a condition that no change meets.
fn resolved(facts: &Facts, condition: &Condition) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut read_as = |place: &'static str, written: Option<&str>, meant: Option<&str>| {
        if let (Some(written), Some(meant)) = (written, meant)
            && written != meant
        {
            let text = format!("`{written}` is read as `{meant}`");
            findings.push(Finding::new(Severity::Hint, "alias", text).at(place));
        }
    };
    match condition {
        Condition::State { column, from, to } => {
            read_as("state_field", text(facts, "state_field"), Some(column));
            read_as("state_from", text(facts, "state_from"), from.as_deref());
            read_as("state_to", text(facts, "state_to"), to.as_deref());
            if from.is_some() && from == to {
                findings.push(
                    Finding::new(
                        Severity::Warning,
                        "never_met",
                        "state_from and state_to are the same: no change meets this",
                    )
                    .at("state_to"),
                );
            }
        }
        Condition::Field { column, .. } => {
            read_as("field_to_watch", text(facts, "field_to_watch"), Some(column))
        }
        _ => {}
    }
    findings
}

/// A domain as it stands in a column.
struct Written<'a> {
    text: &'a str,
    place: &'static str,
    model: &'a Arc<Model>,
    kind: BaseKind,
    /// A schedule asks it.
    recurring: bool,
}

/// What is doubtful about a domain, and which names in it stand for others; its error, if it is none.
fn examine(written: &Written<'_>, asking: &Asking<'_>) -> Vec<Finding> {
    let Written {
        text: domain,
        place,
        model,
        kind,
        recurring,
    } = *written;
    let read = Source::parse(domain).and_then(|source| {
        let evaluated = source.evaluate(&asking.vars)?;
        let base = match kind {
            BaseKind::Image => BaseRow::image(),
            BaseKind::Table => BaseRow::table().active_test(asking.vars.active_test),
        };
        let base = asking.vars.base(base);
        let compiled = compile(&evaluated, asking.catalog, model, asking.aliases, base)?;
        Ok((source, evaluated, compiled))
    });
    let (source, evaluated, compiled) = match read {
        Ok(read) => read,
        Err(mut error) => {
            error.span = narrowed(domain, error.span, &error.message);
            let finding = Finding::new(Severity::Error, "domain", error.diagnostic(domain)).at(place);
            return vec![finding];
        }
    };
    let mut findings: Vec<Finding> = Vec::new();
    for note in &compiled.notes {
        let (severity, code) = match note.kind {
            NoteKind::FieldAlias | NoteKind::ValueAlias => (Severity::Hint, "alias"),
            NoteKind::UnknownValue => (Severity::Warning, "unknown_value"),
            _ => (Severity::Warning, "date"),
        };
        let finding = Finding::new(severity, code, note.message.clone()).at(place);
        if !findings.contains(&finding) {
            findings.push(finding);
        }
    }
    for mut doubt in lint(
        &evaluated,
        &source,
        recurring,
        asking.catalog,
        model,
        asking.aliases,
    ) {
        doubt.span = narrowed(domain, doubt.span, &doubt.message);
        let code = doubt.kind.as_str();
        findings.push(Finding::new(Severity::Warning, code, doubt.diagnostic(domain)).at(place));
    }
    findings
}

/// The place in a computed domain, whose values stand nowhere: that of the name that the message is about.
fn narrowed(domain: &str, span: Span, message: &str) -> Span {
    if span.start > 0 || span.end < domain.len() {
        return span;
    }
    let quoted = |name: &&str| [format!("'{name}'"), format!("\"{name}\"")];
    let names = message.split('`').skip(1).step_by(2);
    let mut places = names
        .flat_map(|n| quoted(&n))
        .filter_map(|q| Some((domain.find(&q)?, q.len())));
    places.next().map_or(span, |(start, length)| Span {
        start,
        end: start + length,
    })
}

/// The template and the group that a rule names.
async fn references(
    tx: &Transaction<'_>,
    template_key: &str,
    group: Option<&str>,
    templates: &BTreeSet<String>,
) -> Result<Vec<Finding>, tokio_postgres::Error> {
    let mut findings = Vec::new();
    if !templates.contains(template_key) {
        let mut near: Vec<&str> = templates.iter().map(String::as_str).collect();
        let shared = |t: &str| t.split('_').filter(|w| template_key.contains(w)).count();
        near.sort_by_key(|t| std::cmp::Reverse(shared(t)));
        near.truncate(6);
        let text = format!("there is no active template {template_key}");
        let finding = Finding::new(Severity::Error, "template_unknown", text).at("template_key");
        findings.push(finding.remedy(format!(
            "name one of sicantik_notify.template ({}, …), or add it there",
            near.join(", ")
        )));
    }
    if let Some(group) = group {
        findings.extend(group_finding(group, members(tx, group).await?));
    }
    Ok(findings)
}

fn group_finding(group: &str, members: Members) -> Option<Finding> {
    match members {
        Members::Of(people) if people.is_empty() => Some(Finding::new(
            Severity::Warning,
            "group_empty",
            format!("the group {group:?} has no active member: nobody is told"),
        )),
        Members::Of(_) => None,
        Members::Unknown => Some(
            Finding::new(
                Severity::Error,
                "group_unknown",
                format!("the host has no group {group:?}"),
            )
            .remedy("name a group of Odoo by its external id, its database id or its exact name"),
        ),
        Members::Ambiguous(ids) => Some(
            Finding::new(
                Severity::Error,
                "group_ambiguous",
                format!("{group:?} means several groups ({ids:?})"),
            )
            .remedy("name one by its external id or its database id"),
        ),
    }
}

/// Settings of a rule that do not go together.
fn contradictions(facts: &Facts, surveyed: &Surveyed, model: Option<&Arc<Model>>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let number = |column: &str| facts.get(column).and_then(Value::as_i64).unwrap_or(0);
    let mut say = |severity, code, place, text: String| {
        findings.push(Finding::new(severity, code, text).at(place));
    };
    if flag(facts, "active") && !surveyed.active() {
        let text = format!(
            "the rule is active, but its trigger {} is not: it is never asked",
            surveyed.code()
        );
        say(Severity::Warning, "trigger_inactive", "trigger", text);
    }
    match text(facts, "schedule_type") {
        Some("scheduled") if number("scheduled_delay") == 0 => {
            let text = "schedule_type is scheduled, but scheduled_delay is 0: it is sent at once";
            say(Severity::Hint, "settings", "scheduled_delay", text.into());
        }
        Some("immediate") if number("scheduled_delay") > 0 => {
            let text = "scheduled_delay counts only where schedule_type is scheduled: it is sent at once";
            say(Severity::Warning, "settings", "scheduled_delay", text.into());
        }
        _ => {}
    }
    if text(facts, "group_by") == Some("recipient") && !surveyed.recurs() {
        let text =
            "group_by = recipient gathers the records of one run of a cron trigger; this trigger has no runs";
        say(Severity::Warning, "settings", "group_by", text.into());
    }
    if let (Some("once_per_value"), Some(field), Some(model)) =
        (text(facts, "repeat_policy"), text(facts, "repeat_field"), model)
        && !field.contains('.')
        && model.column(field).is_none()
        && !model.fields.contains_key(field)
    {
        let names = model.column_names().join(", ");
        let text = format!(
            "{} has no field {field} of that very name; it has {names}",
            model.name
        );
        say(Severity::Warning, "settings", "repeat_field", text);
    }
    if let (Some("partner"), Some(model)) = (text(facts, "recipient_type"), model)
        && model.column("partner_id").is_none()
        && model.column("permit_id").is_none()
    {
        let text = format!(
            "{} has neither partner_id nor permit_id: recipient_type partner finds nobody",
            model.name
        );
        say(Severity::Warning, "no_recipient", "recipient_type", text);
    }
    let unused = |place: &'static str, wanted: &str| {
        text(facts, place).is_some() && text(facts, "recipient_type") != Some(wanted)
    };
    for (place, wanted) in [("recipient_domain", "custom"), ("recipient_field", "field")] {
        if unused(place, wanted) {
            let text = format!("{place} counts only where recipient_type is {wanted}");
            say(Severity::Hint, "settings", place, text);
        }
    }
    findings
}

/// Whether this host's permits reach their holders' triggers only by being created (a synchronisation brings them active,
/// with their number), and no active trigger looks for that. The row of the trigger that does, if it stands ready.
///
/// # Errors
/// The server's.
pub async fn offer_issued(
    tx: &Transaction<'_>,
    survey: &Survey,
) -> Result<Option<Item>, tokio_postgres::Error> {
    let catalog: &Catalog = &survey.configuration.catalog;
    let Some(permit) = catalog.model("sicantik.permit") else {
        return Ok(None);
    };
    let seen = |t: &Trigger| {
        t.model.name == permit.name
            && t.rules.iter().any(|r| r.active)
            && match &t.condition {
                Condition::Field { column, change } => {
                    column == "permit_number" && change == &FieldChange::Set
                }
                other => other.wants_inserts(),
            }
    };
    let arrives = ["status", "last_sync_date", "permit_number"]
        .iter()
        .all(|c| permit.column(c).is_some());
    if !arrives || survey.configuration.triggers.iter().any(seen) {
        return Ok(None);
    }
    let synchronised = "select exists (select from public.sicantik_permit where last_sync_date is not null \
                        and status = 'active' and permit_number is not null)";
    let readable = "select has_table_privilege('public.sicantik_permit', 'select')";
    if !tx.query_one(readable, &[]).await?.get::<_, bool>(0)
        || !tx.query_one(synchronised, &[]).await?.get::<_, bool>(0)
    {
        return Ok(None);
    }
    let ready = survey.triggers.iter().find(|t| t.code() == "permit_issued");
    let remedy = match ready {
        Some(_) => {
            "to tell their holders: update sicantik_notify.trigger set active = true where code = 'permit_issued', \
             and give it a rule"
        }
        None => {
            "to tell their holders: add a trigger of type on_field_change on permit_number with field_change = 'set', \
             and give it a rule"
        }
    };
    let text = "permits of this host arrive by synchronisation, already active and with their number: for them no status \
                changes, and no active trigger looks for new numbers";
    Ok(Some(Item {
        kind: "trigger",
        code: "permit_issued".into(),
        active: ready.is_some_and(Surveyed::active),
        repeat: None,
        next_runs: Vec::new(),
        findings: vec![Finding::new(Severity::Hint, "permit_issued", text).remedy(remedy)],
    }))
}

/// What the evaluation adds to the list of problems besides what does not compile: names in active rules that lead
/// nowhere, and the doubts that most likely tell nobody, or everybody. One entry a trigger or rule.
pub(super) async fn advise(
    tx: &Transaction<'_>,
    rows: &[Row],
    triggers: &[Trigger],
    templates: &BTreeSet<String>,
    asking: &Asking<'_>,
) -> Result<Vec<ConfigProblem>, tokio_postgres::Error> {
    let recurring: BTreeMap<&str, bool> = rows
        .iter()
        .map(|r| (r.get("code"), r.get::<_, &str>("trigger_type") == "cron"))
        .collect();
    let mut problems = Vec::new();
    for trigger in triggers {
        let recurs = recurring.get(trigger.code.as_str()).copied().unwrap_or(false);
        let domain = trigger.domain.as_ref().ok().and_then(Option::as_ref);
        let doubts = serious(domain, "condition_domain", asking, recurs);
        problems.extend(entry("trigger", &trigger.code, &doubts));
        for rule in trigger.rules.iter().filter(|r| r.active) {
            let Ok(plan) = &rule.plan else { continue };
            let group = match &plan.recipients {
                Recipients::Group(group) => Some(group.as_str()),
                _ => None,
            };
            let mut found = references(tx, &rule.template_key, group, templates).await?;
            found.extend(serious(plan.domain.as_ref(), "condition_domain", asking, recurs));
            if let Recipients::Custom(question) = &plan.recipients {
                found.extend(serious(Some(question), "recipient_domain", asking, recurs));
            }
            problems.extend(entry("rule", &rule.code, &found));
        }
    }
    Ok(problems)
}

fn serious(
    question: Option<&Question>,
    place: &'static str,
    asking: &Asking<'_>,
    recurring: bool,
) -> Vec<Finding> {
    let Some(question) = question else {
        return Vec::new();
    };
    let model = question.model();
    let Ok(source) = Source::parse(question.text()) else {
        return Vec::new();
    };
    let Ok(domain) = source.evaluate(&asking.vars) else {
        return Vec::new();
    };
    let notes = question
        .notes()
        .iter()
        .filter(|n| n.kind == NoteKind::UnknownValue);
    let unknown = notes.map(|n| Finding::new(Severity::Warning, "unknown_value", n.message.clone()));
    let doubts = lint(&domain, &source, recurring, asking.catalog, model, asking.aliases);
    let doubts = doubts
        .into_iter()
        .filter(|d| d.kind.is_serious())
        .map(|d| Finding::new(Severity::Warning, d.kind.as_str(), d.diagnostic(question.text())));
    unknown.chain(doubts).map(|f| f.at(place)).collect()
}

fn entry(kind: &str, code: &str, findings: &[Finding]) -> Option<ConfigProblem> {
    let first = findings.iter().max_by_key(|f| f.severity)?;
    let more = match findings.len() {
        1 => String::new(),
        n => format!(" (and {} more)", n - 1),
    };
    let place = first.place.map(|p| format!("{p}: ")).unwrap_or_default();
    Some(ConfigProblem {
        about: format!("{kind} {code}"),
        summary: format!("{place}{}{more}", first.text),
        remedy: first
            .remedy
            .clone()
            .unwrap_or_else(|| format!("see `sicantik-notifyd check {kind} {code}`")),
    })
}

/// Aliases as they hold on this host: model, name or value, what it is read as; and whether the host needs it.
pub fn aliases_in_force(
    catalog: &Catalog,
    aliases: &Aliases,
    fields: &[(String, String)],
) -> Vec<(String, String, String)> {
    fields
        .iter()
        .filter_map(|(model, field)| {
            let known = catalog.model(model)?;
            let meant = aliases.resolve_field(known, field);
            (meant != field).then(|| (model.clone(), field.clone(), meant.to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_computed_domain_is_pointed_at_where_its_name_stands() {
        let domain = "[('colour', '<', time.strftime('%Y'))]";
        let whole = Span {
            start: 0,
            end: domain.len(),
        };
        let found = narrowed(domain, whole, "sicantik.permit has no `colour`");
        assert_eq!(&domain[found.start..found.end], "'colour'");
        assert_eq!(narrowed(domain, whole, "no name at all"), whole);
        let exact = Span { start: 2, end: 3 };
        assert_eq!(narrowed(domain, exact, "`colour`"), exact);
    }

    #[test]
    fn what_was_said_is_not_said_twice() {
        let said = [Finding::new(Severity::Error, "domain", "better").at("condition_domain")];
        assert_eq!(unsaid("condition_domain: syntax error".into(), &said), None);
        let python = unsaid("condition_python: NameError: x".into(), &said).unwrap();
        assert_eq!((python.code, python.place), ("python", Some("condition_python")));
        let other = unsaid("staff_group is empty".into(), &said).unwrap();
        assert_eq!((other.code, other.place), ("settings", None));
        assert_eq!(unsaid(String::new(), &[]), None);
    }
}
