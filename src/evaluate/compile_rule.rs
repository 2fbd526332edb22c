//! From a row of `rule` to its plan. What is wrong is said in a sentence that names the column and the remedy.

use std::sync::Arc;

use tokio_postgres::Row;

use super::compile::{compile_domain, resolve_column};
use super::definition::{Code, OnMismatch, RulePlan};
use super::question::{Asking, Question};
use super::recipients::path::Path;
use super::recipients::{Recipients, custom};
use super::repeat::Repeat;
use crate::host::catalog::{FieldType, Model};
use crate::lang::domain::DomainError;
use crate::lang::python::Form;
use crate::lang::snippet::{Scope, Snippet};

/// Columns that the host keeps by itself: their dates are no appointment.
const BOOKKEEPING: &[&str] = &["create_date", "write_date"];

/// `scheduled`: the trigger is a schedule, and this is its condition.
pub(super) fn compile_rule(
    row: &Row,
    model: &Arc<Model>,
    scheduled: Option<Option<&Question>>,
    asking: &Asking<'_>,
) -> Result<RulePlan, String> {
    let domain = compile_domain(row.get("condition_domain"), model, asking)?;
    let dates = scheduled.map(|of_trigger| dates(model, of_trigger.into_iter().chain(&domain)));
    let python = |column: &str, form| compile_code(text(row, column), column, form, model, asking);
    let condition = python("condition_python", Form::Condition)?;
    if condition
        .as_ref()
        .is_some_and(|snippet| snippet.uses("recipient"))
    {
        return Err(
            "condition_python: recipient is not known there: the condition is asked once a record, before its recipients are \
             found; use recipient_domain, or look at record.partner_id"
                .into(),
        );
    }
    let context_code = python("context_preparation_code", Form::Context)?;
    Ok(RulePlan {
        condition,
        context_code,
        recipients: compile_recipients(row, model, asking)?,
        repeat: compile_repeat(row, model, dates, asking)?,
        domain,
        grouped: row.get::<_, &str>("group_by") == "recipient",
        on_mismatch: match row.get::<_, &str>("on_name_mismatch") {
            "hold" => OnMismatch::Hold,
            "skip" => OnMismatch::Skip,
            _ => OnMismatch::Warn,
        },
    })
}

/// Python of a rule (SICANTIK guide §4.2).
pub(super) fn compile_code(
    text: Option<&str>,
    column: &str,
    form: Form,
    model: &Model,
    asking: &Asking<'_>,
) -> Result<Option<Code>, String> {
    let Some(text) = text else {
        return Ok(None);
    };
    let scope = Scope {
        model,
        catalog: asking.catalog,
        aliases: asking.aliases,
    };
    match Snippet::new(text, form, &scope) {
        Ok(snippet) => Ok(Some(Code::new(snippet, asking.catalog))),
        Err(failure) => Err(format!(
            "{column}: {}",
            DomainError::from(failure).diagnostic(text)
        )),
    }
}

fn text<'r>(row: &'r Row, column: &str) -> Option<&'r str> {
    row.get::<_, Option<&str>>(column)
        .filter(|v| !v.trim().is_empty())
}

fn compile_recipients(row: &Row, model: &Model, asking: &Asking<'_>) -> Result<Recipients, String> {
    let wanted = |column: &str| text(row, column).ok_or_else(|| format!("{column} is empty"));
    Ok(match row.get::<_, &str>("recipient_type") {
        "staff" => Recipients::Group(wanted("staff_group")?.to_owned()),
        "official" => Recipients::Group(wanted("official_group")?.to_owned()),
        "custom" => Recipients::Custom(custom::compile(wanted("recipient_domain")?, asking)?),
        "field" => Recipients::Field(Path::compile(wanted("recipient_field")?, model, asking)?),
        _ => Recipients::Partner,
    })
}

/// `dates`: the trigger is a schedule, and its conditions read these.
fn compile_repeat(
    row: &Row,
    model: &Model,
    dates: Option<Vec<String>>,
    asking: &Asking<'_>,
) -> Result<Repeat, String> {
    let cooldown = Repeat::Cooldown {
        minutes: row.get("repeat_cooldown"),
    };
    Ok(match (row.get::<_, &str>("repeat_policy"), dates) {
        ("once_per_record", _) => Repeat::OncePerRecord,
        ("once_per_value", _) => {
            let written = text(row, "repeat_field").ok_or("repeat_field is empty")?;
            let columns = written
                .split(',')
                .map(|field| resolve_column(field.trim(), model, asking.aliases));
            Repeat::OncePerValue(
                columns
                    .collect::<Result<_, _>>()
                    .map_err(|e| format!("repeat_field: {e}"))?,
            )
        }
        ("cooldown", _) => cooldown,
        ("auto", Some(dates)) if dates.is_empty() => cooldown,
        ("auto", Some(dates)) => Repeat::OncePerValue(dates),
        _ => Repeat::EveryEvent,
    })
}

/// Dates of the record that the conditions read.
fn dates<'q>(model: &Model, questions: impl Iterator<Item = &'q Question>) -> Vec<String> {
    let is_date = |column: &&String| {
        let field = model.column(column);
        field.is_some_and(|f| matches!(f.ttype, FieldType::Date | FieldType::Datetime))
            && !BOOKKEEPING.contains(&column.as_str())
    };
    let columns = questions.flat_map(|q| q.columns().iter());
    let dates: std::collections::BTreeSet<String> = columns.filter(is_date).cloned().collect();
    dates.into_iter().collect()
}
