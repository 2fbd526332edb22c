//! A file of configuration as it was written: TOML, read with the place of every key and value, so that whatever turns out wrong
//! later can be shown where it stands. Secrets are refused here: a provider names a credential.

use std::collections::HashMap;
use std::ops::Range;

use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::complaint::{Complaint, meant, place};
use super::secrets;
use super::shape::{CREDENTIALS, Column, Kind, Layout, Shape, Shapes};
use crate::host::phone::Phone;

/// A place in the file, in bytes.
pub type Place = Range<usize>;

/// What a file asks for.
#[derive(Clone, Debug, Default)]
pub struct Document {
    /// Sections that it has, by name; one that it does not have is left alone.
    pub parts: Vec<Part>,
}

/// A section of the file.
#[derive(Clone, Debug)]
pub struct Part {
    /// Its name.
    pub section: &'static str,
    /// Its rows, in the order of the file.
    pub entries: Vec<Entry>,
}

/// A row of the file.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What tells it apart.
    pub key: Vec<String>,
    /// Where it begins.
    pub at: Place,
    /// Columns that it gives, the key included.
    pub row: Map<String, Value>,
    /// Where each value stands.
    pub places: HashMap<String, Place>,
    /// Secrets: their name, and the credential that holds them.
    pub credentials: Vec<(String, String)>,
}

impl Entry {
    /// Where a column stands, or the row where it is not given.
    pub fn place(&self, column: &str) -> Place {
        self.places
            .get(column)
            .cloned()
            .unwrap_or_else(|| self.at.clone())
    }

    /// Its key for people.
    pub fn code(&self) -> String {
        self.key.join(" ")
    }
}

impl Document {
    /// Reads a file.
    ///
    /// # Errors
    /// Everything that is wrong with it, in its order.
    pub fn parse(text: &str, shapes: &Shapes) -> Result<Self, Vec<Complaint>> {
        let (root, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            return Err(errors.iter().map(|e| syntax(e, text)).collect());
        }
        let mut reader = Reader {
            text,
            complaints: Vec::new(),
        };
        let mut parts = Vec::new();
        for (name, value) in ordered(root.get_ref()) {
            let (at, name) = (name.span(), name.get_ref().as_ref());
            match shapes.get(name) {
                Some(shape) => parts.push(reader.part(shape, value)),
                None => {
                    let names = shapes.0.iter().map(|s| s.section.name);
                    let complaint = Complaint::at(at, "", format!("unknown section {name}"));
                    reader.complaints.push(complaint.remedy(meant(name, names)));
                }
            }
        }
        if !reader.complaints.is_empty() {
            reader
                .complaints
                .sort_by_key(|c| c.at.as_ref().map_or(0, |at| at.start));
            return Err(reader.complaints);
        }
        Ok(Self { parts })
    }

    /// A row of the file.
    pub fn entry(&self, section: &str, key: &[String]) -> Option<&Entry> {
        let part = self.parts.iter().find(|p| p.section == section)?;
        part.entries.iter().find(|e| e.key == key)
    }
}

fn syntax(error: &toml::de::Error, text: &str) -> Complaint {
    let at = error.span().unwrap_or(text.len()..text.len());
    let complaint = Complaint::at(at, "", format!("this is no TOML: {}", error.message()));
    match error.message().contains("duplicate") {
        true => complaint.remedy("keep one of the two"),
        false => complaint,
    }
}

/// Keys in the order of the file.
fn ordered<'t, 'i>(
    table: &'t DeTable<'i>,
) -> Vec<(&'t Spanned<std::borrow::Cow<'i, str>>, &'t Spanned<DeValue<'i>>)> {
    let mut pairs: Vec<_> = table.iter().collect();
    pairs.sort_by_key(|(key, _)| key.span().start);
    pairs
}

struct Reader<'t> {
    text: &'t str,
    complaints: Vec<Complaint>,
}

impl Reader<'_> {
    fn complain(&mut self, complaint: Complaint) {
        self.complaints.push(complaint);
    }

    fn part(&mut self, shape: &Shape, value: &Spanned<DeValue<'_>>) -> Part {
        let mut entries = match shape.section.layout {
            Layout::Rows => self.rows(shape, value),
            Layout::Pairs(column) => self.pairs(shape, column, value),
            Layout::Lists => self.lists(shape, value),
        };
        let mut seen: HashMap<Vec<String>, usize> = HashMap::new();
        for entry in &entries {
            if let Some(first) = seen.get(&entry.key) {
                let text = format!("it stands in line {first} already");
                let about = format!("{} {}", shape.section.kind, entry.code());
                let at = shape
                    .key
                    .first()
                    .map_or_else(|| entry.at.clone(), |c| entry.place(c));
                self.complain(
                    Complaint::at(at, about, text).remedy("keep one of the two, or give one another key"),
                );
            } else {
                seen.insert(entry.key.clone(), place(self.text, entry.at.start).0);
            }
        }
        entries.retain(|e| !e.key.is_empty());
        Part {
            section: shape.section.name,
            entries,
        }
    }

    fn rows(&mut self, shape: &Shape, value: &Spanned<DeValue<'_>>) -> Vec<Entry> {
        let section = shape.section.name;
        let DeValue::Array(items) = value.get_ref() else {
            let text = format!("{section} is {}, not a list of tables", named(value.get_ref()));
            let remedy = format!("write [[{section}]] above each of them");
            self.complain(Complaint::at(value.span(), "", text).remedy(remedy));
            return Vec::new();
        };
        let mut entries = Vec::new();
        for item in items.iter() {
            match item.get_ref() {
                DeValue::Table(table) => entries.extend(self.row(shape, table, item.span())),
                other => {
                    let text = format!("{} where a table belongs", named(other));
                    let remedy = format!("write [[{section}]] above it");
                    self.complain(Complaint::at(item.span(), "", text).remedy(remedy));
                }
            }
        }
        entries
    }

    fn row(&mut self, shape: &Shape, table: &DeTable<'_>, at: Place) -> Option<Entry> {
        let before = self.complaints.len();
        let mut entry = Entry {
            key: Vec::new(),
            at: header(&at, self.text),
            row: Map::new(),
            places: HashMap::new(),
            credentials: Vec::new(),
        };
        let about = label(shape, table);
        for (key, value) in ordered(table) {
            let name = key.get_ref().as_ref();
            if name == CREDENTIALS && shape.names().contains(&CREDENTIALS) {
                self.credentials(&about, value, &mut entry);
                continue;
            }
            if shape.section.table == "provider" && secrets::is_one(name) {
                let complaint = Complaint::at(
                    key.span(),
                    &about,
                    format!("{name} is a secret: no value of it may stand in a file"),
                );
                self.complain(complaint.remedy(secrets::REMEDY).quiet());
                continue;
            }
            let Some(column) = shape.column(name) else {
                let complaint = Complaint::at(key.span(), &about, format!("unknown key {name}"));
                let hint = match OTHERS.iter().find(|(other, _)| *other == name) {
                    Some((_, remedy)) => (*remedy).to_owned(),
                    None => meant(name, shape.names()),
                };
                self.complain(complaint.remedy(hint));
                continue;
            };
            if let Some(found) = self.value(&about, name, column.kind, column.required, value) {
                if column.kind == Kind::Json
                    && shape.section.table == "provider"
                    && let Some(secret) = secrets::within(&found)
                {
                    let text = format!("{name} holds {secret}, a secret: no value of it may stand in a file");
                    let complaint = Complaint::at(value.span(), &about, text).remedy(secrets::REMEDY);
                    self.complain(complaint.quiet());
                }
                entry.row.insert(name.to_owned(), found);
                entry.places.insert(name.to_owned(), value.span());
            }
        }
        let wanted = |c: &&Column| shape.is_key(&c.name) || (c.required && c.default.is_null());
        for column in shape.columns.iter().filter(wanted) {
            if !table.iter().any(|(key, _)| key.get_ref() == column.name.as_str()) {
                let text = format!("{} is missing", column.name);
                self.complain(Complaint::at(entry.at.clone(), &about, text).remedy(format!(
                    "give {}: {}",
                    column.name,
                    column.kind.wanted()
                )));
            }
        }
        if shape.section.table == "blacklist" {
            self.phone(&about, &mut entry);
        }
        if self.complaints.len() > before {
            return None;
        }
        entry.key = shape.key_of(&entry.row);
        Some(entry)
    }

    /// Numbers may stand in any notation; they are kept in one.
    fn phone(&mut self, about: &str, entry: &mut Entry) {
        let Some(Value::String(written)) = entry.row.get("phone") else {
            return;
        };
        match Phone::parse(written) {
            Ok(phone) => {
                entry.row.insert("phone".into(), phone.as_e164().into());
            }
            Err(error) => self.complain(
                Complaint::at(
                    entry.place("phone"),
                    about,
                    format!("this is no number that a message could go to: {error}"),
                )
                .remedy("write it as 08… or as +62…; a foreign one with its country code"),
            ),
        }
    }

    fn credentials(&mut self, about: &str, value: &Spanned<DeValue<'_>>, entry: &mut Entry) {
        let DeValue::Table(table) = value.get_ref() else {
            let text = format!(
                "{CREDENTIALS} is {}, not a table of names",
                named(value.get_ref())
            );
            let complaint = Complaint::at(value.span(), about, text).remedy(secrets::REMEDY);
            self.complain(complaint.quiet());
            return;
        };
        for (name, value) in ordered(table) {
            match value.get_ref() {
                DeValue::String(credential) if secrets::is_name(credential) => {
                    entry
                        .credentials
                        .push((name.get_ref().to_string(), credential.to_string()));
                    entry
                        .places
                        .insert(format!("{CREDENTIALS}.{}", name.get_ref()), value.span());
                }
                _ => {
                    let text = format!(
                        "{} is no name of a credential (letters, digits, `.`, `_`, `-`, at most {} of them); it looks like the \
                         secret itself",
                        name.get_ref(),
                        secrets::LONGEST_NAME
                    );
                    let complaint = Complaint::at(value.span(), about, text).remedy(secrets::REMEDY);
                    self.complain(complaint.quiet());
                }
            }
        }
    }

    fn pairs(&mut self, shape: &Shape, column: &str, value: &Spanned<DeValue<'_>>) -> Vec<Entry> {
        let mut entries = Vec::new();
        for (name, value) in self.table(shape, value) {
            let text = match value.get_ref() {
                DeValue::String(text) => text.to_string(),
                DeValue::Integer(_) | DeValue::Boolean(_) if shape.section.table == "setting" => {
                    self.text[value.span()].replace('_', "")
                }
                other => {
                    let about = format!("{} {}", shape.section.kind, name.get_ref());
                    let text = format!("this is {}, a text in quotes is wanted", named(other));
                    self.complain(Complaint::at(value.span(), about, text));
                    continue;
                }
            };
            let key = name.get_ref().to_string();
            entries.push(plain(shape, &key, column, text, &name.span(), &value.span()));
        }
        entries
    }

    fn lists(&mut self, shape: &Shape, value: &Spanned<DeValue<'_>>) -> Vec<Entry> {
        let column = shape.key.last().copied().unwrap_or_default();
        let mut entries = Vec::new();
        for (name, value) in self.table(shape, value) {
            let key = name.get_ref().to_string();
            let DeValue::Array(items) = value.get_ref() else {
                let text = format!("this is {}, a list of texts is wanted", named(value.get_ref()));
                self.complain(Complaint::at(
                    value.span(),
                    format!("{} {key}", shape.section.kind),
                    text,
                ));
                continue;
            };
            for item in items.iter() {
                match item.get_ref() {
                    DeValue::String(text) => {
                        entries.push(plain(
                            shape,
                            &key,
                            column,
                            text.to_string(),
                            &item.span(),
                            &item.span(),
                        ));
                    }
                    other => {
                        let text = format!("this is {}, a text in quotes is wanted", named(other));
                        let about = format!("{} {key}", shape.section.kind);
                        self.complain(Complaint::at(item.span(), about, text));
                    }
                }
            }
        }
        entries
    }

    fn table<'v, 'i>(
        &mut self,
        shape: &Shape,
        value: &'v Spanned<DeValue<'i>>,
    ) -> Vec<(&'v Spanned<std::borrow::Cow<'i, str>>, &'v Spanned<DeValue<'i>>)> {
        match value.get_ref() {
            DeValue::Table(table) => ordered(table),
            other => {
                let section = shape.section.name;
                let text = format!("{section} is {}, not a table", named(other));
                let remedy = format!("write [{section}] above its lines");
                self.complain(Complaint::at(value.span(), "", text).remedy(remedy));
                Vec::new()
            }
        }
    }

    fn value(
        &mut self,
        about: &str,
        name: &str,
        kind: Kind,
        required: bool,
        value: &Spanned<DeValue<'_>>,
    ) -> Option<Value> {
        let found = match (kind, value.get_ref()) {
            (_, DeValue::String(text)) if text == NONE && kind != Kind::Text && !required => {
                Some(Value::Null)
            }
            (Kind::Text | Kind::Interval | Kind::Moment | Kind::Local, DeValue::String(text)) => {
                Some(Value::String(text.to_string()))
            }
            (Kind::Moment, DeValue::Datetime(moment)) if moment.offset.is_some() => {
                Some(Value::String(moment.to_string()))
            }
            (Kind::Local, DeValue::Datetime(moment)) if moment.offset.is_none() && moment.date.is_some() => {
                Some(Value::String(moment.to_string()))
            }
            (Kind::Flag, DeValue::Boolean(flag)) => Some(Value::Bool(*flag)),
            (Kind::Integer, DeValue::Integer(_)) | (Kind::Json, _) => json(value.get_ref()),
            (Kind::Texts, DeValue::Array(items))
                if items.iter().all(|i| matches!(i.get_ref(), DeValue::String(_))) =>
            {
                json(value.get_ref())
            }
            _ => None,
        };
        if found.is_none() {
            let text = format!(
                "{name} is {}, {} is wanted",
                named(value.get_ref()),
                kind.wanted()
            );
            self.complain(Complaint::at(value.span(), about, text));
        }
        found
    }
}

/// "Nothing" for a column that has another default and is no text; TOML has no null.
pub const NONE: &str = "none";

/// Keys that people look for, and where they are.
const OTHERS: &[(&str, &str)] = &[
    (
        "id",
        "rows are told apart by their code, not by an id; leave it out",
    ),
    ("trigger_code", "write trigger, with the code of the trigger"),
    ("trigger_id", "write trigger, with the code of the trigger"),
    ("cron_interval_number", "write interval_number"),
    ("cron_interval_type", "write interval_type"),
];

/// The header of a table is its place; its values have their own.
fn header(at: &Place, text: &str) -> Place {
    let end = text[at.start..].find('\n').map_or(at.end, |n| at.start + n);
    at.start..end.min(at.end).max(at.start)
}

fn label(shape: &Shape, table: &DeTable<'_>) -> String {
    let part = |column: &&str| {
        let value = table.iter().find(|(key, _)| key.get_ref() == *column)?.1;
        value.get_ref().as_str().map(str::to_owned)
    };
    let key: Vec<String> = shape.key.iter().filter_map(part).collect();
    match key.is_empty() {
        true => shape.section.kind.to_owned(),
        false => format!("{} {}", shape.section.kind, key.join(" ")),
    }
}

fn plain(shape: &Shape, key: &str, column: &str, text: String, at: &Place, value: &Place) -> Entry {
    let first = shape.key.first().copied().unwrap_or_default();
    let mut row = Map::new();
    row.insert(first.to_owned(), key.into());
    row.insert(column.to_owned(), text.into());
    Entry {
        key: shape.key_of(&row),
        at: at.clone(),
        row,
        places: [(first.to_owned(), at.clone()), (column.to_owned(), value.clone())].into(),
        credentials: Vec::new(),
    }
}

fn named(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// As JSON; `None` where a number does not fit.
fn json(value: &DeValue<'_>) -> Option<Value> {
    Some(match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(number) => {
            let digits = number.as_str().replace('_', "");
            i64::from_str_radix(&digits, number.radix()).ok()?.into()
        }
        DeValue::Float(number) => {
            let number: f64 = number.as_str().replace('_', "").parse().ok()?;
            Value::Number(serde_json::Number::from_f64(number)?)
        }
        DeValue::Boolean(flag) => Value::Bool(*flag),
        DeValue::Datetime(moment) => Value::String(moment.to_string()),
        DeValue::Array(items) => {
            Value::Array(items.iter().map(|i| json(i.get_ref())).collect::<Option<_>>()?)
        }
        DeValue::Table(table) => Value::Object(
            ordered(table)
                .into_iter()
                .map(|(key, value)| Some((key.get_ref().to_string(), json(value.get_ref())?)))
                .collect::<Option<_>>()?,
        ),
    })
}
