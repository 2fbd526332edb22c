//! The database: connections, TLS, statements, migrations, ids of rows.

pub mod advice;
pub mod connect;
pub mod ids;
pub mod inventory;
pub mod listener;
pub mod migrate;
pub mod partitions;
mod pooler;
pub mod prepared;
pub mod statements;

pub use connect::{ConnectError, Database, Endpoint};

/// The SQLSTATE and message of a server error, or the client's own words: one line for logs and people.
pub fn describe(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => {
            let hint = db.hint().map(|h| format!(" ({h})")).unwrap_or_default();
            format!("{} [{}]{hint}", db.message(), db.code().code())
        }
        None => {
            let mut text = error.to_string();
            let mut source = std::error::Error::source(error);
            while let Some(inner) = source {
                text.push_str(": ");
                text.push_str(&inner.to_string());
                source = inner.source();
            }
            text
        }
    }
}
