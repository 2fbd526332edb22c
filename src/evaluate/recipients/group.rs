//! Members of a group of the host, named by external id, database id or name.

use std::collections::BTreeMap;

use tokio_postgres::Transaction;

use crate::evaluate::rule::RuleError;

/// The partners of a group's members.
pub(super) async fn partners(tx: &Transaction<'_>, group: &str) -> Result<Vec<i64>, RuleError> {
    let query = "select group_id, partner_id from sicantik_notify.host_group_members($1)";
    let mut groups: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for row in tx.query(query, &[&group.trim()]).await? {
        let members = groups.entry(row.get(0)).or_default();
        members.extend(row.get::<_, Option<i64>>(1));
    }
    if groups.len() > 1 {
        let ids: Vec<i64> = groups.into_keys().collect();
        return Err(RuleError::Configuration(format!(
            "{group:?} means several groups ({ids:?}); name one by external id or database id"
        )));
    }
    groups.into_values().next().ok_or_else(|| {
        RuleError::Configuration(format!(
            "the host has no group {group:?} (external id, database id or name)"
        ))
    })
}
