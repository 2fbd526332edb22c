//! A person or number that may be written to. The best number of a person is the first valid one of whatsapp_number, mobile
//! and phone.

use std::collections::HashMap;

use tokio_postgres::Transaction;

use crate::db::ids::PartnerId;
use crate::db::prepared::Prepared;
use crate::host::phone::Phone;

/// A recipient with a number, or the reason why there is none.
#[derive(Clone, Debug)]
pub(in crate::evaluate) struct Recipient {
    /// `res_partner.id`, where it is a partner.
    pub(in crate::evaluate) partner: Option<PartnerId>,
    /// Name; empty where it is unknown.
    pub(in crate::evaluate) name: String,
    /// Number to use.
    pub(in crate::evaluate) phone: Result<Phone, NoPhone>,
}

/// Why somebody cannot be written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::evaluate) enum NoPhone {
    /// There is no such person.
    Nobody(String),
    /// There is no usable number.
    NoNumber(String),
}

impl Recipient {
    /// A partner that does not exist (any more).
    pub(super) fn gone(id: i64) -> Self {
        Self {
            partner: Some(PartnerId(id)),
            name: String::new(),
            phone: Err(NoPhone::Nobody(format!("partner {id} does not exist"))),
        }
    }

    /// A number that stands in the record.
    pub(super) fn number(raw: &str) -> Self {
        let phone = Phone::parse(raw).map_err(|e| NoPhone::NoNumber(format!("recipient_field: {e}")));
        Self {
            partner: None,
            name: String::new(),
            phone,
        }
    }
}

/// The people of the host with those ids. Archived ones stay reachable: permits stay linked to them.
pub(super) async fn partners(
    tx: &Transaction<'_>,
    prepared: &Prepared,
    ids: &[i64],
) -> Result<HashMap<i64, Recipient>, tokio_postgres::Error> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let query =
        "select id, coalesce(name, ''), whatsapp_number, mobile, phone from sicantik_notify.host_partner($1)";
    let mut people = HashMap::new();
    for row in prepared.query(tx, query, &[&ids]).await? {
        let numbers = [
            ("whatsapp_number", row.get(2)),
            ("mobile", row.get(3)),
            ("phone", row.get(4)),
        ];
        let person = Recipient {
            partner: Some(PartnerId(row.get(0))),
            name: row.get(1),
            phone: best_number(&numbers).map_err(NoPhone::NoNumber),
        };
        people.insert(row.get(0), person);
    }
    Ok(people)
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
