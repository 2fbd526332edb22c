//! What a file changes: held against what stands, row by row and column by column.

use serde_json::{Value, json};
use tokio_postgres::Transaction;

use super::complaint::Complaint;
use super::document::{Document, Entry, Part};
use super::secrets;
use super::shape::{CREDENTIALS, Kind, Prune, Shape, Shapes};
use super::store::{self, Row, Stored, is_default, shown};

/// What happens to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is new.
    Create,
    /// Some of its columns change.
    Change,
    /// It goes, or is switched off where its history stays.
    Delete,
}

impl Action {
    /// In one word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Change => "change",
            Self::Delete => "delete",
        }
    }
}

/// A column that changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// Which.
    pub column: String,
    /// What stood there; `None`: the row is new.
    pub old: Option<Value>,
    /// What will.
    pub new: Value,
}

/// A row that changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Its section.
    pub section: &'static str,
    /// `rule`, `trigger`, …
    pub kind: &'static str,
    /// What tells it apart.
    pub key: Vec<String>,
    /// What happens.
    pub action: Action,
    /// Columns that change; of a new row those that differ from their default.
    pub cells: Vec<Cell>,
    /// Secrets whose credential changes: name, what was known of it, the new credential.
    pub credentials: Vec<(String, Option<String>, String)>,
}

impl Change {
    /// Its key for people.
    pub fn code(&self) -> String {
        self.key.join(" ")
    }
}

/// What the whole file changes, in the order in which it is written; what is deleted comes last, in reverse.
///
/// # Errors
/// The server's; what is wrong with values is in the inner error.
pub async fn changes(
    tx: &Transaction<'_>,
    shapes: &Shapes,
    document: &Document,
    prune: bool,
) -> Result<Result<Vec<Change>, Vec<Complaint>>, tokio_postgres::Error> {
    let (mut changes, mut gone, mut complaints) = (Vec::new(), Vec::new(), Vec::new());
    for shape in &shapes.0 {
        let Some(part) = document.parts.iter().find(|p| p.section == shape.section.name) else {
            continue;
        };
        let stored = store::load(tx, shape).await?;
        match wanted(tx, shape, part, &stored).await? {
            Err(wrong) => complaints.extend(wrong),
            Ok(rows) => {
                for (entry, row) in part.entries.iter().zip(rows) {
                    if shape.section.prune == Prune::Never && !stored.iter().any(|s| s.key == entry.key) {
                        complaints.push(unknown(shape, entry, &stored));
                        continue;
                    }
                    let stands = stored.iter().find(|s| s.key == entry.key);
                    changes.extend(change(shape, entry, row, stands));
                }
            }
        }
        if prune {
            let left = |s: &&Stored| !part.entries.iter().any(|e| e.key == s.key);
            gone.extend(stored.iter().filter(left).filter_map(|s| removal(shape, s)));
        }
    }
    gone.reverse();
    changes.extend(gone);
    Ok(match complaints.is_empty() {
        true => Ok(changes),
        false => Err(complaints),
    })
}

/// A setting or job that does not exist is a misspelt one.
fn unknown(shape: &Shape, entry: &Entry, stored: &[Stored]) -> Complaint {
    let names: Vec<String> = stored.iter().map(|s| s.key.join(" ")).collect();
    let text = format!("there is no {} {}", shape.section.kind, entry.code());
    Complaint::at(entry.at.clone(), "", text).remedy(super::complaint::meant(
        &entry.code(),
        names.iter().map(String::as_str),
    ))
}

/// The rows that the file wants, complete and in the server's form.
async fn wanted(
    tx: &Transaction<'_>,
    shape: &Shape,
    part: &Part,
    stored: &[Stored],
) -> Result<Result<Vec<Row>, Vec<Complaint>>, tokio_postgres::Error> {
    let complete = |entry: &Entry| {
        let mut row = shape.defaults();
        if let Some(stands) = stored.iter().find(|s| s.key == entry.key) {
            for column in shape.section.kept {
                if let Some(value) = stands.row.get(*column) {
                    row.insert((*column).to_owned(), value.clone());
                }
            }
        }
        row.extend(entry.row.clone());
        row
    };
    let rows: Vec<Row> = part.entries.iter().map(complete).collect();
    if let Ok(rows) = store::normal(tx, shape, rows.clone()).await? {
        return Ok(Ok(rows));
    }
    let mut complaints = Vec::new();
    for (entry, row) in part.entries.iter().zip(rows) {
        for column in &shape.columns {
            let mut only = shape.defaults();
            only.insert(
                column.name.clone(),
                row.get(&column.name).cloned().unwrap_or_default(),
            );
            if let Err(error) = store::normal(tx, shape, vec![only]).await? {
                let about = format!("{} {}", shape.section.kind, entry.code());
                let text = format!("{}: {}", column.name, crate::db::describe(&error));
                complaints.push(
                    Complaint::at(entry.place(&column.name), about, text)
                        .remedy(format!("write {}", column.kind.wanted())),
                );
            }
        }
    }
    Ok(Err(complaints))
}

fn change(shape: &Shape, entry: &Entry, row: Row, stands: Option<&Stored>) -> Option<Change> {
    let cells: Vec<Cell> = shape
        .values()
        .filter_map(|column| {
            let new = row.get(&column.name).cloned().unwrap_or_default();
            let old = stands.map(|s| s.row.get(&column.name).cloned().unwrap_or_default());
            let differs = match &old {
                Some(old) => *old != new,
                None => column.default != new,
            };
            let column = column.name.clone();
            differs.then_some(Cell { column, old, new })
        })
        .collect();
    let credentials: Vec<_> = entry
        .credentials
        .iter()
        .filter_map(|(name, credential)| {
            let known = stands.and_then(|s| s.credentials.get(name));
            let differs = known.and_then(Option::as_ref) != Some(credential);
            let old = known.map(|k| k.clone().unwrap_or_else(|| "a value in the database".to_owned()));
            differs.then(|| (name.clone(), old, credential.clone()))
        })
        .collect();
    let action = match stands {
        None => Action::Create,
        Some(_) if cells.is_empty() && credentials.is_empty() => return None,
        Some(_) => Action::Change,
    };
    Some(Change {
        section: shape.section.name,
        kind: shape.section.kind,
        key: entry.key.clone(),
        action,
        cells,
        credentials,
    })
}

fn removal(shape: &Shape, stored: &Stored) -> Option<Change> {
    let code = stored.key.join(" ");
    let active = stored.row.get("active") == Some(&Value::Bool(true));
    let goes = match shape.section.prune {
        Prune::Never => false,
        Prune::Deactivate => active,
        Prune::Delete => !shape.section.own.contains(&code.as_str()),
    };
    goes.then(|| Change {
        section: shape.section.name,
        kind: shape.section.kind,
        key: stored.key.clone(),
        action: Action::Delete,
        cells: Vec::new(),
        credentials: Vec::new(),
    })
}

/// Writes the changes. What the server refuses is returned, and the transaction must not be committed then.
///
/// # Errors
/// The server's.
pub async fn write(
    tx: &Transaction<'_>,
    shapes: &Shapes,
    document: &Document,
    changes: &[Change],
) -> Result<Vec<Complaint>, tokio_postgres::Error> {
    let mut complaints = Vec::new();
    for change in changes {
        let Some(shape) = shapes.get(change.section) else {
            continue;
        };
        let mut row: Row = change
            .cells
            .iter()
            .map(|c| (c.column.clone(), c.new.clone()))
            .collect();
        let done = match change.action {
            Action::Create => {
                for (column, part) in shape.key.iter().zip(&change.key) {
                    row.insert((*column).to_owned(), part.clone().into());
                }
                store::insert(tx, shape, &row).await?
            }
            Action::Change if row.is_empty() => Ok(()),
            Action::Change => store::update(tx, shape, &change.key, &row).await?,
            Action::Delete if shape.section.prune == Prune::Deactivate => {
                let off: Row = [("active".to_owned(), Value::Bool(false))].into_iter().collect();
                store::update(tx, shape, &change.key, &off).await?
            }
            Action::Delete => store::delete(tx, shape, &change.key).await?,
        };
        if let Err(error) = done {
            complaints.push(refused(tx, shape, document, change, &error).await?);
            continue;
        }
        for (name, _, credential) in &change.credentials {
            let provider = change.key.first().map(String::as_str).unwrap_or_default();
            if let Err(error) = store::name_credential(tx, provider, name, credential).await? {
                complaints.push(refused(tx, shape, document, change, &error).await?);
            }
        }
    }
    Ok(complaints)
}

/// What the server refused, at its place and in words.
async fn refused(
    tx: &Transaction<'_>,
    shape: &Shape,
    document: &Document,
    change: &Change,
    error: &tokio_postgres::Error,
) -> Result<Complaint, tokio_postgres::Error> {
    let about = format!("{} {}", change.kind, change.code());
    let entry = document.entry(change.section, &change.key);
    let complaint = |column: Option<&str>, text: String| match entry {
        Some(entry) => {
            let at = column.map_or_else(|| entry.at.clone(), |c| entry.place(c));
            Complaint::at(at, about.clone(), text)
        }
        None => Complaint::elsewhere(about.clone(), text),
    };
    let Some(db) = error.as_db_error() else {
        return Ok(complaint(None, crate::db::describe(error)));
    };
    let found = match db.constraint() {
        Some(name) => store::constraint(tx, db.table().unwrap_or(shape.section.table), name).await?,
        None => None,
    };
    Ok(match (db.code().code(), found) {
        ("23514", Some((definition, columns))) => {
            let column = columns
                .iter()
                .find(|c| change.cells.iter().any(|cell| cell.column == **c))
                .or(columns.first());
            let listed = quoted(&definition);
            let value = column.and_then(|c| change.cells.iter().find(|cell| cell.column == *c));
            let of_key = column.and_then(|c| shape.key.iter().position(|k| k == c));
            let text = match (column, value, of_key.and_then(|at| change.key.get(at))) {
                (Some(column), Some(cell), _) => format!("{column} cannot be {}", shown(&cell.new)),
                (Some(column), None, Some(part)) => format!("{column} cannot be {part:?}"),
                (Some(column), None, None) => format!("{column} is not given"),
                _ => db.message().to_owned(),
            };
            let remedy = match listed.len() {
                0 | 1 => format!("it must satisfy {definition}"),
                _ if columns.len() == 1 => format!("it is one of: {}", listed.join(", ")),
                _ => format!("together they must satisfy {definition}"),
            };
            complaint(column.map(String::as_str), text).remedy(remedy)
        }
        ("23503", Some((_, columns))) if change.action != Action::Delete => {
            let column = columns.first().cloned().unwrap_or_default();
            let value = change.cells.iter().find(|cell| cell.column == column);
            let written = value
                .and_then(|cell| cell.new.as_str())
                .unwrap_or_default()
                .to_owned();
            let codes = tx
                .query("select code from sicantik_notify.trigger order by code", &[])
                .await?;
            let codes: Vec<String> = codes.iter().map(|row| row.get(0)).collect();
            let meant = super::complaint::meant(&written, codes.iter().map(String::as_str));
            complaint(Some(&column), format!("there is no {column} {written}")).remedy(meant)
        }
        ("23503", _) => complaint(
            None,
            format!("it is still in use: {}", db.detail().unwrap_or(db.message())),
        )
        .remedy("remove what uses it first, or set active = false in the file and keep it"),
        ("23505", _) if change.section == "campaigns" => complaint(
            None,
            "a campaign of this code has been started here, and no file changes it".to_owned(),
        )
        .remedy("take it out of the file; sicantik_notify.v_campaign shows what became of it"),
        ("42501", _) if change.section == "campaigns" => complaint(None, db.message().to_owned())
            .remedy("connect as the owner, or make it with `sicantik-notifyd campaign create`"),
        ("42501", _) => complaint(None, db.message().to_owned()).remedy(
            "connect as the owner or as a member of sicantik_notify_operator: --database-url, or database.owner_url",
        ),
        _ => complaint(db.column(), crate::db::describe(error)),
    })
}

/// Texts in quotes in a definition: the values that it allows.
fn quoted(definition: &str) -> Vec<&str> {
    if !definition.contains("ARRAY[") {
        return Vec::new();
    }
    definition.split('\'').skip(1).step_by(2).collect()
}

/// For people.
pub fn text(shapes: &Shapes, changes: &[Change]) -> String {
    let mut text = String::new();
    for change in changes {
        let sign = match change.action {
            Action::Create => '+',
            Action::Change => '~',
            Action::Delete => '-',
        };
        let off = shapes
            .get(change.section)
            .is_some_and(|s| s.section.prune == Prune::Deactivate);
        let note = match change.action {
            Action::Delete if off => " (taken off; the row stays)",
            _ => "",
        };
        text.push_str(&format!("{sign} {} {}{note}\n", change.kind, change.code()));
        for cell in &change.cells {
            text.push_str(&cell_text(cell));
        }
        for (name, old, new) in &change.credentials {
            let old = old.as_deref().unwrap_or("(none)");
            text.push_str(&format!("    {CREDENTIALS}.{name}: {old} → {new}\n"));
        }
    }
    text
}

fn cell_text(cell: &Cell) -> String {
    let name = &cell.column;
    let hidden = |value: &Value| match name.as_str() {
        "settings" => secrets::without(value),
        _ => value.clone(),
    };
    let new = hidden(&cell.new);
    let lines = |value: &Value| -> Vec<String> {
        match value {
            Value::String(text) => text.split('\n').map(str::to_owned).collect(),
            Value::Null => Vec::new(),
            other => vec![other.to_string()],
        }
    };
    let many = |value: &Value| value.as_str().is_some_and(|t| t.contains('\n'));
    match &cell.old {
        None if many(&new) => {
            let added: Vec<String> = lines(&new).iter().map(|l| format!("      + {l}")).collect();
            format!("    {name}:\n{}\n", added.join("\n"))
        }
        None => format!("    {name}: {}\n", shown(&new)),
        Some(old) => {
            let old = hidden(old);
            if many(&old) || many(&new) {
                return format!("    {name}:\n{}", by_line(&lines(&old), &lines(&new)));
            }
            format!("    {name}: {} → {}\n", shown(&old), shown(&new))
        }
    }
}

/// Lines that go and come, with the ones around them.
fn by_line(old: &[String], new: &[String]) -> String {
    // Longest common subsequence; texts of configuration have a few hundred lines at most.
    let (n, m) = (old.len(), new.len());
    let mut same = vec![vec![0_u32; m + 1]; n + 1];
    for i in (0..n).rev() {
        for j in (0..m).rev() {
            same[i][j] = match old[i] == new[j] {
                true => same[i + 1][j + 1] + 1,
                false => same[i + 1][j].max(same[i][j + 1]),
            };
        }
    }
    let (mut i, mut j, mut text) = (0, 0, String::new());
    while i < n || j < m {
        let (sign, line) = if i < n && j < m && old[i] == new[j] {
            (i, j) = (i + 1, j + 1);
            (' ', &old[i - 1])
        } else if i < n && (j == m || same[i + 1][j] >= same[i][j + 1]) {
            i += 1;
            ('-', &old[i - 1])
        } else {
            j += 1;
            ('+', &new[j - 1])
        };
        text.push_str(format!("      {sign} {line}").trim_end());
        text.push('\n');
    }
    text
}

/// For scripts.
pub fn report(changes: &[Change]) -> Vec<Value> {
    let shown = |column: &str, value: &Value| match column {
        "settings" => secrets::without(value),
        _ => value.clone(),
    };
    let one = |change: &Change| {
        let columns: serde_json::Map<String, Value> = change
            .cells
            .iter()
            .map(|cell| {
                let old = cell.old.as_ref().map(|old| shown(&cell.column, old));
                let new = shown(&cell.column, &cell.new);
                (cell.column.clone(), json!({"old": old, "new": new}))
            })
            .collect();
        let credentials: serde_json::Map<String, Value> = change
            .credentials
            .iter()
            .map(|(name, old, new)| (name.clone(), json!({"old": old, "new": new})))
            .collect();
        json!({"section": change.section, "kind": change.kind, "code": change.code(), "action": change.action.as_str(),
               "columns": columns, "credentials": credentials})
    };
    changes.iter().map(one).collect()
}

/// Columns that stand in an export: those that differ from their default.
pub fn worth_saying<'s>(shape: &'s Shape, row: &'s Row) -> impl Iterator<Item = (&'s str, Kind, &'s Value)> {
    shape.columns.iter().filter_map(move |column| {
        let value = row.get(&column.name)?;
        let said = shape.is_key(&column.name) || !is_default(shape, &column.name, value);
        said.then_some((column.name.as_str(), column.kind, value))
    })
}
