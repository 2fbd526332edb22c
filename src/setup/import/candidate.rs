//! A row of ours as it would be carried over, and what was changed to make it one.

use serde_json::{Map, Value};

use super::host::{self, Row};
use super::report::{Entry, Fate};

/// A secret of a provider.
#[derive(Clone, Debug)]
pub struct Secret {
    /// What it is called here.
    pub name: &'static str,
    /// The credential that is to hold it.
    pub credential: String,
    /// Where the host keeps it: table, row, column.
    pub from: (&'static str, i64, &'static str),
    /// Whether the host has it.
    pub there: bool,
}

/// What would be written.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Table and row of the host.
    pub source: (&'static str, i64),
    /// Where it goes.
    pub section: &'static str,
    /// One of it, for people.
    pub kind: &'static str,
    /// Its key.
    pub code: String,
    /// Its columns, without the key.
    pub row: Map<String, Value>,
    /// The host's row, as far as somebody configures it.
    pub lasting: Row,
    /// What is different, in sentences.
    pub notes: Vec<String>,
    /// Why it must not be in force at once.
    pub off: Vec<String>,
    /// Its secrets.
    pub secrets: Vec<Secret>,
}

impl Candidate {
    /// From a row of the host.
    pub fn new(
        source: &'static str,
        of: &Row,
        section: &'static str,
        kind: &'static str,
        code: impl Into<String>,
    ) -> Self {
        Self {
            source: (source, host::id(of)),
            section,
            kind,
            code: code.into(),
            row: Map::new(),
            lasting: host::lasting(of),
            notes: Vec::new(),
            off: Vec::new(),
            secrets: Vec::new(),
        }
    }

    /// What it is called in a report.
    pub fn label(&self) -> String {
        format!("{} {}", self.source.0, self.source.1)
    }

    /// Sets a column.
    pub fn set(&mut self, column: &str, value: impl Into<Value>) {
        self.row.insert(column.to_owned(), value.into());
    }

    /// Something is different that does not change what it does.
    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// Something is different that a person must look at before it is in force.
    pub fn doubt(&mut self, text: impl Into<String>) {
        self.off.push(text.into());
    }

    /// A text; blank is nothing.
    pub fn text(&mut self, of: &Row, column: &str) {
        self.set(column, host::text(of, column).map(str::to_owned));
    }

    /// One of a few words.
    pub fn word(&mut self, of: &Row, column: &str, words: &[&str], default: &str) {
        match host::text(of, column) {
            Some(word) if words.contains(&word) => self.set(column, word),
            None => self.set(column, default),
            Some(other) => {
                self.doubt(format!(
                    "{column} was {other:?}, which is none of {}: it is {default} now",
                    words.join(", ")
                ));
                self.set(column, default);
            }
        }
    }

    /// A number that is at least `least`; Odoo leaves them empty.
    pub fn number(&mut self, of: &Row, column: &str, least: i64, default: i64) {
        match of.get(column).and_then(Value::as_i64) {
            None => self.set(column, default),
            Some(number) if number >= least && number <= i64::from(i32::MAX) => self.set(column, number),
            Some(number) => {
                self.doubt(format!("{column} was {number}: it is {default} now"));
                self.set(column, default);
            }
        }
    }

    /// Its line in the report.
    pub fn entry(&self, fate: Fate) -> Entry {
        Entry {
            kind: self.kind,
            code: self.code.clone(),
            source: self.label(),
            fate,
            switched_off: false,
            notes: self.notes.clone(),
            remedy: None,
        }
    }
}

/// A row of the host that makes no row of ours.
pub fn refused(
    source: &'static str,
    of: &Row,
    kind: &'static str,
    name: impl Into<String>,
    why: impl Into<String>,
    remedy: impl Into<String>,
) -> Box<Entry> {
    Box::new(Entry {
        kind,
        code: name.into(),
        source: format!("{source} {}", host::id(of)),
        fate: Fate::Refused,
        switched_off: false,
        notes: vec![why.into()],
        remedy: Some(remedy.into()),
    })
}

/// Letters, digits and underscores of a name.
pub fn slug(name: &str) -> String {
    let mut slug = String::new();
    for c in name.to_lowercase().chars() {
        match c.is_ascii_alphanumeric() {
            true => slug.push(c),
            false if !slug.is_empty() && !slug.ends_with('_') => slug.push('_'),
            false => {}
        }
    }
    slug.chars()
        .take(60)
        .collect::<String>()
        .trim_end_matches('_')
        .to_owned()
}

/// Whether it can be a code here.
pub fn is_code(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs() {
        assert_eq!(
            slug("Beritahu pemohon: izin selesai!"),
            "beritahu_pemohon_izin_selesai"
        );
        assert_eq!(slug("  ¿?  "), "");
        assert!(is_code("a_1") && !is_code("ä") && !is_code(""));
        assert!(slug(&"x y".repeat(80)).len() <= 60);
    }
}
