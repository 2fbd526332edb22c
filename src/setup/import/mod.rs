//! The configuration of the module that is replaced, carried over from its tables in the host.
//!
//! ```text
//! host (rows as JSON) ──convert──▶ candidate ──settle──▶ row of ours + mark ──survey──▶ switched off where it cannot work
//! ```
//!
//! Promises: a second run changes nothing; what was changed or removed here afterwards stays so; a rule is in force only if it means
//! here what it meant there and nobody else sends the same; no secret passes through this process; what was not carried over is
//! named with its reason.

mod candidate;
mod convert;
mod domain;
mod host;
mod mark;
pub mod report;

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;
use tokio_postgres::Transaction;
use tokio_postgres::error::SqlState;

use self::candidate::{Candidate, Secret, slug};
use self::convert::Context;
use self::host::Host;
use self::mark::Marks;
use self::report::{Entry, Fate, Report};
use super::shape::Shapes;
use super::store::{self, Stored};
use crate::evaluate::check::{Finding, Item, Severity};
use crate::host::catalog::Catalog;
use crate::host::phone::Phone;

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The server's answer.
    #[error("{}{}", crate::db::describe(.0), remedy(.0))]
    Server(#[from] tokio_postgres::Error),
    /// Tables that may not be read.
    #[error(
        "the role {role} may not read {} of the host: connect as the role that owns Odoo's tables or as a DBA, with --database-url or \
         `database.owner_url`, or let one of them run: grant select on {} to {role}",
        tables.join(", "),
        tables.iter().map(|t| format!("public.{t}")).collect::<Vec<_>>().join(", ")
    )]
    Rights {
        /// Who is connected.
        role: String,
        /// Which.
        tables: Vec<String>,
    },
    /// There is nothing of it.
    #[error(
        "this host has none of the tables of sicantik_notification_automation and sicantik_whatsapp: there is nothing to carry over"
    )]
    Absent,
}

fn remedy(error: &tokio_postgres::Error) -> &'static str {
    match error.code() {
        Some(code) if *code == SqlState::INSUFFICIENT_PRIVILEGE => {
            ": import-odoo writes configuration and reads Odoo's tables; connect as the DBA who installed the daemon, with \
             --database-url or `database.owner_url`"
        }
        _ => "",
    }
}

/// Carries over into the transaction what can be. The caller commits, or rolls back after a dry run. `survey` looks at all that
/// stands. `with_secrets`: secrets are copied, inside the database, instead of being named.
///
/// # Errors
/// [`ImportError`].
pub async fn import<S>(tx: &Transaction<'_>, with_secrets: bool, survey: S) -> Result<Report, ImportError>
where
    S: AsyncFn(&Transaction<'_>) -> Result<Vec<Item>, tokio_postgres::Error>,
{
    tx.batch_execute(
        "set local timezone = 'UTC'; set local datestyle = 'ISO, MDY'; set local intervalstyle = 'postgres'",
    )
    .await?;
    tx.batch_execute("select pg_advisory_xact_lock(hashtextextended('sicantik_notify.apply', 0))")
        .await?;
    let mut host = Host::read(tx).await?;
    if !host.is_there() {
        return Err(ImportError::Absent);
    }
    let followed = host.leave_followed(tx).await?;
    let catalog = Catalog::load(tx).await?;
    let mut import = Import {
        shapes: Shapes::load(tx).await?,
        marks: Marks::load(tx).await?,
        offered: offered(tx).await?,
        with_secrets,
        report: Report::default(),
        written: Vec::new(),
        touched: Vec::new(),
    };
    import
        .all(
            tx,
            &Context {
                host: &host,
                catalog: &catalog,
            },
        )
        .await?;
    import.switch_off(tx, &host, survey(tx).await?).await?;
    import.mark(tx).await?;
    import.remark(&host);
    import.report.remarks.extend(followed);
    Ok(import.report)
}

/// Rows that `migrate` offered and that nobody has changed: section and key.
async fn offered(tx: &Transaction<'_>) -> Result<BTreeSet<(String, String)>, tokio_postgres::Error> {
    let query = "select 'triggers', t.code, t.created_at from sicantik_notify.trigger t where t.updated_at = t.created_at \
                 union all select 'templates', t.template_key, t.created_at from sicantik_notify.template t \
                 where t.updated_at = t.created_at";
    let times = "select name, applied_at from sicantik_notify.repeatable where name in ('defaults/trigger', 'defaults/template')";
    let times: HashMap<String, chrono::DateTime<chrono::Utc>> = tx
        .query(times, &[])
        .await?
        .iter()
        .map(|row| (row.get(0), row.get(1)))
        .collect();
    let mut offered = BTreeSet::new();
    for row in tx.query(query, &[]).await? {
        let (section, key): (String, String) = (row.get(0), row.get(1));
        let made: chrono::DateTime<chrono::Utc> = row.get(2);
        let part = format!("defaults/{}", section.trim_end_matches('s'));
        // Made by the transaction that noted the offer.
        let with = times
            .get(&part)
            .is_some_and(|at| (*at - made).num_seconds().abs() < 60);
        if with {
            offered.insert((section, key));
        }
    }
    Ok(offered)
}

struct Import {
    shapes: Shapes,
    marks: Marks,
    offered: BTreeSet<(String, String)>,
    with_secrets: bool,
    report: Report,
    /// Candidates whose rows get a mark.
    written: Vec<Candidate>,
    /// Entries of the report whose rows this run wrote: section, key, place in the report, doubts.
    touched: Vec<Touched>,
}

struct Touched {
    section: &'static str,
    code: String,
    entry: usize,
    doubts: Vec<String>,
}

/// What is to be done with a candidate.
enum Way {
    Create,
    Update(String),
    Leave(Fate, Option<String>, Option<String>),
}

impl Import {
    async fn all(
        &mut self,
        tx: &Transaction<'_>,
        context: &Context<'_>,
    ) -> Result<(), tokio_postgres::Error> {
        let host = context.host;
        self.each(
            tx,
            host.rows(host::TEMPLATE)
                .iter()
                .map(|row| context.template(row))
                .collect(),
        )
        .await?;
        self.each(
            tx,
            host.rows(host::PROVIDER)
                .iter()
                .map(|row| context.provider(row))
                .collect(),
        )
        .await?;
        let (numbers, refusals) = convert::blacklist(host.rows(host::BLACKLIST));
        self.report.entries.extend(refusals);
        self.each(tx, numbers.into_iter().map(Ok).collect()).await?;

        let mut triggers: HashMap<i64, (String, String)> = HashMap::new();
        for row in host.rows(host::TRIGGER) {
            let converted = context.trigger(row);
            if let Some((code, model)) = self.one(tx, converted).await? {
                triggers.insert(host::id(row), (code, model));
            }
        }
        let mut rules: HashMap<i64, String> = HashMap::new();
        for row in host.rows(host::RULE) {
            let trigger = host::link(row, "trigger_id").and_then(|id| triggers.get(&id));
            let code = self.rule_code(tx, row).await?;
            let trigger = trigger.map(|(code, model)| (code.as_str(), model.as_str()));
            let converted = context.rule(row, &code, trigger);
            if let Some((code, _)) = self.one(tx, converted).await? {
                rules.insert(host::id(row), code);
            }
        }
        for row in host.rows(host::CAMPAIGN) {
            let rule = host::link(row, "rule_id").and_then(|id| rules.get(&id));
            let converted = context.campaign(row, rule.map(String::as_str));
            self.one(tx, converted).await?;
        }
        Ok(())
    }

    async fn each(
        &mut self,
        tx: &Transaction<'_>,
        converted: Vec<Result<Candidate, Box<Entry>>>,
    ) -> Result<(), tokio_postgres::Error> {
        for one in converted {
            self.one(tx, one).await?;
        }
        Ok(())
    }

    /// The module's rules have no code: it is made of the name.
    async fn rule_code(
        &self,
        tx: &Transaction<'_>,
        row: &host::Row,
    ) -> Result<String, tokio_postgres::Error> {
        let id = host::id(row);
        if let Some(mark) = self.marks.get(host::RULE, id) {
            return Ok(mark.code.clone());
        }
        let name = row.get("name").and_then(host::translated).unwrap_or_default();
        let code = match slug(&name) {
            empty if empty.is_empty() => format!("rule_{id}"),
            code => code,
        };
        let taken = match self.shapes.get("rules") {
            Some(shape) => store::load(tx, shape)
                .await?
                .iter()
                .any(|s| s.key == [code.clone()]),
            None => false,
        };
        Ok(if taken { format!("{code}_{id}") } else { code })
    }

    /// Settles one; the key and the model of what stands here for it, if something does.
    async fn one(
        &mut self,
        tx: &Transaction<'_>,
        converted: Result<Candidate, Box<Entry>>,
    ) -> Result<Option<(String, String)>, tokio_postgres::Error> {
        let mut candidate = match converted {
            Ok(candidate) => candidate,
            Err(entry) => {
                self.report.entries.push(*entry);
                return Ok(None);
            }
        };
        let Some(shape) = self.shapes.get(candidate.section).cloned() else {
            let mut entry = candidate.entry(Fate::Later);
            entry.notes.push(
                "this version has no campaigns; it is carried over by the next import of one that has".into(),
            );
            self.report.entries.push(entry);
            return Ok(None);
        };
        candidate.row.retain(|column, _| shape.column(column).is_some());
        let model = |candidate: &Candidate| {
            let model = candidate.row.get("model").and_then(Value::as_str);
            model.unwrap_or_default().to_owned()
        };
        self.rename_twin(&mut candidate);
        let stored = store::load(tx, &shape).await?;
        let key = match self.marks.get(candidate.source.0, candidate.source.1) {
            Some(mark) => mark.code.clone(),
            None => candidate.code.clone(),
        };
        let stands = stored.iter().find(|s| s.key.first() == Some(&key));
        let way = self.way(&candidate, stands);
        let found = (
            key.clone(),
            stands.map_or_else(
                || model(&candidate),
                |s| {
                    let model = s.row.get("model").and_then(Value::as_str);
                    model.unwrap_or_default().to_owned()
                },
            ),
        );
        let (fate, note) = match way {
            Way::Leave(fate, note, remedy) => {
                let mut entry = candidate.entry(fate);
                entry.notes = note.into_iter().collect();
                entry.remedy = remedy;
                entry.code = shown(&candidate, &key);
                self.report.entries.push(entry);
                if fate == Fate::Before {
                    candidate.code = key;
                    self.written.push(candidate);
                }
                return Ok(stands.is_some().then_some(found));
            }
            Way::Create => (Fate::Carried, None),
            Way::Update(note) => (Fate::Changed, Some(note)),
        };
        let mut row = candidate.row.clone();
        let done = match stands {
            None => {
                if let Some(first) = shape.key.first() {
                    row.insert((*first).to_owned(), candidate.code.clone().into());
                }
                store::insert(tx, &shape, &row).await?
            }
            Some(stands) => {
                row.retain(|column, value| stands.row.get(column) != Some(value));
                // What Meta says of a template is newer than what the module remembers.
                row.retain(|column, _| !shape.section.kept.contains(&column.as_str()));
                match row.is_empty() {
                    true => Ok(()),
                    false => store::update(tx, &shape, &stands.key, &row).await?,
                }
            }
        };
        if let Err(error) = done {
            let mut entry = candidate.entry(Fate::Refused);
            entry.notes.push(crate::db::describe(&error));
            entry.remedy = Some("correct it in Odoo and import again, or make it here".into());
            self.report.entries.push(entry);
            return Ok(None);
        }
        self.secrets(tx, &candidate).await?;
        let mut entry = candidate.entry(match candidate.notes.is_empty() && candidate.off.is_empty() {
            true => fate,
            false => Fate::Changed,
        });
        entry.code = shown(&candidate, &candidate.code);
        entry.notes.extend(note);
        self.touched.push(Touched {
            section: candidate.section,
            code: candidate.code.clone(),
            entry: self.report.entries.len(),
            doubts: candidate.off.clone(),
        });
        self.report.entries.push(entry);
        let code = candidate.code.clone();
        let model = model(&candidate);
        self.written.push(candidate);
        Ok(Some((code, model)))
    }

    /// Two triggers of one code, or two templates of one key: newer Odoo versions ignore the module's unique keys.
    fn rename_twin(&self, candidate: &mut Candidate) {
        let twin = |other: &&Candidate| other.section == candidate.section && other.code == candidate.code;
        if self.written.iter().find(twin).is_none() || candidate.section == "blacklist" {
            return;
        }
        let first = candidate.code.clone();
        candidate.code = match candidate.section {
            "providers" | "campaigns" => format!("{first} ({})", candidate.source.1),
            _ => format!("{first}_{}", candidate.source.1),
        };
        candidate.doubt(format!(
            "another {} of Odoo has the same name {first}: this one is called {} here",
            candidate.kind, candidate.code
        ));
    }

    fn way(&self, candidate: &Candidate, stands: Option<&Stored>) -> Way {
        let mark = self.marks.get(candidate.source.0, candidate.source.1);
        let same = |stands: &Stored| {
            let kept = self
                .shapes
                .get(candidate.section)
                .map_or(&[][..], |s| s.section.kept);
            let differs = |(column, value): (&String, &Value)| {
                stands.row.get(column) != Some(value) && !kept.contains(&column.as_str())
            };
            !candidate.row.iter().any(differs)
        };
        match (mark, stands) {
            (Some(mark), stands) if mark.source_sum == mark::sum(&candidate.lasting) => {
                // Nothing happened in Odoo, so whatever happened here stays.
                let gone = stands
                    .is_none()
                    .then(|| "it was removed here, and is not brought back".to_owned());
                Way::Leave(Fate::Before, gone, None)
            }
            (Some(mark), Some(stands)) if mark.was_followed() => match same(stands) {
                true => Way::Leave(Fate::Before, None, None),
                false => Way::Update("it followed Odoo's until now".into()),
            },
            (Some(_), None) => Way::Leave(
                Fate::Kept,
                Some("it was removed here, and is not brought back although it was changed in Odoo".into()),
                None,
            ),
            (Some(mark), Some(stands)) => match mark.row_sum == self.row_sum(candidate.section, stands) {
                true => Way::Update("it was changed in Odoo since the last import".into()),
                false => Way::Leave(
                    Fate::Kept,
                    Some("it was changed here and in Odoo since the last import".into()),
                    Some(format!(
                        "look at {} in Odoo, and change it here with `apply` or SQL",
                        candidate.label()
                    )),
                ),
            },
            (None, None) => Way::Create,
            (None, Some(stands)) if same(stands) => Way::Leave(Fate::Before, None, None),
            (None, Some(stands)) => self.met(candidate, stands),
        }
    }

    /// Something of that name stands here, and never came from there.
    fn met(&self, candidate: &Candidate, stands: &Stored) -> Way {
        let offered = (candidate.section.to_owned(), candidate.code.clone());
        let offered = self.offered.contains(&offered);
        let equal = |columns: &[&str]| {
            columns
                .iter()
                .all(|c| candidate.row.get(*c) == stands.row.get(*c))
        };
        let watches = ["model", "trigger_type", "state_field", "state_from", "state_to"];
        if candidate.section == "triggers"
            && offered
            && convert::is_shipped(candidate)
            && equal(&watches)
            && candidate.row.get("active") == stands.row.get("active")
        {
            let note = "it is as the module ships it; ours of that code is the same with its defects mended, and stays";
            return Way::Leave(Fate::Before, Some(note.into()), None);
        }
        if candidate.section == "blacklist" {
            return match stands.row.get("active") == Some(&Value::Bool(true)) {
                true => Way::Leave(Fate::Before, None, None),
                false => Way::Leave(
                    Fate::Kept,
                    Some("an operator took this number off the list here".into()),
                    Some("if it must get nothing: select sicantik_notify.blacklist_add('…')".into()),
                ),
            };
        }
        if offered {
            return Way::Update(format!(
                "it replaces the {} of that name that came with the daemon and that nobody had changed",
                candidate.kind
            ));
        }
        let differing: Vec<&str> = candidate
            .row
            .iter()
            .filter(|(column, value)| stands.row.get(*column) != Some(value))
            .map(|(column, _)| column.as_str())
            .collect();
        Way::Leave(
            Fate::Kept,
            Some(format!(
                "a {} of that name stands here with other values of {}",
                candidate.kind,
                differing.join(", ")
            )),
            Some(format!(
                "if Odoo's is meant, remove or rename ours and import again: {}",
                candidate.label()
            )),
        )
    }

    fn row_sum(&self, section: &str, stored: &Stored) -> String {
        let kept = self.shapes.get(section).map_or(&[][..], |s| s.section.kept);
        let own = stored
            .row
            .iter()
            .filter(|(column, _)| !kept.contains(&column.as_str()));
        mark::sum(
            &own.map(|(column, value)| (column.clone(), value.clone()))
                .collect(),
        )
    }

    /// Names the credentials, or copies the secrets inside the database.
    async fn secrets(
        &mut self,
        tx: &Transaction<'_>,
        candidate: &Candidate,
    ) -> Result<(), tokio_postgres::Error> {
        for secret in &candidate.secrets {
            let standing = "select exists (select from sicantik_notify.provider_secret s \
                            join sicantik_notify.provider p on p.id = s.provider_id where p.name = $1 and s.name = $2)";
            if tx
                .query_one(standing, &[&candidate.code, &secret.name])
                .await?
                .get(0)
            {
                continue;
            }
            if self.with_secrets && secret.there {
                copy(tx, &candidate.code, secret).await?;
                continue;
            }
            let statement = "insert into sicantik_notify.provider_secret (provider_id, name, credential) \
                             select p.id, $2, $3 from sicantik_notify.provider p where p.name = $1";
            tx.execute(statement, &[&candidate.code, &secret.name, &secret.credential])
                .await?;
            self.report.credentials.push((
                secret.credential.clone(),
                format!("{} of provider {}", secret.name, candidate.code),
            ));
        }
        Ok(())
    }

    /// What cannot be in force is switched off: errors of the survey, doubts of the conversion, and rules that would send what
    /// somebody else sends.
    async fn switch_off(
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

    /// Remembers what stands now, so that a change can be told from it.
    async fn mark(&mut self, tx: &Transaction<'_>) -> Result<(), tokio_postgres::Error> {
        for shape in &self.shapes.0 {
            let mine: Vec<&Candidate> = self
                .written
                .iter()
                .filter(|c| c.section == shape.section.name)
                .collect();
            if mine.is_empty() {
                continue;
            }
            let stored = store::load(tx, shape).await?;
            for candidate in mine {
                let stands = stored.iter().find(|s| s.key.first() == Some(&candidate.code));
                let known = self.marks.get(candidate.source.0, candidate.source.1);
                let source_sum = mark::sum(&candidate.lasting);
                // As it was before: what somebody changed here since then must go on looking changed.
                let unchanged = known.is_some_and(|m| m.source_sum == source_sum);
                if let (Some(stands), false) = (stands, unchanged) {
                    let row_sum = self.row_sum(shape.section.name, stands);
                    mark::write(tx, candidate, &source_sum, &row_sum).await?;
                }
            }
        }
        Ok(())
    }

    fn remark(&mut self, host: &Host) {
        let remarks = &mut self.report.remarks;
        for off in &host.own_crons {
            remarks.push(format!(
                "Odoo's scheduled action of the replaced module is active; before a rule is switched on here, its owner switches it off: {off}"
            ));
        }
        for off in &host.other_crons {
            remarks.push(format!(
                "Odoo's scheduled action sends WhatsApp messages too: {off}"
            ));
        }
        if host.whatsapp_module {
            remarks.push(
                "Odoo's module sicantik_whatsapp sends permit_ready, renewal_approved and document_pending itself when permits and \
                 documents are written: a rule that sends the same here makes two messages of it"
                    .into(),
            );
        }
        if host.pending > 0 {
            remarks.push(format!(
                "messages that wait in Odoo's sicantik_notification_queue ({}) are not carried over: some may have been sent already",
                host.pending
            ));
        }
        if let Some(base) = host.parameters.get("sicantik_whatsapp.webhook_base_url") {
            remarks.push(format!(
                "Odoo's links begin with {base}; here the setting link_base says where links of messages lead"
            ));
        }
    }
}

/// A code for a report, which may be kept: numbers are masked.
fn shown(candidate: &Candidate, code: &str) -> String {
    match candidate.section {
        "blacklist" => Phone::parse(code).map_or_else(|_| convert::hidden(code), |phone| phone.masked()),
        _ => code.to_owned(),
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

/// The secret goes from table to table; this process never sees it.
async fn copy(tx: &Transaction<'_>, provider: &str, secret: &Secret) -> Result<(), tokio_postgres::Error> {
    let (table, id, column) = secret.from;
    let statement = format!(
        "insert into sicantik_notify.provider_secret (provider_id, name, value) \
         select p.id, $2, btrim(to_jsonb(h.*) ->> $3) from sicantik_notify.provider p, public.{} h \
         where p.name = $1 and h.id = $4::bigint",
        crate::host::record::quote(table)
    );
    tx.execute(&statement, &[&provider, &secret.name, &column, &id])
        .await?;
    Ok(())
}
