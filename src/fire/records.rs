//! Which records a trigger is about, as a condition on their table: what an administrator chose, and, for triggers that watch
//! changes, that the record stands where such a change would have led it.

use crate::evaluate::definition::Trigger;
use crate::evaluate::question::Asking;
use crate::evaluate::trigger::{Condition, FieldChange};
use crate::host::record::quote;
use crate::lang::domain::{BaseRow, Compiled, DomainError, Param, Source, compile};

/// What was chosen.
#[derive(Clone, Debug)]
pub enum Choice {
    /// All that meet the trigger's condition.
    All,
    /// These, if they exist.
    Ids(Vec<i64>),
    /// Those that meet a domain.
    Domain(String),
}

/// A condition that grows. Placeholders are numbered as they come.
#[derive(Clone, Debug)]
pub struct Records {
    compiled: Compiled,
}

impl Records {
    /// Of a trigger's model.
    ///
    /// # Errors
    /// [`DomainError`] with the text that it is about.
    pub fn of(
        trigger: &Trigger,
        choice: &Choice,
        asking: &Asking<'_>,
    ) -> Result<Self, (String, DomainError)> {
        let mut records = Self::all();
        match choice {
            Choice::Ids(ids) => records.and(
                |n| format!("t.\"id\" = any (${n}::int8[])"),
                Param::IntArray(ids.clone()),
            ),
            Choice::Domain(text) => records = Self::domain(trigger, text, asking, true)?,
            Choice::All => {
                if let Ok(Some(question)) = &trigger.domain {
                    records = Self::domain(trigger, question.text(), asking, false)?;
                }
            }
        }
        Ok(records)
    }

    fn all() -> Self {
        Self {
            compiled: Compiled {
                sql: "true".to_owned(),
                params: Vec::new(),
                columns: std::collections::BTreeSet::new(),
                tables: std::collections::BTreeMap::new(),
                notes: Vec::new(),
                dates: Vec::new(),
                searches: Vec::new(),
                twin: None,
            },
        }
    }

    /// `search`: as Odoo searches, without archived records; otherwise as a trigger asks a changed record.
    fn domain(
        trigger: &Trigger,
        text: &str,
        asking: &Asking<'_>,
        search: bool,
    ) -> Result<Self, (String, DomainError)> {
        let wrong = |error| (text.to_owned(), error);
        let source = Source::parse(text).map_err(wrong)?;
        let domain = source.evaluate(&asking.vars).map_err(wrong)?;
        let base = asking.vars.base(BaseRow::table()).active_test(search);
        let compiled = compile(&domain, asking.catalog, &trigger.model, asking.aliases, base);
        Ok(Self {
            compiled: compiled.map_err(wrong)?,
        })
    }

    /// Adds a condition with one value.
    pub fn and(&mut self, write: impl FnOnce(usize) -> String, value: Param) {
        let more = write(self.bind(value));
        self.require(&more);
    }

    /// Adds a value that further conditions will name; its number.
    pub fn bind(&mut self, value: Param) -> usize {
        self.compiled.params.push(value);
        self.compiled.params.len()
    }

    /// Adds a condition without values.
    pub fn require(&mut self, condition: &str) {
        self.compiled.sql = format!("({}) and ({condition})", self.compiled.sql);
    }

    /// The record stands where a change that the trigger looks for leads. False: nothing can be asked.
    pub fn stand(&mut self, condition: &Condition) -> bool {
        let text = |column: &str| format!("nullif(t.{}::text, '')", quote(column));
        match condition {
            Condition::State {
                column, to: Some(to), ..
            } => self.and(
                |n| format!("{} = ${n}::text", text(column)),
                Param::Text(Some(to.clone())),
            ),
            Condition::State {
                column,
                from: Some(from),
                to: None,
            } => self.and(
                |n| format!("{} is distinct from ${n}::text", text(column)),
                Param::Text(Some(from.clone())),
            ),
            Condition::Field {
                column,
                change: FieldChange::Set,
            } => self.require(&format!("{} is not null", text(column))),
            Condition::Field {
                column,
                change: FieldChange::Cleared,
            } => self.require(&format!("{} is null", text(column))),
            _ => return false,
        }
        true
    }

    /// As a compiled domain over the model's table.
    pub fn compiled(&self) -> &Compiled {
        &self.compiled
    }
}
