//! What was carried over and must not be in force at once: what cannot work here, what means something else, and what somebody else
//! sends as well.

use serde_json::Value;
use tokio_postgres::Transaction;

use super::host::Host;
use super::report::Fate;
use super::settle::Import;
use crate::evaluate::check::{Finding, Item, Severity};
use crate::setup::store;

impl Import {
    /// What cannot be in force is switched off: errors of the survey, doubts of the conversion, and rules that would send what
    /// somebody else sends.
    pub(super) async fn switch_off(
        &mut self,
        tx: &Transaction<'_>,
        host: &Host,
        items: Vec<Item>,
    ) -> Result<(), tokio_postgres::Error> {
        let all = std::mem::take(&mut self.touched);
        let ours: Vec<String> = all
            .iter()
            .filter(|t| t.section == "rules")
            .map(|t| t.code.clone())
            .collect();
        for touched in all {
            let Some(shape) = self.shapes.get(touched.section).cloned() else {
                continue;
            };
            let mut reasons = touched.doubts;
            let mut notes = Vec::new();
            let item = items
                .iter()
                .find(|i| i.kind == shape.section.kind && i.code == touched.code);
            for finding in item.iter().flat_map(|i| &i.findings) {
                match (finding.severity, finding.code) {
                    (Severity::Error, "rights") => notes.push(said(finding)),
                    (Severity::Error, _) => reasons.push(said(finding)),
                    (Severity::Warning, "no_schedule" | "trigger_inactive")
                    | (Severity::Hint, "no_rule" | "provider_credential") => {}
                    (Severity::Warning, _) | (Severity::Hint, "alias") => notes.push(said(finding)),
                    (Severity::Hint, _) => {}
                }
            }
            if touched.section == "rules" {
                if !host.own_crons.is_empty() {
                    reasons.push(
                        "the module's own scheduled actions are active in Odoo: both would send (see the notes at the end)".into(),
                    );
                }
                reasons.extend(doubled(tx, &touched.code, &ours).await?);
            }
            let Some(entry) = self.report.entries.get_mut(touched.entry) else {
                continue;
            };
            if !notes.is_empty() && entry.fate == Fate::Carried {
                entry.fate = Fate::Changed;
            }
            entry.notes.extend(notes);
            if reasons.is_empty() {
                continue;
            }
            entry.fate = Fate::Changed;
            entry.notes.extend(reasons);
            if shape.column("active").is_none() {
                continue;
            }
            let off = [("active".to_owned(), Value::Bool(false))].into_iter().collect();
            let key = [touched.code.clone()];
            let was: Option<bool> = tx
                .query_opt(
                    &format!(
                        "select (to_jsonb(t.*) ->> 'active')::boolean from {} t where to_jsonb(t.*) ->> $1 = $2",
                        shape.table()
                    ),
                    &[&shape.key.first().copied().unwrap_or_default(), &touched.code],
                )
                .await?
                .and_then(|row| row.get(0));
            if was == Some(true) {
                store::update(tx, &shape, &key, &off).await??;
                entry.switched_off = true;
                entry.remedy = Some(format!(
                    "when that is settled: update {} set active = true where {} = '{}'",
                    shape.table().replace('"', ""),
                    shape.key.first().copied().unwrap_or_default(),
                    touched.code.replace('\'', "''")
                ));
            }
        }
        Ok(())
    }
}

fn said(finding: &Finding) -> String {
    let place = match finding.place {
        Some(place) if !finding.text.starts_with(place) => format!("{place}: "),
        _ => String::new(),
    };
    let remedy = finding
        .remedy
        .as_ref()
        .map(|remedy| format!("\n  ({remedy})"))
        .unwrap_or_default();
    format!("{}: {place}{}{remedy}", finding.severity.as_str(), finding.text)
}

/// Another active rule that says the same to the same people.
async fn doubled(
    tx: &Transaction<'_>,
    code: &str,
    ours: &[String],
) -> Result<Option<String>, tokio_postgres::Error> {
    let query = "select string_agg(o.code, ', ' order by o.code) from sicantik_notify.rule r \
                 join sicantik_notify.rule o on o.trigger = r.trigger and o.template_key = r.template_key and o.code <> r.code \
                     and o.active and o.recipient_type = r.recipient_type and o.code <> all ($2) \
                     and array(select distinct g.group_id from sicantik_notify.host_group_members(coalesce(o.staff_group, o.official_group)) g order by 1) \
                       = array(select distinct g.group_id from sicantik_notify.host_group_members(coalesce(r.staff_group, r.official_group)) g order by 1) \
                     and not exists (select from sicantik_notify.import_mark m where m.section = 'rules' and m.code = o.code) \
                 where r.code = $1 and r.active";
    let others: Option<String> = tx.query_one(query, &[&code, &ours]).await?.get(0);
    Ok(others.map(|others| {
        format!("the active rule {others} says the same to the same people: they would get it twice")
    }))
}
