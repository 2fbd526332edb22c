//! Whose token it is, and how often it has called. Every wrong token gets the same answer after the same work: all valid
//! hashes are read and compared in constant time, whatever was given.

use axum::http::{HeaderMap, header};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::code::{Code, Failure};
use crate::db::Database;
use crate::db::statements as sql;

/// A programme with a token.
#[derive(Debug)]
pub struct Caller {
    /// Row of `api_token`.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Whether it may choose records by a domain.
    pub may_use_domain: bool,
    triggers: Option<Vec<String>>,
}

impl Caller {
    /// Whether its token names the trigger.
    pub fn may_fire(&self, code: &str) -> bool {
        self.triggers.as_ref().is_none_or(|t| t.iter().any(|c| c == code))
    }
}

/// The caller that the header names.
pub async fn authenticate(database: &Database, headers: &HeaderMap) -> Result<Caller, Failure> {
    let given = headers.get(header::AUTHORIZATION).map(|v| v.as_bytes());
    let given = given.and_then(bearer).unwrap_or_default();
    let hash: String = Sha256::digest(given).iter().map(|b| format!("{b:02x}")).collect();
    let rows = database.get().await?.query(sql::API_TOKENS.sql, &[]).await?;
    let mut found = None;
    for row in &rows {
        let ours: &str = row.get("token_hash");
        let fits: Choice = ours.as_bytes().ct_eq(hash.as_bytes());
        if bool::from(fits) {
            found = Some(row);
        }
    }
    let Some(row) = found else {
        tracing::warn!("A call of the API was refused: it has no valid token.");
        return Err(Code::Unauthorized.into());
    };
    Ok(Caller {
        id: row.get("id"),
        name: row.get("name"),
        may_use_domain: row.get("may_use_domain"),
        triggers: row.get("triggers"),
    })
}

/// `Bearer <token>`; the word in any case.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| rest.trim_ascii())
}

/// Counts the call, and refuses one too many.
pub async fn count(database: &Database, caller: &Caller, limit: u32) -> Result<(), Failure> {
    let row = database
        .get()
        .await?
        .query_one(sql::API_RATE.sql, &[&caller.id])
        .await?;
    let (requests, left): (i32, i64) = (row.get("requests"), row.get("left_ms"));
    if i64::from(requests) <= i64::from(limit) {
        return Ok(());
    }
    let seconds = left.unsigned_abs().div_ceil(1000).max(1);
    let message = format!("the token may call {limit} times a minute");
    Err(Failure::new(Code::RateLimited, message).retry_after(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_stands_behind_the_word_bearer() {
        assert_eq!(bearer(b"Bearer snt_1"), Some(b"snt_1".as_slice()));
        assert_eq!(bearer(b"bearer  snt_1 "), Some(b"snt_1".as_slice()));
        for wrong in [
            b"".as_slice(),
            b"Bearer",
            b"Basic snt_1",
            b"snt_1",
            "é".as_bytes(),
        ] {
            assert_eq!(bearer(wrong), None);
        }
    }
}
