//! Methods of records and of the environment, and functions of the prelude. Nothing writes.

use std::collections::BTreeSet;
use std::sync::Arc;

use monty_types::{ExcType, MontyObject, MontyUuid};

use super::fields::together;
use super::objects::{Known, Objects};
use super::world::{Image, Need, Stop, World, raise};
use crate::host::catalog::Model;
use crate::lang::domain::{BaseRow, Param, compile, is_secret, of_value};
use crate::lang::snippet::Reply;

/// Most records that one search without a limit may find.
pub(super) const MAX_FOUND: usize = 10_000;

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

impl World<'_> {
    #[allow(clippy::too_many_arguments)]
    pub(super) fn call(
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
