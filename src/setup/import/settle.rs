//! One candidate after the other becomes a row of ours, or stays what it is: by its mark, by what stands here under its name, and
//! by whether somebody changed that.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;
use tokio_postgres::Transaction;

use super::candidate::{Candidate, Secret, slug};
use super::convert::{self, Context};
use super::host;
use super::mark::{self, Marks};
use super::report::{Entry, Fate, Report};
use crate::host::phone::Phone;
use crate::setup::shape::Shapes;
use crate::setup::store::{self, Stored};

/// Rows that `migrate` offered and that nobody has changed: section and key.
pub(super) async fn offered(
    tx: &Transaction<'_>,
) -> Result<BTreeSet<(String, String)>, tokio_postgres::Error> {
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

/// An import under way.
pub(super) struct Import {
    pub(super) shapes: Shapes,
    pub(super) marks: Marks,
    pub(super) offered: BTreeSet<(String, String)>,
    pub(super) with_secrets: bool,
    pub(super) report: Report,
    /// Candidates whose rows get a mark.
    pub(super) written: Vec<Candidate>,
    /// Rows that this run wrote.
    pub(super) touched: Vec<Touched>,
}

/// A row that this run wrote.
pub(super) struct Touched {
    pub(super) section: &'static str,
    pub(super) code: String,
    pub(super) entry: usize,
    pub(super) doubts: Vec<String>,
}

/// What is to be done with a candidate.
enum Way {
    Create,
    Update(String),
    Leave(Fate, Option<String>, Option<String>),
}

impl Import {
    /// Everything that was found, in the order in which it refers to each other.
    pub(super) async fn all(
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

    /// Remembers what stands now, so that a change can be told from it.
    pub(super) async fn mark(&mut self, tx: &Transaction<'_>) -> Result<(), tokio_postgres::Error> {
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
}

/// A code for a report, which may be kept: numbers are masked.
fn shown(candidate: &Candidate, code: &str) -> String {
    match candidate.section {
        "blacklist" => Phone::parse(code).map_or_else(|_| convert::hidden(code), |phone| phone.masked()),
        _ => code.to_owned(),
    }
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
