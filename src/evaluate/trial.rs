//! Triggers and rules to be tried out: stored ones, in force or not, and those of a file that nobody has stored. Compiled as
//! the evaluation compiles them, and taken for active.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use tokio_postgres::Transaction;

use super::check::{Facts, Survey, flag, text};
use super::compile::compile_trigger;
use super::configuration::{Configuration, load_noise};
use super::definition::Trigger;
use crate::db::ids::RuleId;
use crate::db::statements as sql;

/// What is tried.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// A stored trigger with its rules: the active ones, or all of them where none is.
    Trigger(String),
    /// A stored rule.
    Rule(String),
    /// A file: a trigger, or rules of a stored one, or both; what it does not name is as stored, else as by default.
    File(Draft),
}

/// `[trigger]` and `[[rule]]` of a file, by column.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    /// The trigger.
    pub trigger: Option<Map<String, Value>>,
    /// Rules.
    pub rules: Vec<Map<String, Value>>,
}

/// Why it cannot be tried.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// The server refused.
    #[error("{}", crate::db::describe(.0))]
    Server(#[from] tokio_postgres::Error),
    /// There is none of that name.
    #[error("there is no {kind} {code}; v_{kind} lists them")]
    Unknown {
        /// `trigger` or `rule`.
        kind: &'static str,
        /// Its code.
        code: String,
    },
    /// It does not compile.
    #[error("{0}")]
    Broken(String),
    /// A file says what no row can say.
    #[error("{0}")]
    Draft(String),
}

/// Ready to be tried.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The configuration with this one trigger, whose rules are taken for active.
    pub configuration: Configuration,
    /// Rules that heed the blacklist.
    pub heeding: BTreeSet<RuleId>,
    /// Names of what is not in force, for people.
    pub inactive: Vec<String>,
}

impl Trial {
    /// Reads and compiles.
    ///
    /// # Errors
    /// [`TrialError`].
    pub async fn load(tx: &Transaction<'_>, wanted: &Wanted) -> Result<Self, TrialError> {
        let survey = Survey::load(tx).await?;
        match wanted {
            Wanted::Trigger(code) => {
                let surveyed = survey.triggers.iter().find(|t| t.code() == code);
                let surveyed = surveyed.ok_or_else(|| unknown("trigger", code))?;
                let trigger = surveyed.compiled.clone();
                let mut trigger = trigger.map_err(|e| TrialError::Broken(format!("trigger {code}: {e}")))?;
                if trigger.rules.iter().any(|r| r.active) {
                    trigger.rules.retain(|r| r.active);
                }
                let facts = (surveyed.facts.clone(), surveyed.rules.clone());
                Self::new(survey, trigger, &facts.0, &facts.1)
            }
            Wanted::Rule(code) => {
                let has = |facts: &Facts| text(facts, "code") == Some(code);
                let surveyed = survey.triggers.iter().find(|t| t.rules.iter().any(has));
                let surveyed = surveyed.ok_or_else(|| unknown("rule", code))?;
                let trigger = surveyed.compiled.clone();
                let mut trigger =
                    trigger.map_err(|e| TrialError::Broken(format!("trigger {}: {e}", surveyed.code())))?;
                trigger.rules.retain(|r| r.code == *code);
                let facts = (surveyed.facts.clone(), surveyed.rules.clone());
                Self::new(survey, trigger, &facts.0, &facts.1)
            }
            Wanted::File(draft) => Self::of_draft(tx, survey, draft).await,
        }
    }

    fn new(survey: Survey, mut trigger: Trigger, facts: &Facts, rules: &[Facts]) -> Result<Self, TrialError> {
        if let Err(error) = &trigger.domain {
            return Err(TrialError::Broken(format!("trigger {}: {error}", trigger.code)));
        }
        if trigger.rules.is_empty() {
            return Err(TrialError::Broken(format!(
                "the trigger {} has no rule, so nobody would be told; add one, or name one in a file",
                trigger.code
            )));
        }
        let mut inactive = Vec::new();
        if !flag(facts, "active") {
            inactive.push(format!("trigger {}", trigger.code));
        }
        let mut heeding = BTreeSet::new();
        // One of several that does not compile is an error of each record, as in the evaluation.
        if let [only] = trigger.rules.as_slice()
            && let Err(error) = &only.plan
        {
            return Err(TrialError::Broken(format!("rule {}: {error}", only.code)));
        }
        for rule in &mut trigger.rules {
            if !rule.active {
                inactive.push(format!("rule {}", rule.code));
                rule.active = true;
            }
            let written = rules.iter().find(|f| text(f, "code") == Some(&rule.code));
            if written.is_none_or(|f| flag(f, "respect_blacklist")) {
                heeding.insert(rule.id);
            }
        }
        let configuration = Configuration {
            triggers: vec![trigger],
            ..survey.configuration
        };
        Ok(Self {
            configuration,
            heeding,
            inactive,
        })
    }

    async fn of_draft(tx: &Transaction<'_>, survey: Survey, draft: &Draft) -> Result<Self, TrialError> {
        let of_rule = draft.rules.first().and_then(|r| text(r, "trigger"));
        let code = draft.trigger.as_ref().and_then(|t| text(t, "code")).or(of_rule);
        let code = code.map(str::to_owned).ok_or_else(|| {
            TrialError::Draft(
                "the file names no trigger: give [trigger] a code, or [[rule]] a trigger".into(),
            )
        })?;
        let stored = survey.triggers.iter().find(|t| t.code() == code);
        if draft.trigger.is_none() && stored.is_none() {
            return Err(unknown("trigger", &code));
        }
        let blank = json!({"id": -1, "active": true, "code": code, "name": code});
        let facts = merged(
            tx,
            "trigger",
            stored.map(|t| &t.facts),
            blank,
            draft.trigger.as_ref(),
        )
        .await?;
        let mut rules: Vec<Facts> = Vec::new();
        for (place, written) in draft.rules.iter().enumerate() {
            let name = text(written, "code").unwrap_or("untitled").to_owned();
            let mine = |f: &&Facts| text(f, "code") == Some(name.as_str());
            let stored = survey.triggers.iter().flat_map(|t| &t.rules).find(mine);
            let id = -1 - i64::try_from(place).unwrap_or(0);
            let blank = json!({"id": id, "active": true, "code": name, "name": name, "trigger": code});
            let mut rule = merged(tx, "rule", stored, blank, Some(written)).await?;
            // Of one trigger: a simulation has one.
            if text(&rule, "trigger") != Some(&code) {
                return Err(TrialError::Draft(format!(
                    "rule {name} is one of the trigger {}, but the file is about {code}: simulate one trigger at a time",
                    text(&rule, "trigger").unwrap_or("")
                )));
            }
            if text(&rule, "template_key").is_none() {
                return Err(TrialError::Draft(format!("rule {name} has no template_key")));
            }
            rule.insert("active".into(), true.into());
            rules.push(rule);
        }
        if rules.is_empty() {
            rules = stored.map(|t| t.rules.clone()).unwrap_or_default();
        }
        let row = tx
            .query_one(sql::TRY_TRIGGER.sql, &[&Value::Object(facts.clone())])
            .await?;
        let listed = Value::Array(rules.iter().cloned().map(Value::Object).collect());
        let rows = tx.query(sql::TRY_RULES.sql, &[&listed]).await?;
        let noise = load_noise(tx).await?;
        let trigger = compile_trigger(&row, &rows, &survey.asking(), &noise);
        let trigger = trigger.map_err(|e| TrialError::Broken(format!("trigger {code}: {e}")))?;
        Self::new(survey, trigger, &facts, &rules)
    }

    /// The trigger.
    pub fn trigger(&self) -> Option<&Trigger> {
        self.configuration.triggers.first()
    }
}

fn unknown(kind: &'static str, code: &str) -> TrialError {
    TrialError::Unknown {
        kind,
        code: code.to_owned(),
    }
}

/// What is written, over what is stored, else over the table's defaults. A name that is no column is refused.
async fn merged(
    tx: &Transaction<'_>,
    table: &str,
    stored: Option<&Facts>,
    blank: Value,
    written: Option<&Map<String, Value>>,
) -> Result<Facts, TrialError> {
    let columns = tx.query(sql::TRY_DEFAULTS.sql, &[&table]).await?;
    let known: Vec<&str> = columns.iter().map(|r| r.get(0)).collect();
    let mut facts = match stored {
        Some(stored) => stored.clone(),
        None => defaults(tx, &columns).await?,
    };
    if let (None, Value::Object(blank)) = (stored, blank) {
        facts.extend(blank);
    }
    for (name, value) in written.into_iter().flatten() {
        if !known.contains(&name.as_str()) || name == "id" {
            return Err(TrialError::Draft(format!(
                "{table} has no column {name}; it has {}",
                known.join(", ")
            )));
        }
        facts.insert(name.clone(), value.clone());
    }
    Ok(facts)
}

/// The values that a new row would have.
async fn defaults(tx: &Transaction<'_>, columns: &[tokio_postgres::Row]) -> Result<Facts, TrialError> {
    let pairs: Vec<String> = columns
        .iter()
        .filter_map(|r| Some((r.get::<_, &str>(0), r.get::<_, Option<&str>>(1)?)))
        .map(|(name, value)| format!("'{}', to_jsonb({value})", name.replace('\'', "''")))
        .collect();
    let made = format!("select jsonb_build_object({})", pairs.join(", "));
    match tx.query_one(&made, &[]).await?.get(0) {
        Value::Object(facts) => Ok(facts),
        _ => Ok(Facts::new()),
    }
}
