//! The operators' connection: what psql can do as a member of `sicantik_notify_operator`, the commands do as well.

use std::error::Error;

use tokio_postgres::Client;

use crate::config::Config;
use crate::db::{Endpoint, migrate};

type Failed = Box<dyn Error + Send + Sync>;

/// A connection for looking.
///
/// # Errors
/// No connection, or a schema of another version.
pub(super) async fn look(config: &Config) -> Result<Client, Failed> {
    let endpoint = Endpoint::parse(config.operator_url()?, config.database.ca_file.as_deref())?;
    let client = endpoint.connect().await?;
    let asked = "select current_user::text, coalesce(has_schema_privilege(to_regnamespace('sicantik_notify')::oid, 'usage'), true)";
    let row = client.query_one(asked, &[]).await?;
    if !row.get::<_, bool>(1) {
        let role: &str = row.get(0);
        return Err(format!(
            "the role {role} may not look: connect as another one with --database-url or SICANTIK_NOTIFYD_OPERATOR_URL, or have a DBA \
             run: grant sicantik_notify_viewer to a login role of yours"
        )
        .into());
    }
    migrate::check_version(&client).await?;
    Ok(client)
}

/// A connection for acting: its role must be an operator's.
///
/// # Errors
/// As [`look`], and a role that may not.
pub(super) async fn act(config: &Config) -> Result<Client, Failed> {
    let client = look(config).await?;
    let asked = "select current_user::text, pg_has_role(current_user, 'sicantik_notify_operator', 'usage')";
    let row = client.query_one(asked, &[]).await?;
    if !row.get::<_, bool>(1) {
        let role: &str = row.get(0);
        return Err(format!(
            "the role {role} is no operator: connect as one with --database-url or SICANTIK_NOTIFYD_OPERATOR_URL, or have a \
             DBA run: grant sicantik_notify_operator to a login role of yours"
        )
        .into());
    }
    Ok(client)
}
