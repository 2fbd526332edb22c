//! Rights on host tables: SELECT only, each table by name, passed on by the role that installs (RULINGS: the runtime
//! reads what active configuration reads; tables with secrets are read through the owner's functions only).

use tokio_postgres::Client;

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
