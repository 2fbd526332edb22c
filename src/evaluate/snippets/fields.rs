//! Fields of records: values of one, and where relations lead all of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use monty_types::{ExcType, MontyObject};
use serde_json::Value;

use super::objects::{Known, Objects};
use super::values;
use super::world::{Image, Need, Stop, World, raise};
use crate::host::catalog::{Field, FieldType, Model};
use crate::lang::domain::is_secret;
use crate::lang::snippet::display_column;

impl World<'_> {
    /// A field of records: a value of one, or the records that all of them lead to.
    pub(super) fn field(
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
    pub(super) fn values(
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

    pub(super) fn resolve<'m>(&self, model: &'m Model, name: &str) -> Result<&'m Field, Stop> {
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
    pub(super) fn relation(
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
pub(super) fn together(known: &Known) -> Vec<i64> {
    let mut ids: Vec<i64> = known.ids.iter().chain(known.group.iter()).copied().collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}
