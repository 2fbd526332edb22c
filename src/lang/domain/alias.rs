//! Finding the field and the value that a user meant, and what is noted on the way.

use std::collections::BTreeMap;

use super::error::{DomainError, ErrorKind, Span};
use super::secret::is_secret;
use crate::host::catalog::{Field, Model};

/// What a note is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoteKind {
    /// A field was read as another one.
    FieldAlias,
    /// A value was read as another one.
    ValueAlias,
    /// The selection has no such value: the condition matches nothing, or everything.
    UnknownValue,
    /// A date that PostgreSQL reads in its own way.
    Date,
}

/// Something that `check` shows although the domain is accepted.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    /// What it is about.
    pub kind: NoteKind,
    /// One sentence.
    pub message: String,
    /// The bytes of the source that it is about.
    pub span: Span,
}

impl Note {
    pub(super) fn new(kind: NoteKind, span: Span, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            span,
        }
    }
}

/// Names in rules that were written against another model of the data.
///
/// An alias never shadows: it counts only where the host lacks the name and has the target.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Aliases {
    fields: BTreeMap<(String, String), String>,
    values: BTreeMap<(String, String, String), String>,
}

impl Aliases {
    /// Reads `from` as `to` on the model.
    pub fn field(mut self, model: &str, from: &str, to: &str) -> Self {
        self.fields.insert((model.into(), from.into()), to.into());
        self
    }

    /// Reads the value `from` of the selection `field` (its real name) as `to`.
    pub fn value(mut self, model: &str, field: &str, from: &str, to: &str) -> Self {
        self.values
            .insert((model.into(), field.into(), from.into()), to.into());
        self
    }

    /// The name that a trigger's field stands for: itself where the host has it, else its alias' target where the host has
    /// that, else itself.
    pub fn resolve_field<'a>(&'a self, model: &Model, name: &'a str) -> &'a str {
        if model.fields.contains_key(name) {
            return name;
        }
        let target = self.fields.get(&(model.name.clone(), name.to_owned()));
        target
            .filter(|to| model.column(to).is_some())
            .map_or(name, String::as_str)
    }

    /// The value that a trigger's value stands for, likewise by the selection of the field.
    pub fn resolve_value(&self, model: &Model, field: &Field, value: &str) -> String {
        let mut notes = Vec::new();
        self.selection_value(model, field, value, Span { start: 0, end: 0 }, &mut notes)
    }

    /// The field that a name without dots stands for; it may have no column.
    pub(super) fn resolve<'m>(
        &self,
        model: &'m Model,
        name: &str,
        span: Span,
        notes: &mut Vec<Note>,
    ) -> Result<&'m Field, DomainError> {
        if let Some(field) = model.column(name) {
            return Ok(field);
        }
        let target = self.fields.get(&(model.name.clone(), name.to_owned()));
        if let Some(field) = target.and_then(|to| model.column(to)) {
            let message = format!("`{name}` of {} is read as `{}`", model.name, field.name);
            notes.push(Note::new(NoteKind::FieldAlias, span, message));
            return Ok(field);
        }
        model
            .fields
            .get(name)
            .ok_or_else(|| unknown_field(model, name, span))
    }

    /// The value of a selection that a text stands for.
    pub(super) fn selection_value(
        &self,
        model: &Model,
        field: &Field,
        value: &str,
        span: Span,
        notes: &mut Vec<Note>,
    ) -> String {
        let has = |value: &str| field.selection.iter().any(|(known, _)| known == value);
        if value.is_empty() || field.selection.is_empty() || has(value) {
            return value.to_owned();
        }
        let key = (model.name.clone(), field.name.clone(), value.to_owned());
        if let Some(to) = self.values.get(&key).filter(|to| has(to)) {
            let message = format!("'{value}' of `{}` is read as '{to}'", field.name);
            notes.push(Note::new(NoteKind::ValueAlias, span, message));
            return to.clone();
        }
        notes.push(Note::new(
            NoteKind::UnknownValue,
            span,
            unknown_value(field, value),
        ));
        value.to_owned()
    }
}

fn unknown_value(field: &Field, value: &str) -> String {
    let known: Vec<_> = field
        .selection
        .iter()
        .map(|(value, _)| format!("'{value}'"))
        .collect();
    let known = known.join(", ");
    let name = &field.name;
    match field
        .selection
        .iter()
        .find(|(_, label)| label.eq_ignore_ascii_case(value))
    {
        Some((meant, _)) => format!("'{value}' is the label of '{meant}', not a value of `{name}` ({known})"),
        None => format!("`{name}` has no value '{value}'; it has {known}"),
    }
}

/// The error for a name that the model does not have.
pub(super) fn unknown_field(model: &Model, name: &str, span: Span) -> DomainError {
    if name.is_empty() {
        return DomainError::new(ErrorKind::Field, span, "a field name is empty");
    }
    let error = DomainError::new(ErrorKind::Field, span, format!("{} has no `{name}`", model.name));
    if name == "active" {
        return error.hint("remove this condition");
    }
    let mut names = model.column_names();
    names.retain(|name| !is_secret(&model.name, name));
    names.sort_by_key(|known| (distance(known, name), *known));
    error.hint(format!("it has {}", names.join(", ")))
}

/// Levenshtein's distance, on the first 64 characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
