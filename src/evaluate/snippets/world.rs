//! The host as snippets see it: what was read once in a batch is not read again, and what a run lacks is named as a [`Need`],
//! so that the needs of many runs become one statement a table.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use monty_types::{ExcType, MontyObject, MontyUuid};
use serde_json::{Map, Value};

use super::{Errand, values};
use crate::host::catalog::{Catalog, Field, FieldType, Model};
use crate::lang::domain::{Aliases, BaseRow, Param, Vars, compile, is_secret, of_value};
use crate::lang::snippet::object::{environment, records};
use crate::lang::snippet::{Question, Reads, Reply, display_column};

/// Most records that one search without a limit may find.
pub(super) const MAX_FOUND: usize = 10_000;

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

/// A search, compiled.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Search {
    pub(super) model: Arc<Model>,
    /// From `as t where` on, placeholders from 1.
    pub(super) condition: String,
    pub(super) params: Vec<Param>,
    /// `order by …`, or empty for a count.
    pub(super) order: String,
    pub(super) limit: i64,
    pub(super) offset: i64,
    pub(super) count: bool,
}

impl Search {
    /// Under which its answer is kept.
    pub(super) fn key(&self) -> String {
        format!(
            "{}|{}|{:?}|{}|{}|{}|{}",
            self.model.name, self.condition, self.params, self.order, self.limit, self.offset, self.count
        )
    }
}

/// Records that a run knows by an object, and those that are read together with them.
#[derive(Clone, Debug)]
struct Known {
    model: Arc<Model>,
    ids: Vec<i64>,
    group: Arc<Vec<i64>>,
}

/// What one run knows by its objects.
#[derive(Debug, Default)]
pub(super) struct Objects {
    known: HashMap<MontyUuid, Known>,
    environment: Option<MontyUuid>,
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
    catalog: &'c Catalog,
    aliases: &'c Aliases,
    vars: &'c Vars,
    rows: HashMap<(String, i64), Map<String, Value>>,
    missing: HashSet<(String, i64)>,
    lines: HashMap<(String, String), HashMap<i64, Vec<i64>>>,
    pub(super) found: HashMap<String, Result<Vec<i64>, String>>,
    pub(super) references: HashMap<String, Option<(String, i64)>>,
    expected: BTreeMap<String, BTreeSet<String>>,
}

enum Stop {
    Need(Need),
    Reply(Reply),
}

impl From<Need> for Stop {
    fn from(need: Need) -> Self {
        Self::Need(need)
    }
}

fn raise<T>(kind: ExcType, text: impl Into<String>) -> Result<T, Stop> {
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

    fn one(&self, objects: &mut Objects, model: &str, id: i64) -> MontyObject {
        match self.catalog.model(model) {
            Some(model) => objects.add(model, &[id], Arc::new(vec![id])),
            None => MontyObject::None,
        }
    }

    fn environment(&self, objects: &mut Objects) -> MontyObject {
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

    /// A field of records: a value of one, or the records that all of them lead to.
    fn field(
        &self,
        objects: &mut Objects,
        image: Image<'_>,
        known: &Known,
        name: &str,
    ) -> Result<MontyObject, Stop> {
        let model = &known.model;
        let field = self.resolve(model, name)?;
        if let Some((target, ids, group)) = self.relation(image, known, field)? {
            return Ok(objects.add(&target, &ids, group));
        }
        match known.ids.as_slice() {
            [] => Ok(values::nothing(field)),
            [_] => {
                let values = self.values(objects, image, known, name)?;
                Ok(values.into_iter().next().unwrap_or(MontyObject::Bool(false)))
            }
            many => {
                let ids: Vec<String> = many.iter().take(5).map(ToString::to_string).collect();
                let text = format!(
                    "{} has one value a record, but these are {} records ({}, …): walk over them, or use mapped('{name}')",
                    field.name,
                    many.len(),
                    ids.join(", ")
                );
                raise(ExcType::ValueError, text)
            }
        }
    }

    /// The value of each record.
    fn values(
        &self,
        objects: &mut Objects,
        image: Image<'_>,
        known: &Known,
        name: &str,
    ) -> Result<Vec<MontyObject>, Stop> {
        let field = self.resolve(&known.model, name)?;
        let lang = self.vars.lang.as_deref().unwrap_or("en_US");
        if field.column_type.is_some() {
            let mut values = Vec::new();
            for id in &known.ids {
                let value = self.cell(image, known, *id, &field.name)?;
                values.push(values::seen(field, value, lang, self.vars.company));
            }
            return Ok(values);
        }
        if field.name == "display_name"
            && let Some(column) = display_column(&known.model)
        {
            return self.values(objects, image, known, column);
        }
        let Some(path) = &field.related else {
            return raise(
                ExcType::AttributeError,
                format!(
                    "{name} of {} is computed when read and has no column",
                    known.model.name
                ),
            );
        };
        let mut values = Vec::new();
        for id in &known.ids {
            let mut at = Known {
                ids: vec![*id],
                ..known.clone()
            };
            let mut steps = path.split('.').peekable();
            let mut value = MontyObject::Bool(false);
            while let Some(step) = steps.next() {
                match steps.peek() {
                    Some(_) => at = self.step(image, &at, step)?,
                    None => value = self.field(objects, image, &at, step)?,
                }
            }
            values.push(value);
        }
        Ok(values)
    }

    fn step(&self, image: Image<'_>, at: &Known, name: &str) -> Result<Known, Stop> {
        let field = self.resolve(&at.model, name)?;
        match self.relation(image, at, field)? {
            Some((model, ids, group)) => Ok(Known { model, ids, group }),
            None => raise(ExcType::AttributeError, format!("{name} leads to no records")),
        }
    }

    fn resolve<'m>(&self, model: &'m Model, name: &str) -> Result<&'m Field, Stop> {
        let resolved = self.aliases.resolve_field(model, name);
        match model.fields.get(resolved) {
            Some(field) if is_secret(&model.name, &field.name) => raise(
                ExcType::AttributeError,
                format!("{name} of {} is secret", model.name),
            ),
            Some(field) => Ok(field),
            None => {
                let text = format!(
                    "{} has no field {name}; it has {}",
                    model.name,
                    model.column_names().join(", ")
                );
                raise(ExcType::AttributeError, text)
            }
        }
    }

    /// Where a relation leads; `None`: the field is none.
    #[allow(clippy::type_complexity)]
    fn relation(
        &self,
        image: Image<'_>,
        known: &Known,
        field: &Field,
    ) -> Result<Option<(Arc<Model>, Vec<i64>, Arc<Vec<i64>>)>, Stop> {
        let Some(target) = field
            .relation
            .as_deref()
            .and_then(|name| self.catalog.model(name))
        else {
            return Ok(None);
        };
        let mut ids = Vec::new();
        let mut group = Vec::new();
        match field.ttype {
            FieldType::Many2one if field.column_type.is_some() => {
                for id in &known.ids {
                    let value = self.cell(image, known, *id, &field.name)?;
                    ids.extend(value.and_then(Value::as_i64));
                }
                for id in known.group.iter() {
                    let row = self.rows.get(&(known.model.name.clone(), *id));
                    group.extend(row.and_then(|row| row.get(&field.name)?.as_i64()));
                }
            }
            FieldType::One2many if !has_inverse(field, target) => {
                return raise(
                    ExcType::AttributeError,
                    format!(
                        "{} of {} hangs on a model's name and cannot be read here",
                        field.name, known.model.name
                    ),
                );
            }
            FieldType::One2many | FieldType::Many2many if field.store => {
                let key = (known.model.name.clone(), field.name.clone());
                let lines = self.lines.get(&key);
                if known
                    .ids
                    .iter()
                    .any(|id| !lines.is_some_and(|l| l.contains_key(id)))
                {
                    let ids = together(known);
                    return Err(Stop::Need(Need::Lines {
                        model: known.model.clone(),
                        field: field.name.clone(),
                        ids,
                    }));
                }
                let of = |id: &i64| lines.and_then(|l| l.get(id)).cloned().unwrap_or_default();
                ids.extend(known.ids.iter().flat_map(of));
                group.extend(known.group.iter().flat_map(of));
            }
            _ => match &field.related {
                Some(path) => {
                    let mut at = known.clone();
                    for step in path.split('.') {
                        at = self.step(image, &at, step)?;
                    }
                    return Ok(Some((at.model, at.ids, at.group)));
                }
                None => return Ok(None),
            },
        }
        group.extend(&ids);
        group.sort_unstable();
        group.dedup();
        Ok(Some((target.clone(), ids, Arc::new(group))))
    }

    /// A column of one record: as it was in the change, else as it is now.
    fn cell<'a>(
        &'a self,
        image: Image<'a>,
        known: &Known,
        id: i64,
        column: &str,
    ) -> Result<Option<&'a Value>, Stop> {
        if id == image.id
            && known.model.name == image.model
            && let Some(value) = image.values.get(column)
        {
            return Ok(Some(value));
        }
        let key = (known.model.name.clone(), id);
        match self.rows.get(&key).and_then(|row| row.get(column)) {
            Some(value) => Ok(Some(value)),
            None if self.missing.contains(&key) => raise(
                ExcType::ValueError,
                format!("{},{id} does not exist (any more)", known.model.name),
            ),
            None => {
                let mut columns: BTreeSet<String> = [column.to_owned()].into();
                let expected = self.expected.get(&known.model.name);
                columns.extend(
                    expected
                        .into_iter()
                        .flatten()
                        .filter(|name| known.model.column(name).is_some())
                        .cloned(),
                );
                Err(Stop::Need(Need::Columns {
                    model: known.model.clone(),
                    ids: together(known),
                    columns,
                }))
            }
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn call(
        &self,
        objects: &mut Objects,
        image: Image<'_>,
        object: Option<MontyUuid>,
        name: &str,
        args: &[MontyObject],
        kwargs: &[(MontyObject, MontyObject)],
    ) -> Result<MontyObject, Stop> {
        let Some(object) = object else {
            return self.function(objects, image, name, args);
        };
        if objects.environment == Some(object) {
            return match name {
                "ref" => self.reference(objects, args, kwargs),
                _ => raise(ExcType::AttributeError, format!("env has no method {name} here")),
            };
        }
        let known = objects.get(object)?;
        match name {
            "sudo" | "with_context" | "with_user" | "with_company" => Ok(objects.of(&known)),
            "ensure_one" => match known.ids.len() {
                1 => Ok(objects.of(&known)),
                n => raise(
                    ExcType::ValueError,
                    format!("one record was expected, these are {n}"),
                ),
            },
            "browse" => {
                let ids = ids(args.first().or_else(|| keyword(kwargs, "ids")))?;
                let group = Arc::new(ids.clone());
                Ok(objects.add(&known.model, &ids, group))
            }
            "exists" => self.exists(objects, &known),
            "search" | "search_count" => {
                let search = self.search(&known.model, name == "search_count", args, kwargs)?;
                self.found(objects, &known.model, &search)
            }
            "filtered_domain" => {
                let domain = args.first().or_else(|| keyword(kwargs, "domain"));
                let found = self.found_among(&known, domain.cloned())?;
                let kept: Vec<i64> = known
                    .ids
                    .iter()
                    .copied()
                    .filter(|id| found.contains(id))
                    .collect();
                let group = known.group.clone();
                Ok(objects.add(&known.model, &kept, group))
            }
            "create" | "write" | "unlink" | "copy" => raise(
                ExcType::AttributeError,
                format!("records are read-only here, {name} is not possible"),
            ),
            _ => raise(
                ExcType::AttributeError,
                format!("{name} is not a method that records have here"),
            ),
        }
    }

    fn exists(&self, objects: &mut Objects, known: &Known) -> Result<MontyObject, Stop> {
        let name = &known.model.name;
        let unknown = known.ids.iter().any(|id| {
            let key = (name.clone(), *id);
            !self.rows.contains_key(&key) && !self.missing.contains(&key)
        });
        if unknown {
            return Err(Stop::Need(Need::Columns {
                model: known.model.clone(),
                ids: together(known),
                columns: BTreeSet::new(),
            }));
        }
        let there = |id: &i64| !self.missing.contains(&(name.clone(), *id));
        let ids: Vec<i64> = known.ids.iter().copied().filter(there).collect();
        Ok(objects.add(&known.model, &ids, known.group.clone()))
    }

    /// A function of the prelude.
    fn function(
        &self,
        objects: &mut Objects,
        image: Image<'_>,
        name: &str,
        args: &[MontyObject],
    ) -> Result<MontyObject, Stop> {
        let of = |objects: &Objects| match args.first() {
            Some(MontyObject::ClassInstance(instance)) => objects.get(instance.instance_id),
            _ => raise(ExcType::TypeError, "records were expected"),
        };
        match (name, args.get(1)) {
            ("_sn_model", _) => {
                let Some(MontyObject::String(wanted)) = args.first() else {
                    return raise(ExcType::KeyError, "env[…] wants the name of a model");
                };
                match self.catalog.model(wanted) {
                    Some(model) => Ok(objects.add(model, &[], Arc::new(Vec::new()))),
                    None => raise(ExcType::KeyError, format!("the host has no model {wanted}")),
                }
            }
            ("_sn_records", list) => {
                let known = of(objects)?;
                let ids = ids(list)?;
                Ok(objects.add(&known.model, &ids, known.group.clone()))
            }
            ("_sn_read", Some(MontyObject::String(name))) => {
                let known = of(objects)?;
                if name == "id" || name == "ids" {
                    return Ok(MontyObject::List(
                        known.ids.iter().copied().map(MontyObject::Int).collect(),
                    ));
                }
                let field = self.resolve(&known.model, name)?;
                match self.relation(image, &known, field)? {
                    Some((target, ids, group)) => Ok(objects.add(&target, &ids, group)),
                    None => Ok(MontyObject::List(self.values(objects, image, &known, name)?)),
                }
            }
            ("_sn_order", _) => {
                let known = of(objects)?;
                let ids = self.found_among(&known, None)?;
                Ok(objects.add(&known.model, &ids, known.group.clone()))
            }
            _ => raise(ExcType::NameError, format!("name '{name}' is not defined")),
        }
    }

    fn reference(
        &self,
        objects: &mut Objects,
        args: &[MontyObject],
        kwargs: &[(MontyObject, MontyObject)],
    ) -> Result<MontyObject, Stop> {
        let Some(MontyObject::String(name)) = args.first() else {
            return raise(ExcType::ValueError, "env.ref wants an external id: 'module.name'");
        };
        let quiet = args.get(1).or_else(|| keyword(kwargs, "raise_if_not_found"));
        match self.references.get(name) {
            None => Err(Stop::Need(Need::Reference(name.clone()))),
            Some(Some((model, id))) => Ok(self.one(objects, model, *id)),
            Some(None) if quiet == Some(&MontyObject::Bool(false)) => Ok(MontyObject::None),
            Some(None) => raise(ExcType::ValueError, format!("the host has no external id {name}")),
        }
    }

    fn search(
        &self,
        model: &Arc<Model>,
        count: bool,
        args: &[MontyObject],
        kwargs: &[(MontyObject, MontyObject)],
    ) -> Result<Search, Stop> {
        // search(domain, offset=0, limit=None, order=None); search_count(domain, limit=None)
        let places: &[&str] = match count {
            true => &["domain", "limit"],
            false => &["domain", "offset", "limit", "order"],
        };
        let argument = |wanted: &str| {
            let at = places.iter().position(|place| *place == wanted);
            at.and_then(|at| args.get(at)).or_else(|| keyword(kwargs, wanted))
        };
        let number = |wanted: &str| match argument(wanted) {
            None | Some(MontyObject::None | MontyObject::Bool(false)) => Ok(None),
            Some(MontyObject::Int(n)) if *n >= 0 => Ok(Some(*n)),
            Some(_) => raise(ExcType::TypeError, format!("{wanted} must be a number")),
        };
        let order = match argument("order") {
            None | Some(MontyObject::None | MontyObject::Bool(false)) => model.order.clone(),
            Some(MontyObject::String(order)) => self.order(model, order)?,
            Some(_) => {
                return raise(
                    ExcType::TypeError,
                    "order must be a text such as 'expiry_date desc'",
                );
            }
        };
        let limit = number("limit")?
            .filter(|n| *n > 0)
            .unwrap_or(MAX_FOUND as i64 + 1);
        let domain = argument("domain")
            .cloned()
            .unwrap_or(MontyObject::List(Vec::new()));
        let mut search = self.compiled(model, domain)?;
        search.limit = limit;
        search.offset = number("offset")?.unwrap_or(0);
        search.count = count;
        search.order = if count { String::new() } else { order_by(&order) };
        Ok(search)
    }

    fn compiled(&self, model: &Arc<Model>, domain: MontyObject) -> Result<Search, Stop> {
        let base = self
            .vars
            .base(BaseRow::table())
            .active_test(self.vars.active_test);
        let compiled = of_value(domain, (0..0).into())
            .and_then(|domain| compile(&domain, self.catalog, model, self.aliases, base));
        match compiled {
            Ok(compiled) => Ok(Search {
                model: model.clone(),
                condition: compiled.sql,
                params: compiled.params,
                order: String::new(),
                limit: MAX_FOUND as i64 + 1,
                offset: 0,
                count: false,
            }),
            Err(error) => raise(ExcType::ValueError, format!("domain: {error}")),
        }
    }

    fn order(&self, model: &Model, order: &str) -> Result<Vec<(String, bool)>, Stop> {
        let mut columns = Vec::new();
        for part in order.split(',') {
            let mut words = part.split_whitespace();
            let name = self
                .aliases
                .resolve_field(model, words.next().unwrap_or_default());
            let direction = words.next().unwrap_or("asc").to_lowercase();
            let known = model.column(name).filter(|f| !is_secret(&model.name, &f.name));
            match (known, direction.as_str(), words.next()) {
                (Some(field), "asc" | "desc", None) => {
                    columns.push((field.name.clone(), direction == "desc"))
                }
                _ => {
                    return raise(
                        ExcType::ValueError,
                        format!("order {part:?} names no column of {}", model.name),
                    );
                }
            }
        }
        Ok(columns)
    }

    fn found(&self, objects: &mut Objects, model: &Arc<Model>, search: &Search) -> Result<MontyObject, Stop> {
        match self.found.get(&search.key()) {
            None => Err(Stop::Need(Need::Search(search.clone()))),
            Some(Err(text)) => raise(ExcType::ValueError, text.clone()),
            Some(Ok(ids)) if search.count => Ok(MontyObject::Int(ids.first().copied().unwrap_or(0))),
            Some(Ok(ids)) if ids.len() > MAX_FOUND => Err(Stop::Reply(Reply::Abort(format!(
                "a search on {} finds more than {MAX_FOUND} records; give it a limit, or use search_count",
                model.name
            )))),
            Some(Ok(ids)) => Ok(objects.add(model, ids, Arc::new(ids.clone()))),
        }
    }

    /// Those of known records that meet a domain, in the model's order.
    fn found_among(&self, known: &Known, domain: Option<MontyObject>) -> Result<Vec<i64>, Stop> {
        let mut search = self.compiled(&known.model, domain.unwrap_or(MontyObject::List(Vec::new())))?;
        search.params.push(Param::IntArray(known.ids.clone()));
        search.condition = format!(
            "({}) and t.\"id\" = any (${}::int8[])",
            search.condition,
            search.params.len()
        );
        search.order = order_by(&known.model.order);
        match self.found.get(&search.key()) {
            None => Err(Stop::Need(Need::Search(search))),
            Some(Err(text)) => raise(ExcType::ValueError, text.clone()),
            Some(Ok(ids)) => Ok(ids.clone()),
        }
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

/// `order by …`; the id decides at last.
pub(super) fn order_by(columns: &[(String, bool)]) -> String {
    let mut parts: Vec<String> = columns
        .iter()
        .map(|(column, descending)| {
            let direction = if *descending { " desc" } else { "" };
            format!("t.{}{direction}", crate::host::record::quote(column))
        })
        .collect();
    parts.push("t.\"id\"".to_owned());
    format!("order by {}", parts.join(", "))
}

/// Lines of messages, followers and activities have no many2one of their own.
fn has_inverse(field: &Field, lines: &Model) -> bool {
    let inverse = field
        .relation_field
        .as_deref()
        .and_then(|name| lines.column(name));
    inverse.is_some_and(|f| f.ttype == FieldType::Many2one)
}

/// The records and all that are read with them.
fn together(known: &Known) -> Vec<i64> {
    let mut ids: Vec<i64> = known.ids.iter().chain(known.group.iter()).copied().collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

fn keyword<'a>(kwargs: &'a [(MontyObject, MontyObject)], name: &str) -> Option<&'a MontyObject> {
    let is = |key: &MontyObject| matches!(key, MontyObject::String(key) if key == name);
    kwargs.iter().find(|(key, _)| is(key)).map(|(_, value)| value)
}

fn ids(value: Option<&MontyObject>) -> Result<Vec<i64>, Stop> {
    match value {
        None | Some(MontyObject::None | MontyObject::Bool(false)) => Ok(Vec::new()),
        Some(MontyObject::Int(id)) => Ok(vec![*id]),
        Some(MontyObject::List(items) | MontyObject::Tuple(items)) => {
            let ids: Option<Vec<i64>> = items
                .iter()
                .map(|item| match item {
                    MontyObject::Int(id) => Some(*id),
                    _ => None,
                })
                .collect();
            ids.map_or_else(|| raise(ExcType::TypeError, "ids must be numbers"), Ok)
        }
        Some(_) => raise(ExcType::TypeError, "ids must be a number or a list of numbers"),
    }
}

impl Objects {
    fn get(&self, object: MontyUuid) -> Result<Known, Stop> {
        match self.known.get(&object) {
            Some(known) => Ok(known.clone()),
            None => raise(ExcType::TypeError, "records were expected"),
        }
    }

    fn add(&mut self, model: &Arc<Model>, ids: &[i64], group: Arc<Vec<i64>>) -> MontyObject {
        let (object, handles) = records(&model.name, ids);
        for handle in handles {
            let known = Known {
                model: model.clone(),
                ids: handle.ids,
                group: group.clone(),
            };
            self.known.insert(handle.object, known);
        }
        object
    }

    fn of(&mut self, known: &Known) -> MontyObject {
        self.add(&known.model, &known.ids, known.group.clone())
    }
}
