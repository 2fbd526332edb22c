//! Triggers and rules as the evaluation uses them: names resolved, conditions compiled; and what they read of the host.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::context::{DOCUMENT_COLUMNS, PERMIT_COLUMNS};
use super::question::Question;
use super::recipients::Recipients;
use super::repeat::Repeat;
use super::trigger::Condition;
use crate::db::ids::{RuleId, TriggerId};
use crate::host::catalog::{Catalog, Model};
use crate::lang::snippet::Snippet;

/// A trigger, ready to be matched.
#[derive(Clone, Debug)]
pub struct Trigger {
    /// Row.
    pub id: TriggerId,
    /// Its code.
    pub code: String,
    /// The model.
    pub model: Arc<Model>,
    /// Which changes.
    pub condition: Condition,
    /// Which records; or why that cannot be said: then it still captures, and its events are set aside.
    pub domain: Result<Option<Question>, String>,
    /// Its rules, in order; inactive ones too, so that silence can be explained.
    pub rules: Vec<Rule>,
}

/// A rule, ready to be applied.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Row.
    pub id: RuleId,
    /// Its code.
    pub code: String,
    /// Whether it is in force.
    pub active: bool,
    /// What it does, or why that cannot be said.
    pub plan: Result<RulePlan, String>,
    /// Which text.
    pub template_key: String,
    /// Higher first.
    pub priority: i32,
    /// Minutes.
    pub delay_minutes: i32,
    /// Its messages go in batches.
    pub batched: bool,
}

/// The compiled part of a rule.
#[derive(Clone, Debug)]
pub struct RulePlan {
    /// Which records.
    pub domain: Option<Question>,
    /// Which of them, in Python.
    pub condition: Option<Code>,
    /// Which people.
    pub recipients: Recipients,
    /// What they are told, in Python.
    pub context_code: Option<Code>,
    /// How often.
    pub repeat: Repeat,
    /// One run of a schedule gives each recipient one message.
    pub grouped: bool,
    /// What happens where the applicant is not the partner.
    pub on_mismatch: OnMismatch,
}

/// Python of a rule, with the tables that it reads.
#[derive(Clone, Debug)]
pub struct Code {
    snippet: Snippet,
    tables: Tables,
}

impl Code {
    /// What it reads is found in its text.
    pub fn new(snippet: Snippet, catalog: &Catalog) -> Self {
        let tables = snippet.reads().tables(catalog);
        Self { snippet, tables }
    }
}

impl std::ops::Deref for Code {
    type Target = Snippet;

    fn deref(&self) -> &Snippet {
        &self.snippet
    }
}

/// What happens where the applicant's name and the partner's differ (`rule.on_name_mismatch`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnMismatch {
    /// It is sent, and the decision says so.
    Warn,
    /// A person decides.
    Hold,
    /// It is not sent.
    Skip,
}

impl RulePlan {
    fn codes(&self) -> impl Iterator<Item = &Code> {
        self.condition.iter().chain(&self.context_code)
    }

    /// Adds the tables that its Python and its recipients read.
    pub(super) fn tables(&self, all: &mut Tables) {
        let mut add = |table: &str, columns: &mut dyn Iterator<Item = String>| {
            all.entry(table.to_owned()).or_default().extend(columns);
        };
        for (table, columns) in self.codes().flat_map(|code| &code.tables) {
            add(table, &mut columns.iter().cloned());
        }
        match &self.recipients {
            Recipients::Custom(question) => {
                let id = std::iter::once("id".to_owned());
                let table = &question.model().table;
                add(table, &mut id.chain(question.columns().iter().cloned()));
            }
            Recipients::Field(path) => {
                for (table, columns) in path.tables() {
                    add(&table, &mut columns.into_iter());
                }
            }
            Recipients::Partner | Recipients::Group(_) => {}
        }
    }
}

/// Tables of the host with the columns that are read of them.
pub type Tables = BTreeMap<String, BTreeSet<String>>;

impl Trigger {
    /// Its condition and those of its active rules: what is asked of the changed record.
    pub fn questions(&self) -> impl Iterator<Item = &Question> {
        let rules = self.plans().filter_map(|plan| plan.domain.as_ref());
        self.domain.iter().flatten().chain(rules)
    }

    /// All that is asked of the host, recipients included.
    pub fn all_questions(&self) -> impl Iterator<Item = &Question> {
        let people = self.plans().filter_map(|plan| match &plan.recipients {
            Recipients::Custom(question) => Some(question),
            _ => None,
        });
        self.questions().chain(people)
    }

    /// Columns of the record that it, its active rules and the default context read.
    pub fn reads(&self) -> BTreeSet<String> {
        let mut columns: BTreeSet<String> = self
            .questions()
            .flat_map(|q| q.columns().iter().cloned())
            .collect();
        for plan in self.plans() {
            columns.extend(plan.repeat.columns().iter().cloned());
            for code in plan.codes() {
                columns.extend(code.reads().columns(&self.model).map(|f| f.name.clone()));
            }
            if let Recipients::Field(path) = &plan.recipients {
                columns.extend(path.first_column().map(str::to_owned));
            }
        }
        let context: &[&str] = match self.model.name.as_str() {
            "sicantik.permit" => PERMIT_COLUMNS,
            "sicantik.document" => DOCUMENT_COLUMNS,
            _ => &["partner_id", "permit_id", "state", "name"],
        };
        columns.extend(
            context
                .iter()
                .filter(|c| self.model.column(c).is_some())
                .map(|c| (*c).to_owned()),
        );
        columns
    }

    /// Adds the tables that it and its active rules read. Of the record's own table what an event may lack.
    pub fn tables(&self, all: &mut Tables) {
        let mut add = |table: &str, columns: &mut dyn Iterator<Item = String>| {
            all.entry(table.to_owned()).or_default().extend(columns);
        };
        let own = std::iter::once("id".to_owned()).chain(self.reads());
        add(&self.model.table, &mut own.into_iter());
        for question in self.all_questions() {
            for (table, columns) in question.tables() {
                add(table, &mut columns.iter().cloned());
            }
        }
        self.plans().for_each(|plan| plan.tables(all));
    }

    fn plans(&self) -> impl Iterator<Item = &RulePlan> {
        let active = self.rules.iter().filter(|r| r.active);
        active.filter_map(|r| r.plan.as_ref().ok())
    }
}
