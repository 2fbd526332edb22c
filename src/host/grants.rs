//! Rights on host tables: SELECT only, each table by name, passed on by the role that installs (the runtime
//! reads what active configuration reads; tables with secrets are read through the owner's functions only).

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::record::quote;

/// Tables that the owner's functions read (partner, groups, identity; some hold secrets, which the functions leave out), and
/// the catalogue, from which a DBA without rights of his own on the host plans the hooks as the owner.
const OWNER: &[&str] = &[
    "ir_config_parameter",
    "ir_cron",
    "ir_model",
    "ir_model_data",
    "ir_model_fields",
    "ir_model_fields_selection",
    "ir_model_inherit",
    "ir_module_module",
    "phone_blacklist",
    "res_company_users_rel",
    "res_groups",
    "res_groups_implied_rel",
    "res_groups_users_rel",
    "res_partner",
    "res_users",
    "whatsapp_message",
];

/// Tables that the daemon itself reads: the catalogue and records without secrets. Operators read them too, so that what they write can
/// be held against the host before it counts (`check`, `simulate`, `campaign dry-run`): what a rule of theirs reads comes to their eyes
/// in its messages anyway.
const RUNTIME: &[&str] = &[
    "ir_model",
    "ir_model_fields",
    "ir_model_fields_selection",
    "ir_model_inherit",
    "ir_module_module",
    "res_partner",
    "sicantik_document",
    "sicantik_permit",
    "sicantik_permit_type",
    "signature_workflow",
];

/// The roles that read the host themselves.
const READERS: [&str; 2] = [DAEMON, "sicantik_notify_operator"];
const DAEMON: &str = "sicantik_notifyd";

/// A right that a role needs outside of our schema.
struct Right {
    /// Whether the role has it, or the object does not exist: a query for one boolean.
    held: String,
    /// The statement that gives it.
    grant: String,
}

/// Grants what is missing and returns the statements that the connected role was not allowed to run.
///
/// # Errors
/// Whatever is not a missing right.
pub async fn grant(client: &Client) -> Result<Vec<String>, tokio_postgres::Error> {
    let mut refused = Vec::new();
    for right in rights(client).await? {
        if held(client, &right).await? {
            continue;
        }
        match client.batch_execute(&right.grant).await {
            // A GRANT by somebody who may not grant is only a warning: look whether it worked.
            Ok(()) if held(client, &right).await? => {}
            Ok(()) => refused.push(right.grant),
            Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
                refused.push(right.grant)
            }
            Err(error) => return Err(error),
        }
    }
    Ok(refused)
}

/// Tables that the daemon reads whatever is configured.
pub fn runtime_tables() -> impl Iterator<Item = &'static str> {
    RUNTIME.iter().copied()
}

/// The statements that would give the rights that are always needed and are not there.
///
/// # Errors
/// The server's.
pub async fn standing(client: &Client) -> Result<Vec<String>, tokio_postgres::Error> {
    let mut missing = Vec::new();
    for right in rights(client).await? {
        if !held(client, &right).await? {
            missing.push(right.grant);
        }
    }
    Ok(missing)
}

/// What the daemon may not read of these columns, as the statements that would allow it. Secret columns
/// are never among them: no condition can name one.
///
/// # Errors
/// The server's.
pub async fn missing(
    client: &impl tokio_postgres::GenericClient,
    tables: &BTreeMap<String, BTreeSet<String>>,
) -> Result<Vec<String>, tokio_postgres::Error> {
    lacking(client, DAEMON, tables).await
}

/// Grants the daemon and operators these columns and returns the statements that the connected role was not allowed to run.
///
/// # Errors
/// Whatever is not a missing right.
pub async fn grant_columns(
    client: &Client,
    tables: &BTreeMap<String, BTreeSet<String>>,
) -> Result<Vec<String>, tokio_postgres::Error> {
    for statement in both(client, tables).await? {
        match client.batch_execute(&statement).await {
            Err(error) if error.code() != Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
                return Err(error);
            }
            _ => {}
        }
    }
    both(client, tables).await
}

async fn both(
    client: &Client,
    tables: &BTreeMap<String, BTreeSet<String>>,
) -> Result<Vec<String>, tokio_postgres::Error> {
    let mut statements = Vec::new();
    for role in READERS {
        statements.extend(lacking(client, role, tables).await?);
    }
    Ok(statements)
}

async fn lacking(
    client: &impl tokio_postgres::GenericClient,
    role: &str,
    tables: &BTreeMap<String, BTreeSet<String>>,
) -> Result<Vec<String>, tokio_postgres::Error> {
    let query = "select c from unnest($2::text[]) c where exists (select from pg_catalog.pg_attribute a \
         where a.attrelid = to_regclass($1) and a.attname = c and not a.attisdropped) \
         and not has_column_privilege($3::text::name, to_regclass($1), c, 'select') order by 1";
    let mut statements = Vec::new();
    for (table, columns) in tables {
        let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        let name = format!("public.{}", quote(table));
        let rows = client.query(query, &[&name, &columns, &role]).await?;
        let columns: Vec<String> = rows.iter().map(|row| quote(row.get(0))).collect();
        if !columns.is_empty() {
            statements.push(format!(
                "grant select ({}) on {name} to {role}",
                columns.join(", ")
            ));
        }
    }
    Ok(statements)
}

async fn rights(client: &Client) -> Result<Vec<Right>, tokio_postgres::Error> {
    let database: String = client
        .query_one("select quote_ident(current_database())", &[])
        .await?
        .get(0);
    // A hardened database grants neither of the two to everybody.
    let mut rights: Vec<Right> = READERS
        .iter()
        .map(|role| Right {
            held: format!("select has_database_privilege('{role}', current_database(), 'connect')"),
            grant: format!("grant connect on database {database} to {role}"),
        })
        .collect();
    for role in ["sicantik_notify_owner"].iter().chain(&READERS) {
        rights.push(Right {
            held: format!("select has_schema_privilege('{role}', 'public', 'usage')"),
            grant: format!("grant usage on schema public to {role}"),
        });
    }
    let tables = OWNER.iter().map(|t| (t, "sicantik_notify_owner")).chain(
        READERS
            .iter()
            .flat_map(|role| RUNTIME.iter().map(move |t| (t, *role))),
    );
    for (table, role) in tables {
        rights.push(Right {
            held: format!(
                "select coalesce(has_table_privilege('{role}', to_regclass('public.{table}'), 'select'), true)"
            ),
            grant: format!("grant select on public.{table} to {role}"),
        });
    }
    Ok(rights)
}

async fn held(client: &Client, right: &Right) -> Result<bool, tokio_postgres::Error> {
    Ok(client.query_one(&right.held, &[]).await?.get(0))
}
