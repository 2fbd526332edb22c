//! What stands in the way now: providers, daemons, and, for a record, hooks, triggers, rules, conditions and numbers.

use serde_json::{Map, Value};
use tokio_postgres::Transaction;

use super::super::moment;
use super::cause::{Cause, Why, add};
use crate::db::statements as sql;
use crate::deliver::directory;
use crate::deliver::provider::ProviderKind;
use crate::evaluate::check::{Survey, Surveyed, flag, text};
use crate::evaluate::decision::Outcome;
use crate::evaluate::definition::{Rule, RulePlan, Trigger};
use crate::evaluate::preview::{self, Look, Obstacle};
use crate::evaluate::question::Question;
use crate::evaluate::repeat::Repeat;
use crate::evaluate::trigger::{Condition, text as value_text};
use crate::host::catalog::Model;
use crate::host::{record, search};

/// Recipients of one rule that are named with their reasons.
const MOST_PEOPLE: usize = 10;

/// Why nothing that waits is done: no daemon, none that may send, or a job that was disabled.
pub(super) async fn daemon(tx: &Transaction<'_>) -> Result<Option<Cause>, tokio_postgres::Error> {
    let rows = tx
        .query(
            "select name || '/' || pid, delivering, note, \
             heartbeat_at > sicantik_notify.clock() - interval '15 seconds' from sicantik_notify.instance order by id",
            &[],
        )
        .await?;
    let start = "start it: `systemctl start sicantik-notifyd`; see `journalctl -u sicantik-notifyd` where it does not start";
    let mut alive = rows.iter().filter(|r| r.get::<_, bool>(3)).peekable();
    if alive.peek().is_none() {
        let text = match rows.is_empty() {
            true => "no daemon is running",
            false => "no daemon has shown a sign of life for 15 seconds",
        };
        return Ok(Some(Cause::new(Why::QueueNotProcessed, text, start)));
    }
    let job = "select active from sicantik_notify.cron_job where code = 'process_queue'";
    if !tx.query_opt(job, &[]).await?.is_some_and(|row| row.get(0)) {
        let text = "the job SICANTIK: Process Notification Queue is disabled: no daemon takes messages";
        let remedy = "enable it: `sicantik-notifyd cron enable process_queue`";
        return Ok(Some(Cause::new(Why::QueueNotProcessed, text, remedy)));
    }
    let mut silent = Vec::new();
    for row in alive {
        let (name, delivering, note): (&str, bool, Option<&str>) = (row.get(0), row.get(1), row.get(2));
        match note {
            None if delivering => return Ok(None),
            note => silent.push((name.to_owned(), delivering, note.unwrap_or_default().to_owned())),
        }
    }
    let all: Vec<String> = silent
        .iter()
        .map(|(name, _, note)| format!("{name}: {note}"))
        .collect();
    let remedy = match silent.iter().any(|(_, delivering, _)| !delivering) {
        true => "if this database is the real one, run `sicantik-notifyd arm` on the daemon's machine",
        false => "set deliver.enabled = true in the daemon's configuration and restart it",
    };
    let text = format!("no daemon delivers: {}", all.join("; "));
    Ok(Some(Cause::new(Why::QueueNotProcessed, text, remedy)))
}

/// Why no provider can take a message.
pub(super) async fn provider(tx: &Transaction<'_>) -> Result<Option<Cause>, tokio_postgres::Error> {
    let mut reasons = Vec::new();
    for row in tx.query(sql::PROVIDERS_SEEN.sql, &[]).await? {
        let name: &str = row.get("name");
        let Ok(kind) = row.get::<_, &str>("provider_type").parse::<ProviderKind>() else {
            continue;
        };
        let lacks = directory::account(&row, kind).err();
        match () {
            () if !row.get::<_, bool>("active") => reasons.push(format!("{name} is inactive")),
            () if lacks.is_some() => {
                reasons.push(format!(
                    "{name} is not configured ({})",
                    lacks.unwrap_or_default()
                ));
            }
            () if row.get::<_, bool>("circuit_open") => {
                reasons.push(format!("{name} keeps failing and is paused"));
            }
            () => return Ok(None),
        }
    }
    let text = match reasons.is_empty() {
        true => "no provider is set up".to_owned(),
        false => format!("no provider can be used: {}", reasons.join("; ")),
    };
    let remedy = "set up or activate one in sicantik_notify.provider; a paused one is probed until it answers (v_provider)";
    Ok(Some(Cause::new(Why::NoProvider, text, remedy)))
}

/// A record as it stands.
pub(super) enum Found {
    /// Its model is unknown, or may not be read.
    Unreadable(Cause),
    /// It is not there.
    Missing(Cause),
    /// Its row.
    Row(Map<String, Value>),
}

/// Looks a record up.
pub(super) async fn find(
    tx: &Transaction<'_>,
    survey: &Survey,
    model: &str,
    id: i64,
) -> Result<Found, tokio_postgres::Error> {
    let Some(known) = survey.configuration.catalog.model(model) else {
        let watched: Vec<&str> = survey
            .triggers
            .iter()
            .filter_map(|t| text(&t.facts, "model"))
            .collect();
        let mut watched: Vec<&str> = watched.into_iter().filter(|w| *w != model).collect();
        watched.sort_unstable();
        watched.dedup();
        return Ok(Found::Unreadable(Cause::new(
            Why::ModelUnknown,
            format!("the host has no model {model}, or no table for it"),
            format!("triggers speak of {}", watched.join(", ")),
        )));
    };
    let table = format!("public.{}", record::quote(&known.table));
    let readable = "select a.attname::text from pg_catalog.pg_attribute a where a.attrelid = to_regclass($1) and a.attnum > 0 \
                    and not a.attisdropped and has_column_privilege(a.attrelid, a.attnum, 'select') \
                    and has_column_privilege('sicantik_notifyd'::name, a.attrelid, a.attnum, 'select')";
    let rows = tx.query(readable, &[&table]).await?;
    let columns: Vec<&str> = rows.iter().map(|r| r.get(0)).collect();
    if !columns.contains(&"id") {
        return Ok(Found::Unreadable(Cause::new(
            Why::RightMissing,
            format!("the daemon may not read {table}, so the record cannot be looked at"),
            format!("a DBA runs: grant select on {table} to sicantik_notifyd"),
        )));
    }
    Ok(
        match record::fetch(tx, known, &columns, &[id]).await?.remove(&id) {
            Some(row) => Found::Row(row),
            None => Found::Missing(Cause::new(
                Why::RecordMissing,
                format!("the record {model},{id} does not exist in the host"),
                "look for its id in Odoo; a record that was deleted tells nobody",
            )),
        },
    )
}

/// What stands in the way of a record's changes being seen at all; with `row`, of telling of the record as it is.
pub(super) async fn record(
    tx: &Transaction<'_>,
    survey: &Survey,
    model: &str,
    row: Option<&Map<String, Value>>,
) -> Result<Vec<Cause>, tokio_postgres::Error> {
    let mut causes = Vec::new();
    let triggers: Vec<&Surveyed> = survey
        .triggers
        .iter()
        .filter(|t| text(&t.facts, "model") == Some(model))
        // It answers those who wrote STOP, and has nothing to do with records.
        .filter(|t| text(&t.facts, "code") != Some("system_inbound"))
        .collect();
    if triggers.is_empty() {
        let cause = Cause::new(
            Why::ModelNotWatched,
            format!("no trigger watches {model}"),
            "add one to sicantik_notify.trigger, with a rule",
        );
        return Ok(vec![cause]);
    }
    let watching = |t: &&&Surveyed| text(&t.facts, "trigger_type").is_some_and(|k| k.starts_with("on_"));
    let wanted = |t: &Surveyed| t.rules.iter().any(|r| flag(r, "active"));
    let nothing_else = !triggers.iter().filter(watching).any(|t| t.active() || wanted(t));
    for trigger in triggers.iter().filter(watching).filter(|t| !t.active()) {
        // One that nobody uses is no cause, unless there is nothing else.
        if wanted(trigger) || nothing_else {
            let code = trigger.code();
            add(
                &mut causes,
                Cause::new(
                    Why::TriggerInactive,
                    format!("the trigger {code} is inactive: changes that it looks for are not captured"),
                    format!("update sicantik_notify.trigger set active = true where code = '{code}'"),
                ),
            );
        }
    }
    if triggers.iter().filter(watching).any(|t| t.active()) {
        capture(tx, survey, model, row, &mut causes).await?;
    }
    for trigger in triggers.iter().filter(|t| t.active()) {
        match (&trigger.compiled, row) {
            (Err(error), _) => add(&mut causes, unusable("trigger", trigger.code(), error)),
            (Ok(compiled), Some(row)) => {
                one_trigger(tx, survey, trigger, compiled, row, &mut causes).await?;
            }
            (Ok(_), None) => {}
        }
    }
    if row.is_some() {
        for cause in [provider(tx).await?, daemon(tx).await?].into_iter().flatten() {
            add(&mut causes, cause);
        }
    }
    Ok(causes)
}

pub(super) fn unusable(kind: &str, code: &str, error: &str) -> Cause {
    Cause::new(
        Why::NotUsable,
        format!("the {kind} {code} cannot be used: {error}"),
        format!("correct it; `sicantik-notifyd check {kind} {code}` shows more"),
    )
}

/// Hooks, misses, and whether the record was written before anybody looked.
async fn capture(
    tx: &Transaction<'_>,
    survey: &Survey,
    model: &str,
    row: Option<&Map<String, Value>>,
    causes: &mut Vec<Cause>,
) -> Result<(), tokio_postgres::Error> {
    let table = survey.configuration.catalog.model(model).map(|m| m.table.clone());
    for found in tx
        .query(sql::EXPLAIN_CAPTURE.sql, &[&model, &table.unwrap_or_default()])
        .await?
    {
        let why = match found.get::<_, &str>("kind") {
            "misses" => Why::CaptureMisses,
            _ => Why::HookMissing,
        };
        add(
            causes,
            Cause::new(
                why,
                found.get::<_, String>("said"),
                found.get::<_, String>("remedy"),
            ),
        );
    }
    let Some(written) = row.and_then(|r| value_text(r.get("write_date"))) else {
        return Ok(());
    };
    let published = "select code, published_at, published_at > ($2::text)::timestamp at time zone 'UTC' \
                     from sicantik_notify.v_trigger where model = $1 and active and trigger_type like 'on\\_%' order by 1";
    let zone = survey.configuration.office.timezone;
    let (mut late, mut first) = (Vec::new(), None);
    for found in tx.query(published, &[&model, &written]).await? {
        if found.get::<_, Option<bool>>(2) == Some(true) {
            let (code, at): (&str, chrono::DateTime<chrono::Utc>) = (found.get(0), found.get(1));
            first.get_or_insert_with(|| code.to_owned());
            late.push(format!("{code} ({})", moment::shown(at, zone)));
        }
    }
    if let Some(code) = first {
        let text = format!(
            "the record was last written at {}, before these triggers were in force: {}",
            at_the_office(&written, zone),
            late.join(", ")
        );
        let record = row.and_then(|r| r.get("id")).and_then(Value::as_i64).unwrap_or(0);
        let remedy = before_publication(&code, record);
        add(causes, Cause::new(Why::BeforePublication, text, remedy));
    }
    Ok(())
}

/// Odoo's UTC, which does not say so, on the office's clock.
fn at_the_office(written: &str, zone: chrono_tz::Tz) -> String {
    match written.replacen(' ', "T", 1).parse::<chrono::NaiveDateTime>() {
        Ok(at) => moment::shown(at.and_utc(), zone),
        Err(_) => format!("{written} UTC"),
    }
}

/// What to do for a record that was written before a trigger was in force.
pub(super) fn before_publication(code: &str, record: i64) -> String {
    format!(
        "a trigger holds for writes that begin after it was published; write the record again, or see whom \
         `sicantik-notifyd backfill --trigger {code} --ids {record}` would tell"
    )
}

/// What a trigger looks for, in words.
pub(super) fn looks_for(condition: &Condition) -> String {
    let value = |v: &Option<String>| v.as_ref().map_or("anything".to_owned(), |v| format!("'{v}'"));
    match condition {
        Condition::Create => "records that are created".into(),
        Condition::Write { noise } => format!("any change outside of {}", noise.join(", ")),
        Condition::State { column, from, to } => {
            format!("{column} going from {} to {}", value(from), value(to))
        }
        Condition::Field { column, change } => format!("{column} being changed ({change:?})").to_lowercase(),
        Condition::Other => "a schedule, a person or a programme, not changes".into(),
    }
}

async fn one_trigger(
    tx: &Transaction<'_>,
    survey: &Survey,
    surveyed: &Surveyed,
    trigger: &Trigger,
    row: &Map<String, Value>,
    causes: &mut Vec<Cause>,
) -> Result<(), tokio_postgres::Error> {
    let code = &trigger.code;
    if let Condition::State {
        column, to: Some(to), ..
    } = &trigger.condition
    {
        let now = value_text(row.get(column.as_str()));
        if now.as_ref() != Some(to) {
            let shown = now.map_or("empty".to_owned(), |v| format!("'{v}'"));
            let text = format!(
                "the trigger {code} looks for {}; {column} is {shown}",
                looks_for(&trigger.condition)
            );
            let remedy = "nothing, if the record is not meant to have got there yet";
            add(causes, Cause::new(Why::NotAWatchedChange, text, remedy));
        }
    }
    if let Some(cause) = unread(trigger, row) {
        add(causes, cause);
        return Ok(());
    }
    let mut met = trigger.domain.is_ok();
    match &trigger.domain {
        Err(error) => add(causes, unusable("trigger", code, error)),
        Ok(question) => {
            let named = format!("trigger {code}");
            let cause = condition(tx, survey, &named, question.as_ref(), &trigger.model, row).await?;
            met = cause.is_none();
            cause.into_iter().for_each(|c| add(causes, c));
        }
    }
    if surveyed.rules.is_empty() {
        let remedy = "add a rule to sicantik_notify.rule";
        add(
            causes,
            Cause::new(Why::NoRule, format!("the trigger {code} has no rule"), remedy),
        );
    }
    for rule in &trigger.rules {
        one_rule(tx, survey, trigger, rule, row, met, causes).await?;
    }
    Ok(())
}

/// What a trigger and its rules read of the record, and the daemon may not.
fn unread(trigger: &Trigger, row: &Map<String, Value>) -> Option<Cause> {
    let reads = trigger.reads();
    let missing: Vec<String> = reads
        .iter()
        .filter(|c| !row.contains_key(*c))
        .map(|c| record::quote(c))
        .collect();
    if missing.is_empty() {
        return None;
    }
    let (columns, table) = (missing.join(", "), record::quote(&trigger.model.table));
    Some(Cause::new(
        Why::RightMissing,
        format!(
            "the trigger {} or one of its rules reads {columns} of {table}, which the daemon may not",
            trigger.code
        ),
        format!(
            "run `sicantik-notifyd hooks install` as a DBA, or: grant select ({columns}) on public.{table} to sicantik_notifyd"
        ),
    ))
}

async fn one_rule(
    tx: &Transaction<'_>,
    survey: &Survey,
    trigger: &Trigger,
    rule: &Rule,
    row: &Map<String, Value>,
    met: bool,
    causes: &mut Vec<Cause>,
) -> Result<(), tokio_postgres::Error> {
    let code = &rule.code;
    if !rule.active {
        add(causes, rule_inactive(code));
        return Ok(());
    }
    let plan = match &rule.plan {
        Ok(plan) => plan,
        Err(error) => {
            add(causes, unusable("rule", code, error));
            return Ok(());
        }
    };
    if !survey.configuration.templates.contains(&rule.template_key) {
        add(causes, template_missing(code, &rule.template_key));
    }
    let named = format!("rule {code}");
    let cause = condition(tx, survey, &named, plan.domain.as_ref(), &trigger.model, row).await?;
    let met = met && cause.is_none();
    cause.into_iter().for_each(|c| add(causes, c));
    let look = Look {
        configuration: &survey.configuration,
        vars: &survey.vars,
        trigger,
        rule,
        image: row,
        met,
    };
    let found = preview::obstacles(tx, look).await?;
    for obstacle in found.iter().take(MOST_PEOPLE) {
        add(causes, obstructed(code, plan, obstacle));
    }
    if let Some(more) = found.len().checked_sub(MOST_PEOPLE).filter(|n| *n > 0) {
        let text = format!("and {more} more of the rule {code}'s recipients are not told now");
        add(
            causes,
            Cause::new(Why::NoRecipient, text, "see the reasons above"),
        );
    }
    Ok(())
}

/// In the words of a cause.
fn obstructed(rule: &str, plan: &RulePlan, o: &Obstacle) -> Cause {
    let who = match (o.partner, o.name.as_str()) {
        (Some(partner), "") => format!("partner {partner}"),
        (Some(partner), name) => format!("partner {partner} ({name})"),
        (None, _) => "the recipient".to_owned(),
    };
    match o.outcome {
        Outcome::RuleCondition => {
            let code = plan.condition.as_ref().map(|c| c.text()).unwrap_or_default();
            Cause::new(
                Why::ConditionNotMet,
                format!(
                    "the record does not meet condition_python of the rule {rule} now (without a change, so that kwargs \
                     hold no old values): {code}"
                ),
                format!("compare the record with it, or correct condition_python of the rule {rule}"),
            )
        }
        Outcome::NoPhone => match o.partner {
            Some(partner) => no_number(
                partner,
                Some(o.name.as_str()).filter(|n| !n.is_empty()),
                &o.reason,
            ),
            None => Cause::new(
                Why::NoNumber,
                format!("the rule {rule} finds no usable WhatsApp number: {}", o.reason),
                "correct the number in the record, as 08… or +62…",
            ),
        },
        Outcome::NoRecipient => no_recipient(rule, &o.reason),
        Outcome::Repeated => {
            let text = format!(
                "the rule {rule} would not tell {who} again now: {}; {}",
                o.reason,
                policy(plan)
            );
            Cause::new(Why::Repeated, text, repeated_remedy(rule, Some(&plan.repeat)))
        }
        Outcome::NameMismatch => {
            let what = match o.held {
                true => "a message would be held for a person to release",
                false => "nobody is told",
            };
            name_mismatch(rule, &format!("{}; {what}", o.reason))
        }
        _ => unusable("rule", rule, &o.reason),
    }
}

fn policy(plan: &RulePlan) -> String {
    format!("its repeat_policy is {}", plan.repeat)
}

pub(super) fn no_recipient(rule: &str, reason: &str) -> Cause {
    Cause::new(
        Why::NoRecipient,
        format!("the rule {rule} finds nobody: {reason}"),
        "set the partner in Odoo, add members to the group, or correct recipient_type and what belongs to it in the rule",
    )
}

pub(super) fn name_mismatch(rule: &str, reason: &str) -> Cause {
    Cause::new(
        Why::NameMismatch,
        reason,
        format!(
            "correct the permit's partner or the applicant's name in Odoo; or set on_name_mismatch of the rule {rule} \
             (warn, hold, skip)"
        ),
    )
}

/// When somebody who was told is told again.
pub(super) fn repeated_remedy(rule: &str, repeat: Option<&Repeat>) -> String {
    let again = match repeat {
        Some(Repeat::OncePerValue(columns)) => {
            format!(
                "nothing, if once is enough: it is told again when {} changes",
                columns.join(" or ")
            )
        }
        Some(Repeat::Cooldown { minutes }) => {
            format!("nothing, if that is soon enough: it is told again {minutes} minutes after the last time")
        }
        _ => "nothing, if once is enough".to_owned(),
    };
    format!("{again}; else change repeat_policy of the rule {rule} (every_event: every time)")
}

pub(super) fn rule_inactive(code: &str) -> Cause {
    Cause::new(
        Why::RuleInactive,
        format!("the rule {code} is inactive"),
        format!("update sicantik_notify.rule set active = true where code = '{code}'"),
    )
}

pub(super) fn template_missing(rule: &str, key: &str) -> Cause {
    Cause::new(
        Why::TemplateMissing,
        format!("the rule {rule} names the template {key}, and there is no active one of that key"),
        "name an existing one in the rule, or add it to sicantik_notify.template",
    )
}

pub(super) fn no_number(partner: i64, name: Option<&str>, reason: &str) -> Cause {
    let name = name.map(|n| format!(" ({n})")).unwrap_or_default();
    Cause::new(
        Why::NoNumber,
        format!("partner {partner}{name} has no usable WhatsApp number: {reason}"),
        "fill in whatsapp_number, mobile or phone of the contact in Odoo, as 08… or +62…",
    )
}

/// A condition as it is written, with the names in it that stand for others.
pub(super) fn shown(question: &Question) -> String {
    let notes: Vec<&str> = question.notes().iter().map(|n| n.message.as_str()).collect();
    match notes.is_empty() {
        true => question.text().to_owned(),
        false => format!("{} ({})", question.text(), notes.join("; ")),
    }
}

async fn condition(
    tx: &Transaction<'_>,
    survey: &Survey,
    named: &str,
    question: Option<&Question>,
    model: &Model,
    row: &Map<String, Value>,
) -> Result<Option<Cause>, tokio_postgres::Error> {
    let Some(question) = question else { return Ok(None) };
    let (kind, code) = named.split_once(' ').unwrap_or((named, ""));
    let compiled = match question.at(&survey.asking()) {
        Ok(compiled) => compiled,
        Err(error) => return Ok(Some(unusable(kind, code, &error.diagnostic(question.text())))),
    };
    let mut image = row.clone();
    image.entry("id").or_insert(Value::Null);
    tx.batch_execute("savepoint condition").await?;
    let met = match search::meets(tx, model, &compiled, &image).await {
        Ok(met) => met,
        Err(error) if error.is_closed() => return Err(error),
        Err(error) => {
            tx.batch_execute("rollback to savepoint condition").await?;
            return Ok(Some(unusable(kind, code, &crate::db::describe(&error))));
        }
    };
    tx.batch_execute("release savepoint condition").await?;
    Ok((!met).then(|| {
        Cause::new(
            Why::ConditionNotMet,
            format!(
                "the record does not meet the condition of the {named} now: {}",
                shown(question)
            ),
            format!("compare the record with it, or correct condition_domain of the {named}"),
        )
    }))
}
