//! Triggers, rules and their surroundings as the evaluation uses them: read from the database, names resolved against the
//! host's catalogue, domains compiled. What cannot be compiled stops only itself: a broken trigger captures nothing, a
//! broken rule sets its events aside; both are problems that name the place and the remedy.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tokio_postgres::Transaction;

use super::check;
use super::compile::compile_trigger;
use super::context::Office;
use super::definition::{Tables, Trigger};
use super::question::{Asking, Question};
use super::settings::Settings;
use super::trigger::Condition;
use crate::capture::plan::{Plan, TablePlan};
use crate::db::ids::TriggerId;
use crate::db::statements as sql;
use crate::host::catalog::Catalog;
use crate::host::{grants, user};
use crate::lang::domain::{Aliases, Vars};
use crate::lang::snippet::Limits;

/// What a [`ConfigProblem`] about missing rights is about.
pub const RIGHTS: &str = "rights on host tables";

/// Something an administrator must mend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigProblem {
    /// `trigger permit_state_change`
    pub about: String,
    /// What is wrong.
    pub summary: String,
    /// What to do.
    pub remedy: String,
}

/// Everything, as of one version.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// `config_version.version` when it was read.
    pub version: i64,
    /// The host's models.
    pub catalog: Catalog,
    /// Names that administrators use for others.
    pub aliases: Aliases,
    /// Active triggers that compile, in their order.
    pub triggers: Vec<Trigger>,
    /// Active triggers that do not compile, and why.
    pub broken: HashMap<TriggerId, String>,
    /// What does not compile.
    pub problems: Vec<ConfigProblem>,
    /// The office.
    pub office: Office,
    /// Keys of active templates.
    pub templates: BTreeSet<String>,
    /// Hooks never wake the daemon (setting capture_wake = poll): it looks more often by itself.
    pub polling: bool,
    /// People that a domain or path may mean for one record.
    pub recipient_limit: usize,
    /// Days that evaluated events are kept.
    pub history_days: u32,
    /// What one run of a rule's code may use (the daemon file).
    pub python: Limits,
}

impl Configuration {
    /// Reads and compiles.
    ///
    /// # Errors
    /// The server's; what administrators got wrong is in [`Configuration::problems`].
    pub async fn load(client: &Transaction<'_>) -> Result<Self, tokio_postgres::Error> {
        let version: i64 = client
            .query_one("select version from sicantik_notify.config_version", &[])
            .await?
            .get(0);
        let catalog = Catalog::load(client).await?;
        let aliases = load_aliases(client).await?;
        let noise = load_noise(client).await?;
        let mut problems = Vec::new();
        let settings = Settings::load(client, &mut problems).await?;
        let office = settings.office;
        let templates = client
            .query(
                "select template_key from sicantik_notify.template where active",
                &[],
            )
            .await?
            .iter()
            .map(|r| r.get(0))
            .collect();
        let vars = vars(client, office.timezone).await?;
        let asking = Asking {
            catalog: &catalog,
            aliases: &aliases,
            vars,
        };
        let rules = client.query(sql::RULES.sql, &[]).await?;
        let (mut triggers, mut broken) = (Vec::new(), HashMap::new());
        let rows = client.query(sql::TRIGGERS.sql, &[]).await?;
        for row in &rows {
            if !row.get::<_, bool>("active") {
                continue;
            }
            let code: String = row.get("code");
            match compile_trigger(row, &rules, &asking, &noise) {
                Ok(trigger) => {
                    problems.extend(trigger.domain.as_ref().err().map(|error| ConfigProblem {
                        about: format!("trigger {code}"),
                        summary: error.clone(),
                        remedy: "correct the trigger; its events are set aside until then".into(),
                    }));
                    problems.extend(trigger.rules.iter().filter(|r| r.active).filter_map(|rule| {
                        rule.plan.as_ref().err().map(|error| ConfigProblem {
                            about: format!("rule {}", rule.code),
                            summary: error.clone(),
                            remedy: "correct the rule; its events are set aside until then".into(),
                        })
                    }));
                    triggers.push(trigger);
                }
                Err(summary) => {
                    broken.insert(TriggerId(row.get("id")), format!("trigger {code}: {summary}"));
                    problems.push(ConfigProblem {
                        about: format!("trigger {code}"),
                        summary,
                        remedy: "correct the trigger; it captures nothing until then".into(),
                    });
                }
            }
        }
        problems.extend(check::advise(client, &rows, &triggers, &templates, &asking).await?);
        for statement in grants::missing(client, &tables(&triggers)).await? {
            problems.push(ConfigProblem {
                about: RIGHTS.into(),
                summary: "a condition reads what the daemon may not read; its events are set aside".into(),
                remedy: format!("run `sicantik-notifyd hooks install` as a DBA, or: {statement}"),
            });
        }
        Ok(Self {
            version,
            catalog,
            aliases,
            triggers,
            broken,
            problems,
            office,
            templates,
            polling: settings.polling,
            recipient_limit: settings.recipient_limit,
            history_days: settings.history_days,
            python: Limits::default(),
        })
    }

    /// Whether a condition in force asks about the user.
    pub fn needs_user(&self) -> bool {
        needs_user(&self.triggers)
    }

    /// Whether evaluated events are kept.
    pub fn keeps_history(&self) -> bool {
        self.history_days > 0
    }

    /// Tables of the host that conditions, recipients and records lacking in events are read from, with their columns.
    pub fn tables(&self) -> Tables {
        tables(&self.triggers)
    }

    /// What the hooks must capture for it.
    pub fn plan(&self) -> Plan {
        let mut plan = Plan::new();
        for trigger in self.triggers.iter().filter(|t| t.condition != Condition::Other) {
            let model = &trigger.model;
            let table = plan.entry(model.name.clone()).or_insert_with(|| TablePlan {
                table: model.table.clone(),
                active: true,
                ..TablePlan::default()
            });
            table.triggers.insert(trigger.code.clone());
            table.on_insert |= trigger.condition.wants_inserts();
            table.any_write |= matches!(trigger.condition, Condition::Write { .. });
            table
                .watched
                .extend(trigger.condition.column().map(str::to_owned));
            table.read.extend(trigger.reads());
        }
        for table in plan.values_mut() {
            table.read = table.read.difference(&table.watched).cloned().collect();
            table.read.remove("id");
        }
        plan
    }
}

/// What expressions see now, for who asks without the whole configuration.
///
/// # Errors
/// The server's.
pub async fn present(client: &Transaction<'_>) -> Result<Vars, tokio_postgres::Error> {
    let settings = Settings::load(client, &mut Vec::new()).await?;
    vars(client, settings.office.timezone).await
}

/// What expressions see while the configuration is read.
pub(super) async fn vars(
    client: &Transaction<'_>,
    timezone: chrono_tz::Tz,
) -> Result<Vars, tokio_postgres::Error> {
    let now = client
        .query_one("select sicantik_notify.clock()", &[])
        .await?
        .get(0);
    let vars = Vars::at(now, timezone);
    let user = user::facts(client, vars.uid).await?;
    Ok(Vars { user, ..vars })
}

fn needs_user(triggers: &[Trigger]) -> bool {
    let mut questions = triggers.iter().flat_map(Trigger::all_questions);
    questions.any(Question::needs_user)
}

fn tables(triggers: &[Trigger]) -> Tables {
    let mut all = Tables::new();
    triggers.iter().for_each(|trigger| trigger.tables(&mut all));
    if needs_user(triggers) {
        for (table, columns) in user::READS {
            let columns = columns.iter().map(|c| (*c).to_owned());
            all.entry((*table).to_owned()).or_default().extend(columns);
        }
    }
    all
}

/// Names in rules that were written against another model of the data.
///
/// # Errors
/// The server's.
pub async fn load_aliases(client: &Transaction<'_>) -> Result<Aliases, tokio_postgres::Error> {
    let mut aliases = Aliases::default();
    for row in client
        .query(
            "select model, field, target from sicantik_notify.field_alias",
            &[],
        )
        .await?
    {
        aliases = aliases.field(row.get(0), row.get(1), row.get(2));
    }
    for row in client
        .query(
            "select model, field, value, target from sicantik_notify.value_alias",
            &[],
        )
        .await?
    {
        aliases = aliases.value(row.get(0), row.get(1), row.get(2), row.get(3));
    }
    Ok(aliases)
}

pub(super) async fn load_noise(
    client: &Transaction<'_>,
) -> Result<BTreeMap<String, Vec<String>>, tokio_postgres::Error> {
    let mut noise: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in client
        .query("select model, column_name from sicantik_notify.noise_column", &[])
        .await?
    {
        noise.entry(row.get(0)).or_default().push(row.get(1));
    }
    Ok(noise)
}
