//! From rows of `trigger` and `rule` to what the evaluation uses: names resolved against the host's catalogue, conditions
//! compiled. What is wrong is said in a sentence that names the place and the remedy.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio_postgres::Row;

use super::compile_rule::compile_rule;
use super::definition::{Rule, Trigger};
use super::question::{Asking, Question};
use super::trigger::{Condition, FieldChange};
use crate::db::ids::{RuleId, TriggerId};
use crate::host::catalog::Model;
use crate::lang::domain::{Aliases, BaseKind, Source};

pub(super) fn compile_trigger(
    row: &Row,
    rules: &[Row],
    asking: &Asking<'_>,
    noise: &BTreeMap<String, Vec<String>>,
) -> Result<Trigger, String> {
    let code: String = row.get("code");
    let model_name: &str = row.get("model");
    let aliases = asking.aliases;
    let model = asking
        .catalog
        .model(model_name)
        .ok_or_else(|| format!("the host has no model {model_name}, or no table for it"))?
        .clone();
    let condition = compile_condition(row, &model, aliases, noise)?;
    let domain = compile_domain(row.get("condition_domain"), &model, asking);
    let scheduled =
        (row.get::<_, &str>("trigger_type") == "cron").then(|| domain.as_ref().ok().and_then(|d| d.as_ref()));
    let rules = rules
        .iter()
        .filter(|r| r.get::<_, &str>("trigger") == code)
        .map(|r| Rule {
            id: RuleId(r.get("id")),
            code: r.get("code"),
            active: r.get("active"),
            plan: compile_rule(r, &model, scheduled, asking),
            template_key: r.get("template_key"),
            priority: r.get("priority"),
            delay_minutes: match r.get::<_, &str>("schedule_type") {
                "scheduled" => r.get("scheduled_delay"),
                _ => 0,
            },
            batched: r.get::<_, &str>("schedule_type") == "batch",
        })
        .collect();
    Ok(Trigger {
        id: TriggerId(row.get("id")),
        code,
        model,
        condition,
        domain,
        rules,
    })
}

fn compile_condition(
    row: &Row,
    model: &Model,
    aliases: &Aliases,
    noise: &BTreeMap<String, Vec<String>>,
) -> Result<Condition, String> {
    let value = |column: &str, name: &str| -> Result<Option<String>, String> {
        match row.get::<_, Option<String>>(name).filter(|v| !v.is_empty()) {
            None => Ok(None),
            Some(written) => {
                let Some(field) = model.column(column) else {
                    return Ok(Some(written));
                };
                let resolved = aliases.resolve_value(model, field, &written);
                let selection = &field.selection;
                if !selection.is_empty() && !selection.iter().any(|(v, _)| *v == resolved) {
                    let known: Vec<&str> = selection.iter().map(|(v, _)| v.as_str()).collect();
                    return Err(format!(
                        "{name} = {written:?}: {}.{column} has no such value; it has {}",
                        model.name,
                        known.join(", ")
                    ));
                }
                Ok(Some(resolved))
            }
        }
    };
    Ok(match row.get::<_, &str>("trigger_type") {
        "on_create" => Condition::Create,
        "on_write" => Condition::Write {
            noise: ["*", &model.name]
                .iter()
                .filter_map(|m| noise.get(*m))
                .flatten()
                .cloned()
                .collect(),
        },
        "on_state_change" => {
            let column = resolve_column(row.get("state_field"), model, aliases)?;
            let (from, to) = (value(&column, "state_from")?, value(&column, "state_to")?);
            Condition::State { column, from, to }
        }
        "on_field_change" => Condition::Field {
            column: resolve_column(
                row.get::<_, Option<&str>>("field_to_watch").unwrap_or_default(),
                model,
                aliases,
            )?,
            change: match row.get::<_, &str>("field_change") {
                "set" => FieldChange::Set,
                "cleared" => FieldChange::Cleared,
                _ => FieldChange::Any,
            },
        },
        _ => Condition::Other,
    })
}

/// A field name as written, as a column of the model's table.
pub(super) fn resolve_column(written: &str, model: &Model, aliases: &Aliases) -> Result<String, String> {
    let name = aliases.resolve_field(model, written);
    match model.column(name) {
        Some(field) => Ok(field.name.clone()),
        None if model.fields.contains_key(name) => Err(format!(
            "{}.{name} is computed and has no column, so its changes cannot be seen; columns are {}",
            model.name,
            model.column_names().join(", ")
        )),
        None => Err(format!(
            "{} has no field {written}; it has {}. Name one of them, or add a row to sicantik_notify.field_alias",
            model.name,
            model.column_names().join(", ")
        )),
    }
}

/// A condition on the captured image.
pub(super) fn compile_domain(
    text: Option<String>,
    model: &Arc<Model>,
    asking: &Asking<'_>,
) -> Result<Option<Question>, String> {
    let Some(text) = text.filter(|t| !t.trim().is_empty()) else {
        return Ok(None);
    };
    Source::parse(&text)
        .and_then(|source| Question::new(source, model, BaseKind::Image, asking))
        .map(Some)
        .map_err(|error| format!("condition_domain: {}", error.diagnostic(&text)))
}
