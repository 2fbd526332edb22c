//! Triggers, rules and their surroundings as the evaluation uses them: read from the database, names resolved against the
//! host's catalogue, domains compiled. What cannot be compiled stops only itself: a broken trigger captures nothing, a
//! broken rule sets its events aside; both are problems that name the place and the remedy.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use tokio_postgres::Transaction;

use super::check;
use super::compile::compile_trigger;
use super::context::{DOCUMENT_COLUMNS, Office, PERMIT_COLUMNS};
use super::question::{Asking, Question};
use super::trigger::Condition;
use crate::capture::plan::{Plan, TablePlan};
use crate::db::ids::{RuleId, TriggerId};
use crate::db::statements as sql;
use crate::host::catalog::{Catalog, Model};
use crate::host::{grants, user};
use crate::lang::domain::{Aliases, Vars};

/// What a [`ConfigProblem`] about missing rights is about.
pub const RIGHTS: &str = "rights on host tables";

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
    /// Which records, which people, or why neither can be said.
    pub plan: Result<RulePlan, String>,
    /// Which text.
    pub template_key: String,
    /// Higher first.
    pub priority: i32,
    /// Minutes.
    pub delay_minutes: i32,
}

/// The compiled part of a rule.
#[derive(Clone, Debug)]
pub struct RulePlan {
    /// Which records.
    pub domain: Option<Question>,
    /// Which people.
    pub recipients: Recipients,
}

/// Who is told (SICANTIK guide §4.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recipients {
    /// The record's partner, else its permit's.
    Partner,
    /// Members of a group.
    Group(String),
}

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
    /// What does not compile.
    pub problems: Vec<ConfigProblem>,
    /// The office.
    pub office: Office,
    /// Keys of active templates.
    pub templates: BTreeSet<String>,
    /// Hooks never wake the daemon (setting capture_wake = poll): it looks more often by itself.
    pub polling: bool,
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
        let settings: HashMap<String, String> = client
            .query("select key, value from sicantik_notify.setting", &[])
            .await?
            .iter()
            .map(|r| (r.get(0), r.get(1)))
            .collect();
        let mut problems = Vec::new();
        let office = office(&settings, &mut problems);
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
        let mut triggers = Vec::new();
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
                Err(summary) => problems.push(ConfigProblem {
                    about: format!("trigger {code}"),
                    summary,
                    remedy: "correct the trigger; it captures nothing until then".into(),
                }),
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
            problems,
            office,
            templates,
            polling: settings.get("capture_wake").is_some_and(|w| w == "poll"),
        })
    }

    /// Whether a condition in force asks about the user.
    pub fn needs_user(&self) -> bool {
        self.triggers
            .iter()
            .flat_map(Trigger::questions)
            .any(Question::needs_user)
    }

    /// Tables of the host that conditions read beside the record, with their columns.
    pub fn tables(&self) -> BTreeMap<String, BTreeSet<String>> {
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

/// What expressions see while the configuration is read.
pub(super) async fn vars(
    client: &Transaction<'_>,
    timezone: chrono_tz::Tz,
) -> Result<Vars, tokio_postgres::Error> {
    let now = client.query_one("select clock_timestamp()", &[]).await?.get(0);
    let vars = Vars::at(now, timezone);
    let user = user::facts(client, vars.uid).await?;
    Ok(Vars { user, ..vars })
}

fn tables(triggers: &[Trigger]) -> BTreeMap<String, BTreeSet<String>> {
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (table, columns) in triggers
        .iter()
        .flat_map(Trigger::questions)
        .flat_map(Question::tables)
    {
        all.entry(table.clone())
            .or_default()
            .extend(columns.iter().cloned());
    }
    if triggers
        .iter()
        .flat_map(Trigger::questions)
        .any(Question::needs_user)
    {
        for (table, columns) in user::READS {
            let columns = columns.iter().map(|c| (*c).to_owned());
            all.entry((*table).to_owned()).or_default().extend(columns);
        }
    }
    all
}

impl Trigger {
    /// Its condition and those of its active rules.
    pub fn questions(&self) -> impl Iterator<Item = &Question> {
        let rules = self.rules.iter().filter(|r| r.active);
        let rules = rules.filter_map(|r| r.plan.as_ref().ok()?.domain.as_ref());
        self.domain.iter().flatten().chain(rules)
    }

    /// Columns of the record that it, its active rules and the default context read.
    pub fn reads(&self) -> BTreeSet<String> {
        let mut columns: BTreeSet<String> = self
            .questions()
            .flat_map(|q| q.columns().iter().cloned())
            .collect();
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

fn office(settings: &HashMap<String, String>, problems: &mut Vec<ConfigProblem>) -> Office {
    let get = |key: &str| settings.get(key).cloned().unwrap_or_default();
    let zone = get("timezone");
    let timezone = zone.parse().unwrap_or_else(|_| {
        problems.push(ConfigProblem {
            about: "setting timezone".into(),
            summary: format!("{zone:?} is not a time zone; Asia/Jakarta is used"),
            remedy: "update sicantik_notify.setting set value = 'Asia/Jakarta' where key = 'timezone'".into(),
        });
        chrono_tz::Asia::Jakarta
    });
    Office {
        timezone,
        link_base: get("link_base").trim_end_matches('/').to_owned(),
        contact_info: get("contact_info"),
        opt_in_link: get("meta_opt_in_link"),
    }
}
