//! Domains that must be computed: from the text, by the sandbox, to the values that [`Domain::build`] takes.

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use monty_types::{DictPairs, MontyClassInstance, MontyClassType, MontyObject, MontyUuid};
use serde_json::{Map, Value as Json};

use super::ast::Domain;
use super::compile::BaseRow;
use super::error::{DomainError, ErrorKind, Span};
use super::literal;
use super::value::{Node, Value};
use super::{MAX_ITEMS, MAX_NESTING};
use crate::lang::python::{self, Clock, Failure, FailureKind, Program};

const NO_FACTS: &str = "only `user.id` is known, the host's users cannot be read; `sicantik-notifyd hooks install`, run by a DBA, \
                        grants what is needed";
/// Most values in a computed domain, all lists together.
const MAX_VALUES: usize = 4 * MAX_ITEMS;

/// What the expressions of a domain see, and in whose eyes the domain is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Vars {
    /// The moment: `datetime.now()`, `time.strftime(…)`, in UTC.
    pub now: DateTime<Utc>,
    /// The user's zone: `context_today()`, `current_date`, `.to_utc()`.
    pub tz: Tz,
    /// `uid`; `user.id` without further facts.
    pub uid: i64,
    /// `company_id`, and the company of company-dependent columns.
    pub company: i64,
    /// `company_ids`, `allowed_company_ids`.
    pub companies: Vec<i64>,
    /// The language of translated columns; `en_US` if none is given.
    pub lang: Option<String>,
    /// Whether archived records are left out of a table.
    pub active_test: bool,
    /// `active_id`, `active_ids`; unknown names where there are none.
    pub active_ids: Vec<i64>,
    /// What `user` has beside its id, as [`Vars::user_fields`] has it.
    pub user: Option<Json>,
    /// Further names, which come before all others.
    pub extra: Map<String, Json>,
}

impl Vars {
    /// The system's user of the first company, at that moment.
    pub fn at(now: DateTime<Utc>, tz: Tz) -> Self {
        Self {
            now,
            tz,
            uid: 1,
            company: 1,
            companies: vec![1],
            lang: None,
            active_test: true,
            active_ids: Vec::new(),
            user: None,
            extra: Map::new(),
        }
    }

    /// Language and company for the compiler.
    pub fn base(&self, base: BaseRow) -> BaseRow {
        let base = base.company(self.company);
        match &self.lang {
            Some(lang) => base.lang(lang),
            None => base,
        }
    }

    /// The relations of a user as [`Vars::user`] wants them: one record as `{"id", "ids"}`, several as `{"ids"}`.
    pub fn user_fields(&self) -> Json {
        self.user
            .clone()
            .unwrap_or_else(|| serde_json::json!({"id": self.uid, "ids": [self.uid]}))
    }

    fn names(&self) -> Vec<(String, MontyObject)> {
        let ints = |ids: &[i64]| MontyObject::List(ids.iter().copied().map(MontyObject::Int).collect());
        let today = self.now.with_timezone(&self.tz).format("%Y-%m-%d").to_string();
        let lang = self.lang.as_deref().unwrap_or("en_US");
        let mut context = serde_json::json!({"lang": lang, "tz": self.tz.name(), "uid": self.uid,
            "allowed_company_ids": self.companies});
        if !self.active_test {
            context["active_test"] = false.into();
        }
        let mut names = vec![
            ("current_date".to_owned(), MontyObject::String(today)),
            ("uid".to_owned(), MontyObject::Int(self.uid)),
            ("company_id".to_owned(), MontyObject::Int(self.company)),
            ("company_ids".to_owned(), ints(&self.companies)),
            ("allowed_company_ids".to_owned(), ints(&self.companies)),
            ("user".to_owned(), object("res.users", &self.user_fields())),
        ];
        if let Some(first) = self.active_ids.first() {
            context["active_id"] = (*first).into();
            context["active_ids"] = self.active_ids.clone().into();
            names.push(("active_id".to_owned(), MontyObject::Int(*first)));
            names.push(("active_ids".to_owned(), ints(&self.active_ids)));
        }
        names.push(("context".to_owned(), plain(&context)));
        names.retain(|(name, _)| !self.extra.contains_key(name));
        names.extend(self.extra.iter().map(|(name, value)| {
            let value = if name == "context" {
                plain(value)
            } else {
                object(name, value)
            };
            (name.clone(), value)
        }));
        names.retain(|(name, _)| is_name(name));
        names
    }
}

fn is_name(name: &str) -> bool {
    let start = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    start
        && !name.contains("__")
        && !name.starts_with("_sn_")
        && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_')
}

/// JSON with dicts.
pub(crate) fn plain(json: &Json) -> MontyObject {
    let pairs = |map: &Map<String, Json>| {
        let pairs = map
            .iter()
            .map(|(k, v)| (MontyObject::String(k.clone()), plain(v)));
        MontyObject::Dict(pairs.collect::<DictPairs>())
    };
    simple(json, plain, pairs)
}

/// JSON whose objects have attributes.
fn object(name: &str, json: &Json) -> MontyObject {
    let instance = |map: &Map<String, Json>| {
        let attrs = map
            .iter()
            .map(|(k, v)| (MontyObject::String(k.clone()), object(k, v)));
        let (Some(class), Some(id)) = (uuid(1), uuid(2)) else {
            return MontyObject::None;
        };
        MontyObject::ClassInstance(Box::new(MontyClassInstance {
            class_type: MontyClassType {
                name: name.to_owned(),
                id: class,
                host_defined: true,
                is_dataclass: false,
                attrs: DictPairs::from(Vec::new()),
            },
            instance_id: id,
            attrs: attrs.collect(),
        }))
    };
    simple(json, |value| object(name, value), instance)
}

fn simple(
    json: &Json,
    item: impl Fn(&Json) -> MontyObject,
    map: impl Fn(&Map<String, Json>) -> MontyObject,
) -> MontyObject {
    match json {
        Json::Null => MontyObject::None,
        Json::Bool(b) => MontyObject::Bool(*b),
        Json::Number(n) => match (n.as_i64(), n.as_f64()) {
            (Some(i), _) => MontyObject::Int(i),
            (None, f) => MontyObject::Float(f.unwrap_or(0.0)),
        },
        Json::String(s) => MontyObject::String(s.clone()),
        Json::Array(items) => MontyObject::List(items.iter().map(item).collect()),
        Json::Object(fields) => map(fields),
    }
}

/// A new identity for an object of ours; the kind keeps classes and instances apart.
fn uuid(kind: u8) -> Option<MontyUuid> {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let mut bytes = [kind; 16];
    bytes[8..].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    bytes[6] = 0x40;
    bytes[7] = 0x80;
    MontyUuid::try_from_slice(&bytes)
}

/// The text of a domain, read once, with a value at any moment.
#[derive(Clone, Debug)]
pub struct Source {
    text: String,
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    Literal(Domain),
    Program(Box<Program>),
}

impl Source {
    /// Reads a text: as plain values where it is nothing else, as an expression otherwise. Nothing is run.
    ///
    /// # Errors
    /// [`DomainError`] where the text can be no domain at any moment.
    pub fn parse(text: &str) -> Result<Self, DomainError> {
        let form = match literal::parse(text) {
            Ok(node) => Form::Literal(Domain::build(&node)?),
            Err(error) if !error.needs_interpreter() => return Err(error),
            Err(_) => Form::Program(Box::new(Program::new(text).map_err(explain)?)),
        };
        Ok(Self {
            text: text.to_owned(),
            form,
        })
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// True where the domain is the same at every moment and for everybody.
    pub fn is_constant(&self) -> bool {
        matches!(self.form, Form::Literal(_))
    }

    /// Whether it asks about the user, so that the facts in [`Vars::user`] are worth a query.
    pub fn needs_user(&self) -> bool {
        self.uses("user")
    }

    /// Whether it is an expression in which that name occurs.
    pub fn uses(&self, name: &str) -> bool {
        matches!(&self.form, Form::Program(program) if program.uses(name))
    }

    /// The domain as it is for these names.
    ///
    /// # Errors
    /// [`DomainError`]; an expression may fail for some names and not for others.
    pub fn evaluate(&self, vars: &Vars) -> Result<Domain, DomainError> {
        let program = match &self.form {
            Form::Literal(domain) => return Ok(domain.clone()),
            Form::Program(program) => program,
        };
        let clock = Clock {
            now: vars.now,
            tz: vars.tz,
        };
        let value = python::run(program, clock, vars.names()).map_err(|failure| {
            let blind = vars.user.is_none() && self.needs_user() && failure.kind == FailureKind::Name;
            match explain(failure) {
                error if blind => error.hint(NO_FACTS),
                error => error,
            }
        })?;
        of_value(value, (0..self.text.len()).into())
    }
}

impl From<Failure> for DomainError {
    fn from(failure: Failure) -> Self {
        explain(failure)
    }
}

/// A domain that code computed; all its places are `span`.
///
/// # Errors
/// [`DomainError`] where the value is no domain.
pub(crate) fn of_value(value: MontyObject, span: Span) -> Result<Domain, DomainError> {
    let mut reader = Reader {
        span,
        left: MAX_VALUES,
    };
    Domain::build(&reader.node(value, 0)?)
}

fn explain(failure: Failure) -> DomainError {
    let kind = match failure.kind {
        FailureKind::Syntax => ErrorKind::Syntax,
        FailureKind::Name => ErrorKind::Name,
        FailureKind::Value => ErrorKind::Type,
        FailureKind::Limit => ErrorKind::Limit,
    };
    let error = DomainError::new(kind, (failure.start..failure.end).into(), failure.message);
    match failure.hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// From the sandbox's values to ours.
struct Reader {
    span: Span,
    left: usize,
}

impl Reader {
    fn node(&mut self, value: MontyObject, depth: usize) -> Result<Node, DomainError> {
        if self.left == 0 || depth > MAX_NESTING {
            return Err(DomainError::new(
                ErrorKind::Limit,
                self.span,
                "the computed domain is too large",
            ));
        }
        self.left -= 1;
        let value = match value {
            MontyObject::None => Value::None,
            MontyObject::Bool(b) => Value::Bool(b),
            MontyObject::Int(i) => Value::Int(i),
            // As a float it is beyond every whole column too, which is all that can be asked of it.
            MontyObject::BigInt(big) => Value::Float(big.to_string().parse().unwrap_or(f64::INFINITY)),
            MontyObject::Float(f) => Value::Float(f),
            MontyObject::String(s) => Value::Str(s),
            MontyObject::List(items) => Value::List(self.nodes(items, depth)?),
            MontyObject::Tuple(items) => Value::Tuple(self.nodes(items, depth)?),
            MontyObject::Date(date) => {
                let day = NaiveDate::from_ymd_opt(date.year, date.month.into(), date.day.into());
                Value::Date(day.ok_or_else(|| self.unfit("such a date", depth))?)
            }
            MontyObject::DateTime(at) => {
                Value::Datetime(python::naive(&at).ok_or_else(|| self.unfit("such a datetime", depth))?)
            }
            MontyObject::Set(_) | MontyObject::FrozenSet(_) => return Err(self.unfit("a set", depth)),
            MontyObject::Dict(_) => return Err(self.unfit("a dict", depth)),
            MontyObject::ClassInstance(of) if of.class_type.host_defined => {
                return Err(self.unfit("a record", depth).hint("write `.id` after it"));
            }
            MontyObject::Function { name, .. } => {
                return Err(self
                    .unfit(&format!("the function `{name}`"), depth)
                    .hint("call it: put `()` after it"));
            }
            other => {
                let shown: String = other.to_string().chars().take(60).collect();
                return Err(self.unfit(&format!("{shown},"), depth));
            }
        };
        Ok(Node {
            value,
            span: self.span,
        })
    }

    fn nodes(&mut self, items: Vec<MontyObject>, depth: usize) -> Result<Vec<Node>, DomainError> {
        items.into_iter().map(|item| self.node(item, depth + 1)).collect()
    }

    fn unfit(&self, what: &str, depth: usize) -> DomainError {
        let kind = if depth < 2 {
            ErrorKind::Domain
        } else {
            ErrorKind::Type
        };
        DomainError::new(kind, self.span, format!("{what} has no place in a domain"))
            .hint("a domain holds lists, texts, numbers, dates, `True`, `False` and `None`")
    }
}
