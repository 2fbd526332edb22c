//! Message templates: which one a provider gets for a key, and how values become its text or its parameters.
//!
//! Owns template keys, rendering, and what makes values fit for Meta. Promises: a missing value is an error that names
//! it, never a blank in a citizen's message; 0 is a value; a value is inserted as it is and never expanded again.
//! Must not: read the database, or decide which provider is used (the dispatcher does).

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

use super::provider::{Button, ButtonKind, Header};

mod key;
mod lint;
pub mod load;
pub mod sync;

pub use key::{Keys, TemplateKey, candidate_keys};
pub use lint::{Finding, Severity, lint};

/// Longest text of a Meta template after substitution ("Meta: error codes", 132005).
pub const META_BODY_LIMIT: usize = 1_024;

/// What Meta, or the operator before the first sync, says about a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetaStatus {
    /// Nobody has set it up at Meta.
    NotConfigured,
    /// Set up by hand and not yet confirmed by a sync: tried.
    Configured,
    /// In review.
    Pending,
    /// May be sent.
    Approved,
    /// Paused by Meta for low quality; ends with an approval.
    Paused,
    /// Disabled by Meta for good.
    Disabled,
    /// Refused in review.
    Rejected,
}

impl MetaStatus {
    /// The word in tables and configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotConfigured => "not_configured",
            Self::Configured => "configured",
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Paused => "paused",
            Self::Disabled => "disabled",
            Self::Rejected => "rejected",
        }
    }

    /// Only approved templates can be sent ("Meta: templates overview"); `configured` is what the host's template
    /// master knows before a sync, and is tried.
    pub fn is_usable(self) -> bool {
        matches!(self, Self::Approved | Self::Configured)
    }
}

impl FromStr for MetaStatus {
    type Err = TemplateError;

    /// Reads our words and Meta's (`APPROVED`, `REINSTATED`, `IN_APPEAL`, …), in any case.
    fn from_str(word: &str) -> Result<Self, TemplateError> {
        Ok(match word.to_ascii_lowercase().as_str() {
            "not_configured" | "deleted" | "pending_deletion" | "archived" => Self::NotConfigured,
            "configured" => Self::Configured,
            "pending" | "in_appeal" | "locked" | "limit_exceeded" => Self::Pending,
            "approved" | "reinstated" | "flagged" | "unarchived" => Self::Approved,
            "paused" => Self::Paused,
            "disabled" => Self::Disabled,
            "rejected" => Self::Rejected,
            _ => {
                return Err(TemplateError::UnknownStatus {
                    status: word.to_owned(),
                });
            }
        })
    }
}

impl fmt::Display for MetaStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What stands in the header of a Meta template; each field names a parameter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeaderParameter {
    /// A text.
    Text(String),
    /// The link of an image.
    Image(String),
    /// The link of a document, and the name it is shown under.
    Document {
        /// Parameter with the link.
        link: String,
        /// Parameter with the file's name.
        filename: Option<String>,
    },
}

/// A button of a Meta template that takes a value. Static buttons are not listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ButtonParameter {
    /// Place of the button in the template, from 0.
    pub index: u8,
    /// What the button does.
    pub kind: ButtonKind,
    /// Name of the parameter.
    pub parameter: String,
}

/// The template as Meta knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetaTemplate {
    /// Name at Meta.
    pub name: String,
    /// Language code at Meta where it differs from the template's (`id`, `en_US`): it must match exactly.
    #[serde(default)]
    pub language: Option<String>,
    /// What Meta says about it.
    pub status: MetaStatus,
    /// Created with `parameter_format` NAMED: each parameter carries its name.
    #[serde(default)]
    pub named: bool,
    /// Names of the values of Meta's body, where they differ from the template's own.
    #[serde(default)]
    pub parameters: Option<Vec<String>>,
    /// The variable of the header.
    #[serde(default)]
    pub header: Option<HeaderParameter>,
    /// Variables of buttons.
    #[serde(default)]
    pub buttons: Vec<ButtonParameter>,
    /// Why it cannot be sent although its status is good.
    #[serde(default)]
    pub unfit: Option<String>,
}

/// A template with its text for gateways and its name at Meta.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    /// Key.
    pub key: TemplateKey,
    /// Language of the text (`id`).
    pub language: String,
    /// Text with `{{name}}` placeholders.
    pub body: String,
    /// Parameters in the order of Meta's body.
    pub parameters: Vec<String>,
    /// The template at Meta, if there is one.
    pub meta: Option<MetaTemplate>,
    /// May be sent as text through Fonnte and Watzap.
    pub gateways: bool,
    /// Promotional: never sent to somebody who told Meta to stop, and not handed on after such an answer.
    #[serde(default)]
    pub marketing: bool,
}

impl Template {
    /// Names of the values of Meta's body, in its order.
    pub fn meta_names(&self) -> &[String] {
        let own = self.meta.as_ref().and_then(|meta| meta.parameters.as_ref());
        own.unwrap_or(&self.parameters)
    }
}

/// Why a template or a context cannot become a message.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs)]
pub enum TemplateError {
    #[error("\"{key}\" is no template key: use letters, digits and underscores")]
    InvalidKey { key: String },
    #[error(
        "\"{status}\" is no template status: use not_configured, configured, pending, approved, paused, disabled or rejected"
    )]
    UnknownStatus { status: String },
    #[error("template {key}: no value for {}: add it to the rule's context", names.join(", "))]
    Missing { key: TemplateKey, names: Vec<String> },
    #[error("template {key}: {} is empty, which Meta refuses: give it a value in the rule's context", names.join(", "))]
    Empty { key: TemplateKey, names: Vec<String> },
    #[error("template {key}: {name} is an object, not a text: name the field of it that is meant")]
    NotText { key: TemplateKey, name: String },
    #[error(
        "template {key}: the values have {length} characters together, Meta allows {META_BODY_LIMIT} for the whole text"
    )]
    TooLong { key: TemplateKey, length: usize },
    #[error("template {key} has no template at Meta: set its name and status, or run the template sync")]
    NotAtMeta { key: TemplateKey },
}

/// Values made fit for Meta.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaParameters {
    /// Name and value, in the template's order.
    pub body: Vec<(String, String)>,
    /// The header's value.
    pub header: Option<Header>,
    /// The buttons' values.
    pub buttons: Vec<Button>,
    /// Names of the parameters whose text was changed to be accepted (line breaks, tabs, long runs of blanks).
    pub changed: BTreeSet<String>,
}

/// The text for a gateway. `{{name}}` takes the value of that name, `{{1}}` the first parameter's. An empty value is
/// allowed; a missing one is an error. A parameter that the text does not use need not be there.
pub fn render(template: &Template, context: &Map<String, Value>) -> Result<String, TemplateError> {
    let mut text = String::with_capacity(template.body.len() + 64);
    let mut missing = Vec::new();
    for part in parts(&template.body) {
        match part {
            Part::Literal(literal) => text.push_str(literal),
            Part::Placeholder(name) => match value_of(template, context, name)? {
                Some(value) => text.push_str(&value),
                None => push_once(&mut missing, parameter_name(template, name)),
            },
        }
    }
    if missing.is_empty() {
        Ok(text)
    } else {
        Err(TemplateError::Missing {
            key: template.key.clone(),
            names: missing,
        })
    }
}

/// Names of the placeholders in the text, in order, each once.
pub fn placeholders(template: &Template) -> Vec<String> {
    let mut names = Vec::new();
    for part in parts(&template.body) {
        if let Part::Placeholder(name) = part {
            push_once(&mut names, parameter_name(template, name));
        }
    }
    names
}

/// The values for Meta, in the template's order, without what Meta refuses: no line break, no tab, no more than four
/// blanks in a row (132018), not empty (131008).
pub fn meta_parameters(
    template: &Template,
    context: &Map<String, Value>,
) -> Result<MetaParameters, TemplateError> {
    let Some(meta) = &template.meta else {
        return Err(TemplateError::NotAtMeta {
            key: template.key.clone(),
        });
    };
    let mut values = Collected::new(template, context);
    let body: Vec<_> = template
        .meta_names()
        .iter()
        .map(|name| Ok((name.clone(), values.take(name)?)))
        .collect::<Result<_, _>>()?;
    let header = match &meta.header {
        None => None,
        Some(HeaderParameter::Text(name)) => Some(Header::Text {
            name: name.clone(),
            value: values.take(name)?,
        }),
        Some(HeaderParameter::Image(link)) => Some(Header::Image {
            link: values.take(link)?,
        }),
        Some(HeaderParameter::Document { link, filename }) => Some(Header::Document {
            link: values.take(link)?,
            filename: filename.as_ref().map(|name| values.take(name)).transpose()?,
        }),
    };
    let mut buttons = Vec::with_capacity(meta.buttons.len());
    for button in &meta.buttons {
        buttons.push(Button {
            index: button.index,
            kind: button.kind,
            value: values.take(&button.parameter)?,
        });
    }
    let changed = values.finish()?;
    let length = body.iter().map(|(_, value)| value.chars().count()).sum();
    if length > META_BODY_LIMIT {
        return Err(TemplateError::TooLong {
            key: template.key.clone(),
            length,
        });
    }
    Ok(MetaParameters {
        body,
        header,
        buttons,
        changed,
    })
}

/// Text that Fonnte leaves as it is: it replaces `{name}` and `{var1}` by values bound to the target ("Fonnte: API
/// send"), so an invisible word joiner goes behind the brace of such a word.
pub fn guard_for_fonnte(text: &str) -> String {
    let mut guarded = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        guarded.push(c);
        if c == '{' && is_fonnte_variable(&text[at + 1..]) {
            guarded.push('\u{2060}');
        }
    }
    guarded
}

fn is_fonnte_variable(rest: &str) -> bool {
    let Some((word, _)) = rest.split_once('}') else {
        return false;
    };
    let word = word.trim();
    let number = word
        .get(..3)
        .filter(|head| head.eq_ignore_ascii_case("var"))
        .map(|_| &word[3..]);
    word.eq_ignore_ascii_case("name")
        || number.is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
}

/// Gathers every missing and empty name before it complains, so that an operator corrects a rule once.
struct Collected<'a> {
    template: &'a Template,
    context: &'a Map<String, Value>,
    missing: Vec<String>,
    empty: Vec<String>,
    changed: BTreeSet<String>,
}

impl<'a> Collected<'a> {
    fn new(template: &'a Template, context: &'a Map<String, Value>) -> Self {
        Self {
            template,
            context,
            missing: Vec::new(),
            empty: Vec::new(),
            changed: BTreeSet::new(),
        }
    }

    fn take(&mut self, name: &str) -> Result<String, TemplateError> {
        let Some(raw) = value_of(self.template, self.context, name)? else {
            push_once(&mut self.missing, name);
            return Ok(String::new());
        };
        let fit = fit_for_meta(&raw);
        if fit.is_empty() {
            push_once(&mut self.empty, name);
        } else if fit != raw {
            self.changed.insert(name.to_owned());
        }
        Ok(fit)
    }

    fn finish(self) -> Result<BTreeSet<String>, TemplateError> {
        let key = self.template.key.clone();
        if !self.missing.is_empty() {
            return Err(TemplateError::Missing {
                key,
                names: self.missing,
            });
        }
        if !self.empty.is_empty() {
            return Err(TemplateError::Empty {
                key,
                names: self.empty,
            });
        }
        Ok(self.changed)
    }
}

/// A run of blanks with a line break or tab in it, or of more than four, becomes one space; other control characters go.
fn fit_for_meta(raw: &str) -> String {
    let mut fit = String::with_capacity(raw.len());
    let mut run = String::new();
    for c in raw.trim().chars() {
        if c.is_whitespace() {
            run.push(c);
        } else if !c.is_control() {
            flush_run(&mut run, &mut fit);
            fit.push(c);
        }
    }
    fit.truncate(fit.trim_end().len());
    fit
}

fn flush_run(run: &mut String, fit: &mut String) {
    let broken = run
        .chars()
        .any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}'));
    if broken || run.chars().count() > 4 {
        fit.push(' ');
    } else {
        fit.push_str(run);
    }
    run.clear();
}

fn push_once(names: &mut Vec<String>, name: &str) {
    if !names.iter().any(|known| known == name) {
        names.push(name.to_owned());
    }
}

/// `{{1}}` means the first parameter; everything else is a name.
fn parameter_name<'a>(template: &'a Template, placeholder: &'a str) -> &'a str {
    let by_place = placeholder
        .parse::<usize>()
        .ok()
        .and_then(|place| template.parameters.get(place.checked_sub(1)?));
    by_place.map_or(placeholder, String::as_str)
}

/// The value as text; `None` if it is absent or null.
fn value_of(
    template: &Template,
    context: &Map<String, Value>,
    name: &str,
) -> Result<Option<String>, TemplateError> {
    let value = context
        .get(name)
        .or_else(|| context.get(parameter_name(template, name)));
    let Some(value) = value.filter(|value| !value.is_null()) else {
        return Ok(None);
    };
    let not_text = || TemplateError::NotText {
        key: template.key.clone(),
        name: name.to_owned(),
    };
    as_text(value, &template.language).map(Some).ok_or_else(not_text)
}

/// Texts as they are, whole numbers without a fraction, yes and no in the template's language, lists with commas.
fn as_text(value: &Value, language: &str) -> Option<String> {
    Some(match value {
        Value::String(text) => text.clone(),
        Value::Bool(yes) => match (language.starts_with("id"), yes) {
            (true, true) => "Ya".to_owned(),
            (true, false) => "Tidak".to_owned(),
            (false, true) => "Yes".to_owned(),
            (false, false) => "No".to_owned(),
        },
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() => float.to_string(),
            _ => number.to_string(),
        },
        Value::Array(items) => items
            .iter()
            .map(|item| as_text(item, language))
            .collect::<Option<Vec<_>>>()?
            .join(", "),
        Value::Null | Value::Object(_) => return None,
    })
}

enum Part<'a> {
    Literal(&'a str),
    Placeholder(&'a str),
}

/// Splits a body at `{{ word }}`; braces around anything else are text.
fn parts(body: &str) -> impl Iterator<Item = Part<'_>> {
    let mut rest = body;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        if let Some((name, after)) = leading_placeholder(rest) {
            rest = after;
            return Some(Part::Placeholder(name));
        }
        let mut starts = rest.char_indices().skip(1).map(|(at, _)| at);
        let next = starts.find(|at| leading_placeholder(&rest[*at..]).is_some());
        let (literal, after) = rest.split_at(next.unwrap_or(rest.len()));
        rest = after;
        Some(Part::Literal(literal))
    })
}

fn leading_placeholder(text: &str) -> Option<(&str, &str)> {
    let (name, after) = text.strip_prefix("{{")?.split_once("}}")?;
    let name = name.trim();
    let word = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '.');
    word.then_some((name, after))
}

#[cfg(test)]
mod tests;
