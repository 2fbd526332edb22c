//! Who is told: per record, never all records times all people. The best number of a person is the first valid one of
//! whatsapp_number, mobile and phone; two people with one number are one recipient of a record's message.

use std::collections::{BTreeMap, HashMap};

use tokio_postgres::Transaction;

use crate::db::ids::PartnerId;
use crate::host::phone::Phone;

/// A person with a number, or the reason why there is none.
#[derive(Clone, Debug)]
pub struct Recipient {
    /// `res_partner.id`.
    pub partner: PartnerId,
    /// Name.
    pub name: String,
    /// Number to use.
    pub phone: Result<Phone, String>,
}

/// The people of the host with those ids. Archived ones stay reachable: permits stay linked to them.
///
/// # Errors
/// The server's.
pub async fn partners(
    tx: &Transaction<'_>,
    ids: &[i64],
) -> Result<HashMap<i64, Recipient>, tokio_postgres::Error> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = tx
        .query(
            "select id, coalesce(name, ''), whatsapp_number, mobile, phone from sicantik_notify.host_partner($1)",
            &[&ids],
        )
        .await?;
    Ok(rows
        .iter()
        .map(|row| {
            let id: i64 = row.get(0);
            let numbers = [
                ("whatsapp_number", row.get(2)),
                ("mobile", row.get(3)),
                ("phone", row.get(4)),
            ];
            (
                id,
                Recipient {
                    partner: PartnerId(id),
                    name: row.get(1),
                    phone: best_number(&numbers),
                },
            )
        })
        .collect())
}

/// The first number that is one.
fn best_number(numbers: &[(&str, Option<&str>)]) -> Result<Phone, String> {
    let mut reasons = Vec::new();
    for (field, raw) in numbers {
        match raw.map(str::trim) {
            None | Some("") => {}
            Some(raw) => match Phone::parse(raw) {
                Ok(phone) => return Ok(phone),
                Err(error) => reasons.push(format!("{field}: {error}")),
            },
        }
    }
    Err(if reasons.is_empty() {
        "whatsapp_number, mobile and phone are empty".into()
    } else {
        reasons.join("; ")
    })
}

/// Members of a group by reference: external id, database id or name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Members {
    /// No group of that reference.
    Unknown,
    /// The reference means several groups.
    Ambiguous(Vec<i64>),
    /// Its members' partners.
    Of(Vec<i64>),
}

/// Who belongs to a group of the host.
///
/// # Errors
/// The server's.
pub async fn members(tx: &Transaction<'_>, group: &str) -> Result<Members, tokio_postgres::Error> {
    let rows = tx
        .query(
            "select group_id, partner_id from sicantik_notify.host_group_members($1)",
            &[&group],
        )
        .await?;
    let mut groups: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for row in &rows {
        groups
            .entry(row.get(0))
            .or_default()
            .extend(row.get::<_, Option<i64>>(1));
    }
    Ok(match groups.len() {
        0 => Members::Unknown,
        1 => Members::Of(groups.into_values().next().unwrap_or_default()),
        _ => Members::Ambiguous(groups.into_keys().collect()),
    })
}
