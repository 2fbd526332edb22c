//! Partitions of log, attempts and decisions: made ahead, and dropped when retention says so.

/// What one run did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Partitions that were made, with what was moved into them from DEFAULT.
    pub made: Vec<String>,
    /// Partitions that were dropped.
    pub dropped: Vec<String>,
}

/// Makes the partitions of the next months, empties DEFAULT, drops what is older than `log_retention_days`. Safe to run by
/// several instances at once, and to fail: what a lock stood in the way of is done the next time.
///
/// # Errors
/// The server's.
pub async fn keep_partitions(client: &deadpool_postgres::Client) -> Result<Kept, tokio_postgres::Error> {
    let names = async |query: &str| {
        let rows = client.query(query, &[]).await?;
        Ok::<Vec<String>, tokio_postgres::Error>(rows.iter().map(|r| r.get(0)).collect())
    };
    Ok(Kept {
        made: names("select sicantik_notify.ensure_partitions(sicantik_notify.clock())").await?,
        dropped: names("select sicantik_notify.retire_partitions(sicantik_notify.clock())").await?,
    })
}
