//! Members of a group of the host, named by external id, database id or name.

use std::collections::BTreeMap;

use tokio_postgres::Transaction;

use crate::evaluate::rule::RuleError;

/// What a reference to a group leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::evaluate) enum Members {
    /// No group.
    Unknown,
    /// Several groups.
    Ambiguous(Vec<i64>),
    /// Its members' partners.
    Of(Vec<i64>),
}

/// Who belongs to a group.
pub(in crate::evaluate) async fn members(
    tx: &Transaction<'_>,
    group: &str,
) -> Result<Members, tokio_postgres::Error> {
    let query = "select group_id, partner_id from sicantik_notify.host_group_members($1)";
    let mut groups: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for row in tx.query(query, &[&group.trim()]).await? {
        let members = groups.entry(row.get(0)).or_default();
        members.extend(row.get::<_, Option<i64>>(1));
    }
    Ok(match groups.len() {
        0 => Members::Unknown,
        1 => Members::Of(groups.into_values().next().unwrap_or_default()),
        _ => Members::Ambiguous(groups.into_keys().collect()),
    })
}

/// The partners of a group's members.
pub(super) async fn partners(tx: &Transaction<'_>, group: &str) -> Result<Vec<i64>, RuleError> {
    match members(tx, group).await? {
        Members::Of(partners) => Ok(partners),
        Members::Ambiguous(ids) => Err(RuleError::Configuration(format!(
            "{group:?} means several groups ({ids:?}); name one by external id or database id"
        ))),
        Members::Unknown => Err(RuleError::Configuration(format!(
            "the host has no group {group:?} (external id, database id or name)"
        ))),
    }
}
