//! From a file to the database: read, held against what stands, written, and looked at as a whole by the same survey that `check`
//! uses, in one transaction that is committed only if nothing is wrong. What was wrong before and has nothing to do with the file
//! stops nobody.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tokio_postgres::Transaction;

use super::complaint::Complaint;
use super::diff::{self, Action, Change};
use super::document::Document;
use super::shape::Shapes;
use crate::evaluate::check::{Finding, Item, Severity};
use crate::evaluate::settings::fault;

/// One at a time: two files at once would be held against the same state.
const LOCK: &str = "select pg_advisory_xact_lock(hashtextextended('sicantik_notify.apply', 0))";

/// What came of a file.
#[derive(Debug)]
pub struct Outcome {
    /// What it changes.
    pub changes: Vec<Change>,
    /// What is wrong with it: nothing may be committed then.
    pub errors: Vec<Complaint>,
    /// What is doubtful in what it changes.
    pub doubts: Vec<Complaint>,
    /// The sections of this database.
    pub shapes: Shapes,
}

/// Writes what the file asks for into the transaction. The caller commits if [`Outcome::errors`] is empty, and rolls back
/// otherwise. `survey` looks at all that stands.
///
/// # Errors
/// The server's.
pub async fn apply<S>(
    tx: &Transaction<'_>,
    text: &str,
    prune: bool,
    survey: S,
) -> Result<Outcome, tokio_postgres::Error>
where
    S: AsyncFn(&Transaction<'_>) -> Result<Vec<Item>, tokio_postgres::Error>,
{
    // Moments and lengths of time read and written alike, whatever the role's own settings.
    tx.batch_execute(
        "set local timezone = 'UTC'; set local datestyle = 'ISO, MDY'; set local intervalstyle = 'postgres'",
    )
    .await?;
    tx.execute(LOCK, &[]).await?;
    let shapes = Shapes::load(tx).await?;
    let mut outcome = Outcome {
        changes: Vec::new(),
        errors: Vec::new(),
        doubts: Vec::new(),
        shapes,
    };
    let document = match Document::parse(text, &outcome.shapes) {
        Ok(document) => document,
        Err(errors) => {
            outcome.errors = errors;
            return Ok(outcome);
        }
    };
    match diff::changes(tx, &outcome.shapes, &document, prune).await? {
        Ok(changes) => outcome.changes = changes,
        Err(errors) => {
            outcome.errors = errors;
            return Ok(outcome);
        }
    }
    if outcome.changes.is_empty() {
        return Ok(outcome);
    }
    outcome.errors = settings(&document, &outcome.changes);
    if !outcome.errors.is_empty() {
        return Ok(outcome);
    }
    outcome.doubts = followed(tx, &outcome.changes).await?;
    let before = survey(tx).await?;
    outcome.errors = diff::write(tx, &outcome.shapes, &document, &outcome.changes).await?;
    if outcome.errors.is_empty() {
        let after = survey(tx).await?;
        judge(&mut outcome, &document, &before, &after);
    }
    Ok(outcome)
}

/// Values that no setting of that name can have.
fn settings(document: &Document, changes: &[Change]) -> Vec<Complaint> {
    let given = changes
        .iter()
        .filter(|c| c.kind == "setting" && c.action != Action::Delete)
        .filter_map(|c| document.entry(c.section, &c.key));
    given
        .filter_map(|entry| {
            let found = fault(&entry.code(), entry.row.get("value")?.as_str()?)?;
            let about = format!("setting {}", entry.code());
            Some(Complaint::at(entry.place("value"), about, found.text).remedy(found.remedy))
        })
        .collect()
}

/// What follows Odoo's rows is made what they are again within seconds.
async fn followed(tx: &Transaction<'_>, changes: &[Change]) -> Result<Vec<Complaint>, tokio_postgres::Error> {
    let query = "select key from sicantik_notify.setting where key in ('template_source', 'provider_source') and value = 'host'";
    let mut doubts = Vec::new();
    for row in tx.query(query, &[]).await? {
        let key: &str = row.get(0);
        let kind = key.trim_end_matches("_source");
        if changes.iter().any(|change| change.kind == kind) {
            let text = "is host: rows that Odoo has too will follow Odoo's again, whatever this file says";
            doubts.push(Complaint::elsewhere(format!("setting {key}"), text).remedy("change them in Odoo"));
        }
    }
    Ok(doubts)
}

/// What the file makes wrong: errors of what it changes, and errors elsewhere that were not there before.
fn judge(outcome: &mut Outcome, document: &Document, before: &[Item], after: &[Item]) {
    let known: BTreeSet<(&str, &str, &str)> = before
        .iter()
        .flat_map(|i| {
            i.findings
                .iter()
                .map(|f| (i.kind, i.code.as_str(), f.text.as_str()))
        })
        .collect();
    for item in after {
        let touched = outcome
            .changes
            .iter()
            .find(|c| c.kind == item.kind && c.action != Action::Delete && c.key.first() == Some(&item.code));
        for finding in &item.findings {
            let new = !known.contains(&(item.kind, item.code.as_str(), finding.text.as_str()));
            if finding.severity == Severity::Hint || (touched.is_none() && !new) {
                continue;
            }
            let complaint = at_its_place(document, touched, item, finding);
            // What the daemon may read is granted by a DBA afterwards; what is switched off harms nobody.
            let stops = finding.severity == Severity::Error && item.active && finding.code != "rights";
            match stops {
                true => outcome.errors.push(complaint),
                false => outcome.doubts.push(complaint),
            }
        }
    }
    for list in [&mut outcome.errors, &mut outcome.doubts] {
        list.sort_by_key(|c| c.at.as_ref().map_or(usize::MAX, |at| at.start));
    }
}

fn at_its_place(document: &Document, change: Option<&Change>, item: &Item, finding: &Finding) -> Complaint {
    let about = format!("{} {}", item.kind, item.code);
    let entry = change.and_then(|c| document.entry(c.section, &c.key));
    let text = match finding.place {
        Some(place) if !finding.text.starts_with(place) => format!("{place}: {}", finding.text),
        _ => finding.text.clone(),
    };
    let mut complaint = match entry {
        Some(entry) => {
            let group = ["staff_group", "official_group"].into_iter();
            let group = group
                .filter(|_| finding.code.starts_with("group_"))
                .find(|c| entry.row.contains_key(*c));
            let column = finding.place.or(group);
            let at = column.map_or_else(|| entry.at.clone(), |p| entry.place(p));
            Complaint::at(at, about, text)
        }
        None => Complaint::elsewhere(about, text),
    };
    complaint.remedy.clone_from(&finding.remedy);
    complaint
}

impl Outcome {
    /// How many rows are created, changed and deleted.
    pub fn counts(&self) -> [usize; 3] {
        [Action::Create, Action::Change, Action::Delete]
            .map(|action| self.changes.iter().filter(|c| c.action == action).count())
    }

    /// Whether rows go.
    pub fn deletes(&self) -> bool {
        self.counts()[2] > 0
    }

    /// For scripts.
    pub fn json(&self, file: &str, source: &str, applied: bool) -> Value {
        let [created, changed, deleted] = self.counts();
        let listed =
            |list: &[Complaint]| -> Vec<Value> { list.iter().map(|c| c.json(file, source)).collect() };
        json!({"applied": applied, "changes": diff::report(&self.changes), "errors": listed(&self.errors),
               "warnings": listed(&self.doubts),
               "summary": {"created": created, "changed": changed, "deleted": deleted, "errors": self.errors.len(),
                           "warnings": self.doubts.len()}})
    }
}
