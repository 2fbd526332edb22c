//! Rights on host tables: SELECT only, each table by name, passed on by the role that installs (RULINGS: the runtime
//! reads what active configuration reads; tables with secrets are read through the owner's functions only).

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::Client;

use super::record::quote;

/// Tables that the owner's functions read (partner, groups, identity); some hold secrets, which the functions leave out.
const OWNER: &[&str] = &[
    "ir_config_parameter",
    "ir_model_data",
    "res_groups",
    "res_groups_implied_rel",
    "res_groups_users_rel",
    "res_partner",
    "res_users",
    "whatsapp_message",
];

/// Tables that the daemon itself reads: the catalogue and records without secrets.
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

/// Grants what is missing and returns the statements that the connected role was not allowed to run.
///
/// # Errors
/// Whatever is not a missing right.
pub async fn grant(client: &Client) -> Result<Vec<String>, tokio_postgres::Error> {
    let mut refused = Vec::new();
    let tables = OWNER
        .iter()
        .map(|t| (*t, "sicantik_notify_owner"))
        .chain(RUNTIME.iter().map(|t| (*t, "sicantik_notifyd")));
    for (table, role) in tables {
        let wanted: bool = client
            .query_one(
                "select coalesce(not has_table_privilege($2, to_regclass($1), 'select'), false)",
                &[&format!("public.{table}"), &role],
            )
            .await?
            .get(0);
        if !wanted {
            continue;
        }
        let statement = format!("grant select on public.{table} to {role}");
        let savepoint = format!("do $$ begin {statement}; end $$");
        match client.batch_execute(&savepoint).await {
            Ok(()) if granted(client, table, role).await? => {}
            Ok(()) => refused.push(statement),
            Err(error) if error.code() == Some(&tokio_postgres::error::SqlState::INSUFFICIENT_PRIVILEGE) => {
                refused.push(statement);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(refused)
}

/// What the connected role may not read of these columns, as the statements that would allow it to the daemon. Secret columns
/// are never among them: no condition can name one.
///
/// # Errors
/// The server's.
pub async fn missing(
    client: &impl tokio_postgres::GenericClient,
    tables: &BTreeMap<String, BTreeSet<String>>,
) -> Result<Vec<String>, tokio_postgres::Error> {
    lacking(client, tables, "current_user").await
}

/// Grants the daemon these columns and returns the statements that the connected role was not allowed to run.
///
/// # Errors
/// Whatever is not a missing right.
pub async fn grant_columns(
    client: &Client,
    tables: &BTreeMap<String, BTreeSet<String>>,
) -> Result<Vec<String>, tokio_postgres::Error> {
    for statement in lacking(client, tables, "'sicantik_notifyd'").await? {
        match client.batch_execute(&statement).await {
            Err(error) if error.code() != Some(&tokio_postgres::error::SqlState::INSUFFICIENT_PRIVILEGE) => {
                return Err(error);
            }
            _ => {}
        }
    }
    lacking(client, tables, "'sicantik_notifyd'").await
}

async fn lacking(
    client: &impl tokio_postgres::GenericClient,
    tables: &BTreeMap<String, BTreeSet<String>>,
    role: &str,
) -> Result<Vec<String>, tokio_postgres::Error> {
    let query = format!(
        "select c from unnest($2::text[]) c where exists (select from pg_catalog.pg_attribute a \
         where a.attrelid = to_regclass($1) and a.attname = c and not a.attisdropped) \
         and not has_column_privilege({role}, to_regclass($1), c, 'select') order by 1"
    );
    let mut statements = Vec::new();
    for (table, columns) in tables {
        let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        let name = format!("public.{}", quote(table));
        let rows = client.query(&query, &[&name, &columns]).await?;
        let columns: Vec<String> = rows.iter().map(|row| quote(row.get(0))).collect();
        if !columns.is_empty() {
            statements.push(format!(
                "grant select ({}) on {name} to sicantik_notifyd",
                columns.join(", ")
            ));
        }
    }
    Ok(statements)
}

/// A GRANT by somebody who may not grant is only a warning: look whether it worked.
async fn granted(client: &Client, table: &str, role: &str) -> Result<bool, tokio_postgres::Error> {
    Ok(client
        .query_one(
            "select has_table_privilege($2, to_regclass($1), 'select')",
            &[&format!("public.{table}"), &role],
        )
        .await?
        .get(0))
}
