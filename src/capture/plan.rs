//! Which columns of which table the hooks look at: derived from the compiled configuration, stored in `capture_plan`, made
//! into function bodies by the owner's `publish_capture()`. Only names are stored; the database resolves and quotes them.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::Transaction;

use crate::db::statements as sql;

/// The plan of one table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TablePlan {
    /// The table, in schema public.
    pub table: String,
    /// Whether an active trigger wants it.
    pub active: bool,
    /// Whether inserts matter.
    pub on_insert: bool,
    /// Whether any change outside the noise columns matters.
    pub any_write: bool,
    /// Columns whose change matters.
    pub watched: BTreeSet<String>,
    /// Columns whose value is carried.
    pub read: BTreeSet<String>,
    /// Codes of the triggers that it serves.
    pub triggers: BTreeSet<String>,
}

/// Plans by model.
pub type Plan = BTreeMap<String, TablePlan>;

/// Stores the plans, switches off those of models that no trigger wants any more, and publishes. Returns the models whose
/// hooks were published now; none at all where the configuration is not that `version` any more: somebody else has read the
/// newer one and published it, or will, and must not be overwritten.
///
/// # Errors
/// The server's.
pub async fn publish(
    tx: &Transaction<'_>,
    plan: &Plan,
    version: i64,
) -> Result<Option<Vec<String>>, tokio_postgres::Error> {
    // Two daemons that notice a change at once store and publish one after the other.
    tx.query(
        "select pg_advisory_xact_lock(hashtextextended('sicantik_notify.publish_capture', 0))",
        &[],
    )
    .await?;
    let now = tx
        .query_one("select version from sicantik_notify.config_version", &[])
        .await?;
    if now.get::<_, i64>(0) != version {
        return Ok(None);
    }
    for (model, table) in plan {
        let watched: Vec<&String> = table.watched.iter().collect();
        let read: Vec<&String> = table.read.iter().collect();
        let triggers: Vec<&String> = table.triggers.iter().collect();
        tx.query(
            sql::PLAN_STORE.sql,
            &[
                &model,
                &table.table,
                &table.active,
                &table.on_insert,
                &table.any_write,
                &watched,
                &read,
                &triggers,
            ],
        )
        .await?;
    }
    let wanted: Vec<&String> = plan.keys().collect();
    tx.execute(
        "update sicantik_notify.capture_plan set active = false, updated_at = clock_timestamp() \
         where active and model <> all ($1)",
        &[&wanted],
    )
    .await?;
    let rows = tx
        .query(
            "select model from sicantik_notify.publish_capture() where published",
            &[],
        )
        .await?;
    Ok(Some(rows.iter().map(|r| r.get(0)).collect()))
}
