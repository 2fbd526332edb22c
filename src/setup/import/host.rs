//! What the replaced module keeps in the host: its tables, probed by name and read as JSON, so that no column is taken for granted.
//! Secrets are left out in the statement that reads; of them only whether they are there is known.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};
use tokio_postgres::Transaction;

use super::ImportError;
use crate::host::record::quote;

/// A row of the host by column.
pub type Row = Map<String, Value>;

/// Tables that are read, each if it is there.
pub const TRIGGER: &str = "sicantik_notification_trigger";
/// Rules.
pub const RULE: &str = "sicantik_notification_rule";
/// Campaigns.
pub const CAMPAIGN: &str = "sicantik_notification_campaign";
/// Numbers that get nothing.
pub const BLACKLIST: &str = "sicantik_notification_blacklist";
/// Providers.
pub const PROVIDER: &str = "sicantik_whatsapp_provider";
/// Templates.
pub const TEMPLATE: &str = "sicantik_whatsapp_template_master";
/// Accounts at Meta.
pub const ACCOUNT: &str = "whatsapp_account";
/// Messages that wait.
const QUEUE: &str = "sicantik_notification_queue";

/// Tables of the module and what they lean on.
const TABLES: &[&str] = &[
    TRIGGER,
    RULE,
    CAMPAIGN,
    BLACKLIST,
    PROVIDER,
    TEMPLATE,
    ACCOUNT,
    QUEUE,
    "ir_model",
    "ir_model_fields",
    "ir_model_data",
    "res_groups",
    "ir_config_parameter",
    "ir_module_module",
];

/// Secrets of providers: column of the host, and what it is called here.
pub const SECRETS: &[(&str, &str, &str)] = &[
    (PROVIDER, "watzap_api_key", "api_key"),
    (PROVIDER, "watzap_device_id", "number_key"),
    (PROVIDER, "fonnte_token", "token"),
    (ACCOUNT, "token", "token"),
];
/// Further columns that nobody reads.
const HIDDEN: &[&str] = &[
    "watzap_callback_token",
    "fonnte_secret",
    "fonnte_api_token",
    "app_secret",
    "webhook_verify_token",
];

/// What was found.
#[derive(Debug, Default)]
pub struct Host {
    tables: HashMap<&'static str, Vec<Row>>,
    /// Models by id.
    models: HashMap<i64, String>,
    /// Fields by id.
    fields: HashMap<i64, String>,
    /// Groups by id: how they are referred to here.
    groups: HashMap<i64, String>,
    /// Secrets that are there: table, row, column.
    secrets: std::collections::HashSet<(&'static str, i64, &'static str)>,
    /// Parameters of the module.
    pub parameters: BTreeMap<String, String>,
    /// Messages that wait in the module's queue.
    pub pending: i64,
    /// Active scheduled actions of the module that is replaced.
    pub own_crons: Vec<String>,
    /// Other active scheduled actions that send as well.
    pub other_crons: Vec<String>,
    /// The neighbour that sends when a permit is written.
    pub whatsapp_module: bool,
}

impl Host {
    /// Rows of a table; none where it does not exist.
    pub fn rows(&self, table: &str) -> &[Row] {
        self.tables.get(table).map_or(&[], Vec::as_slice)
    }

    /// Whether the host has any of it.
    pub fn is_there(&self) -> bool {
        [TRIGGER, RULE, CAMPAIGN, BLACKLIST, PROVIDER, TEMPLATE]
            .iter()
            .any(|t| self.tables.contains_key(t))
    }

    /// A model by its row in `ir_model`.
    pub fn model(&self, id: i64) -> Option<&str> {
        self.models.get(&id).map(String::as_str)
    }

    /// A field by its row in `ir_model_fields`.
    pub fn field(&self, id: i64) -> Option<&str> {
        self.fields.get(&id).map(String::as_str)
    }

    /// A group as rules name it: external id, else its name where no other group has it, else its id.
    pub fn group(&self, id: i64) -> Option<&str> {
        self.groups.get(&id).map(String::as_str)
    }

    /// Whether the host keeps this secret.
    pub fn has_secret(&self, table: &'static str, id: i64, column: &'static str) -> bool {
        self.secrets.contains(&(table, id, column))
    }

    /// Reads all of it.
    ///
    /// # Errors
    /// [`ImportError`], such as a table that the connected role may not read.
    pub async fn read(tx: &Transaction<'_>) -> Result<Self, ImportError> {
        let mut host = Self::default();
        let present = present(tx).await?;
        for table in [TRIGGER, RULE, CAMPAIGN, BLACKLIST, PROVIDER, TEMPLATE, ACCOUNT] {
            if present.contains(&table) {
                let rows = host.table(tx, table).await?;
                host.tables.insert(table, rows);
            }
        }
        if present.contains(&QUEUE) {
            let query = format!(
                "select count(*) from public.{} q where to_jsonb(q.*) ->> 'state' = 'pending'",
                quote(QUEUE)
            );
            host.pending = tx.query_one(&query, &[]).await?.get(0);
        }
        if present.contains(&"ir_model") {
            let query = "select to_jsonb(m.*) ->> 'id', to_jsonb(m.*) ->> 'model' from public.ir_model m";
            host.models = by_id(tx, query).await?;
        }
        if present.contains(&"ir_model_fields") {
            let query = "select to_jsonb(f.*) ->> 'id', to_jsonb(f.*) ->> 'name' from public.ir_model_fields f \
                         where f.model like 'sicantik.%' or f.model like 'signature.%' or f.model like 'res.%'";
            host.fields = by_id(tx, query).await?;
        }
        if present.contains(&"res_groups") {
            host.groups = groups(tx, present.contains(&"ir_model_data")).await?;
        }
        if present.contains(&"ir_config_parameter") {
            let query = "select key, value from public.ir_config_parameter \
                         where key in ('sicantik_whatsapp.default_provider_id', 'sicantik_whatsapp.webhook_base_url')";
            let rows = tx.query(query, &[]).await?;
            host.parameters = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        }
        if present.contains(&"ir_module_module") {
            let query = "select exists (select from public.ir_module_module where name = 'sicantik_whatsapp' and state = 'installed')";
            host.whatsapp_module = tx.query_one(query, &[]).await?.get(0);
        }
        let senders = tx
            .query(
                "select cron_id, name, module from sicantik_notify.host_senders()",
                &[],
            )
            .await?;
        for row in senders {
            let (id, name, module): (i64, &str, Option<&str>) = (row.get(0), row.get(1), row.get(2));
            let off = format!("\"{name}\": update public.ir_cron set active = false where id = {id}");
            match module {
                Some("sicantik_notification_automation") => host.own_crons.push(off),
                _ => host.other_crons.push(off),
            }
        }
        Ok(host)
    }

    /// What the daemon follows by itself is not carried over; says so.
    ///
    /// # Errors
    /// The server's.
    pub async fn leave_followed(&mut self, tx: &Transaction<'_>) -> Result<Vec<String>, ImportError> {
        let query = "select key from sicantik_notify.setting \
                     where key in ('template_source', 'provider_source') and value = 'host' order by key desc";
        let mut remarks = Vec::new();
        for row in tx.query(query, &[]).await? {
            let key: &str = row.get(0);
            let table = if key == "template_source" {
                TEMPLATE
            } else {
                PROVIDER
            };
            if self.tables.remove(table).is_some() {
                remarks.push(format!(
                    "the setting {key} is host: the daemon follows {table} by itself, and nothing of it is carried over"
                ));
            }
        }
        Ok(remarks)
    }

    async fn table(&mut self, tx: &Transaction<'_>, table: &'static str) -> Result<Vec<Row>, ImportError> {
        let secrets: Vec<&'static str> = SECRETS.iter().filter(|s| s.0 == table).map(|s| s.1).collect();
        let left_out: Vec<&str> = secrets.iter().chain(HIDDEN).copied().collect();
        let query = format!(
            "select to_jsonb(t.*) - $1::text[], array(select s from unnest($2::text[]) s \
             where coalesce(to_jsonb(t.*) ->> s, '') <> '') from public.{} t order by t.id",
            quote(table)
        );
        let mut rows = Vec::new();
        for row in tx.query(&query, &[&left_out, &secrets]).await? {
            let Value::Object(found) = row.get(0) else {
                continue;
            };
            let id = id(&found);
            let kept: Vec<&str> = row.get(1);
            let kept = secrets.iter().copied().filter(|s| kept.contains(s));
            self.secrets.extend(kept.map(|secret| (table, id, secret)));
            rows.push(found);
        }
        Ok(rows)
    }
}

/// Which of the tables are there.
async fn present(tx: &Transaction<'_>) -> Result<Vec<&'static str>, ImportError> {
    let query = "select to_regclass($1) is not null, coalesce(has_table_privilege(to_regclass($1), 'select'), true), \
                 current_user::text";
    let (mut present, mut closed, mut role) = (Vec::new(), Vec::new(), String::new());
    for table in TABLES {
        let row = tx
            .query_one(query, &[&format!("public.{}", quote(table))])
            .await?;
        role = row.get(2);
        match (row.get(0), row.get(1)) {
            (false, _) => {}
            (true, true) => present.push(*table),
            (true, false) => closed.push((*table).to_owned()),
        }
    }
    match closed.is_empty() {
        true => Ok(present),
        false => Err(ImportError::Rights { role, tables: closed }),
    }
}

async fn by_id(tx: &Transaction<'_>, query: &str) -> Result<HashMap<i64, String>, ImportError> {
    let rows = tx.query(query, &[]).await?;
    let pairs = rows.iter().filter_map(|row| {
        let id: Option<&str> = row.get(0);
        Some((id?.parse().ok()?, row.get::<_, Option<String>>(1)?))
    });
    Ok(pairs.collect())
}

async fn groups(tx: &Transaction<'_>, external: bool) -> Result<HashMap<i64, String>, ImportError> {
    let rows = tx
        .query(
            "select g.id::bigint, to_jsonb(g.*) -> 'name' from public.res_groups g",
            &[],
        )
        .await?;
    let names: Vec<(i64, Vec<String>)> = rows
        .iter()
        .map(|row| {
            (
                row.get(0),
                every_language(&row.get::<_, Option<Value>>(1).unwrap_or_default()),
            )
        })
        .collect();
    let mut groups: HashMap<i64, String> = HashMap::new();
    for (id, mine) in &names {
        let alone = |name: &&String| {
            let others = names.iter().filter(|(other, _)| other != id);
            !others.into_iter().any(|(_, theirs)| theirs.contains(name)) && name.parse::<i64>().is_err()
        };
        let reference = mine.iter().find(alone).cloned();
        groups.insert(*id, reference.unwrap_or_else(|| id.to_string()));
    }
    if external {
        // What an export made is no name that somebody gave, but it is one that stays.
        let query = "select res_id::bigint, module || '.' || name from public.ir_model_data \
                     where model = 'res.groups' order by module = '__export__' desc, id desc";
        for row in tx.query(query, &[]).await? {
            groups.insert(row.get(0), row.get(1));
        }
    }
    Ok(groups)
}

fn every_language(name: &Value) -> Vec<String> {
    match name {
        Value::String(text) => vec![text.clone()],
        // English first: Odoo always writes it, whatever the language of who writes.
        Value::Object(map) => {
            let first = map.get("en_US").into_iter();
            let names = first.chain(map.values()).filter_map(Value::as_str);
            names.map(str::to_owned).collect()
        }
        _ => Vec::new(),
    }
}

/// A name in Indonesian, else in English, else in whatever language there is.
pub fn translated(name: &Value) -> Option<String> {
    let filled = |text: &&str| !text.trim().is_empty();
    match name {
        Value::String(text) => Some(text.as_str()).filter(filled).map(str::to_owned),
        Value::Object(map) => {
            let of = |lang: &str| map.get(lang).and_then(Value::as_str).filter(filled);
            let any = || map.values().filter_map(Value::as_str).find(filled);
            of("id_ID")
                .or_else(|| of("en_US"))
                .or_else(any)
                .map(str::to_owned)
        }
        _ => None,
    }
}

/// The id of a row.
pub fn id(row: &Row) -> i64 {
    row.get("id").and_then(Value::as_i64).unwrap_or_default()
}

/// A text; blank is none.
pub fn text<'r>(row: &'r Row, column: &str) -> Option<&'r str> {
    row.get(column)
        .and_then(Value::as_str)
        .filter(|text| !text.trim().is_empty())
}

/// A boolean; unset is false, as Odoo has it.
pub fn flag(row: &Row, column: &str) -> bool {
    row.get(column).and_then(Value::as_bool).unwrap_or(false)
}

/// The id of another row.
pub fn link(row: &Row, column: &str) -> Option<i64> {
    row.get(column).and_then(Value::as_i64)
}

/// Columns that change without anybody configuring anything.
const VOLATILE: &[&str] = &[
    "create_uid",
    "create_date",
    "write_uid",
    "write_date",
    "rule_count",
    "execution_count",
    "success_count",
    "failed_count",
    "last_execution_date",
    "usage_count",
    "last_used_date",
    "credential_state",
    "last_error_message",
    "blocked_count",
    "last_blocked_date",
    "total_targets",
    "total_sent",
    "total_failed",
    "total_pending",
    "progress_percentage",
];

/// A row without what changes by itself.
pub fn lasting(row: &Row) -> Row {
    let lasting = row
        .iter()
        .filter(|(column, _)| !VOLATILE.contains(&column.as_str()));
    lasting
        .map(|(column, value)| (column.clone(), value.clone()))
        .collect()
}
