//! A dotted path from a record to people or to a number (`rule.recipient_field`): read against the host's catalogue when the
//! configuration is loaded, followed for all records of a batch at once, one statement a step. The first step reads the
//! captured image; what lies behind it is read as it is now.

use std::collections::{BTreeSet, HashMap, VecDeque};

use serde_json::Value;
use tokio_postgres::Transaction;

use super::Target;
use crate::evaluate::cases::Case;
use crate::evaluate::definition::Tables;
use crate::evaluate::question::Asking;
use crate::host::catalog::{Catalog, Field, FieldType, Model};
use crate::host::record::quote;
use crate::lang::domain::is_secret;

/// Most steps, those behind related fields included.
const MAX_STEPS: usize = 16;

/// A path, ready to be followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    hops: Vec<Hop>,
    /// The number's column, in the table that the hops lead to; without one they lead to partners.
    number: Option<Column>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Column {
    table: String,
    name: String,
}

/// One step from records to records.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Hop {
    /// many2one
    One(Column),
    /// one2many: the column of the other table that points back.
    Lines { back: Column, active: bool },
    /// many2many: relation table, its columns, the other table.
    Links {
        relation: String,
        from: String,
        to: String,
        table: String,
        active: bool,
    },
}

impl Path {
    /// Reads a path from a model.
    ///
    /// # Errors
    /// A sentence that names the step and the fields that would do.
    pub fn compile(text: &str, model: &Model, asking: &Asking<'_>) -> Result<Self, String> {
        let wrong = |reason: String| format!("recipient_field {}: {reason}", text.trim());
        let mut reader = Reader {
            asking,
            model,
            hops: Vec::new(),
        };
        let number = reader.read(text.trim()).map_err(wrong)?;
        Ok(Self {
            hops: reader.hops,
            number,
        })
    }

    /// The column of the record itself that the event must carry.
    pub fn first_column(&self) -> Option<&str> {
        match (self.hops.first(), &self.number) {
            (Some(Hop::One(column)), _) | (None, Some(column)) => Some(&column.name),
            _ => None,
        }
    }

    /// What it reads of the host's tables.
    pub fn tables(&self) -> Tables {
        let mut all = Tables::new();
        let mut add = |table: &str, columns: &[&str]| {
            let columns = columns.iter().map(|c| (*c).to_owned());
            all.entry(table.to_owned()).or_default().extend(columns);
        };
        for hop in &self.hops {
            match hop {
                Hop::One(column) => add(&column.table, &["id", &column.name]),
                Hop::Lines { back, active } => {
                    add(&back.table, &["id", &back.name]);
                    add(&back.table, if *active { &["active"] } else { &[] });
                }
                Hop::Links {
                    relation,
                    from,
                    to,
                    table,
                    active,
                } => {
                    add(relation, &[from, to]);
                    add(table, if *active { &["id", "active"] } else { &["id"] });
                }
            }
        }
        if let Some(column) = &self.number {
            add(&column.table, &["id", &column.name]);
        }
        all
    }

    /// Whoever it leads to, for each case, each once.
    pub(super) async fn follow(
        &self,
        tx: &Transaction<'_>,
        cases: &[&Case<'_>],
    ) -> Result<Vec<Vec<Target>>, tokio_postgres::Error> {
        let mut reached: Vec<Vec<i64>> = cases.iter().map(|c| vec![c.change.record.0]).collect();
        for (at, hop) in self.hops.iter().enumerate() {
            match hop {
                Hop::One(column) if at == 0 => {
                    let id = |case: &&Case<'_>| case.image.get(&column.name).and_then(Value::as_i64);
                    reached = cases.iter().map(|case| id(case).into_iter().collect()).collect();
                }
                _ => {
                    let next = pairs(tx, &hop.query(), &reached).await?;
                    step(&mut reached, &next);
                }
            }
        }
        let Some(column) = &self.number else {
            let partners = |ids: Vec<i64>| ids.into_iter().map(Target::Partner).collect();
            return Ok(reached.into_iter().map(partners).collect());
        };
        if self.hops.is_empty() {
            let number = |case: &&Case<'_>| case.image.get(&column.name)?.as_str().and_then(number);
            return Ok(cases.iter().map(|c| number(c).into_iter().collect()).collect());
        }
        numbers(tx, column, &reached).await
    }
}

fn number(raw: &str) -> Option<Target> {
    let raw = raw.trim();
    (!raw.is_empty()).then(|| Target::Number(raw.to_owned()))
}

impl Hop {
    /// From ids to (id, next id). Lists of records leave archived ones out, as in Odoo; a many2one does not.
    fn query(&self) -> String {
        let kept = |active: &bool| if *active { " and t.active" } else { "" };
        match self {
            Self::One(column) => {
                let (table, name) = (quote(&column.table), quote(&column.name));
                format!(
                    "select t.id::bigint, t.{name}::bigint from public.{table} t \
                     where t.id = any ($1::bigint[]) and t.{name} is not null"
                )
            }
            Self::Lines { back, active } => {
                let (table, name) = (quote(&back.table), quote(&back.name));
                format!(
                    "select t.{name}::bigint, t.id::bigint from public.{table} t \
                     where t.{name} = any ($1::bigint[]){} order by t.id",
                    kept(active)
                )
            }
            Self::Links {
                relation,
                from,
                to,
                table,
                active,
            } => format!(
                "select r.{}::bigint, t.id::bigint from public.{} r join public.{} t on t.id = r.{} \
                 where r.{} = any ($1::bigint[]){} order by t.id",
                quote(from),
                quote(relation),
                quote(table),
                quote(to),
                quote(from),
                kept(active)
            ),
        }
    }
}

async fn pairs(
    tx: &Transaction<'_>,
    query: &str,
    reached: &[Vec<i64>],
) -> Result<HashMap<i64, Vec<i64>>, tokio_postgres::Error> {
    let mut next: HashMap<i64, Vec<i64>> = HashMap::new();
    let ids = distinct(reached);
    if ids.is_empty() {
        return Ok(next);
    }
    for row in tx.query(query, &[&ids]).await? {
        next.entry(row.get(0)).or_default().push(row.get(1));
    }
    Ok(next)
}

fn distinct(reached: &[Vec<i64>]) -> Vec<i64> {
    let ids: BTreeSet<i64> = reached.iter().flatten().copied().collect();
    ids.into_iter().collect()
}

fn step(reached: &mut [Vec<i64>], next: &HashMap<i64, Vec<i64>>) {
    for ids in reached {
        let mut seen = BTreeSet::new();
        let all = ids.iter().filter_map(|id| next.get(id)).flatten().copied();
        *ids = all.filter(|id| seen.insert(*id)).collect();
    }
}

async fn numbers(
    tx: &Transaction<'_>,
    column: &Column,
    reached: &[Vec<i64>],
) -> Result<Vec<Vec<Target>>, tokio_postgres::Error> {
    let (table, name) = (quote(&column.table), quote(&column.name));
    let query =
        format!("select t.id::bigint, t.{name}::text from public.{table} t where t.id = any ($1::bigint[])");
    let ids = distinct(reached);
    let mut found: HashMap<i64, Target> = HashMap::new();
    if !ids.is_empty() {
        for row in tx.query(&query, &[&ids]).await? {
            let target = row.get::<_, Option<&str>>(1).and_then(number);
            found.extend(target.map(|target| (row.get(0), target)));
        }
    }
    let of = |ids: &Vec<i64>| ids.iter().filter_map(|id| found.get(id).cloned()).collect();
    Ok(reached.iter().map(of).collect())
}

/// Where a path has come to while it is read.
struct Reader<'r> {
    asking: &'r Asking<'r>,
    model: &'r Model,
    hops: Vec<Hop>,
}

impl<'r> Reader<'r> {
    /// Reads the steps; a number's column ends them.
    fn read(&mut self, text: &str) -> Result<Option<Column>, String> {
        let mut names: VecDeque<String> = text.split('.').map(|n| n.trim().to_owned()).collect();
        let mut steps = 0;
        while let Some(name) = names.pop_front() {
            steps += 1;
            if steps > MAX_STEPS {
                return Err(format!("it has more than {MAX_STEPS} steps"));
            }
            let field = self.field(&name)?;
            if let Some(behind) = self.behind(field) {
                behind.into_iter().rev().for_each(|n| names.push_front(n));
            } else if let Some(hop) = self.hop(field) {
                self.hops.push(hop);
                self.model = self.target(field)?;
            } else if is_number(field) && names.is_empty() {
                return Ok(Some(self.column(field)));
            } else {
                return Err(self.no_way(&name));
            }
        }
        self.arrive()?;
        Ok(None)
    }

    fn field(&self, name: &str) -> Result<&'r Field, String> {
        let model = self.model;
        let resolved = self.asking.aliases.resolve_field(model, name);
        if is_secret(&model.name, resolved) {
            return Err(format!("{resolved} of {} is secret", model.name));
        }
        model.fields.get(resolved).ok_or_else(|| self.no_way(name))
    }

    /// The steps behind a related or inherited field that has no column of its own.
    fn behind(&self, field: &Field) -> Option<Vec<String>> {
        if field.column_type.is_some() || self.hop(field).is_some() {
            return None;
        }
        if let Some(related) = &field.related {
            return Some(related.split('.').map(str::to_owned).collect());
        }
        let parents = self.asking.catalog.delegations.get(&self.model.name)?;
        let holds = |target: &String| {
            let parent = self.asking.catalog.model(target);
            parent.is_some_and(|m| m.fields.contains_key(&field.name))
        };
        let (parent, _) = parents.iter().find(|(_, target)| holds(target))?;
        Some(vec![parent.clone(), field.name.clone()])
    }

    fn hop(&self, field: &Field) -> Option<Hop> {
        let catalog = self.asking.catalog;
        let target = catalog.model(field.relation.as_deref()?)?;
        let active = target.column("active").is_some();
        match field.ttype {
            FieldType::Many2one if field.column_type.is_some() => Some(Hop::One(self.column(field))),
            FieldType::One2many if field.store => {
                let back = target.column(field.relation_field.as_deref()?)?;
                // A bare id points at records of any model.
                (back.ttype == FieldType::Many2one).then_some(())?;
                let (table, name) = (target.table.clone(), back.name.clone());
                let back = Column { table, name };
                Some(Hop::Lines { back, active })
            }
            FieldType::Many2many if field.store => Some(Hop::Links {
                relation: field.relation_table.clone()?,
                from: field.column1.clone()?,
                to: field.column2.clone()?,
                table: target.table.clone(),
                active,
            }),
            _ => None,
        }
    }

    fn column(&self, field: &Field) -> Column {
        Column {
            table: self.model.table.clone(),
            name: field.name.clone(),
        }
    }

    fn target(&self, field: &Field) -> Result<&'r Model, String> {
        let catalog: &'r Catalog = self.asking.catalog;
        let name = field.relation.as_deref().unwrap_or_default();
        let model = catalog.model(name).map(AsRef::as_ref);
        model.ok_or_else(|| format!("the host has no table for {name}"))
    }

    /// People: a partner, or a user, who has one.
    fn arrive(&mut self) -> Result<(), String> {
        match self.model.name.as_str() {
            "res.partner" => Ok(()),
            "res.users" => {
                let field = self.field("partner_id")?;
                self.hops.push(Hop::One(self.column(field)));
                Ok(())
            }
            other => Err(format!(
                "it ends at {other}, which is nobody; it must lead to res.partner, res.users or a field with a telephone number. \
                 Fields of {other} that lead on: {}",
                self.usable()
            )),
        }
    }

    fn no_way(&self, name: &str) -> String {
        let model = self.model;
        match model.fields.contains_key(name) {
            true => format!(
                "{name} of {} leads to nobody and holds no number; fields that do are {}",
                model.name,
                self.usable()
            ),
            false => format!(
                "{} has no field {name:?}; fields that lead on are {}",
                model.name,
                self.usable()
            ),
        }
    }

    fn usable(&self) -> String {
        let fields = self.model.fields.values();
        let usable = fields.filter(|f| {
            !is_secret(&self.model.name, &f.name)
                && (self.hop(f).is_some() || is_number(f) || self.behind(f).is_some())
        });
        let names: Vec<&str> = usable.map(|f| f.name.as_str()).collect();
        names.join(", ")
    }
}

/// A column of plain text.
fn is_number(field: &Field) -> bool {
    matches!(field.ttype, FieldType::Char | FieldType::Text)
        && !field.translate
        && !field.company_dependent
        && field.column_type.is_some()
}
