//! The host as snippets see it: what was read once in a batch is not read again, and what a run lacks is named as a [`Need`],
//! so that the needs of many runs become one statement a table.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use monty_types::{ExcType, MontyObject, MontyUuid};
use serde_json::{Map, Value};

use super::Errand;
use super::calls::Search;
use super::objects::Objects;
use crate::host::catalog::{Catalog, Model};
use crate::lang::domain::{Aliases, Vars};
use crate::lang::snippet::object::environment;
use crate::lang::snippet::{Question, Reads, Reply};

/// What must be read before a question can be answered.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Need {
    /// Columns of records.
    Columns {
        model: Arc<Model>,
        ids: Vec<i64>,
        columns: BTreeSet<String>,
    },
    /// What an x2many holds.
    Lines {
        model: Arc<Model>,
        field: String,
        ids: Vec<i64>,
    },
    /// What a domain finds.
    Search(Search),
    /// What an external id stands for.
    Reference(String),
}

/// The record that a run is about, as it was in the change.
#[derive(Clone, Copy, Debug)]
pub(super) struct Image<'a> {
    pub(super) model: &'a str,
    pub(super) id: i64,
    pub(super) values: &'a Map<String, Value>,
}

/// What was read of the host in this batch.
#[derive(Debug)]
pub struct World<'c> {
    pub(super) catalog: &'c Catalog,
    pub(super) aliases: &'c Aliases,
    pub(super) vars: &'c Vars,
    pub(super) rows: HashMap<(String, i64), Map<String, Value>>,
    pub(super) missing: HashSet<(String, i64)>,
    pub(super) lines: HashMap<(String, String), HashMap<i64, Vec<i64>>>,
    pub(super) found: HashMap<String, Result<Vec<i64>, String>>,
    pub(super) references: HashMap<String, Option<(String, i64)>>,
    pub(super) expected: BTreeMap<String, BTreeSet<String>>,
}

/// Why there is no value: something must be read first, or this is the answer.
pub(super) enum Stop {
    Need(Need),
    Reply(Reply),
}

impl From<Need> for Stop {
    fn from(need: Need) -> Self {
        Self::Need(need)
    }
}

pub(super) fn raise<T>(kind: ExcType, text: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Reply(Reply::Raise(kind, text.into())))
}

impl<'c> World<'c> {
    /// Nothing is read yet.
    pub fn new(catalog: &'c Catalog, aliases: &'c Aliases, vars: &'c Vars) -> Self {
        Self {
            catalog,
            aliases,
            vars,
            rows: HashMap::new(),
            missing: HashSet::new(),
            lines: HashMap::new(),
            found: HashMap::new(),
            references: HashMap::new(),
            expected: BTreeMap::new(),
        }
    }

    /// Columns that are read together from now on, because a snippet will want them.
    pub(super) fn expect(&mut self, reads: &Reads) {
        self.expected.clone_from(&reads.fields);
    }

    pub(super) fn vars(&self) -> &'c Vars {
        self.vars
    }

    /// What a snippet's names stand for, in the order of its inputs.
    pub(super) fn inputs(&self, objects: &mut Objects, errand: &Errand<'_>) -> Vec<MontyObject> {
        let dict = |map: &Map<String, Value>| crate::lang::domain::plain(&Value::Object(map.clone()));
        let (model, record) = (errand.model, errand.record);
        let own = Arc::new(vec![record]);
        let partners: Vec<i64> = errand.partner.into_iter().collect();
        let recipient = match self.catalog.model("res.partner") {
            Some(people) => objects.add(people, &partners, Arc::new(partners.clone())),
            None => MontyObject::None,
        };
        vec![
            objects.add(model, &[record], own.clone()),
            objects.add(model, &[record], own),
            recipient,
            self.environment(objects),
            dict(&errand.kwargs),
            MontyObject::Int(self.vars.uid),
            self.one(objects, "res.users", self.vars.uid),
            MontyObject::Int(self.vars.company),
            dict(&errand.context),
        ]
    }

    pub(super) fn one(&self, objects: &mut Objects, model: &str, id: i64) -> MontyObject {
        match self.catalog.model(model) {
            Some(model) => objects.add(model, &[id], Arc::new(vec![id])),
            None => MontyObject::None,
        }
    }

    pub(super) fn environment(&self, objects: &mut Objects) -> MontyObject {
        let lang = self.vars.lang.as_deref().unwrap_or("en_US");
        let context = serde_json::json!({"lang": lang, "tz": self.vars.tz.name(), "uid": self.vars.uid});
        let (object, identity) = environment(vec![
            ("uid", MontyObject::Int(self.vars.uid)),
            ("lang", MontyObject::String(lang.to_owned())),
            ("context", crate::lang::domain::plain(&context)),
        ]);
        objects.environment = Some(identity);
        object
    }

    /// Answers a question, or names what must be read first.
    pub(super) fn answer(
        &self,
        objects: &mut Objects,
        image: Image<'_>,
        question: &Question<'_>,
    ) -> Result<Reply, Need> {
        let answered = match question {
            Question::Attribute { object, name } => self.attribute(objects, image, *object, name),
            Question::Call {
                object,
                name,
                args,
                kwargs,
            } => self.call(objects, image, *object, name, args, kwargs),
        };
        match answered {
            Ok(value) => Ok(Reply::Value(value)),
            Err(Stop::Reply(reply)) => Ok(reply),
            Err(Stop::Need(need)) => Err(need),
        }
    }

    fn attribute(
        &self,
        objects: &mut Objects,
        image: Image<'_>,
        object: MontyUuid,
        name: &str,
    ) -> Result<MontyObject, Stop> {
        if objects.environment == Some(object) {
            return match name {
                "user" => Ok(self.one(objects, "res.users", self.vars.uid)),
                "company" => Ok(self.one(objects, "res.company", self.vars.company)),
                "companies" => match self.catalog.model("res.company") {
                    Some(model) => {
                        let all = Arc::new(self.vars.companies.clone());
                        Ok(objects.add(model, &self.vars.companies, all))
                    }
                    None => Ok(MontyObject::None),
                },
                _ => raise(ExcType::AttributeError, format!("env has no {name} here")),
            };
        }
        let known = objects.get(object)?;
        if name == "env" {
            return Ok(self.environment(objects));
        }
        self.field(objects, image, &known, name)
    }

    /// Takes in rows that were read; ids without a row do not exist.
    pub(super) fn take_rows(&mut self, model: &Model, ids: &[i64], rows: Vec<(i64, Map<String, Value>)>) {
        let mut there = HashSet::new();
        for (id, row) in rows {
            there.insert(id);
            self.rows.entry((model.name.clone(), id)).or_default().extend(row);
        }
        for id in ids.iter().filter(|id| !there.contains(id)) {
            self.missing.insert((model.name.clone(), *id));
        }
    }

    /// Takes in what an x2many holds.
    pub(super) fn take_lines(&mut self, model: &Model, field: &str, ids: &[i64], lines: Vec<(i64, i64)>) {
        let of = self
            .lines
            .entry((model.name.clone(), field.to_owned()))
            .or_default();
        for id in ids {
            of.entry(*id).or_default();
        }
        for (id, line) in lines {
            of.entry(id).or_default().push(line);
        }
    }

    pub(super) fn model(&self, name: &str) -> Option<&'c Arc<Model>> {
        self.catalog.model(name)
    }
}
