//! `check`: triggers, rules, templates, providers and campaigns held against the attached host.

use std::collections::{BTreeMap, BTreeSet};

use chrono::DateTime;
use serde_json::{Map, Value, json};
use tokio_postgres::{IsolationLevel, Transaction};

use super::words::many;
use super::{Done, Outcome, access};
use crate::config::Config;
use crate::db::statements as sql;
use crate::deliver::directory;
use crate::deliver::provider::ProviderKind;
use crate::deliver::template::{self, MetaStatus, load, placeholders};
use crate::evaluate::check::{Finding, Item, Severity, Survey, aliases_in_force, offer_issued};
use crate::evaluate::context::{Subject, default_context};
use crate::evaluate::targets;
use crate::host::grants;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print one JSON object, for scripts
    #[arg(long)]
    json: bool,
    /// Warnings fail too
    #[arg(long)]
    strict: bool,
    /// Only this one
    #[arg(requires = "code", value_parser = ["trigger", "rule", "template", "provider", "campaign"])]
    kind: Option<String>,
    /// Its code, key or name; of a campaign without a code its id
    code: Option<String>,
}

/// What stands around triggers and rules.
struct Surroundings {
    aliases: Vec<(String, String, String)>,
    values: Vec<(String, String, String, String)>,
}

pub(super) async fn execute(config: &Config, args: Args) -> Outcome {
    let mut client = access::connect(config, "check").await?;
    client.batch_execute("set statement_timeout = '30s'").await?;
    let tx = client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await?;
    let (survey, mut items) = gather(&tx).await?;
    let surroundings = surroundings(&tx, &survey).await?;
    tx.commit().await?;
    if let (Some(kind), Some(code)) = (&args.kind, &args.code) {
        items.retain(|i| i.kind == kind && i.code == *code);
        if items.is_empty() {
            return Err(format!("there is no {kind} {code}").into());
        }
    }
    let count = |severity: Severity, active: bool| -> usize {
        let counted = items
            .iter()
            .filter(|i| (i.active || args.kind.is_some()) == active);
        counted
            .flat_map(|i| &i.findings)
            .filter(|f| f.severity == severity)
            .count()
    };
    let totals = Totals {
        checked: items.len(),
        errors: count(Severity::Error, true),
        inactive_errors: count(Severity::Error, false),
        warnings: count(Severity::Warning, true) + count(Severity::Warning, false),
        hints: count(Severity::Hint, true) + count(Severity::Hint, false),
    };
    match args.json {
        true => println!(
            "{}",
            serde_json::to_string_pretty(&report(&items, &surroundings, &totals))?
        ),
        false => print(&items, &surroundings, &totals),
    }
    match totals.errors {
        0 if args.strict && totals.warnings + totals.inactive_errors > 0 => Ok(Done::NeedsAttention),
        0 => Ok(Done::Well),
        n => Err(format!("{} must be corrected; each names its remedy", many(n, "error")).into()),
    }
}

/// Everything that is to be said about the configuration as this transaction sees it.
pub(super) async fn items(tx: &Transaction<'_>) -> Result<Vec<Item>, tokio_postgres::Error> {
    Ok(gather(tx).await?.1)
}

async fn gather(tx: &Transaction<'_>) -> Result<(Survey, Vec<Item>), tokio_postgres::Error> {
    let survey = Survey::load(tx).await?;
    let mut items = survey.items(tx).await?;
    if let Some(offer) = offer_issued(tx, &survey).await? {
        let same = |i: &&mut Item| i.kind == offer.kind && i.code == offer.code;
        match items.iter_mut().find(same) {
            Some(item) => item.findings.extend(offer.findings),
            None => items.push(offer),
        }
    }
    items.extend(templates(tx, &survey).await?);
    items.extend(providers(tx).await?);
    items.extend(campaigns(tx, &survey).await?);
    items.extend(settings(&survey));
    items.extend(host(tx).await?);
    Ok((survey, items))
}

struct Totals {
    checked: usize,
    errors: usize,
    inactive_errors: usize,
    warnings: usize,
    hints: usize,
}

fn report(items: &[Item], surroundings: &Surroundings, totals: &Totals) -> Value {
    let items: Vec<Value> = items
        .iter()
        .map(|item| {
            let findings: Vec<Value> = item
                .findings
                .iter()
                .map(|f| {
                    json!({"severity": f.severity.as_str(), "code": f.code, "place": f.place, "text": f.text,
                           "remedy": f.remedy})
                })
                .collect();
            let repeat = item
                .repeat
                .as_ref()
                .map(|r| json!({"written": r.written, "meant": r.meant}));
            json!({"kind": item.kind, "code": item.code, "active": item.active, "repeat_policy": repeat,
                   "next_runs": item.next_runs, "findings": findings})
        })
        .collect();
    let fields: Vec<Value> = surroundings
        .aliases
        .iter()
        .map(|(model, field, target)| json!({"model": model, "field": field, "read_as": target}))
        .collect();
    let values: Vec<Value> = surroundings
        .values
        .iter()
        .map(|(model, field, value, target)| {
            json!({"model": model, "field": field, "value": value, "read_as": target})
        })
        .collect();
    json!({"items": items, "aliases": {"fields": fields, "values": values},
           "summary": {"checked": totals.checked, "errors": totals.errors, "errors_in_inactive": totals.inactive_errors,
                       "warnings": totals.warnings, "hints": totals.hints}})
}

fn print(items: &[Item], surroundings: &Surroundings, totals: &Totals) {
    for item in items.iter().filter(|i| !i.findings.is_empty()) {
        let inactive = if item.active { "" } else { " (inactive)" };
        println!("{} {}{inactive}", item.kind, item.code);
        for finding in &item.findings {
            let place = match finding.place {
                Some(place) if !finding.text.starts_with(place) => format!("{place}: "),
                _ => String::new(),
            };
            let text = finding.text.replace('\n', "\n      ");
            println!("  {}: {place}{text}", finding.severity.as_str());
            if let Some(remedy) = &finding.remedy {
                println!("      remedy: {remedy}");
            }
        }
    }
    for item in items {
        if let Some(repeat) = &item.repeat {
            let auto = if repeat.written == "auto" { " (auto)" } else { "" };
            println!("repetition in force: rule {}: {}{auto}", item.code, repeat.meant);
        }
    }
    for item in items.iter().filter(|i| !i.next_runs.is_empty()) {
        let inactive = if item.active { "" } else { ", once it is active" };
        println!(
            "schedule: trigger {}{inactive}: {}",
            item.code,
            item.next_runs.join(", ")
        );
    }
    for (model, field, target) in &surroundings.aliases {
        println!("alias in force: {model}: {field} is read as {target}");
    }
    for (model, field, value, target) in &surroundings.values {
        println!("alias in force: {model}.{field}: {value} is read as {target}");
    }
    let inactive = match totals.inactive_errors {
        0 => String::new(),
        n => format!(", {} in what is inactive", many(n, "error")),
    };
    println!(
        "{} checked: {}{inactive}, {}, {}.",
        totals.checked,
        many(totals.errors, "error"),
        many(totals.warnings, "warning"),
        many(totals.hints, "hint")
    );
}

/// Aliases as the host makes them hold: only where it lacks the name and has the target.
async fn surroundings(tx: &Transaction<'_>, survey: &Survey) -> Result<Surroundings, tokio_postgres::Error> {
    let configuration = &survey.configuration;
    let fields: Vec<(String, String)> = tx
        .query(
            "select model, field from sicantik_notify.field_alias order by 1, 2",
            &[],
        )
        .await?
        .iter()
        .map(|r| (r.get(0), r.get(1)))
        .collect();
    let rows = tx
        .query(
            "select model, field, value from sicantik_notify.value_alias order by 1, 2, 3",
            &[],
        )
        .await?;
    let values = rows
        .iter()
        .filter_map(|row| {
            let (model, field, value): (String, String, String) = (row.get(0), row.get(1), row.get(2));
            let known = configuration.catalog.model(&model)?;
            let target = configuration
                .aliases
                .resolve_value(known, known.column(&field)?, &value);
            (target != value).then_some((model, field, value, target))
        })
        .collect();
    Ok(Surroundings {
        aliases: aliases_in_force(&configuration.catalog, &configuration.aliases, &fields),
        values,
    })
}

/// Templates: what they ask for that the default values do not have, and whether any provider can send them.
async fn templates(tx: &Transaction<'_>, survey: &Survey) -> Result<Vec<Item>, tokio_postgres::Error> {
    let known = default_names(survey);
    let doubts = template::lint(tx).await?;
    let mut items = Vec::new();
    for row in tx.query(sql::CHECK_TEMPLATES.sql, &[]).await? {
        let (key, active, used): (String, bool, bool) =
            (row.get("template_key"), row.get("active"), row.get("used"));
        let rules: Vec<String> = row.get("plain_rules");
        let mut findings = Vec::new();
        if let Some(template) = load::template(&row) {
            let mut unknown: Vec<String> = placeholders(&template);
            unknown.extend(template.parameters.iter().cloned());
            unknown.retain(|name| !known.contains(name));
            unknown.sort();
            unknown.dedup();
            if !unknown.is_empty() {
                let names = unknown.join(", ");
                let text = format!("there are no default values for {names}");
                let finding = match rules.is_empty() {
                    true => Finding::new(Severity::Hint, "template_values", text),
                    false => Finding::new(
                        Severity::Error,
                        "template_values",
                        format!("{text}; {} need them", rules.join(", ")),
                    ),
                };
                let remedy =
                    "set them in the rule's context_preparation_code, or use names that have a value: ";
                let names: Vec<&str> = known.iter().map(String::as_str).collect();
                findings.push(finding.at("body").remedy(format!("{remedy}{}", names.join(", "))));
            }
            let status = template
                .meta
                .as_ref()
                .map_or(MetaStatus::NotConfigured, |m| m.status);
            match (template.gateways, status.is_usable()) {
                (false, false) => findings.push(
                    Finding::new(Severity::Warning, "template_unfit",
                        format!("no provider can send it: it is {status} at Meta, and not meant for Fonnte and Watzap"))
                    .at("for_gateways")
                    .remedy("set for_gateways, or meta_name and meta_status after Meta has approved it"),
                ),
                (true, false) if !matches!(status, MetaStatus::NotConfigured) => findings.push(
                    Finding::new(Severity::Hint, "template_unfit", format!("it is {status} at Meta: only Fonnte and Watzap send it"))
                        .at("meta_status"),
                ),
                _ => {}
            }
        }
        let about = format!("template {key}");
        for doubt in doubts.iter().filter(|d| d.about == about) {
            let severity = match doubt.severity {
                template::Severity::Error => Severity::Error,
                template::Severity::Warning => Severity::Warning,
            };
            let finding = Finding::new(severity, "template_lint", doubt.summary.clone());
            findings.push(finding.remedy(doubt.remedy.clone()));
        }
        if !active && used {
            findings.push(
                Finding::new(
                    Severity::Warning,
                    "template_inactive",
                    "active rules use it, but it is inactive",
                )
                .at("active"),
            );
        }
        items.push(Item {
            kind: "template",
            code: key,
            active,
            repeat: None,
            next_runs: Vec::new(),
            findings,
        });
    }
    Ok(items)
}

/// Names that the default context gives a value.
fn default_names(survey: &Survey) -> BTreeSet<String> {
    let configuration = &survey.configuration;
    let Some(model) = configuration.catalog.models.values().next() else {
        return BTreeSet::new();
    };
    let subject = Subject {
        model,
        record: &Map::new(),
        permit: None,
        changed_at: DateTime::UNIX_EPOCH,
    };
    let context = default_context(&subject, "", &configuration.office, DateTime::UNIX_EPOCH);
    context.into_iter().map(|(name, _)| name).collect()
}

/// Providers: settings and secrets that are missing; and whether there is one at all.
async fn providers(tx: &Transaction<'_>) -> Result<Vec<Item>, tokio_postgres::Error> {
    let mut items = Vec::new();
    // Operators write secrets and do not read them: they see which are set.
    let readable = "select has_column_privilege('sicantik_notify.provider_secret', 'value', 'select')";
    let statement = match tx.query_one(readable, &[]).await?.get(0) {
        true => sql::PROVIDERS.sql,
        false => sql::PROVIDERS_SEEN.sql,
    };
    let mut usable = false;
    for row in tx.query(statement, &[]).await? {
        let (name, active): (String, bool) = (row.get("name"), row.get("active"));
        let mut findings = Vec::new();
        if let Ok(kind) = row.get::<_, &str>("provider_type").parse::<ProviderKind>() {
            match directory::account(&row, kind) {
                Ok(_) => usable |= active,
                // A credential is given to the daemon's process, not to this one.
                Err(error) if error.contains("systemd credential") => {
                    usable |= active;
                    let text = format!("{error} in this process; the daemon's service must have it");
                    findings.push(Finding::new(Severity::Hint, "provider_credential", text));
                }
                Err(error) => findings.push(
                    Finding::new(Severity::Error, "provider_not_configured", error)
                        .remedy("complete sicantik_notify.provider and provider_secret"),
                ),
            }
        }
        if row.get::<_, bool>("circuit_open") {
            let text = "it keeps failing and is paused; see sicantik_notify.v_provider";
            findings.push(Finding::new(Severity::Warning, "provider_paused", text));
        }
        items.push(Item {
            kind: "provider",
            code: name,
            active,
            repeat: None,
            next_runs: Vec::new(),
            findings,
        });
    }
    if !usable {
        let finding = Finding::new(
            Severity::Warning,
            "no_provider",
            "no provider is active and configured: messages wait",
        )
        .remedy("add one to sicantik_notify.provider and its secrets to provider_secret");
        items.push(Item {
            kind: "providers",
            code: "all".into(),
            active: true,
            repeat: None,
            next_runs: Vec::new(),
            findings: vec![finding],
        });
    }
    Ok(items)
}

/// Campaigns that are not over: whether each could be started, or goes on.
async fn campaigns(tx: &Transaction<'_>, survey: &Survey) -> Result<Vec<Item>, tokio_postgres::Error> {
    let mut items = Vec::new();
    for row in tx.query(sql::CHECK_CAMPAIGNS.sql, &[]).await? {
        let text = |column: &str| row.get::<_, String>(column);
        let (model, domain) = (text("target_model"), text("target_domain"));
        let mut findings = Vec::new();
        match targets::compile(tx, &survey.configuration, &model, &domain).await? {
            Err(error) => {
                findings.push(Finding::new(Severity::Error, "campaign_domain", error).at("target_domain"))
            }
            Ok((model, compiled)) => {
                let tables = targets::tables(&model, &compiled);
                for statement in grants::missing(tx, &tables).await? {
                    let text = "its domain reads what the daemon may not read";
                    let remedy = format!("run `sicantik-notifyd hooks install` as a DBA, or: {statement}");
                    findings.push(
                        Finding::new(Severity::Error, "rights", text)
                            .at("target_domain")
                            .remedy(remedy),
                    );
                }
            }
        }
        let (rule, trigger) = (text("rule"), text("trigger"));
        if text("trigger_model") != model {
            let text = format!(
                "rule {rule} is about {} (by its trigger {trigger}), not about {model}",
                text("trigger_model")
            );
            findings.push(Finding::new(Severity::Error, "campaign_model", text).at("target_model"));
        }
        for (kind, code, active) in [
            ("rule", &rule, "rule_active"),
            ("trigger", &trigger, "trigger_active"),
        ] {
            if !row.get::<_, bool>(active) {
                let text = format!("the {kind} {code} is inactive: it cannot be started, and sends nothing");
                let remedy = format!("update sicantik_notify.{kind} set active = true where code = '{code}'");
                findings.push(
                    Finding::new(Severity::Warning, "campaign_inactive", text)
                        .at("rule")
                        .remedy(remedy),
                );
            }
        }
        if !row.get::<_, bool>("template_active") {
            let text = format!("there is no active template {}", text("template_key"));
            findings.push(Finding::new(Severity::Error, "campaign_template", text).at("template_key"));
        }
        if let Some(error) = row.get::<_, Option<String>>("last_error") {
            let text = format!("the daemon stopped it: {error}");
            findings.push(Finding::new(Severity::Warning, "campaign_stopped", text));
        }
        items.push(Item {
            kind: "campaign",
            code: text("name"),
            active: text("state") != "draft",
            repeat: None,
            next_runs: Vec::new(),
            findings,
        });
    }
    Ok(items)
}

/// Settings that cannot be understood.
fn settings(survey: &Survey) -> Vec<Item> {
    let mut items: BTreeMap<&str, Vec<Finding>> = BTreeMap::new();
    for problem in &survey.configuration.problems {
        if let Some(key) = problem.about.strip_prefix("setting ") {
            let finding = Finding::new(Severity::Warning, "setting", problem.summary.clone());
            items
                .entry(key)
                .or_default()
                .push(finding.remedy(problem.remedy.clone()));
        }
    }
    items
        .into_iter()
        .map(|(key, findings)| Item {
            kind: "setting",
            code: key.to_owned(),
            active: true,
            repeat: None,
            next_runs: Vec::new(),
            findings,
        })
        .collect()
}

/// Scheduled actions of the host that send as well. Reads only what the installation was granted.
async fn host(tx: &Transaction<'_>) -> Result<Vec<Item>, tokio_postgres::Error> {
    let readable = "select coalesce(has_table_privilege('sicantik_notify_owner', to_regclass('public.ir_cron'), 'select') \
                    and has_table_privilege('sicantik_notify_owner', to_regclass('public.ir_model_data'), 'select'), false)";
    if !tx.query_one(readable, &[]).await?.get::<_, bool>(0) {
        let text = "the host's scheduled actions cannot be read, so whether one of them sends WhatsApp messages too is not known";
        let finding = Finding::new(Severity::Hint, "host_unreadable", text)
            .remedy("grant select on public.ir_cron, public.ir_model_data to sicantik_notify_owner");
        return Ok(vec![Item {
            kind: "host",
            code: "ir_cron".into(),
            active: true,
            repeat: None,
            next_runs: Vec::new(),
            findings: vec![finding],
        }]);
    }
    let rows = tx
        .query(
            "select cron_id, name, module from sicantik_notify.host_senders()",
            &[],
        )
        .await?;
    Ok(rows
        .iter()
        .map(|row| {
            let (id, name, module): (i64, &str, Option<&str>) = (row.get(0), row.get(1), row.get(2));
            let text = match module {
                Some("sicantik_notification_automation") => {
                    format!("Odoo's scheduled action \"{name}\" belongs to the module that this daemon replaces, and is active: people may get two messages")
                }
                _ => format!("Odoo's scheduled action \"{name}\" is active and sends WhatsApp messages too: people may get two"),
            };
            let remedy = format!(
                "if this daemon is to send them, its owner switches it off: update public.ir_cron set active = false where id = {id}"
            );
            Item {
                kind: "host",
                code: format!("ir_cron {id}"),
                active: true,
                repeat: None,
                next_runs: Vec::new(),
                findings: vec![Finding::new(Severity::Warning, "host_sender", text).remedy(remedy)],
            }
        })
        .collect())
}
