//! Where rows of ours came from, and what they and their origin looked like then.

use std::collections::HashMap;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use tokio_postgres::Transaction;

use super::candidate::Candidate;
use crate::db::migrate::hex;

/// One row that was carried over.
#[derive(Clone, Debug)]
pub struct Mark {
    /// Its key here.
    pub code: String,
    /// What the host's row looked like.
    pub source_sum: String,
    /// What ours looked like.
    pub row_sum: String,
}

impl Mark {
    /// Made by the daemon while it followed the host, not by an import.
    pub fn was_followed(&self) -> bool {
        self.source_sum == "followed"
    }
}

/// All of them, by table and row of the host.
#[derive(Debug, Default)]
pub struct Marks(HashMap<(String, i64), Mark>);

impl Marks {
    /// Reads them.
    ///
    /// # Errors
    /// The server's.
    pub async fn load(tx: &Transaction<'_>) -> Result<Self, tokio_postgres::Error> {
        let query = "select source, source_id, code, source_sum, row_sum from sicantik_notify.import_mark";
        let rows = tx.query(query, &[]).await?;
        let marks = rows.iter().map(|row| {
            let mark = Mark {
                code: row.get(2),
                source_sum: row.get(3),
                row_sum: row.get(4),
            };
            ((row.get(0), row.get(1)), mark)
        });
        Ok(Self(marks.collect()))
    }

    /// The mark of a row of the host.
    pub fn get(&self, source: &str, id: i64) -> Option<&Mark> {
        self.0.get(&(source.to_owned(), id))
    }
}

/// A checksum of a row, whatever the order of its columns.
pub fn sum(row: &Map<String, Value>) -> String {
    let mut columns: Vec<(&String, &Value)> = row.iter().collect();
    columns.sort_by_key(|(name, _)| *name);
    let mut hash = Sha256::new();
    for (name, value) in columns {
        hash.update(format!("{name}={value};"));
    }
    hex(&hash.finalize())
}

/// Writes the mark of a candidate.
///
/// # Errors
/// The server's.
pub async fn write(
    tx: &Transaction<'_>,
    candidate: &Candidate,
    source_sum: &str,
    row_sum: &str,
) -> Result<(), tokio_postgres::Error> {
    let statement = "insert into sicantik_notify.import_mark (source, source_id, section, code, source_sum, row_sum) \
                     values ($1, $2, $3, $4, $5, $6) on conflict (source, source_id) do update set section = excluded.section, \
                     code = excluded.code, source_sum = excluded.source_sum, row_sum = excluded.row_sum, \
                     imported_at = excluded.imported_at";
    let (source, id) = candidate.source;
    tx.execute(
        statement,
        &[
            &source,
            &id,
            &candidate.section,
            &candidate.code,
            &source_sum,
            &row_sum,
        ],
    )
    .await?;
    Ok(())
}
